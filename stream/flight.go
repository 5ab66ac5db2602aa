package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// flight is one GetRecords call on its way: the wait for its time, for room, the
// call. It runs beside its Reader, so that the next answer comes while the owner
// still works on the last one, and shares nothing with it but what it is given.
type flight struct {
	src      *Source
	shard    ShardID
	metrics  *shardMetrics
	callAt   time.Time
	limit    int32    // of records
	need     int64    // room for the answer, as far as can be known before
	from     Position // used when there is no iterator
	iterator string

	cancel context.CancelFunc
	urgent chan struct{} // closed when somebody waits for the answer
	hurry  func()
	done   chan struct{} // closed when landed is set
	landed landing
}

// landing is what a flight brings back.
type landing struct {
	page     *page
	out      *kinesis.GetRecordsOutput // its Records are in page
	began    time.Time
	records  int
	size     int64 // data bytes
	from     Position
	iterator string // to go on with after an error; "" = get one
	need     int64  // > 0: it takes so much room
	err      error
}

// launch starts the flight. Whoever calls it waits for done, or calls abandon.
func (f *flight) launch() {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.urgent, f.done = cancel, make(chan struct{}), make(chan struct{})
	f.hurry = sync.OnceFunc(func() { close(f.urgent) })
	go func() {
		defer close(f.done)
		defer cancel()
		f.landed = f.fly(ctx)
	}()
}

// abandon ends the flight, waits for its end and gives back what it brought.
func (f *flight) abandon() {
	f.cancel()
	<-f.done
	if f.landed.page != nil {
		f.landed.page.free()
	}
}

func (f *flight) fly(ctx context.Context) landing {
	land := landing{from: f.from, iterator: f.iterator}
	if land.err = pause(ctx, f.callAt); land.err != nil {
		return land
	}
	if land.err = f.board(ctx); land.err != nil {
		return land
	}
	room := boarding{room: f.src.room, held: f.need, most: int64(f.limit)}
	defer room.leave()
	ctx, cancel := context.WithTimeout(ctx, f.src.cfg.AttemptTimeout)
	defer cancel()
	if land.iterator == "" {
		if land.err = f.locate(ctx, &land); land.err != nil {
			return land
		}
	}
	f.ask(ctx, &land, &room)
	return land
}

// board gets room for the answer. An answer that nobody waits for yet takes only
// what is free.
func (f *flight) board(ctx context.Context) error {
	if f.src.room.try(f.need) {
		return nil
	}
	select {
	case <-f.urgent:
		return f.src.room.reserve(ctx, f.need)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask makes GetRecords.
func (f *flight) ask(ctx context.Context, land *landing, room *boarding) {
	in := &kinesis.GetRecordsInput{ShardIterator: aws.String(land.iterator), StreamARN: f.src.ref.arn(), Limit: aws.Int32(f.limit)}
	f.metrics.requests.Inc()
	land.began = time.Now()
	out, err := f.src.api.GetRecords(ctx, in, singleAttempt, room.protocol)
	f.metrics.seconds.Observe(time.Since(land.began).Seconds())
	if err == nil {
		for i := range out.Records {
			land.size += int64(len(out.Records[i].Data))
			if !SequenceNumber(aws.ToString(out.Records[i].SequenceNumber)).isNumber() {
				err = errors.New("a record without sequence number")
			}
		}
	}
	if err != nil {
		var full *noRoom
		if errors.As(err, &full) {
			land.need = full.need
		}
		if reasonOf(err) == reasonExpired || isInvalid(err) {
			land.iterator = "" // five minutes old, or of a service that restarted
		}
		land.err = fmt.Errorf("get records: %w", err)
		return
	}
	land.records = len(out.Records)
	land.page = room.unload(out.Records, land.size)
	out.Records = nil
	land.out = out
}

// locate gets an iterator at the place where reading goes on, and makes sure that
// it leads into the stream that is meant.
func (f *flight) locate(ctx context.Context, land *landing) error {
	out, err := f.src.api.GetShardIterator(ctx, land.from.input(f.src.ref, f.shard), singleAttempt)
	if err == nil && aws.ToString(out.ShardIterator) == "" {
		err = errors.New("an answer without iterator")
	}
	if err != nil {
		err = fmt.Errorf("get shard iterator at %s: %w", land.from, err)
		// A sequence number of another stream or shard: no later call will know it, and
		// only the caller knows what to do instead. A time is refused while it lies in
		// the service's future, which passes.
		if land.from.sequence != "" && isInvalid(err) {
			err = Permanent(err)
		}
		return err
	}
	if err := f.src.identity.confirm(ctx, time.Now()); err != nil {
		return err
	}
	land.iterator = *out.ShardIterator
	if land.from.kind == latest {
		land.from = AtTime(latestTime(out))
	}
	return nil
}

// pause waits until t or the end of ctx.
func pause(ctx context.Context, t time.Time) error {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
