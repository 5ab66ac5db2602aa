package backfill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/sinks/treasuredata"
)

// reader reads batches, one after the other.
type reader struct {
	*Backfill
	lines   *lineReader
	events  *lineEvents
	encoder *schema.Encoder
}

func (b *Backfill) newReader() (*reader, error) {
	events, err := newLineEvents(b.rules)
	return &reader{b, newLineReader(), events, schema.NewEncoder()}, err
}

// read imports what is left of a batch.
func (r *reader) read(ctx context.Context, next batch) error {
	shard := shardOf(next)
	sink, err := r.importer.Open(ctx, shard, r.doc.Plan)
	if err != nil {
		return err
	}
	p := &packer{Backfill: r.Backfill, ctx: ctx, sink: sink, batch: next.number, shard: shard, encoder: r.encoder}
	if before, begun := r.open[next.number]; begun {
		p.number, p.here = before.Range+1, before.Next
	}
	rest := next.objects[p.here.Object:]
	ahead := r.source.fetch(ctx, rest)
	defer ahead.stop()
	skip := p.here.Event
	for i := range rest {
		p.here = position{Object: len(next.objects) - len(rest) + i}
		o := ahead.next()
		if o == nil {
			return context.Cause(ctx)
		}
		if err := r.object(ctx, p, o, skip); err != nil {
			return err
		}
		p.step.Objects++
		p.step.Bytes += o.size
		skip = 0
	}
	p.here = position{Object: len(next.objects)}
	return p.end(true)
}

// fatal is an error that ends the run, as opposed to one of an object.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// object reads one object from an event on. What is wrong with the object itself is
// noted; an error ends the run.
func (r *reader) object(ctx context.Context, p *packer, o *fetched, skip int64) error {
	seen := int64(0)
	take := func(e *schema.Event, at treasuredata.Place) error {
		p.here.Event = seen
		seen++
		switch {
		case seen <= skip:
			return nil
		case !p.job.means(e.Time):
			p.step.Outside++
			return nil
		}
		if err := p.add(e, at); err != nil {
			return fatal{err}
		}
		return nil
	}
	var err error
	if o.form == parquet {
		err = r.parquet(ctx, o, take)
	} else {
		err = r.text(ctx, o, take, func(size int64) error {
			p.here.Event = seen
			seen++
			if seen <= skip {
				return nil
			}
			return p.tooLong(&o.object, p.here.Event, size)
		})
	}
	var ends fatal
	var store unreadable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ends):
		return ends.error
	case errors.As(err, &store):
		return store.error
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	p.damage(&o.object, seen, err)
	return nil
}

func (r *reader) parquet(ctx context.Context, o *fetched, take func(*schema.Event, treasuredata.Place) error) error {
	in, release, err := o.random(ctx, r.source)
	if err != nil {
		return err
	}
	if err = o.intact(in); err == nil {
		placed := r.importer.Placed()
		err = lake.Read(in, o.size, o.kind, func(row *lake.Row) (err error) {
			var at treasuredata.Place
			if placed {
				if at.Shard, at.Sequence, at.Index, err = row.Place(); err != nil {
					return err
				}
			}
			return take(&row.Event, at)
		})
	}
	return errors.Join(err, release())
}

// intact holds an object against its manifest's hash. What is not as it was written
// would be read as whatever it says.
func (o *object) intact(in io.ReaderAt) error {
	if o.sha256 == "" {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(in, 0, o.size)); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != o.sha256 {
		return fmt.Errorf("its SHA-256 is %s, and %s in its manifest", sum, o.sha256)
	}
	return nil
}

func (r *reader) text(ctx context.Context, o *fetched, take func(*schema.Event, treasuredata.Place) error, tooLong func(size int64) error) (err error) {
	in, err := o.stream(ctx, r.source)
	if err != nil {
		return err
	}
	defer in.Close()
	for r.lines.reset(in, strings.HasSuffix(strings.ToLower(o.key), ".gz")); ; {
		l, err := r.lines.next()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if l.size > maxLine {
			if err := tooLong(l.size); err != nil {
				return fatal{err}
			}
			continue
		}
		if l.torn && !torn(r.lines.err) {
			return r.lines.err // the line goes on where reading could not
		}
		if err := take(r.events.of(l, &o.object), treasuredata.Place{}); err != nil {
			return err
		}
	}
}

// torn reports whether an object's own content is at fault.
func torn(err error) bool {
	var store unreadable
	return !errors.As(err, &store)
}
