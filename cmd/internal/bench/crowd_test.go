package main

import "testing"

func TestASmallCrowdIsServedWithinItsBounds(t *testing.T) {
	t.Parallel()
	p := small(partCrowd)
	p.crowd = crowdPlan{honest: 20, slow: 5, garbage: 7, lines: 5}
	b := newBench(t, p)
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := b.report.Crowd
	if c.Lines != 105 || c.Refused == 0 || c.Buffers == 0 || c.Forwarder.PeakRSS == 0 {
		t.Errorf("found %+v", c)
	}
	for _, target := range c.targets() {
		if !target.Reached {
			t.Errorf("%+v", target)
		}
	}
}
