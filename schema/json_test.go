package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/schema"
)

func TestWalkObjectHandsOutMembers(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"nothing", ` {  } `, ``},
		{"every sort of value", `{"s":"a","n":-1.5e+3,"t":true,"f":false,"z":null,"o":{"x":[1]},"a":[ {}, [] ]}`,
			`s="a" n=-1.5e+3 t=true f=false z=null o={"x":[1]} a=[ {}, [] ] `},
		{"white space everywhere but in values", "\t{ \"a\" : 1 ,\r\n\"b\" : \"x y\" }\n", `a=1 b="x y" `},
		{"duplicates in order", `{"a":1,"a":2}`, `a=1 a=2 `},
		{"escapes as they are", `{"\u0061\"":"\\\ud83d"}`, `\u0061\"="\\\ud83d" `},
		{"bytes that are not UTF-8", "{\"\xff\":\"\xfe\"}", "\xff=\"\xfe\" "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got strings.Builder
			err := schema.WalkObject([]byte(c.line), func(k, v []byte) bool {
				fmt.Fprintf(&got, "%s=%s ", k, v)
				return true
			})
			if err != nil || got.String() != c.want {
				t.Fatalf("got %q, %v, want %q", got.String(), err, c.want)
			}
		})
	}
}

func TestWalkObjectStopsWhenTold(t *testing.T) {
	n := 0
	err := schema.WalkObject([]byte(`{"a":1,"b":2,"c":broken`), func(_, _ []byte) bool {
		n++
		return n < 2
	})
	if err != nil || n != 2 {
		t.Fatalf("%d calls, %v", n, err)
	}
}

// notObjects are lines that only look like an object, or like JSON.
var notObjects = []string{
	``, ` `, `{`, `}`, `[]`, `"a"`, `1`, `null`, `{} {}`, `{}x`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`,
	`{"a" 1}`, `{"a":1 "b":2}`, `{"a":01}`, `{"a":-}`, `{"a":+1}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":1e+}`, `{"a":0x1}`,
	`{"a":NaN}`, `{"a":tru}`, `{"a":truee}`, `{"a":[1,]}`, `{"a":[1}`, `{"a":[1 2]}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u123`,
	`{"a":"` + "\t" + `"}`, `{"a":"12345678` + "\x1f" + `12345678"}`, `{"a":"` + "\n" + `"}`, `{"a":"\`, `{"a":"`, `{"a":"x}`, "\xEF\xBB\xBF{}", `{"a":"\"}`,
}

func TestWalkObjectRefusesWhatIsNotOneObject(t *testing.T) {
	for _, line := range notObjects {
		if schema.WalkObject([]byte(line), nil) == nil {
			t.Errorf("took %q", line)
		}
	}
}

func TestWalkObjectGoes128Deep(t *testing.T) {
	deep := func(n int) []byte {
		return []byte(`{"a":` + strings.Repeat(`[`, n-1) + strings.Repeat(`]`, n-1) + `}`)
	}
	if err := schema.WalkObject(deep(128), nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{129, 1_000_000} {
		if err := schema.WalkObject(deep(n), nil); err == nil {
			t.Fatalf("took %d levels", n)
		}
	}
}

func TestEveryByteOfAStringIsLookedAt(t *testing.T) {
	for n := range 40 {
		for at := range n {
			for _, c := range []byte{0, 1, 0x1f, '\n', '"', '\\'} {
				s := bytes.Repeat([]byte{0xA2}, n) // quote, slash and space with the high bit set surround it
				s[at] = c
				line := fmt.Appendf(nil, `{"k":"%s"}`, s)
				if got, want := schema.WalkObject(line, nil) == nil, json.Valid(line); got != want {
					t.Fatalf("%q: %v", line, got)
				}
			}
		}
	}
}

// TestStringsFullOfEscapesAreReadToTheirEnd holds lines of quotes, backslashes and what
// may come behind them, at every place of a block of 64 bytes, against encoding/json.
func TestStringsFullOfEscapesAreReadToTheirEnd(t *testing.T) {
	pieces := []string{`\\`, `\"`, `\n`, `\u00e9`, `\ud83d\ude00`, "a", "{", "é", "some more of it ", `\`, `"`, `\u00g0`, "\x1f", `\x`}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200_000 {
		sound := len(pieces) - 5 // the last five may end the text, or its soundness
		line := []byte(`{"a":"` + strings.Repeat("x", n%64))
		for range rnd.IntN(60) {
			k := rnd.IntN(sound)
			if rnd.IntN(300) == 0 {
				k = rnd.IntN(len(pieces))
			}
			line = append(line, pieces[k]...)
		}
		line = append(line, `","b":1}`...)
		members := 0
		err := schema.WalkObject(line, func(_, _ []byte) bool { members++; return true })
		if sound := json.Valid(line); sound != (err == nil) || sound && members != 2 {
			t.Fatalf("%q: %v, %d members", line, err, members)
		}
	}
}

func TestUnescape(t *testing.T) {
	for escaped, want := range map[string]string{
		`plain`:              "plain",
		`\"\\\/\b\f\n\r\t`:   "\"\\/\b\f\n\r\t",
		`a\u002Bb\u65e5`:     "a+b日",
		`\ud83d\ude00!`:      "😀!",
		`\ud83d`:             "\uFFFD",
		`\ud83dx`:            "\uFFFDx",
		`\ud83d\ud83d\ude00`: "\uFFFD😀",
		`\ude00\ud83d`:       "\uFFFD\uFFFD",
		"\xff\\n":            "\xff\n",
		`cut\`:               `cut\`,
		`cut\u12`:            "cut\uFFFD12",
	} {
		if got := string(schema.Unescape([]byte(">"), []byte(escaped))); got != ">"+want {
			t.Errorf("%s: got %q, want %q", escaped, got, want)
		}
	}
}

func nesting(b []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			depth++
			deepest = max(deepest, depth)
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
	}
	return deepest
}

// FuzzWalkObject compares with encoding/json.
func FuzzWalkObject(f *testing.F) {
	for _, s := range notObjects {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"s":"a","n":-1.5e+3,"t":true,"f":false,"z":null,"o":{"x":[1]},"a":[{},[]],"\u0061":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		members := map[string]string{}
		err := schema.WalkObject(line, func(k, v []byte) bool {
			members[string(schema.Unescape(nil, k))] = string(v)
			return true
		})
		trimmed := bytes.TrimLeft(line, " \t\r\n")
		want := json.Valid(line) && len(trimmed) > 0 && trimmed[0] == '{' && nesting(line) <= 128
		if (err == nil) != want {
			t.Fatalf("got %v, encoding/json says %v", err, want)
		}
		if err != nil || !utf8.Valid(line) {
			return
		}
		var theirs map[string]json.RawMessage
		if err := json.Unmarshal(line, &theirs); err != nil {
			t.Fatal(err)
		}
		if len(theirs) != len(members) {
			t.Fatalf("%d members, encoding/json finds %d", len(members), len(theirs))
		}
		for k, v := range theirs {
			if members[k] != string(v) {
				t.Fatalf("%q is %s, encoding/json says %s", k, members[k], v)
			}
			var s string
			if v[0] == '"' && json.Unmarshal(v, &s) == nil && s != string(schema.Unescape(nil, v[1:len(v)-1])) {
				t.Fatalf("%s: text differs from %q", v, s)
			}
		}
	})
}
