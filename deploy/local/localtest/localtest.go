// Package localtest gives a test its own set of embedded AWS endpoints, in process, over a directory that goes with the test.
package localtest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"tributary/deploy/local"
	"tributary/deploy/local/fault"
)

// A Server is a running endpoint. Its fields stay valid and unchanged over Stop and Restart.
type Server struct {
	URL    string
	Faults *fault.Set // starts without rules; they outlive Restart
	AWS    aws.Config // static credentials, us-east-1, checksums as production sends them
	Config local.Config

	t    testing.TB
	addr string
	stop func()
}

// An Option changes a Server before it starts.
type Option func(*local.Config)

// WithLimits throttles as real shards do.
func WithLimits() Option { return func(c *local.Config) { c.Limits = true } }

// WithDir keeps the state in dir instead of a temporary directory.
func WithDir(dir string) Option { return func(c *local.Config) { c.Dir = dir } }

// WithSegmentBytes sets the size of a shard's files.
func WithSegmentBytes(n int64) Option { return func(c *local.Config) { c.SegmentBytes = n } }

// WithSubscriptionLife ends each SubscribeToShard after d.
func WithSubscriptionLife(d time.Duration) Option {
	return func(c *local.Config) { c.SubscriptionLife = d }
}

// WithLogsVisibilityDelay hides log events from readers for d.
func WithLogsVisibilityDelay(d time.Duration) Option {
	return func(c *local.Config) { c.LogsVisibilityDelay = d }
}

// Start runs the endpoints on a free port of 127.0.0.1 until the test ends.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	cfg := local.DefaultConfig()
	cfg.Dir = ""
	for _, opt := range opts {
		opt(&cfg)
	}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s := &Server{Faults: new(fault.Set), Config: cfg, t: t, addr: "127.0.0.1:0"}
	s.start()
	s.URL = "http://" + s.addr

	// A transport of its own: a shared one would keep connections, and their goroutines, beyond the test.
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		s.Stop()
		transport.CloseIdleConnections()
	})
	s.AWS = aws.Config{
		Region:                     "us-east-1",
		BaseEndpoint:               aws.String(s.URL),
		Credentials:                credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:                 &http.Client{Transport: PlainBodies(transport)},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
	return s
}

// Stop ends the endpoints; clients are refused until Restart. A second Stop does nothing.
func (s *Server) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Restart closes the endpoints and opens them again over the same directory, on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

func (s *Server) start() {
	s.t.Helper()
	endpoint, err := local.Open(s.Config, slog.New(slog.DiscardHandler), local.WithFaults(s.Faults))
	if err != nil {
		s.t.Fatalf("start local endpoints: %v", err)
	}
	ln, err := listen(s.addr)
	if err != nil {
		_ = endpoint.Close()
		s.t.Fatalf("start local endpoints: %v", err)
	}
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- endpoint.Run(ctx, ln) }()
	s.stop = func() {
		cancel()
		if err := errors.Join(<-ended, endpoint.Close()); err != nil {
			s.t.Errorf("stop local endpoints: %v", err)
		}
	}
}

// listen tries for a while: between Stop and Restart another process may have been given the port for an outgoing connection.
func listen(addr string) (net.Listener, error) {
	for tries := 0; ; tries++ {
		ln, err := net.Listen("tcp", addr)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || tries == 50 {
			return ln, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
