package local_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/deploy/local"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDirectoryIsUsedByOneEndpointAtATime(t *testing.T) {
	cfg := local.DefaultConfig()
	cfg.Dir = filepath.Join(t.TempDir(), "made", "when missing")
	log := slog.New(slog.DiscardHandler)
	first, err := local.Open(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(cfg, log); !errors.Is(err, local.ErrLocked) || !strings.Contains(err.Error(), cfg.Dir) {
		t.Errorf("second open: %v, want ErrLocked with the directory", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := local.Open(cfg, log)
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesADirectoryThatIsAFile(t *testing.T) {
	cfg := local.DefaultConfig()
	cfg.Dir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(cfg.Dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened over a file")
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	err := local.Config{}.Validate()
	for _, want := range []string{"dir is empty", "segment_bytes", "in_flight_bytes", "td_body_bytes", "shutdown_timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
	if err := local.DefaultConfig().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
}

func call(t *testing.T, method, url, target string, body ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(strings.Join(body, "")))
	if err != nil {
		t.Fatal(err)
	}
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestUnknownServiceIsRefusedByName(t *testing.T) {
	srv := localtest.Start(t)
	status, body := call(t, "POST", srv.URL, "AWSGlue.GetTable")
	if status != 400 || !strings.Contains(body, "AWSGlue.GetTable") || !strings.Contains(body, "UnknownOperationException") {
		t.Errorf("got %d %s", status, body)
	}
	if status, _ := call(t, "GET", srv.URL+"/_local/other", ""); status != 404 {
		t.Errorf("/_local/other: %d, want 404", status)
	}
}

func TestWhatIsToExpireIsReadStrictly(t *testing.T) {
	srv := localtest.Start(t)
	for _, body := range []string{
		`{"stream": "none", "before": "2026-11-22T15:04:05.123Z"}`, `{"stream": "none", "befor": "2026-11-22T15:04:05.123Z"}`, `{"stream": "none"}`, `{}`, ``,
	} {
		if status, answer := call(t, "POST", srv.URL+"/_local/expire", "", body); status != 400 {
			t.Errorf("%s: %d %s, want 400", body, status, answer)
		}
	}
	if status, _ := call(t, "GET", srv.URL+"/_local/expire", ""); status != 405 {
		t.Errorf("GET: %d, want 405", status)
	}
}

func TestFaultRulesAreKeptOverARestartOnTheSamePort(t *testing.T) {
	srv := localtest.Start(t)
	if err := srv.Faults.Replace([]fault.Rule{{Action: fault.Error, Every: 9}}); err != nil {
		t.Fatal(err)
	}
	srv.Restart()
	if status, body := call(t, "GET", srv.URL+"/_local/faults", ""); status != 200 || !strings.Contains(body, `"every":9`) {
		t.Errorf("got %d %s", status, body)
	}
}

func TestRunReturnsTheErrorOfItsListener(t *testing.T) {
	cfg := local.DefaultConfig()
	cfg.Dir = t.TempDir()
	e, err := local.Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ln := closedListener(t)
	if err := e.Run(ctx, ln); err == nil || ctx.Err() != nil {
		t.Errorf("run on a closed listener: %v", err)
	}
}
func closedListener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return ln
}
