package consumers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tributary/consumers"
	"tributary/stream"
)

// quiet is a worker for tests of leases alone: it hardly polls.
func quiet(n int) consumers.Config {
	cfg := bubbleConfig(fmt.Sprintf("worker-%d", n))
	cfg.Reader.PollInterval = 10 * time.Second
	return cfg
}

const took = "took a shard"

// raceDetector makes everything ten times as slow.
var raceDetector bool

func TestManyShardsAreBalancedSoonAfterAJoinAndALeave(t *testing.T) {
	shards := int32(256)
	if raceDetector {
		shards = 40
	}
	inBubble(t, shards, func(b *bubble) {
		var workers []*mate
		for n := range 7 {
			workers = append(workers, b.start(quiet(n)))
		}
		even := func() bool { return balanced(int(shards), workers...) }
		share := int(shards) / 8
		t.Logf("7 workers start at once: balanced after %v", b.until("balanced", 10*time.Second, even))
		time.Sleep(3 * time.Second)

		b.reset()
		workers = append(workers, b.start(quiet(7)))
		t.Logf("an eighth joins: balanced after %v", b.until("balanced after a join", 5*time.Second, even))
		time.Sleep(3 * time.Second)
		if n := b.count(took); n < share || n > share+4 {
			t.Errorf("%d shards moved for a share of %d", n, share)
		}

		b.reset()
		go workers[0].stop()
		workers = workers[1:]
		t.Logf("one leaves: balanced after %v", b.until("balanced after a leave", 5*time.Second, even))
		time.Sleep(3 * time.Second)
		if n := b.count(took); n < share || n > share+4 {
			t.Errorf("%d shards moved, %d were given up", n, share)
		}
	})
}

func TestAMinuteInWhichNothingHappensCostsLittle(t *testing.T) {
	const shards = 16
	inBubble(t, shards, func(b *bubble) {
		workers := []*mate{b.start(quiet(0)), b.start(quiet(1))}
		even := func() bool { return balanced(shards, workers...) }
		b.until("two share", 10*time.Second, even)
		time.Sleep(5 * time.Second)
		b.reset()
		before := b.requests(workers)
		time.Sleep(time.Minute)
		if n := b.count(took); n > 0 || !even() {
			t.Errorf("%d shards moved in a minute in which nobody came or went", n)
		}
		// Renewals are one write per shard and third of the lease, 18 a minute; looks
		// are one scan per worker and 0.9 s, of one page up to 1 MB.
		writes, reads := 0.0, 0.0
		for op, n := range b.requests(workers) {
			each := float64(n-before[op]) / shards
			switch op {
			case "UpdateItem", "PutItem", "DeleteItem":
				writes += each
			case "GetItem", "Scan", "Query":
				reads += each
			}
		}
		t.Logf("idle, per shard and minute: %.1f writes, %.2f reads (scans of all %d leases by %d workers)", writes, reads, shards, len(workers))
		if writes > 19 || reads > 9 {
			t.Error("that is more than it should be")
		}
	})
}

// Each flush writes the lease twice: its range and its checkpoint.
func TestAShardThatIsCheckpointedOftenNeedsNoRenewals(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		w := b.start(bubbleConfig("a"))
		b.until("it reads", 5*time.Second, func() bool { return len(w.held()) == 1 })
		for range 60 {
			b.site.send(1)
			time.Sleep(500 * time.Millisecond)
		}
		b.until("all is delivered", 5*time.Second, b.site.delivered)
		if err := w.stop(); err != nil {
			b.t.Error(err)
		}
		flushes, writes := len(b.lake.ranges), w.line.requestsOf("UpdateItem")
		if flushes < 10 || writes > 2*flushes+3 { // acquired, renewed once before the first flush, released
			b.t.Errorf("%d writes of the lease for %d flushes in half a minute", writes, flushes)
		}
	})
}

// requests adds up what workers asked for, by operation.
func (b *bubble) requests(workers []*mate) map[string]int {
	sum := map[string]int{}
	for _, w := range workers {
		w.line.set(func(l *line) {
			for op, n := range l.requests {
				sum[op] += n
			}
		})
	}
	return sum
}

func TestJoinsAndLeavesInQuickSuccessionSettle(t *testing.T) {
	const shards = 24
	inBubble(t, shards, func(b *bubble) {
		var workers []*mate
		for n := range 5 { // one every 300 ms, as a deployment starts them
			workers = append(workers, b.start(quiet(n)))
			time.Sleep(300 * time.Millisecond)
		}
		b.until("five share", 5*time.Second, func() bool { return balanced(shards, workers...) })
		for n := range 5 { // each is replaced by a new one, all at once
			go workers[n].stop()
			workers[n] = b.start(quiet(5 + n))
		}
		b.until("five others share", 5*time.Second, func() bool { return balanced(shards, workers...) })
		b.reset()
		time.Sleep(30 * time.Second)
		if n := b.count(took); n > 0 {
			t.Errorf("%d shards moved after that", n)
		}
		for _, w := range workers {
			if n := w.sum(t, "tributary_consumers_lost_leases_total"); n > 0 {
				t.Errorf("%s lost %v leases", w.name, n)
			}
		}
	})
}

// firsts notes when each shard's first record was appended.
type firsts struct {
	mu sync.Mutex
	at map[stream.ShardID]time.Time
}

type firstSink struct {
	consumers.Sink
	id   stream.ShardID
	seen *firsts
}

func (s firstSink) Append(b stream.Batch) error {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	if _, ok := s.seen.at[s.id]; !ok {
		s.seen.at[s.id] = time.Now()
	}
	return s.Sink.Append(b)
}

// watched is a destination that notes first records.
func watched(dest consumers.Destination, f *firsts) consumers.Destination {
	open := dest.Open
	dest.Open = func(ctx context.Context, id stream.ShardID, plan string) (consumers.Sink, error) {
		sink, err := open(ctx, id, plan)
		return firstSink{sink, id, f}, err
	}
	return dest
}

func TestAColdStartReadsTheFirstRecordOfEachShardWithinTwoSeconds(t *testing.T) {
	inBubble(t, 4, func(b *bubble) {
		b.site.send(64)
		seen := &firsts{at: map[stream.ShardID]time.Time{}}
		b.startInto(bubbleConfig("worker"), watched(b.lake.destination(), seen))
		took := b.until("a record of each shard", 2*time.Second, func() bool {
			seen.mu.Lock()
			defer seen.mu.Unlock()
			return len(seen.at) == 4
		})
		t.Logf("4 shards: %v from the start of the group to the first record of the last", took)
	})
}
