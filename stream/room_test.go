package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream"
)

// fleet are shards of one stream, all read by one worker. It knows what it has
// answered and what was handed out, hence what the worker holds at least.
type fleet struct {
	*shard
	shards map[string]*shard
	slow   time.Duration // of each call
}

func newFleet(shards, records, size int) *fleet {
	f := &fleet{newShard(), map[string]*shard{}, 50 * time.Millisecond}
	for n := range shards {
		s := newShard()
		for i := range records {
			s.write(line(i) + strings.Repeat(" ", size-20))
		}
		f.shards[fmt.Sprint(n)] = s
	}
	return f
}

func (f *fleet) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, o ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	out, err := f.shards[*in.ShardId].GetShardIterator(ctx, in, o...)
	if err == nil {
		out.ShardIterator = aws.String(*in.ShardId + "/" + *out.ShardIterator)
	}
	return out, err
}

func (f *fleet) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, o ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	id, iterator, _ := strings.Cut(*in.ShardIterator, "/")
	own := *in
	own.ShardIterator = &iterator
	out, err := f.shards[id].GetRecords(ctx, &own, o...)
	select {
	case <-time.After(f.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err == nil && out.NextShardIterator != nil {
		out.NextShardIterator = aws.String(id + "/" + *out.NextShardIterator)
	}
	return out, err
}

func (f *fleet) source(t *testing.T, change func(*stream.ReaderConfig)) (*stream.Source, *prometheus.Registry) {
	t.Helper()
	cfg := stream.DefaultReaderConfig()
	change(&cfg)
	reg := prometheus.NewRegistry()
	src, err := stream.NewSource(f, stream.Ref{Name: "logs"}, cfg, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return src, reg
}

// read takes want records of a shard and calls each before the next.
func (f *fleet) read(t *testing.T, src *stream.Source, id string, want int, each func(n int)) {
	r, err := src.Open(stream.ShardID(id), stream.TrimHorizon())
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	for n := 0; n < want; {
		b, err := r.Next(t.Context())
		if err != nil {
			t.Errorf("shard %s: %v", id, err)
			return
		}
		if b.Sequence == "" {
			continue
		}
		if got, prefix := string(b.Events[0].Line), line(n); !strings.HasPrefix(got, prefix) {
			t.Errorf("shard %s: record %d is %.20s", id, n, got)
			return
		}
		n++
		each(n)
	}
}

func TestSixtyFourShardsStayWithinReadBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, records, bound = 64, 10, 17 << 20
		f := newFleet(shards, records, 200<<10)
		src, reg := f.source(t, func(c *stream.ReaderConfig) { c.ReadBytes = bound })
		var all sync.WaitGroup
		most := make([]float64, shards)
		for n := range shards {
			all.Go(func() {
				f.read(t, src, fmt.Sprint(n), records, func(i int) {
					if n%8 == i%4 {
						most[n] = max(most[n], metric(t, reg, "read_memory_bytes", ""))
					}
					time.Sleep(10 * time.Millisecond)
				})
			})
		}
		all.Wait()
		peak := 0.0
		for _, m := range most {
			peak = max(peak, m)
		}
		t.Logf("peak of %d shards: %.1f MiB of %d", shards, peak/(1<<20), bound>>20)
		if peak > bound || peak < bound/2 {
			t.Errorf("peak %v", peak)
		}
		if left := metric(t, reg, "read_memory_bytes", ""); left != 0 {
			t.Errorf("%v bytes left behind", left)
		}
	})
}

// Owners that flush for minutes hold what they fetched ahead; those who read get
// it, and the others read again what was taken from them.
func TestAShardThatWaitsLongGivesItsAnswersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 60
		f := newFleet(12, records, 200<<10)
		src, reg := f.source(t, func(c *stream.ReaderConfig) { c.ReadBytes = 17 << 20 })
		var all, busy sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				f.read(t, src, fmt.Sprint("", n), records, func(n int) {
					if n == 3 {
						time.Sleep(30 * time.Minute)
					}
				})
			})
		}
		time.Sleep(20 * time.Second)
		began := time.Now()
		for n := 8; n < 12; n++ {
			busy.Go(func() { f.read(t, src, fmt.Sprint(n), records, func(int) {}) })
		}
		busy.Wait()
		if d := time.Since(began); d > time.Minute {
			t.Errorf("the others took %v", d)
		}
		all.Wait()
		if n := metric(t, reg, "read_reclaimed_total", ""); n == 0 {
			t.Error("nothing was taken back: the test shows nothing")
		}
		if left := metric(t, reg, "read_memory_bytes", ""); left != 0 {
			t.Errorf("%v bytes left behind", left)
		}
	})
}

func TestCloseEndsACallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(1, 10, 1000)
		f.slow = time.Hour
		src, reg := f.source(t, func(*stream.ReaderConfig) {})
		r, err := src.Open("0", stream.TrimHorizon())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := r.Next(t.Context()); err != nil || b.Sequence != "" {
			t.Errorf("%+v, %v", b, err)
		}
		began := time.Now()
		r.Close()
		if d := time.Since(began); d != 0 {
			t.Errorf("closed after %v", d)
		}
		if left := metric(t, reg, "read_memory_bytes", ""); left != 0 {
			t.Errorf("%v bytes left behind", left)
		}
	})
}

// A Reader at LATEST fixes its place with its first iterator; what is taken back
// before anything was handed out must not move it.
func TestLatestStaysWhereItWasWhenAnAnswerIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(2, 60, 200<<10)
		src, reg := f.source(t, func(c *stream.ReaderConfig) { c.ReadBytes = 17 << 20; c.AnswerBytes = 10 << 20 })
		f.shards["0"] = newShard()
		r, err := src.Open("0", stream.Latest())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, err := r.Next(t.Context()); err != nil || b.Sequence != "" {
			t.Fatalf("%+v, %v", b, err)
		}
		for n := range 40 {
			f.shards["0"].write(line(n) + strings.Repeat(" ", 200<<10))
		}
		for n := int64(0); n == 0; {
			if n, err = r.Await(t.Context(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		f.read(t, src, "1", 60, func(int) {})
		if n := metric(t, reg, "read_reclaimed_total", ""); n == 0 {
			t.Error("nothing was taken back: the test shows nothing")
		}
		for n := 0; n < 40; {
			b, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if b.Sequence == "" {
				continue
			}
			if !strings.HasPrefix(string(b.Events[0].Line), line(n)) {
				t.Fatalf("record %d is %.20s", n, b.Events[0].Line)
			}
			n++
		}
	})
}

func TestAStreamCreatedAnewIsNotReadAsTheOldOne(t *testing.T) {
	for name, from := range map[string]stream.Position{
		"at the horizon, which every stream has": stream.TrimHorizon(),
		"at a time":                              stream.AtTime(epoch),
		"behind a record of the old stream":      stream.After("666"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newShard()
				api.write(line(1))
				api.created = time.Now().Add(time.Hour)
				b, err := read(t, api, from).Next(t.Context())
				if !errors.Is(err, stream.ErrRecreated) || !stream.IsPermanent(err) || b.Sequence != "" {
					t.Errorf("%+v, %v", b, err)
				}
			})
		})
	}
	t.Run("noticed when the iterators of the old stream are gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			r := read(t, api, stream.TrimHorizon())
			r.want()
			api.change(func() { api.reopened, api.created = time.Now(), time.Now() })
			api.write(line(1))
			var err error
			for began := time.Now(); err == nil && time.Since(began) < time.Minute; {
				var b stream.Batch
				if b, err = r.Next(t.Context()); b.Sequence != "" {
					t.Fatalf("read %s of the new stream", b.Sequence)
				}
			}
			if !errors.Is(err, stream.ErrRecreated) {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("or when the service says that there is no such shard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			api.fail = func(int) error { return &types.ResourceNotFoundException{Message: aws.String("no shard")} }
			r := read(t, api, stream.TrimHorizon())
			api.change(func() { api.created = time.Now().Add(time.Second) })
			if _, err := r.Next(t.Context()); !errors.Is(err, stream.ErrRecreated) {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestReadersShareALookAtTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(64, 1, 100)
		src, _ := f.source(t, func(*stream.ReaderConfig) {})
		src.Pin(f.began)
		var all sync.WaitGroup
		for n := range 64 {
			all.Go(func() { f.read(t, src, fmt.Sprint(n), 1, func(int) {}) })
		}
		all.Wait()
		if f.looks == 0 || f.looks > 10 {
			t.Errorf("64 shards looked %d times", f.looks)
		}
	})
}
