package lake_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/stream"
)

// TestDictionariesThatOverflow has more values in the columns with a dictionary
// than a dictionary holds, so that each goes on without one in mid-column: the
// path on which the Parquet library lost values once.
func TestDictionariesThatOverflow(t *testing.T) {
	var batches []stream.Batch
	const n = 21_000 // a page ends, and with it the dictionary, at 20,000
	for i := range n {
		id := fmt.Sprintf("%060d", i)
		b := record(0, schema.Event{
			Time: noon.Add(time.Duration(i) * time.Millisecond).UnixNano(), Kind: schema.KindApp, Line: []byte(`{"level":"` + id[40:] + `"}`),
			Origin: &schema.Origin{
				Service: "s" + id, ContainerID: "c" + id, ContainerName: "n" + id,
				Labels: []schema.Label{{Name: "k" + id, Value: "v" + id}, {Name: "l", Value: ""}},
			},
		})
		b.Sequence = stream.SequenceNumber("9" + id)
		batches = append(batches, b)
	}
	b := newBucket()
	r := stream.Range{Shard: shard, First: batches[0].Sequence, Last: batches[n-1].Sequence}
	if err := flushAll(t.Context(), t, newLake(t, config(), b), batches, r); err != nil {
		t.Fatal(err)
	}
	compareRows(t, readLake(t, b), batches)
	content := b.content(b.keys()[1])
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]bool{}
	for _, column := range f.Metadata().RowGroups[0].Columns {
		for _, s := range column.MetaData.EncodingStats {
			if s.PageType == format.DataPageV2 && s.Encoding == format.Plain {
				plain[column.MetaData.PathInSchema[len(column.MetaData.PathInSchema)-1]] = true
			}
		}
	}
	for _, column := range []string{"service", "container_id", "container_name", "sequence", "key", "value"} {
		if !plain[column] {
			t.Errorf("column %s never went on without its dictionary", column)
		}
	}
}

func TestLinesOfEverySizeStayWhole(t *testing.T) {
	var events []schema.Event
	for i, size := range []int{0, 1, 100, 16 << 10, 40 << 10, 1 << 20, 3 << 20} {
		events = append(events, event(schema.KindRaw, noon.Add(time.Duration(-i)*time.Second), "s", strings.Repeat("y", size)))
	}
	cfg, b := config(), newBucket()
	cfg.RowGroupBytes, cfg.PageBytes = 1<<20, 64<<10
	batches := []stream.Batch{record(1, events...)}
	if err := flushAll(t.Context(), t, newLake(t, cfg, b), batches, rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	compareRows(t, readLake(t, b), batches)
}

// slowBucket answers after a time and counts how many bodies are on their way.
type slowBucket struct {
	*bucket
	under, most int64
}

func (b *slowBucket) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	b.mu.Lock()
	b.under++
	b.most = max(b.most, b.under)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.under--
		b.mu.Unlock()
	}()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return b.bucket.PutObject(ctx, in, o...)
}

func TestShardsShareTheEncodingBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.EncodeBytes = 16 << 20
		b := &slowBucket{bucket: newBucket()}
		l := newLake(t, cfg, b)
		// Bytes that do not compress, so that the upload holds what the encoding held.
		batch := asRead(t, record(1, event(schema.KindRaw, noon, "s", noise(7<<20))))
		var flushes errgroup.Group
		for i := range 3 {
			s, err := l.Open(t.Context(), stream.ShardID(fmt.Sprintf("shardId-%012d", i)), l.Plan())
			if err != nil {
				t.Fatal(err)
			}
			batch.Shard = stream.ShardID(fmt.Sprintf("shardId-%012d", i))
			r := stream.Range{Shard: batch.Shard, First: batch.Sequence, Last: batch.Sequence}
			if err := s.Append(batch); err != nil {
				t.Fatal(err)
			}
			flushes.Go(func() error { return s.Flush(t.Context(), r) })
		}
		if err := flushes.Wait(); err != nil {
			t.Fatal(err)
		}
		if b.most > 2 {
			t.Errorf("%d uploads of 7 MiB at a time under a bound of 16 MiB", b.most)
		}
		if len(b.keys()) != 6 {
			t.Errorf("%d objects and manifests of 3 shards", len(b.keys()))
		}
	})
}

func TestAttemptsEndAndLargeOnesGetMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.AttemptTimeout = 500 * time.Millisecond
		b := &slowBucket{bucket: newBucket()} // answers after one second
		began := time.Now()
		err := flushAll(t.Context(), t, newLake(t, cfg, b), smallTraffic(), rangeOf(1, 3))
		if err == nil || stream.IsPermanent(err) || time.Since(began) != cfg.AttemptTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		began = time.Now()
		s := open(t, newLake(t, cfg, b))
		appendAll(t, s, []stream.Batch{record(5, event(schema.KindRaw, noon, "s", noise(4<<20)))})
		// The object of 4 MiB gets 4.5 s, its manifest only half a second.
		err = s.Flush(t.Context(), rangeOf(5, 5))
		if err == nil || time.Since(began) != time.Second+cfg.AttemptTimeout || !strings.Contains(err.Error(), "_ranges") {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// noise is text that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 24)
	}
	return string(b)
}

// BenchmarkFlush measures sorting, encoding and checking; S3 answers at once.
// Bytes are those of the lines.
func BenchmarkFlush(b *testing.B) {
	batches := traffic(100_000)
	var lines int64
	for _, batch := range batches {
		for i := range batch.Events {
			e := &batch.Events[i]
			if e.Kind != schema.KindRaw {
				e.Line = appLine(i, e.Line)
			}
			lines += int64(len(e.Line))
		}
	}
	bucket := newBucket()
	l := newLake(b, config(), bucket)
	b.SetBytes(lines)
	b.ReportAllocs()
	for b.Loop() {
		clear(bucket.objects)
		bucket.calls = nil
		if err := flushAll(context.Background(), b, l, batches, rangeOf(1, 1_000)); err != nil {
			b.Fatal(err)
		}
	}
	var written int
	for _, o := range bucket.objects {
		written += len(o.content)
	}
	b.ReportMetric(float64(lines)/float64(written), "compression")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "sys-MiB")
}

// appLine makes a line as long as a Java service writes them.
func appLine(i int, tail []byte) []byte {
	return fmt.Appendf(nil, `{"@timestamp":"2026-11-22T11:59:%02d.123Z","level":"INFO","logger":"com.example.shop.order.OrderService%d",`+
		`"thread":"http-nio-8080-exec-%d","message":"order accepted after %d ms, sent to the warehouse","mdc":{"tenant":"t%d","path":"/api/v1/orders"},"rest":%q}`,
		i%60, i%30, i%64, i%977, i%40, tail)
}
