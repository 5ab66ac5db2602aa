package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig is where /metrics and /healthz are served.
type AdminConfig struct {
	Listen string `koanf:"listen" json:"listen"` // host:port; empty: not at all
	// Pprof serves the runtime's profiles below /debug/pprof as well. They tell the
	// command line and what functions run: not for an address that others reach.
	Pprof bool `koanf:"pprof" json:"pprof"`
}

// Probes are what the page asks. Each returns nil when all is well; the zero Probes
// say so always.
type Probes struct {
	Ready   func() error // lines that come now are taken, and go on
	Healthy func() error // nothing is stuck
}

// Admin serves /metrics, /healthz, /readyz and a page that names them.
type Admin struct {
	cfg    AdminConfig
	reg    *prometheus.Registry
	probes Probes
	ready  chan struct{}
}

// NewAdmin listens on nothing yet.
func NewAdmin(cfg AdminConfig, reg *prometheus.Registry, probes Probes) *Admin {
	return &Admin{cfg: cfg, reg: reg, probes: probes, ready: make(chan struct{})}
}

// Ready is closed once Run listens.
func (a *Admin) Ready() <-chan struct{} { return a.ready }

// Run serves until ctx ends.
func (a *Admin) Run(ctx context.Context) error {
	if a.cfg.Listen == "" {
		close(a.ready)
		<-ctx.Done()
		return nil
	}
	ln, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", answer(a.probes.Healthy))
	mux.HandleFunc("GET /readyz", answer(a.probes.Ready))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>Tributary</title><h1>Tributary</h1><p><a href="/metrics">metrics</a> · <a href="/healthz">health</a> · <a href="/readyz">readiness</a></p></html>`)
	})
	if a.cfg.Pprof {
		profiles(mux)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		// A scrape that hangs must not hold the exit.
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(bound)
		_ = server.Close()
	}()
	close(a.ready)
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	<-stopped
	return nil
}

// answer says "ok", or 503 and what is wrong.
func answer(probe func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if probe != nil {
			if err := probe(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}

// profiles are what "go tool pprof" asks for. Importing the package also fills
// http.DefaultServeMux, which nobody here serves.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // names the others, and serves them all but:
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
