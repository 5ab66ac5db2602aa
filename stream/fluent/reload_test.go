package fluent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// selfSigned returns a pair of its own with this serial number, in PEM.
func selfSigned(t *testing.T, serial int64, ends time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: ends.Add(-48 * time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text})
}

// journal is a log sink that is read while others write.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func TestAChangedPairServesNewConnectionsAndABadOneServesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := DefaultConfig()
		cfg.Listen = []string{"tls://127.0.0.1:0"}
		cfg.TLS = TLSConfig{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
		write := func(path string, text []byte) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		install := func(serial int64, ends time.Time) {
			cert, key := selfSigned(t, serial, ends)
			write(cfg.TLS.CertFile, cert)
			write(cfg.TLS.KeyFile, key)
		}
		tomorrow := time.Now().Add(24 * time.Hour)
		install(1, tomorrow)
		var log journal
		s, err := New(cfg, &counting{}, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.arm(); err != nil {
			t.Fatal(err)
		}
		p := &pipes{come: make(chan net.Conn), end: make(chan struct{})}
		s.listeners = []listener{{Listener: p, tls: s.certs.serve()}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()

		visits := 0
		visit := func() (serial int64, nc *tls.Conn) {
			t.Helper()
			ours, theirs := net.Pipe()
			p.come <- theirs
			visits++
			nc = tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
			if err := nc.Handshake(); err != nil {
				t.Fatal(err)
			}
			return nc.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nc
		}
		serves := func(when string, want, loaded, refused int) {
			t.Helper()
			time.Sleep(3*reloadEvery + time.Second)
			synctest.Wait()
			serial, nc := visit()
			synctest.Wait() // the server's side of the handshake ends later
			nc.NetConn().Close()
			synctest.Wait()
			if serial != int64(want) {
				t.Errorf("%s certificate %d is shown, want %d", when, serial, want)
			}
			if l, r := value(t, s.metrics.certsLoaded), value(t, s.metrics.certsRefused); int(l) != loaded || int(r) != refused {
				t.Errorf("%s %v loaded and %v refused, want %d and %d", when, l, r, loaded, refused)
			}
			if n := strings.Count(log.String(), "old ones stay"); n != refused {
				t.Errorf("%s %d warnings: %s", when, n, &log)
			}
		}
		serves("at first", 1, 0, 0)
		_, standing := visit()

		install(2, tomorrow)
		serves("with a new pair", 2, 1, 0)
		cert, _ := selfSigned(t, 3, tomorrow)
		write(cfg.TLS.CertFile, cert)
		serves("with a certificate of another key", 2, 1, 1)
		install(4, tomorrow)
		serves("with both", 4, 2, 1)
		write(cfg.TLS.KeyFile, []byte("noise"))
		serves("with noise", 4, 2, 2)
		if err := os.Remove(cfg.TLS.CertFile); err != nil {
			t.Fatal(err)
		}
		serves("without a file", 4, 2, 3)
		install(5, time.Now().Add(-time.Hour))
		serves("with an expired pair", 4, 2, 4)
		end := tomorrow.Add(time.Hour)
		install(6, end)
		serves("with a good one again", 6, 3, 4)
		if got := value(t, s.metrics.certExpiry); int64(got) != end.Unix() {
			t.Errorf("expiry is %v", got)
		}

		// The one that stands since the first pair is served as before.
		if _, err := io.WriteString(standing, acked); err != nil {
			t.Fatal(err)
		}
		ack := make([]byte, 7)
		if _, err := io.ReadFull(standing, ack); err != nil || string(ack) != "\x81\xa3ack\xa1c" {
			t.Errorf("answered %q, %v", ack, err)
		}
		standing.NetConn().Close()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAPairThatIsBeingWrittenIsNoBadPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := TLSConfig{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
		tomorrow := time.Now().Add(24 * time.Hour)
		m, err := newMetrics(prometheus.NewRegistry(), true)
		if err != nil {
			t.Fatal(err)
		}
		certs := &certificates{cfg: c, metrics: m, log: slog.New(slog.DiscardHandler)}
		first, firstKey := selfSigned(t, 1, tomorrow)
		second, secondKey := selfSigned(t, 2, tomorrow)
		for i, text := range [][2][]byte{{first, firstKey}, {second, firstKey}, {second, secondKey}} {
			if err := os.WriteFile(c.CertFile, text[0], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.KeyFile, text[1], 0o600); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if err := certs.load(); err != nil {
					t.Fatal(err)
				}
			}
			certs.look()
		}
		if l, r := value(t, m.certsLoaded), value(t, m.certsRefused); l != 1 || r != 0 {
			t.Errorf("%v loaded, %v refused", l, r)
		}
	})
}
