package treasuredata_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/deploy/local/fault"
	local "tributary/deploy/local/treasuredata"
	"tributary/schema"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

// TestOverARealConnection flushes over HTTP, while connections break and bodies are
// refused for their size.
func TestOverARealConnection(t *testing.T) {
	w := newWorld(t, func(o *local.Options) { o.BodyBytes = 1500 })
	server, transport := httptest.NewServer(w.serve), &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	w.set(fault.Rule{Service: "td", Every: 4, Action: fault.LoseResponse}, fault.Rule{Service: "td", Every: 5, Action: fault.Error})
	cfg := config()
	cfg.APIEndpoint, cfg.ImportEndpoint, cfg.BodyRows = server.URL, server.URL, 100
	im, err := treasuredata.New(cfg, schema.DefaultRules(), transport, nil, &w.kept, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	batches, r := traffic(t, 900)
	s := open(t, im, batches)
	for try := 1; ; try++ {
		err := s.Flush(t.Context(), r)
		if err == nil {
			break
		}
		if stream.IsPermanent(err) || try == 60 {
			t.Fatalf("flush %d: %v", try, err)
		}
		server.CloseClientConnections()
	}
	w.wantOnce(900)
}
