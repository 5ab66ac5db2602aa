package fluent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	errSilent  = errors.New("the server acks nothing")
	errUnknown = errors.New("the server acked a chunk that it was not sent")
)

// Run connects when there is something to send, sends, and waits for acks. It
// returns nil when everything is acked and Close was called or ctx has ended. It
// returns an error when ctx ends with chunks not acked, or when GiveUp has passed
// without an ack; those chunks are dropped.
func (c *Client) Run(ctx context.Context) error {
	r := &clientRun{Client: c, wait: c.cfg.RetryWait, retry: stopped(), silence: stopped(), giveUp: stopped()}
	err := r.loop(ctx)
	if r.session != nil {
		r.session.end(nil)
		<-r.session.ended
	}
	c.bytes.Store(0)
	if c.err = err; err == nil {
		c.err = errClientClosed
	}
	close(c.done)
	return err
}

// stopped is a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// clientRun is the state of Run, which its goroutine owns.
type clientRun struct {
	*Client
	queue   []*pending // what is not acked, in the order of Send
	given   int        // of queue, to the present session
	session *session   // nil: none
	lost    error      // why the last session ended; nil after an ack

	wait    time.Duration // before the next session
	retry   *time.Timer   // runs between two sessions
	silence *time.Timer   // runs while chunks are under way
	giveUp  *time.Timer   // runs while chunks are not acked
}

func (r *clientRun) loop(ctx context.Context) error {
	closing := r.closing
	for {
		if closing == nil && len(r.queue) == 0 {
			return nil
		}
		var in <-chan *pending
		if closing != nil && r.hasRoom() {
			in = r.in
		}
		s := r.session
		if s == nil {
			s = &session{} // its channels are nil, and never ready
		}
		var out chan<- *pending
		var next *pending
		if r.given < len(r.queue) {
			out, next = s.out, r.queue[r.given]
		}
		select {
		case p := <-in:
			r.take(ctx, p)
		case out <- next:
			if r.given++; r.given == 1 {
				r.silence.Reset(r.cfg.AckTimeout)
			}
		case id := <-s.acks:
			r.acked(id)
		case err := <-s.ended:
			r.hangUp(err)
		case <-r.retry.C:
			r.session = r.connect(ctx)
		case <-r.silence.C:
			s.end(fmt.Errorf("%w for %s", errSilent, r.cfg.AckTimeout))
		case <-r.giveUp.C:
			return r.gaveUp()
		case <-closing:
			closing = nil
		case <-ctx.Done():
			if len(r.queue) == 0 {
				return nil
			}
			return fmt.Errorf("%d chunks not acked: %w", len(r.queue), context.Cause(ctx))
		}
	}
}

// hasRoom reports whether the largest chunk still fits. It is asked before a
// chunk is there, so that none is refused that was already taken from its sender.
func (r *clientRun) hasRoom() bool {
	return r.bytes.Load()+r.cfg.MaxChunkBytes+packedOverhead+pendingBytes <= r.cfg.MaxPendingBytes
}

func (r *clientRun) take(ctx context.Context, p *pending) {
	r.bytes.Add(p.size())
	r.queue = append(r.queue, p)
	if len(r.queue) > 1 {
		return
	}
	if r.cfg.GiveUp > 0 {
		r.giveUp.Reset(r.cfg.GiveUp)
	}
	if r.session == nil {
		// No retry is waiting: with nothing to send none is started.
		r.session = r.connect(ctx)
	}
}

// acked takes an ack of the present session. Acks may come in any order.
func (r *clientRun) acked(id string) {
	i := slices.IndexFunc(r.queue[:r.given], func(p *pending) bool { return p.id == id })
	if i < 0 {
		r.session.end(fmt.Errorf("%w: %.40q", errUnknown, id))
		return
	}
	p := r.queue[i]
	r.queue = slices.Delete(r.queue, i, i+1)
	r.given--
	r.bytes.Add(-p.size())
	r.wait = r.cfg.RetryWait
	r.silence.Stop()
	r.giveUp.Stop()
	if r.given > 0 {
		r.silence.Reset(r.cfg.AckTimeout)
	}
	if len(r.queue) > 0 && r.cfg.GiveUp > 0 {
		r.giveUp.Reset(r.cfg.GiveUp)
	}
	if r.lost != nil {
		r.lost = nil
		r.trouble.Store(nil)
		r.log.Info("forward server acks again", "address", r.cfg.Address)
	}
	if p.acked != nil {
		p.acked()
	}
}

// hangUp is what follows the end of a session: everything that is not acked will
// be sent again by the next.
func (r *clientRun) hangUp(err error) {
	r.session, r.given = nil, 0
	r.silence.Stop()
	if len(r.queue) == 0 {
		return // a server may close what is idle; the next Send connects
	}
	if r.lost == nil {
		r.log.Warn("forward server does not ack, trying again", "address", r.cfg.Address, "err", err, "chunks", len(r.queue))
	}
	r.lost = err
	text := err.Error()
	r.trouble.Store(&text)
	r.retry.Reset(r.wait)
	r.wait = min(2*r.wait, r.cfg.MaxRetryWait)
}

func (r *clientRun) gaveUp() error {
	err := r.lost
	if err == nil {
		err = errSilent
	}
	return fmt.Errorf("gave up after %s without an ack: %w", r.cfg.GiveUp, err)
}
