package lake_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/stream"
)

const shard = stream.ShardID("shardId-000000000002")

// noon is when all of these tests happen.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// sequence is the nth number of a stream, as long as Kinesis makes them.
func sequence(n int) stream.SequenceNumber {
	return stream.SequenceNumber(fmt.Sprintf("49590338271490256608559692538361571095921575989136588%04d", n))
}

func rangeOf(first, last int) stream.Range {
	return stream.Range{Shard: shard, First: sequence(first), Last: sequence(last)}
}

func config() lake.Config {
	cfg := lake.DefaultConfig()
	cfg.Bucket = "logs"
	return cfg
}

func newLake(t testing.TB, cfg lake.Config, api lakeClient) *lake.Lake {
	t.Helper()
	l, err := lake.New(cfg, schema.DefaultRules(), api, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t testing.TB, l *lake.Lake) *lake.Sink {
	t.Helper()
	s, err := l.Open(t.Context(), shard, l.Plan())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// record makes a batch of events with indices as the decoder gives them.
func record(n int, events ...schema.Event) stream.Batch {
	b := stream.Batch{Shard: shard, Sequence: sequence(n), Arrival: noon.Add(time.Duration(n) * time.Second), Epoch: schema.Epoch{1}, Lane: 7}
	for i, e := range events {
		e.Index = uint32(i)
		b.Events = append(b.Events, e)
		b.Bytes += int64(schema.EventSize(&e))
	}
	return b
}

func event(kind schema.Kind, at time.Time, service, line string) schema.Event {
	return schema.Event{Time: at.UnixNano(), Kind: kind, Origin: &schema.Origin{Service: service}, Line: []byte(line)}
}

func appendAll(t testing.TB, s *lake.Sink, batches []stream.Batch) {
	t.Helper()
	encoder := schema.NewEncoder() // some tests have a record for each event
	for _, b := range batches {
		if err := s.Append(asReadBy(t, encoder, b)); err != nil {
			t.Fatal(err)
		}
	}
}

// asRead gives a batch the record that it would have been decoded from, before what
// is missing of its indexes was dropped.
func asRead(t testing.TB, b stream.Batch) stream.Batch {
	t.Helper()
	return asReadBy(t, schema.NewEncoder(), b)
}

func asReadBy(t testing.TB, encoder *schema.Encoder, b stream.Batch) stream.Batch {
	t.Helper()
	if b.Record != nil || len(b.Events) == 0 {
		return b
	}
	var all []schema.Event
	for _, e := range b.Events {
		for uint32(len(all)) < e.Index {
			all = append(all, schema.Event{Kind: schema.KindRaw, Line: []byte("delivered before")})
		}
		all = append(all, e)
	}
	data, err := encoder.Append(nil, &schema.Batch{Epoch: b.Epoch, Lane: b.Lane, Events: all})
	if err != nil {
		t.Fatal(err)
	}
	b.Record = data
	return b
}

// flushAll gives a fresh sink the batches and flushes them as one range.
func flushAll(ctx context.Context, t testing.TB, l *lake.Lake, batches []stream.Batch, r stream.Range) error {
	t.Helper()
	s := open(t, l)
	appendAll(t, s, batches)
	return s.Flush(ctx, r)
}

// traffic is a repeatable load of n events in records of 100: three kinds, over
// three hours, of several containers, with parts, cut lines and bytes that are
// no text.
func traffic(n int) []stream.Batch {
	rng := rand.New(rand.NewPCG(1, 2))
	origins := make([]*schema.Origin, 12)
	for i := range origins {
		origins[i] = &schema.Origin{
			Service: "service-" + strconv.Itoa(i%5), ContainerID: fmt.Sprintf("%064x", i), ContainerName: "web-" + strconv.Itoa(i),
			Source: []string{"stdout", "stderr", ""}[i%3], Tag: "docker." + strconv.Itoa(i), Host: "ip-10-0-0-" + strconv.Itoa(i%2),
		}
		for k := range i % 4 {
			origins[i].Labels = append(origins[i].Labels, schema.Label{Name: "label" + strconv.Itoa(k), Value: strconv.Itoa(i * k)})
		}
	}
	levels := []string{`"level":"INFO"`, `"severity":"warn"`, `"log_level":"Error"`, `"level":30`, `"other":1`}
	var batches []stream.Batch
	for first := 0; first < n; first += 100 {
		var events []schema.Event
		for i := first; i < min(first+100, n); i++ {
			e := schema.Event{
				Time:   noon.Add(-time.Duration(1+rng.IntN(3*3600)) * time.Second).Add(time.Duration(rng.IntN(1e9))).UnixNano(),
				Kind:   []schema.Kind{schema.KindRaw, schema.KindApp, schema.KindAudit}[i%3],
				Origin: origins[rng.IntN(len(origins))],
				Offset: uint64(i),
			}
			if e.Kind == schema.KindRaw {
				e.Line = fmt.Appendf(nil, "line %d: %x", i, rng.Uint64())
				if i%5 == 0 {
					e.Line = append(e.Line, 0xff, 0x00, 0xc3, 0x28)
				}
			} else {
				e.Line = fmt.Appendf(nil, `{%s,"n":%d,"trace":"%016x%016x"}`, levels[i%len(levels)], i, rng.Uint64(), rng.Uint64())
			}
			if i%50 == 0 {
				e.Flags = schema.FlagIncomplete
			}
			if i%70 == 0 {
				e.Part = schema.Part{Line: [16]byte{byte(i), byte(i >> 8)}, Number: uint32(i%3 + 1), Count: 3}
			}
			events = append(events, e)
		}
		batches = append(batches, record(first/100+1, events...))
	}
	return batches
}
