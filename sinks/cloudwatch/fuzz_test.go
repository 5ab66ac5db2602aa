package cloudwatch

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/schema"
	"tributary/stream"
)

var groupNames = regexp.MustCompile(`^[-._/#A-Za-z0-9]{1,512}$`)

// FuzzGroup: whatever a service calls itself, its groups are its own, and the service
// takes their names.
func FuzzGroup(f *testing.F) {
	for _, s := range []string{"condor", "a/b", "x/errors", "errors", "#2F", "ü", "", strings.Repeat("ü", 300), "\x00"} {
		f.Add(s, s+"x")
	}
	t, err := parseTemplate(DefaultConfig().LogGroup)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(tt *testing.T, a, b string) {
		na, nb := t.group(schema.KindApp, a), t.group(schema.KindApp, b)
		if !groupNames.MatchString(na + errorsSuffix) {
			tt.Errorf("%q gives %q", a, na)
		}
		same := a == b || a == "" && b == unknownService || a == unknownService && b == ""
		if same != (na == nb) || na == nb+errorsSuffix || nb == na+errorsSuffix {
			tt.Errorf("%q and %q: %q, %q", a, b, na, nb)
		}
	})
}

// FuzzParts: parts put together are the message, each is text and fits.
func FuzzParts(f *testing.F) {
	f.Add([]byte(strings.Repeat("é", 2000)), uint16(1), false)
	f.Add([]byte(strings.Repeat("🙂", 1000)+"\xff\xff"), uint16(0), true)
	f.Add([]byte(`{"a":`+strings.Repeat("1", 3000)+`}`), uint16(500), true)
	f.Fuzz(func(t *testing.T, line []byte, room uint16, metadata bool) {
		p := &readyPlan{messageBytes: 1024 + int(room), metadata: metadata}
		e := &schema.Event{Line: line, Index: 3}
		b := &stream.Batch{Shard: "shardId-000000000000", Sequence: "7", Events: []schema.Event{*e}}
		text, _ := p.message(nil, b, e)
		if !utf8.Valid(text) || len(text) == 0 {
			t.Fatalf("%q is sent as %q", line, text)
		}
		if !metadata && utf8.Valid(line) && len(line) > 0 && !bytes.Equal(text, line) {
			t.Fatalf("%q is sent as %q", line, text)
		}
		if metadata && schema.WalkObject(text, nil) != nil {
			t.Fatalf("%q is sent as %q", line, text)
		}
		var all [][]byte
		for part := range p.split(text, b, e) {
			if len(part) > p.messageBytes || !utf8.Valid(part) {
				t.Fatalf("a part of %d bytes, at most %d: %.80q", len(part), p.messageBytes, part)
			}
			all = append(all, bytes.Clone(part))
		}
		if len(all) == 1 {
			if !bytes.Equal(all[0], text) {
				t.Fatalf("%q became %q", text, all[0])
			}
			return
		}
		var whole []byte
		for i, part := range all {
			head := fmt.Sprintf("[part %d/%d %x] ", i+1, len(all), partID(b, e))
			rest, ok := bytes.CutPrefix(part, []byte(head))
			if !ok {
				t.Fatalf("part %d begins %.60q", i+1, part)
			}
			whole = append(whole, rest...)
		}
		if !bytes.Equal(whole, text) {
			t.Fatal("the parts are another message")
		}
	})
}

// FuzzReadPlan: a state item is read that any build, or a person, may have written.
func FuzzReadPlan(f *testing.F) {
	text, err := planText(DefaultConfig(), schema.DefaultRules())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(`{"format":1}`)
	f.Add(`{"format":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readPlan(text)
		if (p == nil) == (err == nil) {
			t.Errorf("plan %v, error %v", p, err)
		}
	})
}
