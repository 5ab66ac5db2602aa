package schema_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tributary/schema"
)

// sample is a batch of app lines as Spring writes them, with random ids in.
func sample(lines int) (b schema.Batch, size int64) {
	r := rand.New(rand.NewPCG(1, 1))
	o := &schema.Origin{Service: "condor", ContainerID: fmt.Sprintf("%064x", 7), ContainerName: "condor", Source: "stdout", Tag: "docker.condor", Host: "i-0abc"}
	for i := range lines {
		line := fmt.Appendf(nil, `{"@timestamp":"2023-11-14T22:13:20.%03d+0000","level":"INFO","logger":"com.example.shop.order.OrderService%d",`+
			`"thread":"http-nio-8080-exec-%d","message":"order %d of customer %d was placed, total %d yen","trace_id":"%016x%016x","span_id":"%016x",`+
			`"mdc":{"path":"/api/v1/orders/%d","method":"POST","user":"u-%d"}}`,
			i%1000, r.IntN(20), r.IntN(50), r.IntN(1e7), r.IntN(1e5), r.IntN(1e5), r.Uint64(), r.Uint64(), r.Uint64(), r.IntN(1e7), r.IntN(1e5))
		b.Events = append(b.Events, schema.Event{
			Time: arrival.UnixNano() + int64(i)*1e6, Kind: schema.KindApp, Origin: o, Line: line, Offset: uint64(1000 + i),
		})
		size += int64(len(line))
	}
	return b, size
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{10, 1000, 15000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			batch, size := sample(n)
			enc := schema.NewEncoder()
			record, err := enc.Append(nil, &batch)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				record, _ = enc.Append(record[:0], &batch)
			}
			b.ReportMetric(float64(size)/float64(len(record)), "ratio")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{10, 1000, 15000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			batch, size := sample(n)
			record := encode(b, &batch)
			dec := schema.NewDecoder()
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				dec.Decode(record, arrival)
			}
		})
	}
}

func BenchmarkWalkObject(b *testing.B) {
	batch, size := sample(1000)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch.Events {
			_ = schema.WalkObject(batch.Events[i].Line, func(_, _ []byte) bool { return true })
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	batch, size := sample(1000)
	c := compile(b, nil)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch.Events {
			c.Classify(batch.Events[i].Line, batch.Events[i].Origin, fallback, arrival.UnixNano())
		}
	}
}
