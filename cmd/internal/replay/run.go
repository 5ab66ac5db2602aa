package replay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tributary/consumers"
)

// Run does what is left of a replay. It returns nil when all of it is delivered, and
// an error when ctx ends before. Processes may share a replay.
func (r *Replay) Run(ctx context.Context, o *Outlook) error {
	if o.Done {
		return r.clear(ctx)
	}
	if !o.Resumed {
		o.Begun = time.Now().UTC()
		created, err := r.Archive.create(ctx, r.key("plan"), o.Plan)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if !created { // by a process that was asked for the same at this moment
			if o.Plan, _, err = r.Archive.plan(ctx, r.Name()); err != nil {
				return err
			}
			if o.Seam.After(r.From) {
				if err := r.lookIntoLake(ctx, o); err != nil {
					return err
				}
			}
		}
	}
	// The stream forgets sooner than the lake.
	if o.Seam.Before(r.To) {
		if err := r.fromStream(ctx, o.Seam); err != nil {
			return err
		}
	}
	if err := r.fromLake(ctx, o); err != nil {
		return err
	}
	if err := r.mark(ctx, "done", mark{}); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return r.clear(ctx)
}

// clear removes the tables. What died before it comes here by the same command.
func (r *Replay) clear(ctx context.Context) error {
	if _, err := r.Admin.Delete(ctx, r.Name()); err != nil {
		return fmt.Errorf("all is delivered, but the group's tables stay: %w", err)
	}
	return nil
}

// lookEvery is how often a process asks whether another one has finished.
const lookEvery = 5 * time.Second

// fromStream delivers the stream's part.
func (r *Replay) fromStream(ctx context.Context, since time.Time) error {
	if done, err := r.marked(ctx, "stream"); err != nil || done {
		return err
	}
	g, err := r.NewGroup(since)
	if err != nil {
		return err
	}
	r.progress.group(g)
	// Another process that finishes takes the tables away.
	working, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	elsewhere := false
	watching.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-working.Done():
				return
			case <-tick.C:
			}
			if done, err := r.marked(working, "stream"); err == nil && done {
				elsewhere = true
				stop()
				return
			}
		}
	})
	err = g.Run(working)
	stop()
	watching.Wait()
	switch {
	case err != nil:
		return err
	case elsewhere:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	c := g.Counters()
	return r.mark(ctx, "stream", mark{Records: int64(c.Records), Rows: int64(c.Events)})
}

// progress is what a line on a terminal shows.
type progress struct {
	mu           sync.Mutex
	running      *consumers.Group
	ranges, done int
	rows         int64
}

func (p *progress) group(g *consumers.Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = g
}

func (p *progress) begin(ranges int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ranges = ranges
}

func (p *progress) add(rows int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.rows += rows
}

// Progress is how far a replay is.
type Progress struct {
	Shards, Finished int   // of the stream
	Events           int64 // read from it by this process
	Ranges, Done     int   // of the lake
	Rows             int64
}

// Progress is how far Run is; safe from any goroutine.
func (r *Replay) Progress() (p Progress) {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	p.Ranges, p.Done, p.Rows = r.progress.ranges, r.progress.done, r.progress.rows
	if g := r.progress.running; g != nil {
		p.Events = int64(g.Counters().Events)
		for _, s := range g.Status() {
			p.Shards++
			if s.State == consumers.StateFinished {
				p.Finished++
			}
		}
	}
	return p
}
