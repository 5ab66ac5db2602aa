package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig is where /metrics and /healthz are served.
type AdminConfig struct {
	Listen string `koanf:"listen" json:"listen"` // host:port; empty: not at all
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
