package consumers_test

import (
	"testing"
	"time"
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
