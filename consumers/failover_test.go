package consumers_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tributary/consumers"
	"tributary/consumers/lease"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

func TestADeadWorkersShardsAreReadAgainWithinTheLeaseAndTwoSeconds(t *testing.T) {
	const shards = 4
	inBubble(t, shards, func(b *bubble) {
		survivor := b.start(quiet(0))
		worst := time.Duration(0)
		for n := range 4 {
			victim := b.start(quiet(n + 1))
			b.until("two share", 5*time.Second, func() bool { return balanced(shards, survivor, victim) })
			time.Sleep(10*time.Second + time.Duration(n)*830*time.Millisecond) // in every phase of its renewals
			victim.line.set(func(l *line) { l.cut = true })
			worst = max(worst, b.until("the survivor reads all", lease.DefaultConfig().Duration+2*time.Second, func() bool {
				return len(survivor.held()) == shards
			}))
			_ = victim.stop()
		}
		t.Logf("worst of 4 deaths: %v with leases of %v", worst, lease.DefaultConfig().Duration)
	})
}

func TestAStoppedWorkersShardsAreReadAgainWithinASecondAndTheFlush(t *testing.T) {
	const shards = 4
	inBubble(t, shards, func(b *bubble) {
		b.lake.slow = 700 * time.Millisecond
		cfg := quiet(0)
		cfg.Policy.MaxAge = time.Minute
		survivor := b.start(cfg)
		for n := range 3 {
			cfg.Worker = fmt.Sprint("leaver-", n)
			leaver := b.start(cfg)
			b.until("two share", 5*time.Second, func() bool { return balanced(shards, survivor, leaver) })
			time.Sleep(10*time.Second + time.Duration(n)*310*time.Millisecond)
			b.site.send(40)
			go leaver.stop()
			took := b.until("the survivor reads all", b.lake.slow+1200*time.Millisecond, func() bool { return len(survivor.held()) == shards })
			t.Logf("handed over after %v, %v of it the flush", took, b.lake.slow)
		}
		b.until("all delivered", 2*time.Minute, b.site.delivered)
		b.site.exactlyOnce()
	})
}

// gated is a destination whose flushes wait at a gate, as those of a stopped
// process do.
type gated struct {
	mu      sync.Mutex
	shut    chan struct{}
	waiting atomic.Int32
}

type gatedSink struct {
	consumers.Sink
	gate *gated
}

func (s gatedSink) Flush(ctx context.Context, r stream.Range) error {
	s.gate.mu.Lock()
	shut := s.gate.shut
	s.gate.mu.Unlock()
	if shut != nil {
		s.gate.waiting.Add(1)
		<-shut
		ctx = context.WithoutCancel(ctx) // its requests were on their way
	}
	return s.Sink.Flush(ctx, r)
}

func (g *gated) destination(dest consumers.Destination) consumers.Destination {
	open := dest.Open
	dest.Open = func(ctx context.Context, id stream.ShardID, plan string) (consumers.Sink, error) {
		sink, err := open(ctx, id, plan)
		return gatedSink{sink, g}, err
	}
	return dest
}

// A worker is stopped in the middle of a flush for longer than its lease. Its heir
// delivers the range that was pending and goes on. Then the zombie wakes: its flush
// goes through, and nothing else of it may.
func TestAZombieWithAFlushInFlightChangesNothingThatCounts(t *testing.T) {
	for name, delayed := range map[string][]fault.Rule{
		"stopped in the flush": nil,
		"its renewal lands long after": {
			{Service: "dynamodb", Operation: "UpdateItem", Action: fault.DelayCommit, Delay: 20 * time.Second, Count: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				gate := &gated{shut: make(chan struct{})}
				zombie := b.startInto(bubbleConfig("zombie"), gate.destination(b.lake.destination()))
				b.until("it reads", 5*time.Second, func() bool { return len(zombie.held()) == 1 })
				b.site.send(20)
				b.until("it flushes", 5*time.Second, func() bool { return gate.waiting.Load() == 1 })
				if b.item().Pending == nil {
					t.Fatal("nothing is pending")
				}
				b.rules(delayed...)
				if delayed != nil {
					time.Sleep(3400 * time.Millisecond) // a renewal is on its way
				}
				zombie.line.freeze()
				heir := b.start(bubbleConfig("heir"))
				b.until("the heir reads", 13*time.Second, func() bool { return len(heir.held()) == 1 })
				b.site.send(20)
				b.until("all is delivered", 5*time.Second, b.site.delivered)
				time.Sleep(2 * time.Second)
				before := b.item()
				if before.Owner != "heir" || before.Checkpoint == "" {
					t.Fatalf("item %+v", before)
				}

				zombie.line.thaw()
				gate.mu.Lock()
				close(gate.shut)
				gate.shut = nil
				gate.mu.Unlock()
				synctest.Wait()
				time.Sleep(30 * time.Second)
				after := b.item()
				if after.Owner != "heir" || after.Checkpoint != before.Checkpoint || after.Pending != nil {
					t.Errorf("before %+v\nafter  %+v", before, after)
				}
				if n := heir.sum(t, "tributary_consumers_lost_leases_total"); n > 0 {
					t.Error("the heir lost its lease to the zombie")
				}
				if n := zombie.sum(t, "tributary_consumers_lost_leases_total"); n != 1 {
					t.Errorf("the zombie lost %v leases", n)
				}
				b.site.exactlyOnce()
			})
		})
	}
}

// item is the only lease.
func (b *bubble) item() lease.Item {
	b.t.Helper()
	items := b.items()
	if len(items) != 1 {
		b.t.Fatalf("items %+v", items)
	}
	return items[0]
}

func TestRenewalsGetThroughAThrottledTable(t *testing.T) {
	const shards = 8 // renewals alone are 2.4 writes a second
	inBubble(t, shards, func(b *bubble) {
		cfg := bubbleConfig("a")
		cfg.Reader.PollInterval = 10 * time.Second
		cfg.Policy.MaxAge = 20 * time.Second
		a := b.start(cfg)
		cfg.Worker = "b"
		other := b.start(cfg)
		b.until("two share", 10*time.Second, func() bool { return balanced(shards, a, other) })
		b.site.send(60)
		var tokens bucket
		tokens.rate = 3.5 // of both tables together: what checkpoints and maps take, renewals lack
		for _, m := range []*mate{a, other} {
			m.line.set(func(l *line) { l.throttle = tokens.refuses })
		}
		for range 6 {
			time.Sleep(10 * time.Second)
			b.site.send(40)
		}
		if tokens.refused.Load() == 0 {
			t.Error("nothing was throttled")
		}
		t.Logf("%d requests were throttled", tokens.refused.Load())
		for _, m := range []*mate{a, other} {
			if n := m.sum(t, "tributary_consumers_lost_leases_total"); n > 0 {
				t.Errorf("%s lost %v leases", m.name, n)
			}
			m.line.heal()
		}
		b.until("all delivered", time.Minute, b.site.delivered)
		b.site.exactlyOnce()
	})
}

// bucket lets so many writes through per second.
type bucket struct {
	rate    float64
	mu      sync.Mutex
	tokens  float64
	at      time.Time
	refused atomic.Int32
}

func (k *bucket) refuses(operation string) bool {
	if !slices.Contains([]string{"UpdateItem", "PutItem", "DeleteItem"}, operation) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.at.IsZero() {
		k.at = now
	}
	k.tokens = min(k.rate, k.tokens+now.Sub(k.at).Seconds()*k.rate)
	k.at = now
	if k.tokens < 1 {
		k.refused.Add(1)
		return true
	}
	k.tokens--
	return false
}

func TestATableThatAnswersNobodyForAMinuteCostsTimeOnly(t *testing.T) {
	inBubble(t, 8, func(b *bubble) {
		a, c := b.start(bubbleConfig("a")), b.start(bubbleConfig("c"))
		b.until("two share", 10*time.Second, func() bool { return balanced(8, a, c) })
		b.site.send(40)
		b.rules(fault.Rule{Service: "dynamodb", Action: fault.Throttle})
		time.Sleep(time.Minute)
		b.site.send(40)
		b.rules()
		b.until("all is read again", 10*time.Second, func() bool { return balanced(8, a, c) })
		b.until("all is delivered", 5*time.Second, b.site.delivered)
		b.site.exactlyOnce()
	})
}

// Six seconds are what is left of a lease when its renewal is due.
func TestAShortOutageOfTheTableLosesNoLease(t *testing.T) {
	inBubble(t, 8, func(b *bubble) {
		a, c := b.start(quiet(0)), b.start(quiet(1))
		b.until("two share", 10*time.Second, func() bool { return balanced(8, a, c) })
		for range 3 {
			b.rules(fault.Rule{Service: "dynamodb", Action: fault.Throttle})
			time.Sleep(5500 * time.Millisecond)
			b.rules()
			time.Sleep(7 * time.Second)
		}
		for _, m := range []*mate{a, c} {
			if n := m.sum(t, "tributary_consumers_lost_leases_total"); n > 0 {
				t.Errorf("%s lost %v leases", m.name, n)
			}
		}
	})
}

// Its leases ran out while the table answered nobody. It knows better than anyone that
// nobody holds them.
func TestAWorkerTakesBackAtOnceWhatItLostToAnOutage(t *testing.T) {
	inBubble(t, 8, func(b *bubble) {
		w := b.start(quiet(0))
		b.until("all are read", 5*time.Second, func() bool { return len(w.held()) == 8 })
		b.rules(fault.Rule{Service: "dynamodb", Action: fault.Throttle})
		b.until("all are lost", 20*time.Second, func() bool { return w.sum(b.t, "tributary_consumers_lost_leases_total") == 8 })
		b.rules()
		b.until("all are read again", 5*time.Second, func() bool { return len(w.held()) == 8 })
	})
}

// The table throttled its acquisition for eight seconds.
func TestALeaseThatWasHardToGetIsKept(t *testing.T) {
	inBubble(t, 8, func(b *bubble) {
		b.rules(fault.Rule{Service: "dynamodb", Operation: "UpdateItem", Action: fault.Throttle})
		w := b.start(quiet(0))
		b.until("it takes leases", 5*time.Second, func() bool { return w.line.requestsOf("UpdateItem") > 0 })
		time.Sleep(8 * time.Second)
		b.rules()
		b.until("all are read", 2*time.Second, func() bool { return len(w.held()) == 8 })
		time.Sleep(15 * time.Second)
		if n := w.sum(b.t, "tributary_consumers_lost_leases_total"); n > 0 || len(w.held()) != 8 {
			b.t.Errorf("lost %v leases, holds %d", n, len(w.held()))
		}
	})
}
