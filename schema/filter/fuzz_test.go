package filter_test

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/schema"
	"tributary/schema/filter"
)

// FuzzJudge compares Judge with the same rules told through encoding/json.
func FuzzJudge(f *testing.F) {
	rules := filter.DefaultRules()
	rules.LevelPaths = append(rules.LevelPaths, "severityNumber")
	rules.Rules = []filter.Rule{
		{Action: filter.Exclude, Condition: filter.Condition{Levels: []string{"<=DEBUG"}, Services: []string{"web*"}}},
		{Action: filter.Exclude, Condition: filter.Condition{Fields: []filter.Field{
			{Path: "url.path", Equals: []string{"/", "/*"}, Glob: []string{"/health*", "*a*b*"}}, {Path: "log"}}}},
		{Action: filter.Include, Condition: filter.Condition{Kinds: []string{"audit", "raw"}, Levels: []string{">=ERROR", "NONE"}}},
		{Action: filter.Sample, Rate: 0.5, Key: []string{"a.b.c", "a"}, Condition: filter.Condition{Fields: []filter.Field{{Path: "a.b", Glob: []string{"*"}}, {Path: "."}}}},
		{Action: filter.Sample, Rate: 0.25, Key: []string{"a.b.c", "a"}},
	}
	judge, err := rules.Compile()
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range []string{
		``, `hello`, `{}`, ` {"level":"info"} `, `{"log":{"level":"warn"},"log.level":"x","log":7}`, `{"severityNumber":5,"level":null}`,
		`{"url":{"path":"/healthz"},"log":[]}`, `{"url.path":"\/","log":{"x":1}}`, `{"url.path":"xxaxxbxx","log":""}`, `{"a":{"b":{"c":1}},"":{"":2}}`,
		`{"a.b":{"c":"\u0041"},"a":{"b.c":2},"a.b.c":null,".":1}`, `{"a":"\ud800","a":{"b":"x"}}`, `{"level":"INFO+2","a":{"b":true}}`,
		`{"level":"\u0045RR"} x`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":`, 128) + `1` + strings.Repeat(`}`, 128), strings.Repeat(`{"a":`, 129) + `1` + strings.Repeat(`}`, 129),
		`{"a":` + strings.Repeat(`[`, 127) + strings.Repeat(`]`, 127) + `}`, `{"level":1e1,"a":-0.5}`, `{"level":"10","":{"":null}}`,
	} {
		for kind := range byte(4) {
			f.Add([]byte(line), kind, "web-1", kind%3 == 2)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte, kind byte, service string, part bool) {
		s := &filter.Subject{Event: &schema.Event{Line: line}, Kind: schema.Kind(kind), Service: service, Epoch: schema.Epoch{1}}
		if part {
			s.Event.Part.Number = 1
		}
		got := judge.Judge(s)
		if !utf8.Valid(line) {
			return // encoding/json mends such names and texts
		}
		if want := naive(rules, s); got != want {
			t.Fatalf("%q of kind %d: got %+v, want %+v", line, kind, got, want)
		}
	})
}

func naive(rules filter.Rules, s *filter.Subject) filter.Verdict {
	var object map[string]json.RawMessage
	if s.Kind != schema.KindRaw && s.Event.Part.Number == 0 && depth(s.Event.Line) <= 128 && json.Unmarshal(s.Event.Line, &object) != nil {
		object = nil
	}
	v := filter.Verdict{Send: true, Rule: -1, Level: naiveLevel(rules, object)}
	for i := range rules.Rules {
		if r := &rules.Rules[i]; naiveMeets(&r.Condition, s, object, v.Level) {
			v.Rule = i
			v.Send = r.Action == filter.Include || r.Action == filter.Sample && naiveSampled(r, s, object)
			break
		}
	}
	return v
}

func depth(line []byte) (most int) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // of any size
	for now := 0; ; most = max(most, now) {
		token, err := d.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			now++
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

// find is the value at a path, nil if there is none or null.
func find(object map[string]json.RawMessage, path string) json.RawMessage {
	if v := object[path]; v != nil && string(v) != "null" {
		return v
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] != '.' {
			continue
		}
		var inner map[string]json.RawMessage
		if json.Unmarshal(object[path[:i]], &inner) != nil {
			continue
		}
		if v := find(inner, path[i+1:]); v != nil {
			return v
		}
	}
	return nil
}

func textOf(raw json.RawMessage) (text string, ok bool) {
	if raw == nil || raw[0] == '{' || raw[0] == '[' {
		return "", false
	}
	if raw[0] != '"' {
		return string(raw), true
	}
	return text, json.Unmarshal(raw, &text) == nil
}

var levelNames = regexp.MustCompile(`^(?:(TRACE|TRC|T|FINEST|SILLY)|(DEBUG|DBG|D|FINER|FINE|VERBOSE|VRB)|` +
	`(INFO|INF|I|INFORMATION|INFORMATIONAL|NOTICE|CONFIG|HTTP)|(WARN|WRN|W|WARNING)|(ERROR|ERR|E|SEVERE)|` +
	`(FATAL|FTL|F|CRITICAL|CRIT|ALERT|EMERGENCY|EMERG|PANIC|DPANIC))(?:[+-]*[0-9]+)?$`)

var levelNumbers = regexp.MustCompile(`^0*([1-6])[0-9]$`)

func naiveLevel(rules filter.Rules, object map[string]json.RawMessage) filter.Level {
	for _, p := range rules.LevelPaths {
		raw := find(object, p)
		text, ok := textOf(raw)
		if text = strings.TrimSpace(text); !ok || len(text) > 32 || len(raw) > 194 {
			continue
		}
		if strings.Trim(text, "0123456789") == "" {
			n := strings.TrimLeft(text, "0")
			if p == "severityNumber" {
				if at := slices.Index(strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24"), n); at >= 0 {
					return filter.Level(at/4 + 1)
				}
			} else if m := levelNumbers.FindStringSubmatch(text); m != nil {
				return filter.Level(m[1][0] - '0')
			}
			continue
		}
		upper := []byte(text)
		for i, c := range upper {
			if 'a' <= c && c <= 'z' {
				upper[i] = c - 32
			}
		}
		if m := levelNames.FindSubmatchIndex(upper); m != nil {
			for l := filter.Trace; l <= filter.Fatal; l++ {
				if m[2*l] >= 0 {
					return l
				}
			}
		}
	}
	return filter.None
}

func naiveMeets(c *filter.Condition, s *filter.Subject, object map[string]json.RawMessage, level filter.Level) bool {
	if len(c.Kinds) > 0 && !slices.Contains(c.Kinds, s.Kind.String()) {
		return false
	}
	if len(c.Services) > 0 && !slices.ContainsFunc(c.Services, func(g string) bool { return globbed(g, s.Service) }) {
		return false
	}
	if len(c.Levels) > 0 && !slices.ContainsFunc(c.Levels, func(text string) bool {
		name := strings.TrimLeft(text, "<>=")
		than, _ := filter.ParseLevel(name)
		switch strings.TrimSuffix(text, name) {
		case "<=":
			return level != filter.None && level <= than
		case ">=":
			return level >= than
		}
		return level == than
	}) {
		return false
	}
	for _, f := range c.Fields {
		raw := find(object, f.Path)
		if raw == nil {
			return false
		}
		text, ok := textOf(raw)
		if len(f.Equals)+len(f.Glob) > 0 && !(ok && (slices.Contains(f.Equals, text) ||
			slices.ContainsFunc(f.Glob, func(g string) bool { return globbed(g, text) }))) {
			return false
		}
	}
	return true
}

// globbed has path.Match judge, to which a slash is no letter.
func globbed(glob, text string) bool {
	noSlash := strings.NewReplacer("/", "\x01s", "\x01", "\x01x")
	ok, err := path.Match(noSlash.Replace(glob), noSlash.Replace(text))
	return ok && err == nil
}

func naiveSampled(r *filter.Rule, s *filter.Subject, object map[string]json.RawMessage) bool {
	h := fnv.New64a()
	for _, p := range r.Key {
		if text, ok := textOf(find(object, p)); ok && text != "" {
			h.Write([]byte(text))
			return float64(fmix64(h.Sum64())) < r.Rate*math.Exp2(64)
		}
	}
	if s.Event.Part.Number != 0 {
		h.Write(s.Event.Part.Line[:])
	} else {
		h.Write(s.Epoch[:])
		h.Write(make([]byte, 12))
	}
	return float64(fmix64(h.Sum64())) < r.Rate*math.Exp2(64)
}
