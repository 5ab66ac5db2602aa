package main

import (
	"strings"
	"testing"
)

func TestAFaultyKinesisCostsNoLineAndNoRow(t *testing.T) {
	t.Parallel()
	b := newBench(t, small(partFaulty))
	b.plan.faulty = quicker(allFaulty()[1:], 2_000)
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := printed(t, b.report)
	for i, c := range b.plan.faulty {
		f := b.report.Faulty[i]
		if f.Lines != 2_000 || f.Hit == 0 || f.Records == 0 || f.Requests == 0 || !c.once && f.Copies == 0 {
			t.Errorf("%s: %+v", c.name, f)
		}
		for _, target := range f.targets() {
			if !target.Reached || !strings.Contains(text, target.What) {
				t.Errorf("%+v in\n%s", target, text)
			}
		}
	}
}
