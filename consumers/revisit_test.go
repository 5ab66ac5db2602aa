package consumers_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tributary/consumers"
	"tributary/stream"
)

// told is what all sinks of a test together were told.
type told struct {
	mu        sync.Mutex
	delivered map[string]int
	opened    int
	appended  map[string]bool // by the sink opened last
	recalled  map[string]bool
	inherited []string // "since zero", "since recent"
	settled   bool
	flushed   func() // at the end of a flush; nil: nothing happens
}

func (o *told) destination() consumers.Destination {
	return consumers.Destination{Name: "told", Plan: "p", Open: func(context.Context, stream.ShardID, string) (consumers.Sink, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.opened++
		o.appended, o.recalled = map[string]bool{}, map[string]bool{}
		return &heir{told: o}, nil
	}}
}

// heir skips nothing: what is delivered twice shows.
type heir struct {
	told  *told
	lines []string
}

func (h *heir) Append(b stream.Batch) error {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	for _, e := range b.Events {
		h.lines = append(h.lines, string(e.Line))
		h.told.appended[string(e.Line)] = true
	}
	return nil
}

func (h *heir) Size() int64 { return int64(len(h.lines)) }

func (h *heir) Flush(context.Context, stream.Range) error {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	for _, line := range h.lines {
		h.told.delivered[line]++
	}
	h.lines = nil
	if h.told.flushed != nil {
		h.told.flushed()
	}
	return nil
}

func (h *heir) Recall(b stream.Batch) {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	for _, e := range b.Events {
		h.told.recalled[string(e.Line)] = true
	}
}

func (h *heir) Inherit(since, until time.Time) {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	what := "since recent"
	if since.IsZero() {
		what = "since zero"
	}
	if ago := time.Since(until); ago > 10*time.Second { // the time it took to look
		what += fmt.Sprintf(", until %v ago", ago)
	}
	h.told.inherited = append(h.told.inherited, what)
}

func (h *heir) Settled() bool {
	h.told.mu.Lock()
	defer h.told.mu.Unlock()
	return h.told.settled
}

func TestASinkIsToldWhatMayHaveBeenDeliveredBeyondTheCheckpoint(t *testing.T) {
	for name, c := range map[string]struct {
		before    bool // a wave was delivered and checkpointed
		killed    bool // between the flush of the second wave and its checkpoint
		unsettled bool // the sink has not found out yet
		twoPhase  bool
		want      []string
	}{
		"killed behind a checkpoint":                                {before: true, killed: true, want: []string{"since recent"}},
		"killed before its first checkpoint":                        {killed: true, want: []string{"since zero"}},
		"stopped: all is checkpointed":                              {before: true},
		"stopped while it was still in doubt itself":                {before: true, unsettled: true, want: []string{"since recent"}},
		"killed with two phases: the pending range tells it better": {before: true, killed: true, twoPhase: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				o := &told{delivered: map[string]int{}, settled: !c.unsettled}
				delivered := func() bool {
					o.mu.Lock()
					defer o.mu.Unlock()
					return len(o.delivered) == len(b.site.sent)
				}
				cfg := bubbleConfig("w")
				cfg.Policy.TwoPhase = c.twoPhase
				w := b.startInto(cfg, o.destination())
				first, second := map[string]bool{}, map[string]bool{}
				if c.before {
					first = b.site.wave(16)
					b.until("the first wave is delivered", 15*time.Second, delivered)
					time.Sleep(cfg.Policy.CheckpointEvery + 2*time.Second)
				}
				if c.killed {
					cut := make(chan struct{})
					kill := sync.OnceFunc(func() {
						w.line.set(func(l *line) { l.cut = true })
						close(cut)
					})
					o.mu.Lock()
					o.flushed = kill
					o.mu.Unlock()
					second = b.site.wave(16)
					<-cut
				}
				_ = w.stop()
				o.mu.Lock()
				clear(o.delivered)
				o.inherited, o.flushed = nil, nil
				o.mu.Unlock()
				cfg.Worker = "w2"
				b.startInto(cfg, o.destination())
				third := b.site.wave(8)
				b.until("the third wave is delivered", 30*time.Second, func() bool {
					o.mu.Lock()
					defer o.mu.Unlock()
					for line := range third {
						if o.delivered[line] == 0 {
							return false
						}
					}
					return true
				})
				o.mu.Lock()
				defer o.mu.Unlock()
				if !slices.Equal(o.inherited, c.want) {
					t.Errorf("the sink was told %q, want %q", o.inherited, c.want)
				}
				if c.want == nil {
					first = nil
				}
				if c.twoPhase { // replayed, by a sink of its own
					second = nil
				}
				compare(t, "recalled", o.recalled, first)
				compare(t, "appended", o.appended, join(second, third))
				for line, n := range o.delivered {
					if n != 1 {
						t.Errorf("line %s came %d times from one worker", line, n)
					}
				}
			})
		})
	}
}

func compare(t *testing.T, what string, got, want map[string]bool) {
	t.Helper()
	missing, more := 0, 0
	for line := range want {
		if !got[line] {
			missing++
		}
	}
	for line := range got {
		if !want[line] {
			more++
		}
	}
	if missing+more > 0 {
		t.Errorf("%s: %d lines are missing and %d too many, of %d", what, missing, more, len(want))
	}
}

// prompt notes how long after its first record a range is flushed.
type prompt struct {
	heir
	since time.Time
	waits *[]time.Duration
}

func (p *prompt) Append(b stream.Batch) error {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return p.heir.Append(b)
}

func (p *prompt) Flush(ctx context.Context, r stream.Range) error {
	*p.waits = append(*p.waits, time.Since(p.since))
	p.since = time.Time{}
	return p.heir.Flush(ctx, r)
}

func TestAQuietShardFlushesWhenItsRangeIsOldNotWhenTheNextRecordComes(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		o := &told{delivered: map[string]int{}, appended: map[string]bool{}}
		var waits []time.Duration
		cfg := bubbleConfig("w")
		cfg.Policy.TwoPhase, cfg.Policy.MaxAge = false, 200*time.Millisecond
		w := b.startInto(cfg, consumers.Destination{Name: "told", Plan: "p", Open: func(context.Context, stream.ShardID, string) (consumers.Sink, error) {
			return &prompt{heir: heir{told: o}, waits: &waits}, nil
		}})
		for range 5 {
			b.site.send(1)
			time.Sleep(5 * time.Second)
		}
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		for _, wait := range waits {
			if wait > 250*time.Millisecond {
				t.Errorf("a range waited %v", wait)
			}
		}
		if len(waits) < 5 {
			t.Errorf("%d flushes", len(waits))
		}
	})
}
