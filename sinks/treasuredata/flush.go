package treasuredata

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/stream"
)

// encodeCharge is what encoding costs beside lines and bodies: the compressor, the
// row at hand, names of columns, and the record being decoded.
const encodeCharge = 8 << 20

// attempt is what is known of a range's bodies. It goes on where it was left when the
// flush is called again.
type attempt struct {
	rng        stream.Range
	deliveries []*delivery
	halvings   int // of parts that were refused
}

func (s *Sink) newAttempt(r stream.Range) *attempt {
	a := &attempt{rng: r}
	for _, t := range s.pending.sorted() {
		a.deliveries = append(a.deliveries, &delivery{table: t})
	}
	return a
}

// deliver sends the parts of all tables, round after round: whole ones first, then
// the halves of those that TD did not take. What to halve is decided when every part
// of a round has its answer, so that it depends on the answers alone.
func (s *Sink) deliver(ctx context.Context) error {
	for {
		if err := s.round(ctx); err != nil {
			return err
		}
		if !s.settle() {
			return nil
		}
	}
}

// job is a part to be sent, or, without one, the rows of a table that are not cut yet.
type job struct {
	*delivery
	part *part
	rows []held.Row
}

func (a *attempt) jobs() (jobs []job) {
	for _, d := range a.deliveries {
		for _, p := range d.parts {
			if p.verdict == unknown {
				jobs = append(jobs, job{d, p, d.rows[p.from:p.to]})
			}
		}
		if d.next < len(d.rows) {
			jobs = append(jobs, job{d, nil, d.rows[d.next:]})
		}
	}
	return jobs
}

// round sends what has no answer yet and returns when nothing is on its way.
func (s *Sink) round(ctx context.Context) error {
	jobs := s.attempt.jobs()
	if len(jobs) == 0 {
		return nil
	}
	groups, total := make([][]held.Row, len(jobs)), int64(0)
	for i := range jobs {
		groups[i] = jobs[i].rows
		total += bytesOf(jobs[i].rows)
	}
	im := s.importer
	inClear, inBodies := im.cfg.EncodeBytes/3*2, im.cfg.EncodeBytes/3
	inBodies = min(inBodies, total+bodyCharge*int64(len(jobs)))
	budget, err := im.encode.Reserve(ctx, min(inClear, total)+inBodies+encodeCharge)
	if err != nil {
		return err
	}
	defer budget.Shrink(0)
	p := &packer{sink: s, ctx: ctx, jobs: jobs, encoder: newRowEncoder(s.layout.columns, s.shard), room: semaphore.NewWeighted(inBodies), limit: inBodies}
	p.encoder.places = s.pending.places
	p.uploads.SetLimit(im.cfg.Parallel)
	err = p.pack(groups, inClear)
	budget.Shrink(inBodies)
	if failed := p.uploads.Wait(); failed != nil {
		return failed // it is why packing ended
	}
	return err
}

func bytesOf(rows []held.Row) (n int64) {
	for i := range rows {
		n += int64(rows[i].Bytes)
	}
	return n
}

// bodyCharge is what a body takes beside its rows.
const bodyCharge = 64 << 10

// packer makes bodies of rows and hands them to uploads. It lives for one round.
type packer struct {
	sink    *Sink
	ctx     context.Context // of the flush, for as long as that lasts
	jobs    []job
	encoder *rowEncoder
	room    *semaphore.Weighted // bytes of bodies
	limit   int64               // of room
	uploads errgroup.Group
	failed  atomic.Bool // an upload did: no more of them in this round

	body     *body
	reserved int64 // of room, for body
}

// pack encodes the rows of all jobs. It ends early, without an error, after an upload
// failed.
func (p *packer) pack(groups [][]held.Row, inClear int64) error {
	lines, records := p.sink.importer.loader(), p.sink.pending.List
	defer p.sink.importer.loaders.Put(lines)
	defer p.drop()
	for _, load := range held.Cut(groups, inClear) {
		rows := held.Rows(groups, load)
		loaded, err := lines.Load(records, rows)
		if err != nil {
			return err
		}
		for _, piece := range load {
			j, n := &p.jobs[piece.Group], piece.To-piece.From
			for i := range n {
				row, tally := p.encoder.encode(&rows[i], &loaded[i], p.sink.pending.sources[rows[i].Name], &records[rows[i].Record])
				if err := p.add(j, piece.From+i, row, tally); err != nil || p.failed.Load() {
					return err
				}
			}
			rows, loaded = rows[n:], loaded[n:]
			if piece.To == len(j.rows) {
				if err := p.close(j, piece.To); err != nil {
					return err
				}
			}
		}
		p.encoder.forget()
	}
	return nil
}

// add puts the row at a place of a job into a body, after the last one if that is
// full.
func (p *packer) add(j *job, at int, row []byte, t tally) error {
	l := p.sink.layout
	if b := p.body; b != nil && j.part == nil && (b.raw+int64(len(row)) > l.BodyBytes || b.rows == l.BodyRows) {
		if err := p.close(j, at); err != nil {
			return err
		}
	}
	if p.body == nil {
		// At worst nothing compresses; a single row may be longer than a body.
		p.reserved = min(p.limit, max(l.BodyBytes, schema.MaxDecoded)+bodyCharge, bytesOf(j.rows[at:min(len(j.rows), at+l.BodyRows)])+bodyCharge)
		if err := p.room.Acquire(p.ctx, p.reserved); err != nil {
			p.reserved = 0
			return fmt.Errorf("wait for memory of bodies: %w", err)
		}
		p.body = newBody(l)
	}
	return p.body.add(row, t)
}

// close ends the body before a row of a job and sends it.
func (p *packer) close(j *job, at int) error {
	b, reserved := p.body, p.reserved
	if b == nil {
		return nil
	}
	p.body, p.reserved = nil, 0
	if err := b.close(); err != nil {
		p.room.Release(reserved)
		return fmt.Errorf("compress: %w", err)
	}
	if b.size < reserved {
		p.room.Release(reserved - b.size)
		reserved = b.size
	}
	to := j.part
	if to == nil {
		to = j.delivery.cut(len(j.delivery.rows) - len(j.rows) + at)
	}
	p.uploads.Go(func() error {
		defer p.room.Release(reserved)
		err := p.sink.upload(p.ctx, j.tableName, to, b)
		if err != nil {
			p.failed.Store(true)
		}
		return err
	})
	return nil
}

// drop gives up a body that was not closed.
func (p *packer) drop() {
	if p.body != nil {
		p.room.Release(p.reserved)
		p.body = nil
	}
}

// upload sends a part and notes what TD says of it.
func (s *Sink) upload(ctx context.Context, t tableName, p *part, b *body) error {
	im := s.importer
	select {
	case im.slots <- struct{}{}:
		defer func() { <-im.slots }()
	case <-ctx.Done():
		return fmt.Errorf("wait for an upload's turn: %w", context.Cause(ctx))
	}
	id := partID(s.layout.Group, t, s.attempt.rng, s.pending.First, p.path)
	v, said, err := im.client.importBody(ctx, t, id, b)
	if err != nil {
		return err
	}
	if p.verdict, p.answer = v, said; v != accepted {
		return nil
	}
	im.metrics.bodies.Inc()
	im.metrics.rows.Add(float64(b.rows))
	im.metrics.rawBytes.Add(float64(b.raw))
	im.metrics.bodyBytes.Add(float64(b.size))
	im.metrics.overflowed.Add(float64(b.tally.overflowed))
	im.metrics.mended.Add(float64(b.tally.mended))
	return nil
}

// settle decides what becomes of the parts that were not taken, and reports whether
// there are new ones to be sent.
func (s *Sink) settle() (more bool) {
	said := 0
	for _, d := range s.attempt.deliveries {
		parts := make([]*part, 0, len(d.parts))
		for _, p := range d.parts {
			if p.verdict == accepted || p.aside != "" {
				parts = append(parts, p)
				continue
			}
			if said++; said == 1 { // the others of a round are like it
				s.importer.log.Warn("treasure data did not take a body", "shard", s.shard, "table", d.tableName.String(), "part", p.path,
					"rows", p.to-p.from, "reason", p.reason(), "answer", p.answer)
			}
			if !s.halve(p) {
				p.aside = p.reason()
				parts = append(parts, p)
				continue
			}
			s.importer.metrics.splits.WithLabelValues(p.reason()).Inc()
			parts = append(parts, p.halves()...)
			more = true
		}
		d.parts = parts
	}
	return more
}

// halve reports whether a part that was not taken is worth halving.
func (s *Sink) halve(p *part) bool {
	switch {
	case p.to-p.from == 1, p.verdict == conflict:
		return false
	case p.verdict == refused:
		if s.attempt.halvings == s.layout.MaxHalvings {
			return false
		}
		s.attempt.halvings++
	}
	return true
}
