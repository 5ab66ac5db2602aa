package forwarder

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"tributary/schema"
	"tributary/stream"
)

// partBytes is the raw size of the parts of a line that fits no record. It is
// fixed: cut with another size after a restart, part 2 would mean other bytes
// under the offset of a part already delivered. 960 KiB leaves 64 KiB of a 1 MiB
// record for the frame, the origin and the partition key, were the line
// incompressible.
const partBytes = 960 << 10

// queued is one event on its lane, with the spool entries it completes.
type queued struct {
	event    schema.Event // the line is a copy in block
	indexes  []uint64
	position uint64 // of the entry that completed it
	block    *block
}

// lane publishes the events of one (epoch, lane) under one partition key, one
// record at a time, so that nothing overtakes. A failed record is retried inside
// Publish under the same key; the lane never moves, so an unknown outcome cannot
// leave its key.
type lane struct {
	epoch    schema.Epoch
	number   uint32
	key      string
	cfg      Config
	out      publisher
	tracker  *tracker
	metrics  *metrics
	vitals   *vitals
	log      *slog.Logger
	encoders encoders
	aside    *aside

	// For the decision to open lanes: what was published, decoded, or dropped by rules;
	// and what was published, as records.
	raw, published atomic.Int64
	blocked        atomic.Int64 // ns that the pump waited for room

	mu     sync.Mutex
	queue  []queued
	lines  arena // of the queue and of what was taken
	bytes  int64
	oldest time.Time // when the queue's first event came
	ended  bool      // no more events will come
	hurry  bool      // do not linger

	past bool // it is of an earlier life

	// Of the lane's own goroutine.
	quiet  bool           // what was taken last had lingered in vain
	taken  []queued       // what was taken last
	events []schema.Event // of it, being encoded
	record []byte

	space chan struct{} // the lane has taken events
	ready chan struct{} // events, end or hurry

	ratio float64 // lines' bytes per compressed byte, as last seen
}

func newLane(e schema.Epoch, number uint32, key string, cfg Config, out publisher, t *tracker, m *metrics, v *vitals, shared encoders, a *aside, log *slog.Logger) *lane {
	return &lane{
		epoch: e, number: number, key: key, cfg: cfg, out: out, tracker: t, metrics: m, vitals: v, log: log,
		encoders: shared, aside: a,
		space: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		ratio: firstRatio,
	}
}

// encoders are shared by lanes: each keeps some 4 MiB. One compresses 400 MB of lines a
// second, sixteen lanes carry at most 80. Another is for small batches, in small.
type encoders struct {
	large, small chan *schema.Encoder
	room         *semaphore.Weighted // of records above SmallRecordBytes
}

func newEncoders(lanes int) encoders {
	e := encoders{make(chan *schema.Encoder, max(1, lanes/16)), make(chan *schema.Encoder, 1), semaphore.NewWeighted(LargeRecordsBytes)}
	for range cap(e.large) {
		e.large <- nil // not made yet
	}
	e.small <- nil
	return e
}

// append waits for an encoder, for as long as other lanes use theirs, and appends the
// record of b to dst. quiet says that few events come, so that their size is worth the time
// and the memory of the other encoder.
func (e encoders) append(dst []byte, b *schema.Batch, quiet bool) ([]byte, error) {
	size := 0
	for i := range b.Events {
		size += schema.EventSize(&b.Events[i])
	}
	from, create := e.large, schema.NewEncoder
	if quiet && size <= schema.SmallBatch {
		from, create = e.small, schema.NewSmallEncoder
	}
	encoder := <-from
	if encoder == nil {
		encoder = create()
	}
	defer func() { from <- encoder }()
	return encoder.Append(dst, b)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put queues a copy of e, which the entry at position completed and which completes the
// entries of indexes, waiting while the lane holds LaneBytes. Only the pump calls it.
func (l *lane) put(ctx context.Context, e schema.Event, indexes []uint64, position uint64) error {
	size := int64(schema.EventSize(&e))
	for {
		l.mu.Lock()
		if len(l.queue) == 0 || l.bytes+size <= l.cfg.LaneBytes {
			if len(l.queue) == 0 {
				l.oldest = time.Now()
			}
			q := queued{event: e, indexes: indexes, position: position}
			q.event.Line, q.block = l.lines.keep(e.Line)
			l.queue = append(l.queue, q)
			l.bytes += size
			l.metrics.queued.Add(float64(size))
			l.mu.Unlock()
			signal(l.ready)
			return nil
		}
		l.hurry = true // a full lane has nothing to wait for
		l.mu.Unlock()
		signal(l.ready)
		began := time.Now()
		select {
		case <-l.space:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.blocked.Add(int64(time.Since(began)))
	}
}

// end says that no more events come; the lane's run returns when it is empty.
func (l *lane) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	signal(l.ready)
}

// run publishes until the lane has ended and is empty, or ctx ends.
func (l *lane) run(ctx context.Context) error {
	for {
		batch, err := l.take(ctx)
		if err != nil || batch == nil {
			return err
		}
		left, err := l.undecided(ctx, batch)
		if err != nil {
			return err
		}
		if err := l.send(ctx, left); err != nil {
			return err
		}
		l.release(batch)
	}
}

// release lets go of what was published.
func (l *lane) release(batch []queued) {
	l.mu.Lock()
	for i := range batch {
		l.lines.release(batch[i].block)
	}
	l.mu.Unlock()
	clear(batch)
	clear(l.events)
	if int64(cap(l.record)) > 2*l.cfg.RecordBytes {
		l.record = nil
	}
}

// take waits for a record's worth of events, or for the linger of the first, and
// returns them, which stay valid until the next call; nil when the lane has ended.
func (l *lane) take(ctx context.Context) ([]queued, error) {
	for {
		l.mu.Lock()
		target := l.target()
		wait := time.Duration(-1)
		if len(l.queue) > 0 {
			wait = time.Until(l.oldest.Add(l.linger()))
			if l.bytes >= target || l.ended || l.hurry || wait <= 0 {
				l.quiet = l.bytes < min(target, plenty) && !l.ended && !l.hurry
				batch := l.cut(target)
				l.mu.Unlock()
				signal(l.space)
				return batch, nil
			}
		} else if l.ended {
			l.mu.Unlock()
			return nil, nil
		}
		l.mu.Unlock()
		if err := l.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// sleep waits for a signal, for d unless negative, or for ctx.
func (l *lane) sleep(ctx context.Context, d time.Duration) error {
	var timeout <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-l.ready:
	case <-timeout:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// plenty is the decoded size from which on more company gains little: 100 lines of 500
// bytes compress 4.2 times, 2,000 five times, three 2.2 times.
const plenty = 64 << 10

// linger is how long the first event of the queue may wait for company: all of Linger
// while few come, a quarter of it once there are many. l.mu is held.
func (l *lane) linger() time.Duration {
	if l.bytes >= plenty {
		return l.cfg.Linger / 4
	}
	return l.cfg.Linger
}

// target is the decoded size that is likely to fill a record. l.mu is held.
func (l *lane) target() int64 {
	t := int64(float64(l.cfg.RecordBytes) * l.ratio)
	return min(t, l.cfg.LaneBytes, schema.MaxDecoded/2)
}

// cut takes up to target bytes from the queue, at least one event. l.mu is held.
func (l *lane) cut(target int64) []queued {
	n, size := 0, int64(0)
	for n < len(l.queue) {
		s := int64(schema.EventSize(&l.queue[n].event))
		if n > 0 && size+s > target {
			break
		}
		size += s
		n++
	}
	l.taken = append(l.taken[:0], l.queue[:n]...)
	l.queue = slices.Delete(l.queue, 0, n)
	l.hurry = l.hurry && len(l.queue) > 0
	l.bytes -= size
	l.oldest = time.Now()
	l.metrics.queued.Sub(float64(size))
	return l.taken
}

// send publishes events in order and reports them done. What does not fit one record,
// or is refused as one, is cut anew.
func (l *lane) send(ctx context.Context, events []queued) error {
	if len(events) == 0 {
		return nil
	}
	l.events = l.events[:0]
	raw := 0
	for i := range events {
		l.events = append(l.events, events[i].event)
		raw += schema.EventSize(&events[i].event)
	}
	record, err := l.encode(l.events)
	if err == nil && slices.ContainsFunc(l.events, l.wentInParts) {
		l.free(record)
		err = errNoFit
	}
	if err != nil {
		return l.cutAnew(ctx, events, record, err)
	}
	defer l.free(record)
	if len(events) > 1 {
		l.ratio = 0.8*l.ratio + 0.2*float64(raw)/float64(len(record))
	}
	if err := l.publish(ctx, record, len(events) == 1 && !longLine(&l.events[0])); err != nil {
		return l.cutAnew(ctx, events, record, err)
	}
	l.raw.Add(int64(raw))
	for i := range events {
		l.tracker.done(events[i].indexes...)
	}
	l.metrics.events.Add(float64(len(events)))
	return nil
}

// sendParts publishes a line that fits no record as events of their own. Part k
// of n has the offset n-k below the line's own: the spool leaves room for that
// between entries, and each part is de-duplicated by itself.
func (l *lane) sendParts(ctx context.Context, q queued) error {
	parts := cutParts(q.event.Line)
	if uint64(len(parts)) > placeStride {
		return fmt.Errorf("line of %d bytes has more parts than there are offsets for", len(q.event.Line))
	}
	id := l.lineID(q.event.Offset)
	for k, line := range parts {
		e := q.event
		e.Line = line
		e.Offset -= uint64(len(parts) - 1 - k)
		e.Part = schema.Part{Line: id, Number: uint32(k + 1), Count: uint32(len(parts))}
		if err := l.sendPart(ctx, queued{event: e, position: q.position}); err != nil {
			return err
		}
	}
	l.tracker.done(q.indexes...)
	l.metrics.cutLines.Inc()
	return nil
}

func (l *lane) sendPart(ctx context.Context, q queued) error {
	left, err := l.undecided(ctx, []queued{q})
	if err != nil || len(left) == 0 {
		return err
	}
	record, err := l.encode([]schema.Event{q.event})
	if err == nil {
		err = l.publish(ctx, record, true)
		l.free(record)
	}
	if err != nil {
		return l.cutAnew(ctx, left, record, err)
	}
	l.raw.Add(int64(schema.EventSize(&q.event)))
	l.metrics.events.Inc()
	return nil
}

// lineID is the same whenever the line is cut.
func (l *lane) lineID(offset uint64) (id [16]byte) {
	seed := binary.BigEndian.AppendUint32(append([]byte(nil), l.epoch[:]...), l.number)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(seed, offset))
	copy(id[:], sum[:])
	return id
}

// cutParts cuts before partBytes at a character's boundary, where there is one.
func cutParts(line []byte) (parts [][]byte) {
	for len(line) > partBytes {
		n := partBytes
		for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(line[n]); back++ {
			n--
		}
		if !utf8.RuneStart(line[n]) {
			n = partBytes // not UTF-8
		}
		parts = append(parts, line[:n:n])
		line = line[n:]
	}
	return append(parts, line)
}

var errNoFit = errors.New("does not fit a record")

// encode returns errNoFit for what exceeds the stream's limit, the room of large records
// or MaxDecoded, in the first two cases with the record, which is valid until the next
// call.
func (l *lane) encode(events []schema.Event) ([]byte, error) {
	record, err := l.encoders.append(l.record[:0], &schema.Batch{Epoch: l.epoch, Lane: l.number, Events: events}, l.quiet)
	l.record = record
	if errors.Is(err, schema.ErrTooLarge) {
		return nil, errNoFit
	}
	if err == nil && !l.fits(record) {
		return record, errNoFit
	}
	return record, err
}

// offer returns nil when the record is stored.
func (l *lane) offer(ctx context.Context, record []byte) error {
	if err := l.out.Publish(ctx, stream.Record{Key: l.key, Data: record}); err != nil {
		return err
	}
	l.aside.stored()
	l.vitals.answered.Store(time.Now().UnixNano())
	l.published.Add(int64(len(record)))
	l.metrics.records.Inc()
	l.metrics.recordBytes.Add(float64(len(record)))
	return nil
}

func (l *lane) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rush sends what is queued without lingering.
func (l *lane) rush() {
	l.mu.Lock()
	l.hurry = l.hurry || len(l.queue) > 0
	l.mu.Unlock()
	signal(l.ready)
}
