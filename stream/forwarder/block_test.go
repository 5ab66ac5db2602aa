package forwarder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/schema"
	"tributary/stream/multiline"
)

// blocks feeds a rejoiner of one container, whose blocks begin with a line that does
// not begin with a tab.
type blocks struct {
	*feeder
	grammar *multiline.Grammar
	got     []string
}

func newBlocks(t *testing.T, c Config) *blocks {
	g, err := multiline.Rules{{Service: "*", Start: `^[^\t]`}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return &blocks{feeder: newFeeder(c), grammar: g.Of("x")}
}

// entry sends data as piece ordinal of the cut line key, or whole if key is empty.
func (b *blocks) entry(key string, ordinal int, last bool, data string) {
	b.position += 10
	for _, l := range b.r.take(piece{
		index: b.t.add(b.position, b.position+1), position: b.position, key: key, block: "c\x00stdout", grammar: b.grammar,
		ordinal: ordinal, last: last, data: []byte(data), recent: true,
	}) {
		b.emit(l.joined)
	}
}

func (b *blocks) whole(lines ...string) {
	for _, l := range lines {
		b.entry("", 0, false, l)
	}
}

func (b *blocks) mark(m string) {
	b.position += 10
	if l, ok := b.r.closed(m, b.t.add(b.position, b.position+1), b.position); ok {
		b.emit(l)
	}
}

// pass lets the time pass, and the markers come.
func (b *blocks) pass(d time.Duration) {
	for _, l := range b.r.tick(d) {
		b.mark(l.mark())
	}
}

func (b *blocks) emit(l joined) {
	text := strings.ReplaceAll(string(l.line), "\n", "|")
	if l.flags&schema.FlagIncomplete != 0 {
		text += " (incomplete)"
	}
	b.got = append(b.got, text)
	b.t.done(l.indexes...)
}

func TestLinesOfAContainerBecomeBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		feed func(*blocks)
		want []string
	}{
		"the next first line ends a block": {func(b *blocks) { b.whole("a", "\tb", "\tc", "d") }, []string{"a|\tb|\tc"}},
		"silence ends it":                  {func(b *blocks) { b.whole("a", "\tb"); b.pass(time.Second) }, []string{"a|\tb"}},
		"nothing ends it before":           {func(b *blocks) { b.whole("a", "\tb"); b.pass(time.Second - 1) }, nil},
		"a JSON line ends it and stands alone": {func(b *blocks) { b.whole("a", `{"b":1}`, `{"c":1}`, "\td"); b.pass(time.Second) },
			[]string{"a", `{"b":1}`, `{"c":1}`, "\td"}},
		"a cut line joins as a whole": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 1, false, "\tb")
			b.entry("p", 2, true, "b")
			b.whole("\tc", "d")
		}, []string{"a|\tbb|\tc"}},
		"a cut line begins a block by its first piece": {func(b *blocks) {
			b.entry("p", 1, false, "a")
			b.entry("p", 2, true, "\ta")
			b.whole("\tb", "c")
		}, []string{"a\ta|\tb"}},
		"a cut JSON line does not join": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 1, false, `{"b":`)
			b.whole("c", "\td")
			b.entry("p", 2, true, `1}`)
			b.whole("e")
		}, []string{"a", `{"b":1}`, "c|\td"}},
		"while a cut line is to go on, the block has its patience": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 1, false, "\tb")
			b.pass(2*time.Second - 1)
			b.entry("p", 2, true, "b")
			b.pass(time.Second)
		}, []string{"a|\tbb"}},
		"a cut line without its end ends its block, marked": {func(b *blocks) { b.whole("a"); b.entry("p", 1, false, "\tb"); b.pass(2 * time.Second) },
			[]string{"a|\tb (incomplete)"}},
		"a cut line whose end is lost is gone over, marked": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 1, false, "\tb")
			b.whole("\tc", "d")
		}, []string{"a|\tb|\tc (incomplete)"}},
		"two cut lines whose ends are lost leave nothing behind": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 1, false, "\tb")
			b.entry("q", 1, false, "\tc")
			b.entry("q", 2, true, "c")
			b.pass(time.Second)
		}, []string{"a|\tb|\tcc (incomplete)"}},
		"a cut line whose beginning is lost joins nothing": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 2, false, "\tb")
			b.entry("p", 3, true, "b")
			b.whole("\tc", "d")
		}, []string{"a", "\tbb (incomplete)", "\tc"}},
		"a piece sent twice counts once": {func(b *blocks) {
			b.whole("a")
			b.entry("p", 1, false, "\tb")
			b.entry("p", 1, false, "\tb")
			b.entry("p", 2, true, "b")
			b.whole("c")
		}, []string{"a|\tbb"}},
		"a late marker does not cut a block that went on": {func(b *blocks) {
			b.whole("a")
			m := b.r.tick(time.Second)[0].mark()
			b.whole("\tb")
			b.mark(m)
			b.whole("\tc")
			b.pass(time.Second)
		}, []string{"a|\tb|\tc"}},
		"nor the next one": {func(b *blocks) {
			b.whole("a")
			m := b.r.tick(time.Second)[0].mark()
			b.whole("b")
			b.mark(m)
			b.whole("\tc", "d")
		}, []string{"a", "b|\tc"}},
		"a cap on lines ends it, marked": {func(b *blocks) { b.whole("a", "\tb", "\tc", "\td", "\te", "f") },
			[]string{"a|\tb|\tc|\td (incomplete)", "\te"}},
		"a cap on bytes ends it, marked": {func(b *blocks) { b.whole("a", "\t"+strings.Repeat("b", 64), "c", "d") },
			[]string{"a|\t" + strings.Repeat("b", 64) + " (incomplete)", "c"}},
		"a first line above a cap comes behind the block that it ends": {func(b *blocks) { b.whole("a", "\tb", strings.Repeat("c", 64)) },
			[]string{"a|\tb", strings.Repeat("c", 64) + " (incomplete)"}},
		"a dripping block ends": {func(b *blocks) {
			b.whole("a")
			b.pass(900 * time.Millisecond)
			b.whole("\tb")
			b.pass(900 * time.Millisecond)
			b.whole("\tc")
			b.pass(900 * time.Millisecond)
		}, []string{"a|\tb|\tc"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig()
			config.MultilineMaxLines, config.PartialMaxAge = 4, 1500*time.Millisecond
			b := newBlocks(t, config)
			c.feed(b)
			if !slices.Equal(b.got, c.want) {
				t.Errorf("got %q, want %q", b.got, c.want)
			}
			if b.r.count() == 0 && (b.r.bytes != 0 || b.r.cuts != 0 || len(b.r.open) != 0 || b.t.undone() != 0) {
				t.Errorf("nothing is open, but %d bytes, %d cut lines and %d entries are", b.r.bytes, b.r.cuts, b.t.undone())
			}
		})
	}
}

func TestBlocksOfManyContainersStayBelowTheCaps(t *testing.T) {
	c := testConfig()
	b := newBlocks(t, c)
	var in, out int
	for i := range 2000 {
		b.position += 10
		data := strings.Repeat("x", i%30)
		in += len(data)
		for _, l := range b.r.take(piece{
			index: b.t.add(b.position, b.position+1), position: b.position, block: string(rune('a'+i%13)) + "\x00", grammar: b.grammar, data: []byte(data),
		}) {
			out += len(strings.ReplaceAll(string(l.line), "\n", ""))
			b.t.done(l.indexes...)
		}
		if b.r.bytes > c.MaxOpenBytes || b.r.count() > c.MaxOpenLines {
			t.Fatalf("%d bytes in %d blocks are open, over the caps", b.r.bytes, b.r.count())
		}
	}
	for _, l := range b.r.open {
		out += len(strings.ReplaceAll(string(l.line), "\n", ""))
	}
	if in != out {
		t.Fatalf("%d bytes went in, %d came out", in, out)
	}
}
