package edit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/schema"
	"tributary/schema/edit"
	"tributary/schema/filter"
)

func fuzzRules(t testing.TB, how string) *edit.Editor {
	return compile(t,
		edit.Rule{Action: edit.Drop, Condition: filter.Condition{Fields: []filter.Field{{Path: "a.b", Equals: []string{"drop"}}}}},
		edit.Rule{Action: edit.Mask, Paths: []string{"a.b", "**.secret", "x*.y", "body.pin"}, With: how},
		edit.Rule{Action: edit.Mask, Presets: []string{edit.Card, edit.Email}, Patterns: []string{`tok-[a-z]+`, `key=(\w+)`}, With: how},
		edit.Rule{Action: edit.Truncate, Paths: []string{"**.long", "a"}, MaxBytes: 16},
		edit.Rule{Action: edit.Truncate, MaxBytes: 200},
	)
}

// FuzzApply: no line makes it panic, an object stays one, and editing depends on nothing
// but rules and line.
func FuzzApply(f *testing.F) {
	for _, line := range []string{
		`{"a":{"b":"x"}}`, `{"a":"{\"b\":1,\"secret\":\"{\\\"secret\\\":2}\"}"}`, `{"body":"pin=1","long":"` + strings.Repeat("é", 40) + `"}`,
		`{"xx":{"y":[1,{"secret":null}]},"m":"tok-abc key=v a@b.com 4111 1111 1111 1111"}`, `[{"secret":1}]`, `{"secret`, `plain a@b.com`,
		`{"\u0061":{"b":"\ud800\\","long":"\ud83d\ude00` + strings.Repeat(`\n`, 60) + `"}}`, "{\"long\":\"\xff\xc3" + strings.Repeat("\\u00e9", 50) + "\"}",
		`{"a":"[[\"` + strings.Repeat("x", 60) + `\"]]"}`, `{"m":"{\"k\":4111111111111111,\"e\":\"a%40b.com\\u0041\"}"}`, `{"a.b":"drop"}`, ``, `{}`, ` [] `,
	} {
		for kind := range byte(4) {
			f.Add([]byte(line), kind)
		}
	}
	editors := []*edit.Editor{fuzzRules(f, edit.WithStars), fuzzRules(f, edit.WithHash), fuzzRules(f, edit.WithLast)}
	used := &edit.Work{}
	f.Fuzz(func(t *testing.T, line []byte, kind byte) {
		before := bytes.Clone(line)
		for _, e := range editors {
			s := &filter.Subject{Event: &schema.Event{Line: line}, Kind: schema.Kind(kind % 4)}
			r := e.Apply(used, s)
			got := string(r.Line)
			if !bytes.Equal(line, before) {
				t.Fatalf("the line itself has become %q", line)
			}
			if fresh := e.Apply(&edit.Work{}, s); string(fresh.Line) != got || fresh.Send != r.Send {
				t.Fatalf("%q: %q, and with a new Work %q", line, got, fresh.Line)
			}
			if !r.Send {
				continue
			}
			if schema.WalkObject(line, nil) == nil && schema.WalkObject([]byte(got), nil) != nil {
				t.Fatalf("%q is no object: %q", line, got)
			}
			if utf8.Valid(line) && !utf8.ValidString(got) {
				t.Fatalf("%q is no UTF-8: %q", line, got)
			}
		}
	})
}

// page makes a line with a secret at places that the rules mean, and with the rest of
// the line around it.
type page struct {
	r      *rand.Rand
	secret string
	number string
}

// quote writes a JSON string with escapes by chance.
func (p *page) quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case p.r.IntN(3) == 0 && c < 0x10000:
			fmt.Fprintf(&b, []string{`\u%04x`, `\u%04X`}[p.r.IntN(2)], c)
		case c == '"' || c == '\\' || c == '/' && p.r.IntN(2) == 0:
			b.WriteString(`\` + string(c))
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String() + `"`
}

func (p *page) space() string { return []string{"", "", "", " ", "\n", "\t "}[p.r.IntN(6)] }

func (p *page) object(members ...string) string {
	p.r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + p.space() + strings.Join(members, p.space()+","+p.space()) + p.space() + "}"
}

func (p *page) member(name, value string) string {
	return p.quote(name) + p.space() + ":" + p.space() + value
}

// hidden is a value that has the secret.
func (p *page) hidden() string {
	switch p.r.IntN(5) {
	case 0:
		return p.number
	case 1:
		return "[" + p.quote(p.secret) + p.space() + "," + p.number + "]"
	case 2:
		return p.object(p.member("k", p.quote(p.secret)), p.member("l", "null"))
	}
	return p.quote("<" + p.secret + ">")
}

// harmless is a value without.
func (p *page) harmless() string {
	return []string{"1.5e3", "true", "null", `"text \"quoted\" \ud800 \u003c"`, `[1,[2,{}]]`, `"{\"not\":\"it\"}"`, `"[main] {}"`, `""`}[p.r.IntN(8)]
}

// tree is an object, depth deep, in which whatever is named secret holds it; as JSON
// text within text by chance.
func (p *page) tree(depth int) string {
	members := []string{p.member("n", p.harmless()), p.member("secret", p.hidden())}
	if p.r.IntN(2) == 0 {
		members = append(members, p.member("secret", p.hidden()), p.member("a.secret", p.hidden()))
	}
	for depth > 0 && p.r.IntN(3) > 0 {
		inner := p.tree(depth - 1)
		if p.r.IntN(2) == 0 {
			inner = "[" + p.harmless() + "," + inner + "]"
		}
		if p.r.IntN(2) == 0 {
			inner = p.quote(inner)
		}
		members = append(members, p.member("m"+fmt.Sprint(depth), inner))
		depth--
	}
	return p.object(members...)
}

// texts are all texts, numbers and words in a JSON text, those in texts that are JSON
// too. It implements schema.DeepVisitor.
type texts []string

func (*texts) Enter([]byte, byte) bool { return true }
func (*texts) Leave([]byte)            {}
func (x *texts) Member(_, value []byte) {
	if value[0] == '"' {
		value = schema.Unescape(nil, value[1:len(value)-1])
		_ = schema.WalkDeep(value, x) // if it is JSON
	}
	*x = append(*x, string(value))
}

// FuzzSecret: nothing that is masked is left in any spelling, and what is beside it is.
func FuzzSecret(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, "s3cr3t/é\"\\")
	}
	byPath := compile(f, edit.Rule{Action: edit.Mask, Paths: []string{"**.secret"}})
	found := compile(f, edit.Rule{Action: edit.Mask, Presets: []string{edit.Card, edit.Email}})
	f.Fuzz(func(t *testing.T, seed uint64, secret string) {
		r := rand.New(rand.NewPCG(seed, 1))
		nothingLeft(t, found, &page{r, fmt.Sprintf("some.one+%d@example.com", seed), "4111111111111111"})
		if len(secret) < 6 || len(secret) > 40 || !utf8.ValidString(secret) || strings.ContainsRune(secret, utf8.RuneError) {
			return
		}
		nothingLeft(t, byPath, &page{r, "Q" + secret + "Q", "98765" + fmt.Sprint(seed) + "56789"})
	})
}

func nothingLeft(t *testing.T, e *edit.Editor, p *page) {
	t.Helper()
	line := p.tree(3)
	r := e.Apply(&edit.Work{}, &filter.Subject{Event: &schema.Event{Line: []byte(line)}, Kind: schema.KindApp})
	if !json.Valid([]byte(line)) || !json.Valid(r.Line) {
		t.Fatalf("%s\nis %s", line, r.Line)
	}
	left := texts{string(r.Line)}
	if err := schema.WalkDeep(r.Line, &left); err != nil {
		t.Fatal(err)
	}
	for _, text := range left {
		if strings.Contains(text, p.secret) || strings.Contains(text, p.number) {
			t.Fatalf("%s\nleaves %s", line, r.Line)
		}
	}
	sameBeside(t, line, string(r.Line))
}

// sameBeside: what is between masks is a piece of the line, byte by byte, in its order.
func sameBeside(t *testing.T, line, got string) {
	t.Helper()
	rest := line
	for i, piece := range strings.Split(got, "***") {
		piece = strings.Trim(piece, `\"`) // the quotes of a mask belong to it, with their backslashes
		at := strings.Index(rest, piece)
		if at < 0 || i == 0 && at > 1 {
			t.Fatalf("%s\nis %s\nwhere %q is not of it", line, got, piece)
		}
		rest = rest[at+len(piece):]
	}
}
