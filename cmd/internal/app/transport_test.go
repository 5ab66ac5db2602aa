package app

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A service pushes what it has, as Kinesis does by enhanced fan-out, and nobody reads.
func TestAnAnswerThatNobodyReadsTakesHalfAMebibyte(t *testing.T) {
	took := make(chan int, 1)
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked by %s", r.Proto)
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
		sum := 0
		for part := make([]byte, 16<<10); sum < 8<<20; {
			n, err := w.Write(part)
			if sum += n; err != nil {
				break
			}
		}
		took <- sum
	}))
	service.EnableHTTP2 = true
	service.StartTLS()
	defer service.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", roots)
	cfg, err := AWSConfig{Region: "us-east-1"}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := cfg.HTTPClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if n := <-took; n > receiveBuffer+32<<10 { // what waits in the service's own buffers
		t.Errorf("the connection took %d bytes", n)
	}
}
