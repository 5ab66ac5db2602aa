package filter_test

import (
	"fmt"
	"testing"

	"tributary/schema"
	"tributary/schema/filter"
)

// picky notes what it is told of a walk, and enters what is named in it or nothing.
type picky struct {
	enters map[string]bool
	told   string
}

func (p *picky) Member(key, value []byte) { p.told += fmt.Sprintf("%s=%s;", key, value) }
func (p *picky) Leave(value []byte)       { p.told += fmt.Sprintf("}%d;", len(value)) }
func (p *picky) Enter(key []byte, open byte) bool {
	if key != nil && !p.enters[string(key)] {
		return false
	}
	p.told += fmt.Sprintf("%s%c", key, open)
	return true
}

func TestOneWalkServesConditionsAndAnother(t *testing.T) {
	const line = `{"a":{"b":{"c":"x"},"d":1},"e":[{"f":2}],"g":{"h":{"i":3}},"level":"WARN"}`
	conditions := map[string]bool{"a.b.c": true, "a.d": true, "a": true, "e": true, "e.f": false, "g.h": true, "g.h.i": true, "i": false}
	for name, c := range map[string]struct {
		enters []string
		told   string
	}{
		"who enters nothing":            {nil, `{a={"b":{"c":"x"},"d":1};e=[{"f":2}];g={"h":{"i":3}};level="WARN";}74;`},
		"who enters less":               {[]string{"a"}, `{a{b={"c":"x"};d=1;}21;e=[{"f":2}];g={"h":{"i":3}};level="WARN";}74;`},
		"who enters more":               {[]string{"e"}, `{a={"b":{"c":"x"},"d":1};e[{f=2;}7;}9;g={"h":{"i":3}};level="WARN";}74;`},
		"who enters what the other not": {[]string{"g", "h"}, `{a={"b":{"c":"x"},"d":1};e=[{"f":2}];g{h{i=3;}7;}13;level="WARN";}74;`},
	} {
		t.Run(name, func(t *testing.T) {
			fault := func(key, format string, args ...any) { t.Errorf(key+": "+format, args...) }
			o := &filter.Lookout{}
			o.SetLevels([]string{"level"}, fault)
			tests := map[string]filter.Test{}
			for path := range conditions {
				tests[path] = o.Test(&filter.Condition{Fields: []filter.Field{{Path: path}}, Levels: []string{"WARN"}}, fault)
			}
			o.Ready()
			p := &picky{enters: map[string]bool{}}
			for _, e := range c.enters {
				p.enters[e] = true
			}
			for range 2 { // the second time with what the first left behind
				p.told = ""
				look := o.Look(of(schema.KindApp, "web", line), p)
				for path, want := range conditions {
					if test := tests[path]; look.Meets(&test) != want {
						t.Errorf("%s is %v", path, !want)
					}
				}
				if !look.Walk() {
					t.Error("not walked")
				}
				look.Done()
				if p.told != c.told {
					t.Errorf("told %s", p.told)
				}
			}
		})
	}
}

func TestWhatIsKnownWithoutTheLineNeedsNoWalk(t *testing.T) {
	fault := func(key, format string, args ...any) { t.Errorf(key+": "+format, args...) }
	o := &filter.Lookout{}
	o.SetLevels([]string{"level"}, fault)
	test := o.Test(&filter.Condition{Kinds: []string{"audit"}, Services: []string{"web*"}, Levels: []string{"WARN"}}, fault)
	o.Ready()
	for name, c := range map[string]struct {
		kind                  schema.Kind
		service, line         string
		meets, may, ofService bool
		isObject, told        bool
	}{
		"all but the level":   {schema.KindAudit, "web-1", `{"level":"INFO"}`, false, true, true, true, true},
		"another kind":        {schema.KindApp, "web-1", `{"level":"WARN"}`, false, false, true, true, true},
		"another service":     {schema.KindAudit, "shop", `{"level":"WARN"}`, false, false, false, true, true},
		"all":                 {schema.KindAudit, "web-1", `{"level":"WARN"}`, true, true, true, true, true},
		"a line of no object": {schema.KindAudit, "web-1", `{"level":"WARN"`, false, true, true, false, true},
		"a raw line":          {schema.KindRaw, "web-1", `{"level":"WARN"}`, false, false, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &picky{}
			look := o.Look(of(c.kind, c.service, c.line), p)
			defer look.Done()
			if look.MayMeet(&test) != c.may || look.OfService(&test) != c.ofService || p.told != "" {
				t.Errorf("may %v, of the service %v, told %q", look.MayMeet(&test), look.OfService(&test), p.told)
			}
			if look.Meets(&test) != c.meets || look.Walk() != c.isObject || (p.told != "") != c.told {
				t.Errorf("meets %v, object %v, told %q", look.Meets(&test), look.Walk(), p.told)
			}
		})
	}
}
