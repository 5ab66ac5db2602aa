package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/cluster"
)

func TestTheProbesSayWhatIsWrong(t *testing.T) {
	addr, err := cluster.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	ready := errors.New("the spool has taken nothing for 20s")
	a := NewAdmin(AdminConfig{Listen: addr}, prometheus.NewRegistry(), Probes{Ready: func() error { return ready }, Healthy: func() error { return nil }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	<-a.Ready()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string, status int, text string) {
		t.Helper()
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != status || strings.TrimSpace(string(body)) != text {
			t.Errorf("%s says %d %q, %v; want %d %q", path, resp.StatusCode, body, err, status, text)
		}
	}
	ask("/healthz", http.StatusOK, "ok")
	ask("/readyz", http.StatusServiceUnavailable, "the spool has taken nothing for 20s")
	ready = nil
	ask("/readyz", http.StatusOK, "ok")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
