package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/app"
	"tributary/stream/fluent"
)

// executeOn is execute with standard input, and with standard output apart.
func executeOn(ctx context.Context, in io.Reader, args ...string) (stdout, stderr string, err error) {
	root := newRoot()
	var out, errOut bytes.Buffer
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetArgs(args)
	err = app.Explain(root.ExecuteContext(ctx))
	return out.String(), errOut.String(), err
}

// shelf is a fluent.Store that keeps the lines of each service.
type shelf struct {
	mu    sync.Mutex
	lines map[string][]string
	first chan struct{} // closed when something has come
	gate  chan struct{} // not nil: storing waits until it is closed
}

func newShelf() *shelf { return &shelf{lines: map[string][]string{}, first: make(chan struct{})} }

func (s *shelf) Store(ctx context.Context, _ uint64, reqs []fluent.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.first:
	default:
		close(s.first)
	}
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, r := range reqs {
		for _, e := range r.Events {
			var service, line string
			if err := fluent.Fields(e.Record, func(k, v []byte) bool {
				switch string(k) {
				case "SERVICE":
					service = string(v)
				case "log":
					line = string(v)
				}
				return true
			}); err != nil {
				return err
			}
			s.lines[service+" "+string(e.Tag)] = append(s.lines[service+" "+string(e.Tag)], line)
		}
	}
	return nil
}

func (s *shelf) Closed(uint64) {}

// forwarderFor serves the Forward protocol into s at listen.
func forwarderFor(t *testing.T, s *shelf, listen string) (address string) {
	t.Helper()
	cfg := fluent.DefaultConfig()
	cfg.Listen, cfg.UDPHeartbeat = []string{listen}, false
	return forwarderOf(t, s, cfg)
}

func forwarderOf(t *testing.T, s *shelf, cfg fluent.Config) (address string) {
	t.Helper()
	server, err := fluent.New(cfg, s, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	a := server.Addrs()[0]
	return a.Network() + "://" + a.String()
}

func TestPipeEndsWithZeroWhenEachLineIsAcked(t *testing.T) {
	for name, listen := range map[string]string{"tcp": "tcp://127.0.0.1:0", "unix": "unix://" + filepath.Join(t.TempDir(), "s")} {
		t.Run(name, func(t *testing.T) {
			store := newShelf()
			address := forwarderFor(t, store, listen)
			in := strings.Repeat("a\xff\r\n\n", 617)
			out, said, err := executeOn(t.Context(), strings.NewReader(in), "pipe", "--service", "condor", "--tag", "my.tag", "--address", address, "--tee")
			if err != nil || said != "tributary: 1,234 lines, all acked\n" || out != in {
				t.Fatalf("%v, said %q, copied %d bytes", err, said, len(out))
			}
			got := store.lines["condor my.tag"]
			if len(got) != 1234 {
				t.Fatalf("%d lines of %d services", len(got), len(store.lines))
			}
			for i, line := range got {
				if line != []string{"a\xff\r", ""}[i%2] {
					t.Fatalf("line %d is %q", i, line)
				}
			}
			out, said, err = executeOn(t.Context(), strings.NewReader("x"), "pipe", "--service", "condor", "--address", address, "--quiet")
			if err != nil || said+out != "" {
				t.Fatalf("%v, said %q%q", err, said, out)
			}
		})
	}
}

func TestPipeProvesItsKeyOverTLS(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := httptest.NewTLSServer(nil) // for its certificate, which is its own authority
	defer pair.Close()
	private, err := x509.MarshalPKCS8PrivateKey(pair.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := file("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw}))
	key := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	shared, password := file("shared", []byte("correct horse\n")), file("password", []byte("sesame\n"))
	cfg := fluent.DefaultConfig()
	cfg.Listen = []string{"tls://127.0.0.1:0"}
	cfg.TLS = fluent.TLSConfig{CertFile: cert, KeyFile: key}
	cfg.Security.SharedKey, cfg.Security.Passwords, cfg.Security.AskOn = "correct horse", []string{"condor:sesame"}, fluent.AskAll
	store := newShelf()
	address := strings.Replace(forwarderOf(t, store, cfg), "tcp://", "tls://", 1)
	args := []string{"pipe", "--service", "condor", "--address", address, "--ca-file", cert, "--server-name", "example.com", "--shared-key-file", shared}

	_, said, err := executeOn(t.Context(), strings.NewReader("a\nb\n"), append(args, "--user", "condor", "--password-file", password)...)
	if err != nil || said != "tributary: 2 lines, all acked\n" || len(store.lines["condor pipe"]) != 2 {
		t.Fatalf("%v, said %q", err, said)
	}
	_, said, err = executeOn(t.Context(), strings.NewReader("a\n"), append(args, "--user", "condor", "--password-file", shared, "--timeout", "200ms")...)
	if got := app.OneLine(err); app.Code(err) != 1 || !strings.Contains(got, "username/password mismatch") {
		t.Fatalf("exit %d: %v", app.Code(err), err)
	}
	if strings.Contains(said+app.OneLine(err), "correct horse") {
		t.Fatalf("told a secret: %s, %v", said, err)
	}
}

func TestPipeEndsWithOneWhenNotEachLineIsAcked(t *testing.T) {
	nowhere := "unix://" + filepath.Join(t.TempDir(), "nobody")
	_, said, err := executeOn(t.Context(), strings.NewReader("a\nb\n"), "pipe", "--service", "condor", "--address", nowhere, "--timeout", "200ms")
	want := "0 of 2 lines acked: gave up after 200ms without an ack: dial unix"
	if got := app.OneLine(err); app.Code(err) != 1 || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "no such file or directory") {
		t.Fatalf("exit %d: %v", app.Code(err), err)
	}
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, "trying again") {
		t.Fatalf("said %q", said)
	}
}

func TestPipeEndsWithTwoWhenItIsCalledWrongly(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		want string
	}{
		"no service":        {"pipe", "--service is not set"},
		"a bad address":     {"pipe --service x --address localhost", "must be tcp://host:port"},
		"a bad timeout":     {"pipe --service x --timeout 1ns", "timeout is 1ns: must be"},
		"no duration":       {"pipe --service x --timeout soon", "soon"},
		"no key file":       {"pipe --service x --shared-key-file /nowhere", "read --shared-key-file: open /nowhere"},
		"no CA file":        {"pipe --service x --address tls://x:1 --ca-file /nowhere", "read TLS files: open /nowhere"},
		"TLS over plain":    {"pipe --service x --server-name x", "must begin with tls://"},
		"a user alone":      {"pipe --service x --user x", "user and password must both be set"},
		"an argument":       {"pipe --service x file", `takes no argument "file"`},
		"an unknown flag":   {"pipe --service x --loud", "unknown flag: --loud"},
		"an unknown shell":  {"completion tcsh", "takes one shell: bash, zsh, fish, powershell"},
		"more than a shell": {"completion bash zsh", "takes one shell"},
		"no shell":          {"completion", "takes one shell"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := executeOn(t.Context(), strings.NewReader(""), strings.Fields(c.args)...)
			if err == nil || app.Code(err) != 2 || !strings.Contains(app.OneLine(err), c.want) {
				t.Fatalf("exit %d: %v", app.Code(err), err)
			}
		})
	}
}

func TestPipeWaitsForTheAcksAfterAnInterrupt(t *testing.T) {
	store := newShelf()
	store.gate = make(chan struct{})
	address := forwarderFor(t, store, "tcp://127.0.0.1:0")
	ctx, interrupt := context.WithCancel(t.Context())
	in, out := io.Pipe()
	defer out.Close()
	go func() {
		_, _ = io.WriteString(out, "one\ntwo\n")
		<-store.first // the lines are on their way
		interrupt()
		time.Sleep(2 * patience) // until a person is told
		close(store.gate)
	}()
	_, said, err := executeOn(ctx, in, "pipe", "--service", "condor", "--address", address)
	if err != nil || !strings.Contains(said, "Ctrl-C again ends at once") || !strings.HasSuffix(said, "tributary: 2 lines, all acked\n") {
		t.Fatalf("%v, said %q", err, said)
	}
}

func TestAForwarderThatMayNotBeReachedIsNotTakenForAListenersFault(t *testing.T) {
	err := app.Explain(&net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: "/s"}, Err: syscall.EACCES})
	if app.Code(err) != 1 || strings.Contains(err.Error(), "listen") {
		t.Fatalf("exit %d: %v", app.Code(err), err)
	}
}
