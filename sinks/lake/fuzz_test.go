package lake

import (
	"strings"
	"testing"

	"tributary/schema"
	"tributary/sinks/held"
)

// FuzzFooter feeds the check what a damaged object may end with.
func FuzzFooter(f *testing.F) {
	content, wrote, l := smallObject(f)
	n, err := footerBytes(content)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content, int64(len(content)))
	f.Add(content[int64(len(content))-n:], int64(len(content)))
	f.Add([]byte("\xff\xff\xff\xffPAR1"), int64(1)<<40)
	f.Fuzz(func(t *testing.T, tail []byte, size int64) {
		if n, err := footerBytes(tail); err == nil && n > int64(len(tail)) {
			return // place asks S3 again, or refuses
		}
		if size < int64(len(tail)) {
			size = int64(len(tail))
		}
		_ = l.checkFooter(tail, size, wrote)
	})
}

func smallObject(t testing.TB) ([]byte, tally, *layout) {
	t.Helper()
	text, err := planText(DefaultConfig(), schema.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	lp, err := readPlan(text)
	if err != nil {
		t.Fatal(err)
	}
	l := lp.layouts[schema.KindApp]
	records := []held.Record{{Sequence: "1"}}
	e := newEncoder(l, lp.splitter(schema.KindApp), "shardId-000000000000", records, newCodec(), sizes{1 << 20, minPage}, 100)
	for i, text := range []string{`{"level":"INFO","a":1}`, "x"} {
		if err := e.add(&held.Row{Index: uint32(i), Bytes: held.RowCharge}, &held.Line{Text: []byte(text)}, "s"); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.writeChunk(); err != nil {
		t.Fatal(err)
	}
	content, wrote, err := e.close()
	if err != nil {
		t.Fatal(err)
	}
	return content, wrote, l
}

// FuzzPathSegment: whatever a service calls itself, its folder is one level, and
// its own.
func FuzzPathSegment(f *testing.F) {
	for _, s := range []string{"condor", "a/b", "..", ".", "ü", "%2F", strings.Repeat("x", 500), "\x00"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == "" || b == "" {
			return
		}
		s := pathSegment(a)
		if s == "" || s == "." || s == ".." || len(s) > maxSegment || strings.ContainsAny(s, "/\\ \x00") {
			t.Errorf("%q gives %q", a, s)
		}
		if (a == b) != (s == pathSegment(b)) {
			t.Errorf("%q and %q share %q", a, b, s)
		}
	})
}

// FuzzReadPlan: a state item is read that any build, or a person, may have
// written.
func FuzzReadPlan(f *testing.F) {
	text, err := planText(DefaultConfig(), schema.DefaultRules())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(`{"format":1}`)
	f.Add(`{"format":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		lp, err := readPlan(text)
		if (lp == nil) == (err == nil) {
			t.Errorf("plan %v, error %v", lp, err)
		}
	})
}
