package cost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/schema/filter"
	"tributary/sinks/cloudwatch"
	"tributary/stream"
)

// SampleConfig is how the stream is read.
type SampleConfig struct {
	Span     time.Duration // back from now
	MaxBytes int64         // as they lie in the stream, shared by the shards
	Parallel int           // shards read at a time
	Patience time.Duration // with a shard that does not answer
	Reader   stream.ReaderConfig
}

// DefaultSampleConfig leaves a shard to its workers: it takes one of the five calls and
// half of the bytes that one gives a second.
func DefaultSampleConfig() SampleConfig {
	r := stream.DefaultReaderConfig()
	r.PollMin, r.PollInterval, r.ShardRateBytes = time.Second, time.Second, 1<<20
	// Eight answers and their room are as much as ReadBytes; half of sixteen wait to call.
	return SampleConfig{Span: 10 * time.Minute, MaxBytes: 256 << 20, Parallel: 16, Patience: time.Minute, Reader: r}
}

// Validate joins all faults.
func (c SampleConfig) Validate() error {
	var errs []error
	if c.Span < time.Second || c.Span > 365*24*time.Hour {
		errs = append(errs, fmt.Errorf("sample is %v, want 1s to 8760h", c.Span))
	}
	if c.MaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("max-bytes is %d, want 1MiB or more", c.MaxBytes))
	}
	if c.Parallel < 1 || c.Parallel > 256 {
		errs = append(errs, fmt.Errorf("parallel is %d, want 1 to 256", c.Parallel))
	}
	if c.Patience < time.Second {
		errs = append(errs, fmt.Errorf("patience is %v, want 1s or more", c.Patience))
	}
	return errors.Join(append(errs, c.Reader.Validate())...)
}

// Sampler tries rules on what arrived at a stream.
type Sampler struct {
	cfg    SampleConfig
	dest   cloudwatch.Config
	level  filter.Level
	biller *cloudwatch.Biller
	group  string
	api    *kinesis.Client
	ref    stream.Ref
	source *stream.Source

	bytes, shards, done atomic.Int64
}

// NewSampler tries the rules of dest, for a group of that name. It does no I/O.
func NewSampler(cfg SampleConfig, dest cloudwatch.Config, rules schema.Rules, group string, api *kinesis.Client, ref stream.Ref, log *slog.Logger) (*Sampler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	biller, err := cloudwatch.NewBiller(dest, rules)
	if err != nil {
		return nil, err
	}
	level, err := filter.ParseLevel(dest.Errors.Level)
	if err != nil {
		return nil, fmt.Errorf("errors: %w", err)
	}
	source, err := stream.NewSource(api, ref, cfg.Reader, prometheus.NewRegistry(), log)
	if err != nil {
		return nil, err
	}
	return &Sampler{cfg: cfg, dest: dest, level: level, biller: biller, group: group, api: api, ref: ref, source: source}, nil
}

// Progress tells bytes read, shards finished, and all shards; for any goroutine.
func (s *Sampler) Progress() (bytes, done, shards int64) {
	return s.bytes.Load(), s.done.Load(), s.shards.Load()
}

// Sample reads what arrived within the span and reports what of it would be sent and
// saved. Past MaxBytes it has read the beginning of the span, a like number of bytes of
// each shard.
func (s *Sampler) Sample(ctx context.Context) (*Report, error) {
	d, err := stream.Describe(ctx, s.api, s.ref)
	if err != nil {
		return nil, err
	}
	if d.Retention > 0 && s.cfg.Span > d.Retention {
		return nil, fmt.Errorf("sample is %v, but stream %s keeps records for %v: %w", s.cfg.Span, s.ref, d.Retention, ErrUnfit)
	}
	s.source.Pin(d.Created)
	shards, err := stream.ListShards(ctx, s.api, s.ref)
	if err != nil {
		return nil, err
	}
	s.shards.Store(int64(len(shards)))
	until := time.Now()
	from := until.Add(-s.cfg.Span)
	if from.Before(d.Created) {
		from = d.Created
	}
	sum := &sum{
		left: s.cfg.MaxBytes, waiting: int64(len(shards)), span: until.Sub(from),
		book: newBook(s.dest.Price, len(s.biller.Rules())),
		view: Sample{Stream: s.ref.String(), From: from.UTC(), Until: until.UTC(), Shards: len(shards)},
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Parallel)
	for _, shard := range shards {
		g.Go(func() error {
			p := &part{sampler: s, tally: newTally(len(s.biller.Rules())), from: from, until: until, share: sum.take()}
			if err := p.read(ctx, shard.ID); err != nil {
				return err
			}
			sum.give(p)
			s.done.Add(1)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return s.report(sum)
}

func (s *Sampler) report(sum *sum) (*Report, error) {
	r, err := sum.book.report()
	if err != nil {
		return nil, err
	}
	sum.view.Fraction = 1
	if sum.view.Cut > 0 {
		sum.view.Fraction = min(1, sum.read.Seconds()/sum.span.Seconds()/float64(sum.view.Shards))
	}
	r.Sample = &sum.view
	for i, name := range s.biller.Rules() {
		a := &sum.book.rules[i]
		l := RuleLine{Rule: name, Action: s.dest.Filter.Rules[i].Action, Events: a.events, KeptBack: a.kept, SavedBytes: a.figures.saved}
		if l.SavedMoney, l.SavedPerMonth, err = sum.book.money(l.SavedBytes, &a.savedMonth); err != nil {
			return nil, err
		}
		r.Rules = append(r.Rules, l)
	}
	return r, nil
}

// sum is what all shards share.
type sum struct {
	mu      sync.Mutex
	left    int64 // bytes that nobody has taken
	waiting int64 // shards that have not begun
	span    time.Duration
	read    time.Duration // of all shards
	book    *book
	view    Sample
}

// take gives a shard its share. What others left of theirs is for those that come later.
func (s *sum) take() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := s.left / max(1, s.waiting)
	s.left -= share
	s.waiting--
	return share
}

func (s *sum) give(p *part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left += max(0, p.share-p.bytes)
	p.over = s.span
	if p.cut {
		s.view.Cut++
		p.over = max(p.reached.Sub(p.from), time.Millisecond)
	}
	s.read += p.over
	if s.span < shortest {
		p.over = 0
	}
	s.book.add(p.tally)
	s.view.Bytes += p.bytes
	s.view.Elsewhere += p.elsewhere
	s.view.Rejects += p.rejects
}

// part is what one shard gives.
type part struct {
	sampler *Sampler
	*tally
	from, until        time.Time
	share, bytes       int64
	elsewhere, rejects int64
	cut                bool
	reached            time.Time // arrival of the first record that was left, if cut
}

// read counts a shard until the end of the span or of its share.
func (p *part) read(ctx context.Context, shard stream.ShardID) error {
	s := p.sampler
	r, err := s.source.Open(shard, stream.AtTime(p.from))
	if err != nil {
		return err
	}
	defer r.Close()
	behind, heard := time.Duration(-1), time.Now()
	for {
		b, err := r.Next(ctx)
		switch {
		case errors.Is(err, stream.ErrShardClosed):
			return nil
		case err != nil:
			return err
		case b.Sequence != "":
			if b.Arrival.After(p.until) {
				return nil
			}
			if size := int64(len(b.Record)); p.bytes > 0 && p.bytes+size > p.share {
				p.cut, p.reached = true, b.Arrival
				return nil
			}
			p.count(&b)
		case !r.Tip().Before(p.until):
			return nil
		}
		// Where nothing came, the way to the tip gets shorter with each answer and longer
		// while there is none.
		if now := r.Behind(); b.Sequence != "" || now < behind {
			heard = time.Now()
		}
		behind = r.Behind()
		if waited := time.Since(heard); waited > s.cfg.Patience {
			return fmt.Errorf("read %s of %s: nothing in %v (the log says why)", shard, s.ref, s.cfg.Patience)
		}
	}
}

// count bills a record.
func (p *part) count(b *stream.Batch) {
	s := p.sampler
	p.bytes += int64(len(b.Record))
	s.bytes.Add(int64(len(b.Record)))
	p.rejects += int64(len(b.Rejects))
	if b.To != "" && b.To != s.group {
		p.elsewhere += int64(len(b.Events))
		return
	}
	for i := range b.Events {
		bill := s.biller.Bill(b, &b.Events[i])
		f := figures{events: 1}
		if bill.Level >= s.level {
			f.errors = 1
		}
		if bill.Send {
			f.sent = bill.Bytes
		} else {
			f.saved, f.kept = bill.Bytes, 1
		}
		p.of(bill.Service).add(&f)
		if bill.Rule >= 0 {
			p.tally.rules[bill.Rule].add(&f)
		}
	}
}
