package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tributary/deploy/local/dynamodb"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/kinesis"
	"tributary/deploy/local/logs"
	"tributary/deploy/local/s3"
	"tributary/deploy/local/treasuredata"
)

// An Endpoint is the set of embedded services over one directory. Its methods may be called from any goroutine.
type Endpoint struct {
	cfg    Config
	log    *slog.Logger
	faults *fault.Set
	lock   *os.File

	targets map[string]http.Handler // by the part of X-Amz-Target before the dot
	streams *kinesis.Service
	objects http.Handler // S3
	imports http.Handler // Treasure Data
	stores  []io.Closer
}

// An Option changes how an Endpoint is opened.
type Option func(*Endpoint)

// WithFaults makes the endpoint use faults instead of a set of its own, so that rules outlive it.
func WithFaults(faults *fault.Set) Option {
	return func(e *Endpoint) { e.faults = faults }
}

// Open takes cfg.Dir for this process and opens the services' stores in it. A directory in use gives ErrLocked.
// The caller closes the endpoint.
func Open(cfg Config, log *slog.Logger, opts ...Option) (*Endpoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("local endpoints: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	held, err := lock(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open local endpoints: %w", err)
	}
	e := &Endpoint{cfg: cfg, log: log, faults: new(fault.Set), lock: held, targets: make(map[string]http.Handler)}
	for _, opt := range opts {
		opt(e)
	}
	if err := e.openServices(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Endpoint) openServices() error {
	streams, err := kinesis.Open(filepath.Join(e.cfg.Dir, "kinesis"), kinesis.Options{
		Faults:           e.faults,
		Limits:           e.cfg.Limits,
		SegmentBytes:     e.cfg.SegmentBytes,
		InFlightBytes:    e.cfg.InFlightBytes,
		SubscriptionLife: e.cfg.SubscriptionLife,
		Log:              e.log,
	})
	if err != nil {
		return err
	}
	e.streams = streams
	e.targets["Kinesis_20131202"] = streams
	e.stores = append(e.stores, streams)
	tables, err := dynamodb.Open(filepath.Join(e.cfg.Dir, "dynamodb"), e.faults)
	if err != nil {
		return err
	}
	e.targets["DynamoDB_20120810"] = tables
	e.stores = append(e.stores, tables)
	groups, err := logs.Open(filepath.Join(e.cfg.Dir, "logs"), logs.Options{
		Faults:          e.faults,
		Limits:          e.cfg.Limits,
		VisibilityDelay: e.cfg.LogsVisibilityDelay,
		SegmentBytes:    e.cfg.SegmentBytes,
		InFlightBytes:   LogsInFlightBytes,
		Log:             e.log,
	})
	if err != nil {
		return err
	}
	e.targets["Logs_20140328"] = groups
	e.stores = append(e.stores, groups)
	objects, err := s3.Open(filepath.Join(e.cfg.Dir, "s3"), e.faults)
	if err != nil {
		return err
	}
	e.objects = objects
	e.stores = append(e.stores, objects)
	imports, err := treasuredata.Open(filepath.Join(e.cfg.Dir, "td"), treasuredata.Options{
		Faults:        e.faults,
		APIKeys:       e.cfg.TDAPIKeys,
		WriteOnlyKeys: e.cfg.TDWriteOnlyAPIKeys,
		IDMemory:      e.cfg.TDIDMemory,
		IDAge:         e.cfg.TDIDAge,
		BodyBytes:     e.cfg.TDBodyBytes,
		Log:           e.log,
	})
	if err != nil {
		return err
	}
	e.imports = imports
	e.stores = append(e.stores, imports)
	return nil
}

// Faults returns the rules in force.
func (e *Endpoint) Faults() *fault.Set { return e.faults }

// Handler serves all services, /_local/faults and /_local/expire.
func (e *Endpoint) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/_local/faults", e.faults.Admin())
	mux.Handle("/_local/expire", e.streams.Expiry())
	mux.HandleFunc("/_local/", http.NotFound)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		switch {
		case target != "":
			e.serveTarget(w, r, target)
		// Past the mux, which redirects paths such as //key that are proper S3 keys. No bucket begins with an underscore.
		case strings.HasPrefix(r.URL.Path, "/_local/"):
			mux.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, treasuredata.Prefix):
			e.imports.ServeHTTP(w, r)
		default:
			e.objects.ServeHTTP(w, r)
		}
	})
}

func (e *Endpoint) serveTarget(w http.ResponseWriter, r *http.Request, target string) {
	service, _, _ := strings.Cut(target, ".")
	if h, ok := e.targets[service]; ok {
		h.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", "UnknownOperationException")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"UnknownOperationException","message":%q}`, "the local endpoint has no service for X-Amz-Target "+target)
}

// Run serves on ln until ctx ends. Subscriptions then end, delayed calls happen at once, and calls under way have Config.ShutdownTimeout to finish.
// It closes ln. The stores stay open until Close.
func (e *Endpoint) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           e.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		Protocols:         protocols(),
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve local endpoints: %w", err)
	case <-ctx.Done():
	}
	err := e.shutdown(srv)
	<-served
	return err
}

// protocols are those that clients choose from at an http:// address: the Go SDK takes HTTP/1.1, also for SubscribeToShard, whose
// documentation speaks of HTTP/2; others, and a transport told to, take HTTP/2 without asking.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func (e *Endpoint) shutdown(srv *http.Server) error {
	e.streams.EndSubscriptions()
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.ShutdownTimeout)
	defer cancel()
	if err := e.faults.Drain(ctx); err != nil {
		e.log.Warn("calls are still under way after the shutdown timeout", "err", err)
	}
	if err := srv.Shutdown(ctx); err == nil {
		return nil
	}
	e.log.Warn("cut the connections of calls still under way", "after", e.cfg.ShutdownTimeout)
	if err := srv.Close(); err != nil {
		return fmt.Errorf("close local endpoints: %w", err)
	}
	// Calls that met a delay rule after the first drain.
	again, cancelAgain := context.WithTimeout(context.Background(), time.Second)
	defer cancelAgain()
	return e.faults.Drain(again)
}

// Close closes the stores and gives the directory back. Calls still under way fail.
func (e *Endpoint) Close() error {
	var errs []error
	for _, store := range e.stores {
		errs = append(errs, store.Close())
	}
	e.stores = nil
	return errors.Join(append(errs, e.lock.Close())...)
}
