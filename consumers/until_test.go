package consumers_test

import (
	"fmt"
	"testing"
	"time"

	"tributary/schema"
)

func TestAGroupThatIsToEndTakesWhatArrivedBeforeAndReturns(t *testing.T) {
	for name, c := range map[string]struct {
		later, split bool // records arrive afterwards; the shard is split before
	}{
		"a quiet stream":            {},
		"records arrive afterwards": {later: true},
		"shards are split":          {later: true, split: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				early := b.site.wave(16)
				if c.split {
					b.site.split(string(shardID(0)))
					time.Sleep(2 * time.Second)
					early = join(early, b.site.wave(16))
				}
				time.Sleep(time.Second)
				until := time.Now()
				time.Sleep(time.Second)
				if c.later {
					b.site.wave(16)
				}
				cfg := bubbleConfig("w")
				cfg.Until = until
				w := b.start(cfg)
				done := make(chan error, 1)
				go func() { done <- w.wait() }()
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(2 * time.Minute):
					t.Fatalf("it goes on: %+v", w.Status())
				}
				got := map[string]bool{}
				for line := range b.lake.lines() {
					got[line] = true
				}
				compare(t, "delivered", got, early)
				b.site.sent = early
				b.site.exactlyOnce()
			})
		})
	}
}

// What arrived before Since is not delivered, nor is what a producer sends again of it
// behind; every range has the generation asked for, those of children too.
func TestAGroupThatBeginsAtATimeKnowsWhatCameBefore(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		encoder := schema.NewEncoder()
		put := func(offsets ...uint64) {
			batch := schema.Batch{Epoch: schema.Epoch{7}, Lane: 1}
			for _, o := range offsets {
				batch.Events = append(batch.Events, schema.Event{Time: 1, Kind: schema.KindRaw, Offset: o, Origin: &schema.Origin{}, Line: fmt.Appendf(nil, "event %d", o)})
			}
			data, err := encoder.Append(nil, &batch)
			if err != nil {
				t.Fatal(err)
			}
			b.site.put("key", data)
		}
		put(1, 2)
		b.site.put("key", []byte("not to be decoded, and too early"))
		time.Sleep(time.Second)
		since := time.Now()
		time.Sleep(time.Second)
		put(2, 3) // 2 again, as after a lost answer
		want := join(b.site.wave(4), map[string]bool{"event 3": true})
		b.site.split(string(shardID(0)))
		time.Sleep(2 * time.Second)
		want = join(want, b.site.wave(8))
		time.Sleep(time.Second)
		cfg := bubbleConfig("w")
		cfg.Since, cfg.Until, cfg.Generation = since, time.Now(), 4_000_000_001
		if err := b.start(cfg).wait(); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for line, n := range b.lake.lines() {
			if got[line] = true; n != 1 {
				t.Errorf("%s is there %d times", line, n)
			}
		}
		compare(t, "delivered", got, want)
		if n := len(b.lake.in(cfg.Generation)); n != len(want) {
			t.Errorf("%d of %d lines are of generation %d", n, len(want), cfg.Generation)
		}
		if len(b.lake.rejects) != 0 {
			t.Errorf("rejects %v", b.lake.rejects)
		}
	})
}
