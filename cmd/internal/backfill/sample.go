package backfill

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/sinks/objects"
)

// samples are some objects of a listing, evenly spread.
type samples struct {
	every int // of so many objects one; a power of two
	seen  int
	list  []object
}

const maxSamples = 16

func (s *samples) offer(o object) {
	if s.every == 0 {
		s.every = 1
	}
	if s.seen++; (s.seen-1)%s.every != 0 {
		return
	}
	if len(s.list) == maxSamples {
		for i := range maxSamples / 2 {
			s.list[i] = s.list[2*i]
		}
		s.list = s.list[:maxSamples/2]
		if s.every *= 2; (s.seen-1)%s.every != 0 {
			return
		}
	}
	s.list = append(s.list, o)
}

// sampleBytes of a sample are looked at.
const sampleBytes = 256 << 10

// estimate tells from the samples what the objects hold.
func (b *Backfill) estimate(ctx context.Context, p *Plan, s *samples, tables map[string]bool) error {
	var looked, size, rows float64
	events, err := newLineEvents(b.rules)
	if err != nil {
		return err
	}
	in, named := newLineReader(), b.source.newManifests()
	for i := range s.list {
		o := &s.list[i]
		var share, bytes, lines float64
		if o.form == parquet {
			share = float64(o.size)
			manifest, manifestErr := named.manifestOf(ctx, *o)
			if manifestErr != nil {
				return manifestErr
			}
			p.Manifests = p.Manifests || manifest != ""
			bytes, lines, err = b.sampleParquet(ctx, o)
		} else {
			share, bytes, lines, err = b.sampleLines(ctx, o, in, events, func(e *schema.Event) {
				b.addTable(p, tables, b.importer.Table(e.Origin.Service, e.Kind))
			})
		}
		var store unreadable
		if errors.As(err, &store) {
			return store.error
		}
		if err == nil { // what is wrong with an object is told when it is imported
			looked, size, rows = looked+share, size+bytes, rows+lines
		}
	}
	if looked > 0 {
		p.LineSize, p.Rows = int64(size/looked*float64(p.Bytes)), int64(rows/looked*float64(p.Bytes))
	}
	return nil
}

// sampleLines reads the beginning of an object; share is how many of its bytes that
// took.
func (b *Backfill) sampleLines(ctx context.Context, o *object, in *lineReader, events *lineEvents, each func(*schema.Event)) (share, bytes, lines float64, err error) {
	from := b.source.open(ctx, *o)
	defer from.Close()
	counting := &countingReader{in: io.LimitReader(from, sampleBytes)}
	for in.reset(counting, false); bytes < 16*sampleBytes; {
		l, err := in.next()
		if err != nil {
			var store unreadable
			if errors.As(err, &store) {
				return 0, 0, 0, err
			}
			break
		}
		bytes, lines = bytes+float64(l.size)+1, lines+1
		if l.size <= maxLine && !l.torn && lines < 100 {
			each(events.of(l, o))
		}
	}
	return float64(counting.n), bytes, lines, nil
}

type countingReader struct {
	in io.Reader
	n  int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}

func (b *Backfill) sampleParquet(ctx context.Context, o *object) (bytes, rows float64, err error) {
	s := b.source
	tail := "bytes=-" + strconv.Itoa(sampleBytes)
	var end []byte
	err = objects.Patiently(ctx, func() error {
		ctx, cancel := s.options.Attempt(ctx, 0)
		defer cancel()
		out, err := s.options.Get(ctx, s.api, &s3.GetObjectInput{Bucket: &s.job.Bucket, Key: &o.key, IfMatch: &o.etag, Range: &tail})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		end, err = io.ReadAll(io.LimitReader(out.Body, sampleBytes))
		return err
	})
	switch status := objects.Status(err); {
	case status == http.StatusNotFound || status == http.StatusPreconditionFailed:
		return 0, 0, err
	case err != nil:
		return 0, 0, unreadable{err}
	}
	n, size, err := lake.CountRows(end, o.size)
	return float64(size), float64(n), err
}
