package workload

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"tributary/schema"
)

// feed is one container's goroutine: it owns all but the counters, which others
// read.
type feed struct {
	cfg       Config
	source    source
	container *Container
	index     int64 // its first line, from Config.First
	to        connection

	lines [2]pending
	batch []byte
	open  tally // of what batch holds

	handed, bytes, messages, writes, resent atomic.Int64
	slowest                                 atomic.Int64 // nanoseconds
}

// pending is a line on its way.
type pending struct {
	line   []byte
	from   Source
	pieces pieces
}

// tally counts what a write hands over.
type tally struct{ lines, bytes, messages int64 }

func (f *feed) run(ctx context.Context, began time.Time) {
	defer f.to.close()
	pace := pace{began: began, rate: f.cfg.Rate}
	for i := f.index; f.has(i) && f.await(ctx, &pace, i); {
		taken, err := f.add(ctx, i)
		if err != nil {
			return
		}
		i += taken * int64(f.cfg.Containers)
	}
	_ = f.flush(ctx, "") // fails only when ctx has ended: then it is not counted
}

// has reports whether there is a line i.
func (f *feed) has(i int64) bool { return f.cfg.Count == 0 || i < f.cfg.Count }

// await waits until line i is due; false when ctx has ended.
func (f *feed) await(ctx context.Context, p *pace, i int64) bool {
	if wait := p.wait(i); wait > 0 {
		if f.flush(ctx, "") != nil {
			return false
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return ctx.Err() == nil
}

// add sends line i, or puts it into the batch, and returns how many lines it took.
// While a long line goes out on stdout the container's next line goes out between
// its pieces, on stderr: in Docker each of the two has a goroutine. A line that is
// begun is finished even when ctx has ended: Docker has read it already.
func (f *feed) add(ctx context.Context, i int64) (taken int64, err error) {
	f.load(0, i)
	next := i + int64(f.cfg.Containers)
	taken = 1
	if len(f.lines[0].line) >= pieceBytes && f.has(next) {
		f.load(1, next)
		f.lines[1].from = Stderr
		taken = 2
	}
	at := time.Now()
	for left := taken; left > 0; {
		for j := range f.lines[:taken] {
			l := &f.lines[j]
			if !l.pieces.next() {
				continue
			}
			if l.pieces.last {
				left--
			}
			if left == 0 {
				// Together, because lines are counted in their order.
				f.open.lines += taken
				f.open.bytes += int64(len(f.lines[0].line))
				if taken > 1 {
					f.open.bytes += int64(len(f.lines[1].line))
				}
			}
			if err := f.put(ctx, at, l); err != nil {
				return 0, err
			}
		}
	}
	return taken, nil
}

// load makes line i.
func (f *feed) load(j int, i int64) {
	l := &f.lines[j]
	var kind schema.Kind
	l.line, kind = f.source.Append(l.line[:0], f.cfg.First+i)
	l.pieces = pieces{line: l.line}
	l.from = Stdout
	if kind == schema.KindRaw {
		l.from = Stderr
	}
}

// put sends one piece, or puts it into the batch.
func (f *feed) put(ctx context.Context, at time.Time, l *pending) error {
	chunk := ""
	if f.cfg.Ack {
		chunk = newChunk(at)
	}
	f.batch = f.container.message(f.batch, at, l.from, &l.pieces, chunk)
	f.open.messages++
	if chunk == "" && int64(len(f.batch)) < f.cfg.BatchBytes {
		return nil
	}
	return f.flush(ctx, chunk)
}

// newChunk is an id as fluent-logger-golang makes it: seconds and a random number.
func newChunk(at time.Time) string {
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:], uint64(at.Unix()))
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	return base64.StdEncoding.EncodeToString(id[:])
}

// flush hands the batch over.
func (f *feed) flush(ctx context.Context, chunk string) error {
	if len(f.batch) == 0 {
		return nil
	}
	before, began := f.to.tries, time.Now()
	err := f.to.send(ctx, f.batch, chunk)
	f.writes.Add(f.to.tries - before)
	if again := f.to.tries - before - 1; again > 0 {
		f.resent.Add(again)
	}
	if err != nil {
		return err
	}
	f.slowest.Store(max(f.slowest.Load(), int64(time.Since(began))))
	f.messages.Add(f.open.messages)
	f.bytes.Add(f.open.bytes)
	f.handed.Add(f.open.lines)
	f.batch, f.open = f.batch[:0], tally{}
	return nil
}

// pace spreads lines evenly over time.
type pace struct {
	began time.Time // when line 0 was due
	rate  float64   // lines per second; 0: no pace
}

const (
	// coarse is the shortest wait: at high rates a timer per line would cost more
	// than the line.
	coarse = time.Millisecond
	// patience is how far a container falls behind before it lets time go by. What
	// is less than that is made up for.
	patience = time.Second
)

// wait says how long to wait before line i.
func (p *pace) wait(i int64) time.Duration {
	if p.rate == 0 {
		return 0
	}
	left := time.Until(p.began.Add(time.Duration(float64(i) / p.rate * float64(time.Second))))
	if left < -patience {
		p.began = p.began.Add(-patience - left)
	}
	if left <= 0 {
		return 0
	}
	return max(left, coarse)
}
