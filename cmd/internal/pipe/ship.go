package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tributary/stream/fluent"
)

// shipping is the way of the lines from the feed to the client. The goroutine of
// Pipe.Run owns it.
type shipping struct {
	pipe   *Pipe
	form   form
	split  splitter
	batch  batch
	linger *time.Timer // runs while a whole line waits in the batch
}

// run ships what f reads until that ends, ctx does, or the client has (ended). Its
// error is f's: why the client does not send is told by the client's Run.
func (s *shipping) run(ctx, sending context.Context, f *feed, ended <-chan struct{}) error {
	s.linger.Stop()
	for {
		select {
		case b := <-f.blocks:
			if s.take(sending, b) != nil {
				return nil
			}
			if b.err != nil {
				_ = s.finish(sending, b.at) // its error is the client's
				return notEOF(b.err)
			}
			f.free <- b.bytes[:cap(b.bytes)]
		case <-s.linger.C:
			if s.send(sending, s.batch.whole) != nil {
				return nil
			}
		case <-ctx.Done():
			return s.takeRest(sending, f)
		case <-ended:
			return nil
		}
	}
}

// takeRest ships what f has read and not yet handed over.
func (s *shipping) takeRest(sending context.Context, f *feed) error {
	var last block // none, if blocks is closed
	if f.halt() {
		select {
		case last = <-f.blocks:
		case <-sending.Done():
			return fmt.Errorf("copy lines: %w", context.Cause(sending)) // nobody reads the copy
		}
	}
	if s.take(sending, last) != nil {
		return nil
	}
	_ = s.finish(sending, time.Now()) // its error is the client's
	return notEOF(last.err)
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *shipping) take(sending context.Context, b block) error {
	return s.split.take(b.bytes, b.at.UnixNano(), func(p piece) error { return s.add(sending, p) })
}

// finish ships all that is left. A line that has begun is a line.
func (s *shipping) finish(sending context.Context, at time.Time) error {
	if err := s.split.finish(at.UnixNano(), func(p piece) error { return s.add(sending, p) }); err != nil {
		return err
	}
	return s.send(sending, s.batch.all)
}

func (s *shipping) add(sending context.Context, p piece) error {
	waiting := s.batch.whole.lines > 0
	s.batch.add(&s.form, p)
	if p.last {
		s.pipe.read.Add(1)
	}
	if s.batch.all.bytes >= chunkBytes {
		return s.send(sending, s.batch.all)
	}
	if p.last && !waiting {
		s.linger.Reset(linger)
	}
	return nil
}

// send hands the first n of the batch to the client, and waits while it is full.
func (s *shipping) send(sending context.Context, n size) error {
	s.linger.Stop()
	if n.events == 0 {
		return nil
	}
	err := s.pipe.client.Send(sending, fluent.Chunk{
		Tag: s.pipe.cfg.Tag, Entries: s.batch.entries[:n.bytes], Events: n.events,
		Acked: func() { s.pipe.acked.Add(int64(n.lines)) },
	})
	s.batch.drop(n)
	return err
}
