package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/schema"
)

// told writes down what a walk tells.
type told struct {
	strings.Builder
	decline byte // objects or lists that it does not enter
}

func (v *told) Member(key, value []byte) { fmt.Fprintf(v, "%s=%s;", key, value) }
func (v *told) Leave(value []byte)       { fmt.Fprintf(v, "}%d;", len(value)) }
func (v *told) Enter(key []byte, open byte) bool {
	if open == v.decline {
		return false
	}
	fmt.Fprintf(v, "%s%c", key, open)
	return true
}

func TestWalkDeepTellsOfElementsAndOfWholes(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		decline    byte
	}{
		"an object":               {text: ` {"a":1,"b":[2,{"c":[]}],"d":{}} `, want: `{a=1;b[=2;{c[}2;}8;}12;d{}2;}31;`},
		"a list":                  {text: `[1,"x"]`, want: `[=1;="x";}7;`},
		"lists that are declined": {text: `{"b":[2,{"c":3}],"d":{"e":4}}`, decline: '[', want: `{b=[2,{"c":3}];d{e=4;}7;}29;`},
		"all declined":            {text: `{"a":1}`, decline: '{', want: `={"a":1};`},
	} {
		t.Run(name, func(t *testing.T) {
			v := &told{decline: c.decline}
			if err := schema.WalkDeep([]byte(c.text), v); err != nil || v.String() != c.want {
				t.Errorf("%v: told %s", err, v)
			}
		})
	}
	for name, text := range map[string]string{
		"nothing": ` `, "a text": `"x"`, "text behind": `{} x`, "no end": `[1,{"a":`, "no value": `[1,]`, "no comma": `[1 2]`,
		"too deep": strings.Repeat("[", 129) + strings.Repeat("]", 129),
	} {
		if err := schema.WalkDeep([]byte(text), &told{}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := schema.WalkDeep([]byte(strings.Repeat("[", 128)+strings.Repeat("]", 128)), &told{}); err != nil {
		t.Error("128 levels:", err)
	}
}

// FuzzWalkDeep: it takes what WalkObject takes, and lists.
func FuzzWalkDeep(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}]}`, `[[],{}]`, `[`, `{"a":"\u12"}`, ` [-0.1e5 , true]`, `{"a":1}{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := schema.WalkDeep(text, &told{})
		inside := append(append([]byte(`{"x":`), text...), '}')
		isObject, trimmed := schema.WalkObject(text, nil) == nil, bytes.TrimLeft(text, " \t\r\n")
		isList := len(trimmed) > 0 && trimmed[0] == '[' && json.Valid(text) && schema.WalkObject(inside, nil) == nil
		if deep := err == nil; deep != (isObject || isList) && !bytes.Contains(text, bytes.Repeat([]byte("["), 64)) {
			t.Fatalf("%q: %v, object %v, list %v", text, err, isObject, isList)
		}
	})
}

// FuzzEscapes: what is escaped decodes to the same text, and EscapeLen goes through it
// as Unescape does.
func FuzzEscapes(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n\r\t\x00\x1f", "é😀", "\xff\xc3"} {
		f.Add([]byte(s), `\ud83d\ude00\u00e9\ud800x\ud800\u0041\"`)
	}
	f.Fuzz(func(t *testing.T, text []byte, raw string) {
		escaped := schema.AppendEscaped(nil, text)
		if got := schema.Unescape(nil, escaped); !bytes.Equal(got, text) {
			t.Fatalf("%q came back as %q by %s", text, got, escaped)
		}
		quoted := append(append([]byte{'"'}, escaped...), '"')
		if utf8.Valid(text) && !json.Valid(quoted) {
			t.Fatalf("%s is no string", quoted)
		}
		if !json.Valid([]byte(`"` + raw + `"`)) {
			return
		}
		whole := schema.Unescape(nil, []byte(raw))
		for rest := []byte(raw); len(rest) > 0; {
			n, m := 1, 1
			if rest[0] == '\\' {
				n, m = schema.EscapeLen(rest)
			}
			if got := schema.Unescape(nil, rest[:n]); !bytes.Equal(got, whole[:m]) {
				t.Fatalf("%q: %q is %q, want %q", raw, rest[:n], got, whole[:m])
			}
			rest, whole = rest[n:], whole[m:]
		}
		if len(whole) > 0 {
			t.Fatalf("%q: %q is left", raw, whole)
		}
	})
}
