package stream

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRecreated says that a stream was deleted and another created under its name.
// Positions in the old one mean nothing in the new one, and the new one's records
// must not be counted as the old one's.
var ErrRecreated = errors.New("stream was deleted and created anew")

// identity tells a stream from a later one of the same name, by its creation time.
//
// No answer of GetRecords or GetShardIterator names the creation. An iterator by
// sequence number of the old stream is refused by the new one, but one by time or
// at the horizon is not: a Reader whose iterator ran out would go on in the new
// stream without noticing. Hence: get the iterator, then look at the creation
// time. If it is still the old one, so is the iterator, which never leads into
// another creation.
type identity struct {
	api     describeAPI
	ref     Ref
	created time.Time // zero: whichever there is

	turn  chan struct{} // holds one token; who has it may look at asked and ask
	asked time.Time     // when the last good look began
}

func newIdentity(api describeAPI, ref Ref) *identity {
	return &identity{api: api, ref: ref, turn: make(chan struct{}, 1)}
}

// confirm returns nil when a look that began at since or later saw the creation
// that is meant. Those who ask together share a look: DescribeStreamSummary is
// limited to 20 calls a second for the account, and a cold start opens hundreds of
// shards.
func (i *identity) confirm(ctx context.Context, since time.Time) error {
	if i.created.IsZero() {
		return nil
	}
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a look at the stream: %w", ctx.Err())
	}
	if !i.asked.Before(since) {
		return nil
	}
	began := time.Now()
	d, err := Describe(ctx, i.api, i.ref)
	if err != nil {
		return err
	}
	if !d.Created.Truncate(time.Millisecond).Equal(i.created.Truncate(time.Millisecond)) {
		return Permanent(fmt.Errorf("stream %s: %w: it is of %s, the positions are of one created at %s; use a new lease table",
			i.ref, ErrRecreated, d.Created.Format(time.RFC3339Nano), i.created.Format(time.RFC3339Nano)))
	}
	i.asked = began
	return nil
}
