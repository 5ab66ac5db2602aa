package forwarder

import (
	"context"
	"fmt"
	"time"
)

// Drain publishes what another life left in the spool, as that would have done
// after a restart: under the same partition keys and offsets, so that consumers
// know what had been published before. It listens to nobody, so lines without their
// end are given up after PartialTimeout. It returns nil when nothing is left; when
// ctx ends before, the next Drain goes on where this one stopped. Call it in place
// of Run.
func (f *Forwarder) Drain(ctx context.Context) error {
	f.cfg.RestartGrace = 0 // no client reconnects to this process
	r, ghosts, err := f.open()
	if err != nil {
		return err
	}
	p := newParts(ctx, f.log)
	defer p.fail(nil)
	defer r.begin(p, ghosts)()
	if opened, err := r.openFirst(ctx, p); !opened {
		if err == nil {
			err = fmt.Errorf("drain spool: %w", ctx.Err())
		}
		return err
	}
	ended := r.untilEmpty(ctx, p.failed)
	r.stopReading()
	if err := context.Cause(p.failed); err != nil {
		return err
	}
	if err := r.saveNow(); err != nil {
		return err
	}
	if ended != nil {
		return fmt.Errorf("drain spool: %w", ended)
	}
	return nil
}

// untilEmpty waits until everything is read and stored, or one of the two ends.
func (f *run) untilEmpty(ctx, failed context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	// Twice in a row: between reading an entry and registering it there is a moment
	// in which nothing seems left.
	for quiet := 0; quiet < 2; {
		idle := f.idle.Load()
		if idle && f.tracker.undone() == 0 {
			quiet++
		} else {
			quiet = 0
		}
		if idle {
			f.hurry() // no more company comes
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-failed.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}
