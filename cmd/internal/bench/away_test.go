package main

import (
	"strings"
	"testing"
	"time"
)

func TestContainersGoOnWhileKinesisIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, small(partAway))
	b.plan.away = awayPlan{
		cases: allAway, rate: 500, before: 500 * time.Millisecond, outage: 3 * time.Second, after: 500 * time.Millisecond,
		sets: map[string]string{"stream.producer.attempt_timeout": "500ms", "stream.producer.backoff_max": "500ms"},
	}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := printed(t, b.report)
	for i, c := range allAway {
		a := b.report.Away[i]
		// Whoever was blocked waited until Kinesis came back.
		if a.Name != c.name || a.Lines != 2_000 || a.Outage < 3 || a.SlowestAck <= 0 || a.SlowestAck >= a.Outage {
			t.Errorf("%s: %+v", c.name, a)
		}
		if a.Behind < 500 || a.AckBefore <= 0 || a.AckAway <= 0 || a.Drain <= 0 || a.Spool == 0 || a.Forwarder.PeakRSS == 0 || a.Forwarder.PeakRSS > a.Memory {
			t.Errorf("%s: %+v", c.name, a)
		}
		for _, target := range a.targets() {
			if !strings.Contains(text, target.What) {
				t.Errorf("%+v is not in\n%s", target, text)
			}
		}
	}
}
