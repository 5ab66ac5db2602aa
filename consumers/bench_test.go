package consumers

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/schema"
	"tributary/stream"
)

// shardWire answers as a shard that is far behind, the same lines again and again
// under new sequence numbers. It is all of the endpoint that a Reader sees; sockets
// and TLS come on top in a real process.
type shardWire struct {
	records [][]byte // base64
	body    []byte   // made once: only the numbers change
	numbers []int    // where they are
	next    int
}

func (w *shardWire) Do(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	body := []byte(`{"ShardIterator":"AAA"}`)
	if r.Header.Get("X-Amz-Target") == "Kinesis_20131202.GetRecords" {
		for _, at := range w.numbers {
			w.next++
			copy(w.body[at:], fmt.Sprintf("%056d", w.next))
		}
		body = w.body
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}, nil
}

func (w *shardWire) write() {
	w.body = append(w.body, `{"Records":[`...)
	for i, data := range w.records {
		if i > 0 {
			w.body = append(w.body, ',')
		}
		w.body = append(w.body, `{"SequenceNumber":"`...)
		w.numbers = append(w.numbers, len(w.body))
		w.body = fmt.Appendf(w.body, `%056d","ApproximateArrivalTimestamp":1.700000000123E9,"EncryptionType":"NONE","PartitionKey":"%032d","Data":"`, i, i)
		w.body = append(append(w.body, data...), `"}`...)
	}
	w.body = append(w.body, `],"MillisBehindLatest":60000,"NextShardIterator":"AAA"}`...)
}

// line500 is an app line of 500 bytes, with the random ids that such lines have.
func line500(r *rand.Rand) []byte {
	line := fmt.Appendf(nil, `{"@timestamp":"2023-11-14T22:13:20.%03d+0000","level":"INFO","logger":"com.example.shop.order.OrderService","thread":"http-nio-8080-exec-%d","message":"order %d of customer %d was placed, total %d yen","trace_id":"%016x%016x","span_id":"%016x","path":"/api/v1/orders/%d","pad":"`,
		r.IntN(1000), r.IntN(50), r.IntN(1e7), r.IntN(1e5), r.IntN(1e5), r.Uint64(), r.Uint64(), r.Uint64(), r.IntN(1e7))
	return append(append(line, bytes.Repeat([]byte("warehouse "), 50)[:498-len(line)]...), `"}`...)
}

func wireOf(b *testing.B, perRecord, records int) *shardWire {
	b.Helper()
	r, w, encoder := rand.New(rand.NewPCG(1, 2)), &shardWire{}, schema.NewEncoder()
	for range records {
		data := line500(r)
		if perRecord > 1 {
			batch := schema.Batch{Epoch: schema.Epoch{}, Lane: 1}
			origin := &schema.Origin{Service: "condor", ContainerID: "0123456789ab", Source: "stdout"}
			for range perRecord {
				batch.Events = append(batch.Events, schema.Event{Time: 1_700_000_000_000_000_000, Kind: schema.KindApp, Origin: origin, Line: line500(r)})
			}
			var err error
			if data, err = encoder.Append(nil, &batch); err != nil {
				b.Fatal(err)
			}
		}
		w.records = append(w.records, base64.StdEncoding.AppendEncode(nil, data))
	}
	w.write()
	return w
}

// nothing is a sink that keeps nothing.
type nothing struct {
	size, events atomic.Int64
	want         int64
	enough       chan struct{}
}

func (n *nothing) Append(b stream.Batch) error {
	n.size.Add(b.Bytes)
	if before := n.events.Add(int64(len(b.Events))) - int64(len(b.Events)); before < n.want && n.events.Load() >= n.want {
		close(n.enough)
	}
	return nil
}
func (n *nothing) Size() int64 { return n.size.Load() }
func (n *nothing) Flush(context.Context, stream.Range) error {
	n.size.Store(0)
	return nil
}

// BenchmarkCPUPerEvent runs the whole of reading: the SDK's call, the answer taken
// apart, records decoded, de-duplicated, appended to a sink that does nothing. What
// counts is cpu-ns/event, of the whole process; the time of an operation is the
// shard's rate limit.
func BenchmarkCPUPerEvent(b *testing.B) {
	for _, c := range []struct {
		name               string
		perRecord, records int
	}{
		{"v1 batches of 2000", 2000, 10},
		{"v1 batches of 100", 100, 200},
		{"one line per record", 1, 4000},
	} {
		b.Run(c.name, func(b *testing.B) {
			api := kinesis.New(kinesis.Options{Region: "eu-west-1", HTTPClient: wireOf(b, c.perRecord, c.records), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
			src, err := stream.NewSource(api, stream.Ref{Name: "logs"}, stream.DefaultReaderConfig(), nil, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			sink := &nothing{want: int64(b.N * c.perRecord * c.records), enough: make(chan struct{})}
			s := newWorld().worker(DefaultPolicy(), "plan")
			s.dest.Open = func(context.Context, stream.ShardID, string) (Sink, error) { return sink, nil }
			s.open = func(from stream.Position) (reader, error) { return src.Open("shardId-0", from) }
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu(b)
			r := run(s)
			<-sink.enough
			used := cpu(b) - began
			b.StopTimer()
			if err := r.stop(); err != nil {
				b.Error(err)
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(sink.events.Load()), "cpu-ns/event")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
