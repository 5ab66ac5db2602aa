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

// Admin serves /metrics, /healthz and a page that names them.
type Admin struct {
	cfg   AdminConfig
	reg   *prometheus.Registry
	ready chan struct{}
}

// NewAdmin listens on nothing yet.
func NewAdmin(cfg AdminConfig, reg *prometheus.Registry) *Admin {
	return &Admin{cfg: cfg, reg: reg, ready: make(chan struct{})}
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
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>Tributary</title><h1>Tributary</h1><p><a href="/metrics">metrics</a> · <a href="/healthz">health</a></p></html>`)
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

// profiles are what "go tool pprof" asks for. Importing the package also fills
// http.DefaultServeMux, which nobody here serves.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // names the others, and serves them all but:
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
