package treasuredata_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

// sums answers imports without work of its own: the bytes under an id are always the
// same, so their MD5 is worked out once.
type sums struct {
	mu     sync.Mutex
	known  map[string]string
	bodies map[string][]byte
}

func (s *sums) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	sum, known := s.known[r.URL.Path]
	s.mu.Unlock()
	if !known {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		digest := md5.Sum(body)
		sum = hex.EncodeToString(digest[:])
		s.mu.Lock()
		s.known[r.URL.Path], s.bodies[r.URL.Path] = sum, body
		s.mu.Unlock()
	}
	return response(200, `{"md5_hex":"`+sum+`"}`), nil
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFlush tells the processor time of a million events of 500 bytes, from the
// records as they came to bodies handed over, beside that of gzip alone on the same
// bodies.
func BenchmarkFlush(b *testing.B) {
	const records, perRecord = 200, 500 // 50 MB, decoded once
	rng := rand.New(rand.NewPCG(1, 2))
	var batches []stream.Batch
	origins := make([]*schema.Origin, 12)
	for i := range origins {
		origins[i] = &schema.Origin{Service: fmt.Sprintf("service-%d", i%4), ContainerID: fmt.Sprintf("%064x", i), ContainerName: fmt.Sprintf("web-%d", i), Source: "stdout", Host: fmt.Sprintf("ip-10-0-0-%d", i%2)}
	}
	loggers := []string{"com.example.shop.order.OrderService", "com.example.shop.cart.CartController", "org.springframework.web.servlet.DispatcherServlet"}
	bytes := 0
	for n := range records {
		var events []schema.Event
		for range perRecord {
			line := fmt.Sprintf(`{"@timestamp":"2026-11-22T12:%02d:%02d.%03dZ","level":"INFO","thread":"http-nio-8080-exec-%d","logger":"%s","message":"request %d of user %d finished, %d items in %d ms","traceId":"%016x%016x","spanId":"%016x","status":200,"duration_ms":%d.%d,"path":"/api/v1/orders/%d","method":"GET","user":{"id":%d,"tier":"gold"}}`,
				rng.IntN(60), rng.IntN(60), rng.IntN(1000), rng.IntN(200), loggers[rng.IntN(3)], rng.IntN(1e9), rng.IntN(1e6), rng.IntN(50), rng.IntN(3000),
				rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.IntN(3000), rng.IntN(1000), rng.IntN(1e6), rng.IntN(1e6))
			line = line[:len(line)-1] + `,"pad":"` + strings.Repeat("x", max(0, 500-len(line)-9)) + `"}`
			bytes += len(line)
			e := event(schema.KindApp, "", line)
			e.Origin = origins[rng.IntN(len(origins))]
			events = append(events, e)
		}
		batches = append(batches, record(b, n+1, events...))
	}
	const events = records * perRecord
	for _, level := range []int{1, 6} {
		b.Run(fmt.Sprintf("gzip %d", level), func(b *testing.B) {
			s := &sums{known: map[string]string{}, bodies: map[string][]byte{}}
			cfg := config()
			cfg.GzipLevel = level
			im, err := treasuredata.New(cfg, schema.DefaultRules(), s, nil, &store{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			flush(b, im, rangeOf(1, records), batches...)
			began := cpu(b)
			for b.Loop() {
				flush(b, im, rangeOf(1, records), batches...)
			}
			ours := cpu(b) - began
			raws := make([][]byte, 0, len(s.bodies))
			raw, sent := 0, 0
			for _, body := range s.bodies {
				raws = append(raws, gunzip(b, body))
				raw, sent = raw+len(raws[len(raws)-1]), sent+len(body)
			}
			z, err := gzip.NewWriterLevel(io.Discard, level)
			if err != nil {
				b.Fatal(err)
			}
			began = cpu(b)
			for range b.N {
				for _, r := range raws {
					z.Reset(io.Discard)
					if _, err := z.Write(r); err != nil {
						b.Fatal(err)
					}
					if err := z.Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
			alone := cpu(b) - began
			perMillion := func(d time.Duration) float64 { return d.Seconds() / float64(b.N) * 1e6 / events }
			b.ReportMetric(perMillion(ours), "cpu-s/million")
			b.ReportMetric(perMillion(alone), "gzip-cpu-s/million")
			b.ReportMetric(float64(ours)/float64(alone), "x-gzip")
			b.ReportMetric(float64(bytes)/events, "B/line")
			b.ReportMetric(float64(raw)/events, "B/row")
			b.ReportMetric(float64(sent)/events, "B/sent")
			b.ReportMetric(0, "ns/op")
		})
	}
}
