package backfill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

// Rejects is what keeps rows that are not taken, as rejects.Store does.
type Rejects interface {
	Put(ctx context.Context, r stream.Range, items []rejects.Item) error
}

// countedRejects counts what one attempt at a range has put.
type countedRejects struct {
	Rejects
	mu  sync.Mutex
	put map[stream.ShardID]int64
}

// Put stores the items and counts them.
func (c *countedRejects) Put(ctx context.Context, r stream.Range, items []rejects.Item) error {
	if err := c.Rejects.Put(ctx, r, items); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put[r.Shard] += int64(len(items))
	return nil
}

// take returns what was put for a batch and begins anew.
func (c *countedRejects) take(batch stream.ShardID) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.put[batch]
	delete(c.put, batch)
	return n
}

// position is the first event that is not in a range yet.
type position struct {
	Object int   `json:"object"` // of the batch, from 0
	Event  int64 `json:"event"`  // of the object, from 0
}

// step says that a range is imported.
type step struct {
	Version int      `json:"version"`
	Batch   int64    `json:"batch"`
	Range   int64    `json:"range"`
	Last    bool     `json:"last"` // of the batch
	Next    position `json:"next"`
	Sums
	Damaged []Damage `json:"damaged,omitempty"`
}

// Sums add up what ranges were made of.
type Sums struct {
	Objects  int64 `json:"objects"` // read to their end, those that are damaged included
	Bytes    int64 `json:"bytes"`   // of them
	Rows     int64 `json:"rows"`    // rejects included
	LineSize int64 `json:"line_bytes"`
	Rejects  int64 `json:"rejects"`
	Outside  int64 `json:"outside"`      // events of another time
	Faults   int64 `json:"damage_count"` // objects that are damaged
}

func (s *Sums) add(o Sums) {
	s.Objects += o.Objects
	s.Bytes += o.Bytes
	s.Rows += o.Rows
	s.LineSize += o.LineSize
	s.Rejects += o.Rejects
	s.Outside += o.Outside
	s.Faults += o.Faults
}

// Damage is an object of which not all could be imported.
type Damage struct {
	Key    string `json:"key"`
	Events int64  `json:"events"` // before the fault
	Text   string `json:"text"`
}

const (
	// recordBytes of lines are held as one record, and decoded as one.
	recordBytes = 1 << 20
	// recordOrigins bounds how often the origin changes within a record, and what all
	// of them take.
	recordOrigins     = 512
	recordOriginBytes = schema.MaxOrigins / 2
	// rangeNumbers are the sequence numbers of one range's records.
	rangeNumbers = 1_000_000
	// eventCharge is what an event counts toward a range beside its line, placeCharge
	// what it does besides if its row tells its place.
	eventCharge = 64
	placeCharge = 112
)

// packer makes ranges of a batch's events and imports them. One goroutine uses it.
type packer struct {
	*Backfill
	ctx    context.Context // of the batch, which the packer does not outlive
	sink   *treasuredata.Sink
	batch  int64
	shard  stream.ShardID
	number int64 // of the range
	begun  bool  // the range has events
	size   int64 // of the range
	step   step
	here   position // of the event at hand

	encoder *schema.Encoder
	events  []schema.Event
	places  []treasuredata.Place // of events
	text    []byte
	record  int64 // number within the range
	origins int
	charge  int
	bytes   int
}

// shardOf names a batch like a shard. Its objects as they were are part of the name,
// and so of all ids.
func shardOf(b batch) stream.ShardID {
	h := sha256.New()
	for _, o := range b.objects {
		fmt.Fprintf(h, "%d:%s%d:%s", len(o.key), o.key, len(o.etag), o.etag)
	}
	return stream.ShardID(fmt.Sprintf("batch-%08d-%s", b.number, hex.EncodeToString(h.Sum(nil)[:8])))
}

func sequence(rng, n int64) stream.SequenceNumber {
	return stream.SequenceNumber(strconv.FormatInt((rng+1)*rangeNumbers+n, 10))
}

func (p *packer) rangeOf() stream.Range {
	return stream.Range{Shard: p.shard, First: sequence(p.number, 0), Last: sequence(p.number, rangeNumbers-1)}
}

// add takes an event, and where it stood in the stream, behind the end of the range before it if that is full.
func (p *packer) add(e *schema.Event, at treasuredata.Place) error {
	size := int64(len(e.Line)) + eventCharge
	if p.importer.Placed() {
		size += placeCharge
	}
	if p.begun && p.size+size > p.doc.RangeBytes {
		if err := p.end(false); err != nil {
			return err
		}
	}
	p.begun = true
	p.size += size
	p.step.Rows++
	p.step.LineSize += int64(len(e.Line))
	fresh := len(p.events) == 0 || !sameOrigin(p.events[len(p.events)-1].Origin, e.Origin)
	charge := 0
	if fresh {
		charge = schema.OriginSize(e.Origin)
	}
	if len(p.events) > 0 && (p.bytes+schema.EventSize(e) > recordBytes || fresh && (p.origins == recordOrigins || p.charge+charge > recordOriginBytes)) {
		if err := p.seal(); err != nil {
			return err
		}
		fresh, charge = true, schema.OriginSize(e.Origin)
	}
	if fresh {
		p.origins++
		p.charge += charge
	}
	p.bytes += schema.EventSize(e)
	kept := *e
	if !fresh {
		kept.Origin = p.events[len(p.events)-1].Origin
	}
	kept.Index = uint32(len(p.events))
	kept.Offset = uint64(len(p.events)) + 1
	kept.Line = p.keep(e.Line)
	p.events, p.places = append(p.events, kept), append(p.places, at)
	return nil
}

// keep copies a line. What was kept before stays where it is.
func (p *packer) keep(line []byte) []byte {
	if len(p.text)+len(line) > cap(p.text) {
		p.text = make([]byte, 0, max(len(line), recordBytes))
	}
	from := len(p.text)
	p.text = append(p.text, line...)
	return p.text[from:len(p.text):len(p.text)]
}

func sameOrigin(a, b *schema.Origin) bool {
	if a == b {
		return true
	}
	if len(a.Labels) != len(b.Labels) || a.Service != b.Service || a.ContainerID != b.ContainerID || a.ContainerName != b.ContainerName ||
		a.Source != b.Source || a.Tag != b.Tag || a.Host != b.Host {
		return false
	}
	for i := range a.Labels {
		if a.Labels[i] != b.Labels[i] {
			return false
		}
	}
	return true
}

// seal gives the open record to the sink.
func (p *packer) seal() error {
	if len(p.events) == 0 {
		return nil
	}
	of := schema.Batch{Epoch: p.epoch, Events: p.events}
	data, err := p.encoder.Append(nil, &of)
	if err != nil {
		return fmt.Errorf("hold lines: %w", err)
	}
	err = p.sink.AppendPlaced(stream.Batch{
		Shard: p.shard, Sequence: sequence(p.number, p.record), Arrival: time.Unix(0, p.events[0].Time).UTC(), Epoch: p.epoch,
		Events: p.events, Record: data, Bytes: int64(p.bytes),
	}, p.places)
	clear(p.events)
	p.events, p.places, p.text = p.events[:0], p.places[:0], p.text[:0]
	p.origins, p.charge, p.bytes = 0, 0, 0
	p.record++
	return err
}

// end imports what the range has, and says so. last says that the batch ends too.
func (p *packer) end(last bool) error {
	if err := p.seal(); err != nil {
		return err
	}
	if p.begun {
		if err := p.flush(p.ctx, p.sink, p.rangeOf()); err != nil {
			return err
		}
		p.step.Rejects += p.kept.take(p.shard)
	}
	p.step.Version, p.step.Batch, p.step.Range, p.step.Last, p.step.Next = stateVersion, p.batch, p.number, last, p.here
	if err := p.done(p.ctx, p.step); err != nil {
		return err
	}
	p.number++
	p.begun, p.size, p.record = false, 0, 0
	p.step = step{}
	return nil
}

// pointer is what the reject store has of a line that is too long for an event.
type pointer struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	ETag   string `json:"etag"`
	Line   int64  `json:"line"` // from 0, empty ones not counted
	Bytes  int64  `json:"bytes"`
}

const reasonTooLong = "line longer than 8 MiB"

// tooLong sets a line aside that cannot be an event: where it lies, which is where it
// stays.
func (p *packer) tooLong(o *object, number, size int64) error {
	text, err := json.Marshal(pointer{p.job.Bucket, o.key, o.etag, number, size})
	if err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	at := o.at
	if at.IsZero() {
		at = o.modified
	}
	r := p.rangeOf()
	r.Shard += stream.ShardID("-" + strconv.Itoa(p.here.Object) + "-" + strconv.FormatInt(number, 10))
	items := []rejects.Item{{Refused: true, Sequence: r.First, Arrival: at, Reject: schema.Reject{Reason: reasonTooLong, Data: text}}}
	if err := p.patiently(p.ctx, func() error { return p.kept.Rejects.Put(p.ctx, r, items) }); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	p.step.Rejects++
	p.step.Rows++
	return nil
}

// damage notes an object of which not all could be imported.
func (p *packer) damage(o *object, events int64, err error) {
	p.step.Faults++
	if len(p.step.Damaged) < maxNamed {
		p.step.Damaged = append(p.step.Damaged, Damage{o.key, events, err.Error()})
	}
	p.log.Warn("object not imported as a whole", "key", o.key, "events", events, "err", err)
}
