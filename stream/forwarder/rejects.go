package forwarder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/schema"
	"tributary/stream/refused"
)

// Sending is what became of the rejects of a spool.
type Sending struct {
	Sent    int `json:"sent"`    // in the stream
	Refused int `json:"refused"` // once more, they stay
	// Waiting are offered by a forwarder or by Drain first: the cursor has not passed
	// them.
	Waiting int `json:"waiting"`
}

// SendRejects offers the stream once more what it had refused, and removes what it
// takes. Cut off, the next call sends the same events under the same offsets, so that
// consumers drop what they have. It ends with an error, and nothing is lost, when the
// stream refuses everything. Call it in place of Run.
func (f *Forwarder) SendRejects(ctx context.Context) (s Sending, err error) {
	r, _, err := f.open()
	if err != nil {
		return s, err
	}
	r.aside.giveUp = true
	p := newParts(ctx, f.log)
	defer p.fail(nil)
	stopProducer := p.start("producer", f.out.Run)
	defer func() {
		stopProducer()
		r.aside.file.Close()
		err = errors.Join(err, r.spool.Close())
	}()
	lot, err := r.aside.file.Turn()
	if err != nil {
		return s, err
	}
	sender := &sender{run: r, decoder: schema.NewDecoder()}
	if err := sender.send(ctx, lot); err != nil {
		return s, fmt.Errorf("send rejects: %w", err)
	}
	if err := r.aside.file.Discard(lot); err != nil {
		return s, err
	}
	s.Refused, s.Waiting = int(r.aside.rejects.Load()), sender.waiting
	s.Sent = len(lot.Refs) - s.Refused - s.Waiting
	return s, nil
}

// sender sends rejects through lanes of their own.
type sender struct {
	*run
	decoder *schema.Decoder
	lane    *lane
	batch   []queued
	bytes   int64
	waiting int
}

func (s *sender) send(ctx context.Context, lot *refused.Lot) error {
	cursor, _ := s.spool.Start()
	var of laneName
	for _, ref := range lot.Refs {
		reject, err := s.aside.file.Read(ref)
		if err != nil {
			return err
		}
		if reject.Position >= cursor {
			s.waiting++
			if err := s.aside.file.Add(reject); err != nil {
				return err
			}
			continue
		}
		if name := (laneName{ref.Epoch, ref.Lane}); s.lane == nil || of != name {
			if err := s.flush(ctx); err != nil {
				return err
			}
			of, s.lane = name, s.newLane(name)
		}
		if err := s.put(ctx, reject); err != nil {
			return err
		}
	}
	return s.flush(ctx)
}

// newLane makes the lane under which rejects of name are sent, the same each time.
func (s *sender) newLane(name laneName) *lane {
	epoch := refused.Again(name.epoch)
	key := fmt.Sprintf("rejects-%s-%d", epoch, name.number)
	return newLane(epoch, name.number, key, s.cfg, s.out, s.tracker, s.metrics, &s.vitals, s.encoders, s.aside, s.log)
}

func (s *sender) put(ctx context.Context, r refused.Reject) error {
	b, rejects, _ := s.decoder.Decode(r.Record, time.Time{})
	if len(b.Events) != 1 || len(rejects) > 0 {
		return fmt.Errorf("a reject of epoch %v, lane %d, offset %d is no record of this version: a later one wrote it, send with that", r.Epoch, r.Lane, r.Offset)
	}
	size := int64(schema.EventSize(&b.Events[0]))
	if s.bytes+size > s.lane.target() {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch = append(s.batch, queued{event: b.Events[0], position: r.Position})
	s.bytes += size
	return nil
}

func (s *sender) flush(ctx context.Context) error {
	batch := s.batch
	s.batch, s.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	return s.lane.send(ctx, batch)
}
