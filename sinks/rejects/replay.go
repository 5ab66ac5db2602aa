package rejects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/stream"
)

// What became of a reject that was to be replayed.
type Outcome string

// The outcomes. A dry run says what would be the outcome.
const (
	Replayed      Outcome = "replayed"
	Resumed       Outcome = "resumed" // its replay had been begun: the same records were put once more
	Already       Outcome = "replayed before"
	NotUnderstood Outcome = "not understood"
	TooLong       Outcome = "too long for a record"
)

// Replay is one reject's.
type Replay struct {
	Kept
	Outcome Outcome `json:"outcome"`
	Events  int     `json:"events"`
	Note    string  `json:"note,omitempty"` // why not
}

// ReplayOptions change what is replayed.
type ReplayOptions struct {
	// DryRun puts and writes nothing.
	DryRun bool
	// AsLines delivers as a line of its own what is still not understood and is text.
	AsLines bool
}

// publisher is a stream.Producer.
type publisher interface {
	Publish(ctx context.Context, r stream.Record) error
}

// Replayer delivers rejects again: it decodes them with today's decoder and puts
// what they hold into the stream, as events of a forwarder would be, in an epoch of
// the run. Nothing that this build does not understand gets there, so no reject can
// come back as a reject.
//
// An intent that holds the records is written before they are put and an end after.
// A lane puts one reject at a time and stops at the first error: the only one whose
// outcome is not known is the last of its lane, and whoever puts its records again
// meets a group that has seen them, or none later.
type Replayer struct {
	archive *Archive
	out     publisher
	rules   *schema.Classifier // for lines that no forwarder classified
	limit   int64              // bytes of a record with its key
}

// NewReplayer returns a replayer into out, which takes records of up to limit bytes.
// It does no I/O.
func NewReplayer(a *Archive, out publisher, rules schema.Rules, limit int64) (*Replayer, error) {
	c, err := rules.Compile()
	if err != nil {
		return nil, fmt.Errorf("rejects: rules: %w", err)
	}
	return &Replayer{archive: a, out: out, rules: c, limit: limit}, nil
}

// lanes replay at a time. Each holds one reject, decoded and encoded: 30 MB of the
// longest there may be.
const lanes = 8

// Run replays the rejects of a group that are meant and tells of each what became of
// it, one at a time. After an error, or an end of ctx, the same call goes on.
func (r *Replayer) Run(ctx context.Context, group string, sel Selection, o ReplayOptions, tell func(Replay)) error {
	var epoch schema.Epoch
	_, _ = rand.Read(epoch[:]) // never fails
	g, running := errgroup.WithContext(ctx)
	todo := make(chan Kept)
	var telling sync.Mutex
	for n := range uint32(lanes) {
		g.Go(func() error {
			var l *lane // few rejects need few decoders
			for k := range todo {
				if l == nil {
					l = newLane(r, epoch, n)
				}
				out, err := l.replay(running, k, o)
				if err != nil {
					return fmt.Errorf("replay %s: %w", k.ID, err)
				}
				out.Data = nil
				telling.Lock()
				tell(out)
				telling.Unlock()
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(todo)
		return r.archive.Each(running, group, sel, func(k Kept) error {
			select {
			case todo <- k:
				return nil
			case <-running.Done():
				return context.Cause(running)
			}
		})
	})
	return g.Wait()
}

// lane replays one reject at a time under one partition key.
type lane struct {
	*Replayer
	epoch   schema.Epoch
	number  uint32
	key     string
	offset  uint64
	decoder *schema.Decoder
	encoder *schema.Encoder
}

func newLane(r *Replayer, epoch schema.Epoch, number uint32) *lane {
	key := fmt.Sprintf("replay-%s-%d", epoch, number)
	return &lane{Replayer: r, epoch: epoch, number: number, key: key, decoder: schema.NewDecoder(), encoder: schema.NewEncoder()}
}

func (l *lane) replay(ctx context.Context, k Kept, o ReplayOptions) (Replay, error) {
	at := position{k.To, k.Shard, k.Sequence, k.Index}
	switch k.State {
	case StateReplayed:
		return Replay{Kept: k, Outcome: Already}, nil
	case StateBegun:
		in, err := l.archive.begun(ctx, at)
		if err == nil && !o.DryRun {
			err = l.put(ctx, at, in)
		}
		if err != nil {
			return Replay{}, err
		}
		return Replay{Kept: k, Outcome: Resumed, Events: in.Events}, nil
	}
	events, note := l.understand(&k, o.AsLines)
	if note != "" {
		return Replay{Kept: k, Outcome: NotUnderstood, Note: note}, nil
	}
	records, err := l.encode(events, k.To)
	if errors.Is(err, schema.ErrTooLarge) {
		return Replay{Kept: k, Outcome: TooLong, Note: fmt.Sprintf("the stream takes records of %d bytes", l.limit)}, nil
	}
	if err != nil {
		return Replay{}, err
	}
	if !o.DryRun {
		in, err := l.archive.begin(ctx, at, newIntent(&k, l.epoch, l.number, l.key, len(events), records))
		if err == nil && in == nil {
			return Replay{Kept: k, Outcome: Already}, nil
		}
		if err == nil {
			err = l.put(ctx, at, in)
		}
		if err != nil {
			return Replay{}, err
		}
	}
	return Replay{Kept: k, Outcome: Replayed, Events: len(events)}, nil
}

// put makes the records of an intent durable in the stream and says so.
func (l *lane) put(ctx context.Context, at position, in *intent) error {
	for _, data := range in.Records {
		if err := l.out.Publish(ctx, stream.Record{Key: in.Key, Data: data}); err != nil {
			return err
		}
	}
	return l.archive.finish(ctx, at)
}

// understand decodes a reject with today's decoder; note says why it cannot be. One
// that is understood in part only is not: its rest would be forgotten.
func (l *lane) understand(k *Kept, asLines bool) (events []schema.Event, note string) {
	b, again, _ := l.decoder.Decode(k.Data, k.Arrival)
	events = b.Events
	for _, piece := range again {
		switch {
		case asLines && utf8.Valid(piece.Data):
		case len(b.Events) > 0:
			return nil, fmt.Sprintf("understood in part only: %d of %d pieces are still rejects (%s)", len(again), len(again)+len(b.Events), piece.Reason)
		default:
			return nil, "still: " + piece.Reason
		}
		events = append(events, schema.Event{Time: k.Arrival.UnixNano(), Origin: &schema.Origin{}, Line: piece.Data})
	}
	for i := range events {
		l.offset++
		e := &events[i]
		e.Offset = l.offset
		if e.Kind != schema.KindUnset {
			continue
		}
		v := l.rules.Classify(e.Line, e.Origin, e.Time, k.Arrival.UnixNano())
		origin := schema.Origin{}
		if e.Origin != nil {
			origin = *e.Origin
		}
		origin.Service = v.Service
		e.Kind, e.Time, e.Origin = v.Kind, v.Time, &origin
	}
	return events, ""
}

// encode makes records of the events, which are halved until each fits.
// schema.ErrTooLarge means that one event does not.
func (l *lane) encode(events []schema.Event, to string) ([][]byte, error) {
	if len(events) == 0 {
		return nil, nil
	}
	data, err := l.encoder.Append(nil, &schema.Batch{Epoch: l.epoch, Lane: l.number, To: to, Events: events})
	if err == nil && int64(len(data)+len(l.key)) > l.limit {
		err = schema.ErrTooLarge
	}
	if err == nil {
		return [][]byte{data}, nil
	}
	if !errors.Is(err, schema.ErrTooLarge) || len(events) == 1 {
		return nil, err
	}
	half := len(events) / 2
	first, err := l.encode(events[:half], to)
	if err != nil {
		return nil, err
	}
	second, err := l.encode(events[half:], to)
	return append(first, second...), err
}
