package fluent_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/fluent/fluent-logger-golang/fluent"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/fluent"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate
	made int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, key := a.sign(template, time.Now().Add(24*time.Hour))
	a.key = key
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) sign(template *x509.Certificate, ends time.Time) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.made++
	template.SerialNumber = big.NewInt(a.made)
	template.Subject = pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = ends.Add(-48*time.Hour), ends
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// pair writes a certificate for 127.0.0.1 that ends then, over one of the same name.
func (a *authority) pair(name string, ends time.Time) (cert, key string) {
	a.t.Helper()
	der, private := a.sign(&x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"logs.example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ends)
	text, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "EC PRIVATE KEY", text)
}

func tomorrow() time.Time { return time.Now().Add(24 * time.Hour) }

// secured is a configuration of one tls:// address.
func secured(a *authority) fluent.Config {
	cfg := config()
	cfg.Listen = []string{"tls://127.0.0.1:0"}
	cfg.TLS.CertFile, cfg.TLS.KeyFile = a.pair("server", tomorrow())
	return cfg
}

// tryToListen returns what Listen says.
func tryToListen(t *testing.T, cfg fluent.Config) error {
	t.Helper()
	s, err := fluent.New(cfg, newMemory(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Close()
}

// dialTLS has made its handshake with a server of a's.
func (r *running) dialTLS(a *authority, change func(*tls.Config)) (*tls.Conn, error) {
	r.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	conf := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	if change != nil {
		change(conf)
	}
	nc := tls.Client(r.dial(), conf)
	return nc, nc.Handshake()
}

func expectAcked(t *testing.T, nc net.Conn, id string) {
	t.Helper()
	if _, err := nc.Write(array(str("t"), seconds(1), record("log", id), chunk(id))); err != nil {
		t.Fatal(err)
	}
	expectAck(t, nc, id)
}

func TestEventsComeOverTLS(t *testing.T) {
	a := newAuthority(t)
	r := start(t, secured(a))
	for name, change := range map[string]func(*tls.Config){
		"1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"1.3": func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
	} {
		nc, err := r.dialTLS(a, change)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		expectAcked(t, nc, name)
		// Larger than a record of TLS and than the connection's buffer.
		if _, err := nc.Write(array(str("t"), seconds(1), record("log", strings.Repeat("x", 400_000)), chunk("long"))); err != nil {
			t.Fatal(err)
		}
		expectAck(t, nc, "long")
		// What stands complete in one record, while more is under way.
		var all []byte
		for range 300 {
			all = append(all, message(1, "log", "short")...)
		}
		if _, err := nc.Write(all); err != nil {
			t.Fatal(err)
		}
		expectAcked(t, nc, "last")
	}
	r.store.wait(t, 2*303)
}

// The client inside Docker.
func TestDockersClientSendsOverTLS(t *testing.T) {
	a := newAuthority(t)
	r := start(t, secured(a))
	host, port, _ := net.SplitHostPort(r.Addrs()[0].String())
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	logger, err := client.New(client.Config{
		FluentNetwork: "tls", FluentHost: host, FluentPort: number, TlsInsecureSkipVerify: true, RequestAck: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := logger.Post("docker", map[string]string{"log": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := logger.Close(); err != nil {
		t.Fatal(err)
	}
	r.store.wait(t, 5)
}

func TestWhoDoesNotSpeakTLSAsAskedIsRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	ownCert, ownKey := a.pair("client", tomorrow())
	oldCert, oldKey := a.pair("old", time.Now().Add(-time.Hour))
	foreignCert, foreignKey := other.pair("client", tomorrow())
	show := func(cert, key string) func(*tls.Config) {
		return func(c *tls.Config) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			// Whatever authorities the server names.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
	}
	for name, c := range map[string]struct {
		clientCA bool
		change   func(*tls.Config)
		served   bool
	}{
		"TLS 1.1":                      {false, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		"no client certificate":        {true, nil, false},
		"an expired one":               {true, show(oldCert, oldKey), false},
		"one of another authority":     {true, show(foreignCert, foreignKey), false},
		"a good one":                   {true, show(ownCert, ownKey), true},
		"one that nobody asks for":     {false, show(foreignCert, foreignKey), true},
		"a client that trusts another": {false, func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, false},
		"a client that wants a name":   {false, func(c *tls.Config) { c.ServerName = "other.example" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secured(a)
			if c.clientCA {
				cfg.TLS.ClientCAFile = a.file
			}
			r := start(t, cfg)
			nc, err := r.dialTLS(a, c.change)
			if c.served {
				if err != nil {
					t.Fatal(err)
				}
				expectAcked(t, nc, "1")
				return
			}
			if err == nil { // in TLS 1.3 the client is done before its certificate is judged
				_, _ = nc.Write(message(1, "log", "smuggled"))
				if _, err = io.ReadAll(nc); err == nil {
					t.Error("the server takes the connection")
				}
			}
			nc.NetConn().Close()
			r.store.waitClosed(t, 1)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if n := r.metric("refused_connections_total", "tls_handshake"); n != 1 {
				t.Errorf("%v counted; log: %s", n, r.logs)
			}
			r.store.wait(t, 0)
		})
	}
}

func TestWhatIsNoTLSIsRefusedAtATLSAddress(t *testing.T) {
	a := newAuthority(t)
	for name, c := range map[string]struct {
		reason string
		input  []byte
	}{
		"a plain event":           {"tls_handshake", message(1, "log", "x")},
		"HTTP":                    {"tls_handshake", []byte("GET / HTTP/1.1\r\n\r\n")},
		"half a hello":            {"handshake_timeout", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc")},
		"nothing":                 {"handshake_timeout", nil},
		"a hello without an end":  {"tls_handshake", bytes.Repeat([]byte("\x16\x03\x01\x40\x00\x01\x00\xff\xff"+strings.Repeat("x", 0x3ffc)), 3)},
		"a record that is no TLS": {"tls_handshake", []byte("\x16\x03\x01\x00\x04\x02\x00\x00\x00")},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secured(a)
			cfg.HandshakeTimeout = 300 * time.Millisecond
			r := start(t, cfg)
			nc := r.dial()
			nc.Write(c.input) // the server may hang up in the middle of it
			expectClosed(t, nc)
			r.store.waitClosed(t, 1)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if n := r.metric("refused_connections_total", c.reason); n != 1 {
				t.Errorf("%v counted as %s; log: %s", n, c.reason, r.logs)
			}
			if log := r.logs.String(); strings.Contains(name, "without an end") && !strings.Contains(log, "TLS handshake is too long") {
				t.Errorf("not cut off for its length: %s", log)
			}
			if held := r.metric("buffer_bytes"); held != 0 {
				t.Errorf("%v bytes still held", held)
			}
		})
	}
}

func TestWhoOnlyLooksWhetherTLSIsThereIsNoFault(t *testing.T) {
	r := start(t, secured(newAuthority(t)))
	r.dial().Close()
	r.store.waitClosed(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if log := r.logs.String(); strings.Contains(log, "WARN") {
		t.Errorf("log: %s", log)
	}
}

func TestAStoppingServerTakesWhatTLSClientsHaveSent(t *testing.T) {
	a := newAuthority(t)
	store := newMemory()
	store.gate = make(chan struct{}, 1)
	r := startWith(t, secured(a), store)
	nc, err := r.dialTLS(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	const lines = 300
	for i := range lines { // a record of TLS each: several lie decrypted or in the kernel
		if _, err := nc.Write(message(uint64(i+1), "log", string(make([]byte, 200)))); err != nil {
			t.Fatal(err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	waitRefused(t, r.Addrs()[0])
	close(store.gate)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	r.store.wait(t, lines)
}

func TestAServerWithoutAUsableCertificateDoesNotListen(t *testing.T) {
	a := newAuthority(t)
	for name, set := range map[string]func(*fluent.TLSConfig){
		"no such file":       func(c *fluent.TLSConfig) { c.CertFile += "x" },
		"another key":        func(c *fluent.TLSConfig) { _, c.KeyFile = a.pair("other", tomorrow()) },
		"a CA that is a key": func(c *fluent.TLSConfig) { c.ClientCAFile = c.KeyFile },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secured(a)
			set(&cfg.TLS)
			if err := tryToListen(t, cfg); err == nil || !strings.Contains(err.Error(), "read TLS files") {
				t.Errorf("Listen: %v", err)
			}
		})
	}
	t.Run("an expired one is only warned of", func(t *testing.T) {
		cfg := secured(a)
		cfg.TLS.CertFile, cfg.TLS.KeyFile = a.pair("old", time.Now().Add(-time.Hour))
		r := start(t, cfg)
		if !strings.Contains(r.logs.String(), "has expired") {
			t.Errorf("log: %s", r.logs)
		}
		if _, err := r.dialTLS(a, nil); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("a client says %v", err)
		}
	})
}

func TestClientAndServerUnderstandEachOtherOverTLSAndWithAKey(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	cert, key := a.pair("client", tomorrow())
	oldCert, oldKey := a.pair("old", time.Now().Add(-time.Hour))
	cfg := asking(true)
	cfg.Listen = []string{"tls://127.0.0.1:0"}
	cfg.TLS.CertFile, cfg.TLS.KeyFile = a.pair("server", tomorrow())
	cfg.TLS.ClientCAFile = a.file
	for name, c := range map[string]struct {
		set  func(*fluent.ClientConfig)
		want string
	}{
		"all that is asked for":   {func(*fluent.ClientConfig) {}, ""},
		"the server's other name": {func(c *fluent.ClientConfig) { c.TLS.ServerName = "logs.example" }, ""},
		"another server name":     {func(c *fluent.ClientConfig) { c.TLS.ServerName = "other.example" }, "other.example"},
		"another authority":       {func(c *fluent.ClientConfig) { c.TLS.CAFile = other.file }, "unknown authority"},
		"no such file":            {func(c *fluent.ClientConfig) { c.TLS.CAFile += "x" }, "no such file"},
		"no certificate":          {func(c *fluent.ClientConfig) { c.TLS.CertFile, c.TLS.KeyFile = "", "" }, "certificate required"},
		"an expired certificate":  {func(c *fluent.ClientConfig) { c.TLS.CertFile, c.TLS.KeyFile = oldCert, oldKey }, "certificate"},
		"another key":             {func(c *fluent.ClientConfig) { c.Security.SharedKey = "wrong" }, "shared_key mismatch"},
		"another password":        {func(c *fluent.ClientConfig) { c.Security.Password = "wrong" }, "username/password mismatch"},
		"no user":                 {func(c *fluent.ClientConfig) { c.Security.User, c.Security.Password = "", "" }, "asks for a user"},
		"no key":                  {func(c *fluent.ClientConfig) { c.Security = fluent.ClientSecurity{} }, "asks for a shared key"},
		"the server's own name":   {func(c *fluent.ClientConfig) { c.Security.SelfHostname = "server.example" }, "own name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, cfg)
			cc := clientConfig()
			cc.Address = "tls://" + r.Addrs()[0].String()
			cc.TLS = fluent.ClientTLS{CAFile: a.file, CertFile: cert, KeyFile: key}
			cc.Security = fluent.ClientSecurity{SharedKey: theKey, User: "condor", Password: thePassword}
			cc.GiveUp = 10 * time.Second
			if c.want != "" {
				cc.GiveUp = 200 * time.Millisecond
			}
			c.set(&cc)
			s := run(t, cc, &net.Dialer{})
			s.send("a")
			if c.want == "" {
				s.finish("a")
				r.store.wait(t, 1)
				return
			}
			s.Close()
			if err := <-s.result; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v", err)
			}
			r.expectSecretsKept()
			for _, secret := range []string{theKey, thePassword} {
				if strings.Contains(s.logs.String(), secret) {
					t.Errorf("the client's log tells %q: %s", secret, s.logs)
				}
			}
			r.store.wait(t, 0)
		})
	}
}

// As TestTwoWritersOfOneConnectionGetTheirAcksOneByOne, with what TLS has taken from
// the socket and not yet handed on: two records that one read of the kernel brings.
func TestDockersTwoWritersGetTheirAcksOneByOneOverTLSToo(t *testing.T) {
	a := newAuthority(t)
	store := newMemory()
	store.gate = make(chan struct{})
	r := startWith(t, secured(a), store)
	nc, err := r.dialTLS(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2"} { // a record each
		if _, err := nc.Write(array(str("t"), seconds(1), record("log", id), chunk(id))); err != nil {
			t.Fatal(err)
		}
	}
	close(store.gate)
	want := len(join([]byte{0x81}, str("ack"), str("1")))
	var at [2]time.Time
	for i := range at {
		b := make([]byte, 1024)
		n, err := nc.Read(b)
		if err != nil || n != want {
			t.Fatalf("read %q, %v: not one ack", b[:n], err)
		}
		at[i] = time.Now()
	}
	if gap := at[1].Sub(at[0]); gap < 4*time.Millisecond {
		t.Errorf("the second ack came %v after the first", gap)
	}
}
