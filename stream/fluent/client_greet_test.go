package fluent_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/stream/fluent"
)

// hello sends HELO with the nonce and returns the fields of the PING.
func (p *peer) hello(nonce string) (fields []string) {
	p.t.Helper()
	b := msgp.AppendString(msgp.AppendArrayHeader(nil, 2), "HELO")
	b = msgp.AppendString(msgp.AppendMapHeader(b, 2), "nonce")
	b = msgp.AppendString(msgp.AppendString(msgp.AppendBytes(b, []byte(nonce)), "auth"), "") // as Fluentd does
	p.write(b)
	n, err := p.r.ReadArrayHeader()
	if err != nil {
		p.t.Fatal(err)
	}
	for range n {
		s, err := p.r.ReadString()
		if err != nil {
			p.t.Fatal(err)
		}
		fields = append(fields, s)
	}
	if len(fields) != 6 || fields[0] != "PING" || fields[3] != sha512hex(fields[2], fields[1], nonce, theKey) || fields[4]+fields[5] != "" {
		p.t.Fatalf("PING is %q", fields)
	}
	return fields
}

func (p *peer) pong(ok bool, reason, host, digest string) {
	p.t.Helper()
	b := msgp.AppendBool(msgp.AppendString(msgp.AppendArrayHeader(nil, 5), "PONG"), ok)
	for _, s := range []string{reason, host, digest} {
		b = msgp.AppendString(b, s)
	}
	p.write(b)
}

func TestAClientWithAKeySendsOnlyToAServerThatProvesIt(t *testing.T) {
	const nonce = "0123456789abcdef"
	for name, c := range map[string]struct {
		want  string // in Trouble; empty: it sends
		serve func(p *peer)
	}{
		"proven": {"", func(p *peer) {
			f := p.hello(nonce)
			p.pong(true, "", "server", sha512hex(f[2], "server", nonce, theKey))
		}},
		"another key": {"another shared key", func(p *peer) {
			f := p.hello(nonce)
			p.pong(true, "", "server", sha512hex(f[2], "server", nonce, "wrong"))
		}},
		"no digest":                {"another shared key", func(p *peer) { p.hello(nonce); p.pong(true, "", "server", "") }},
		"its own digest sent back": {"own name", func(p *peer) { f := p.hello(nonce); p.pong(true, "", f[1], f[3]) }},
		"refused":                  {`refuses: "shared_key mismatch"`, func(p *peer) { p.hello(nonce); p.pong(false, "shared_key mismatch", "", "") }},
		"PONG of another shape":    {"not a message of the handshake", func(p *peer) { p.hello(nonce); p.write(array(str("PONG"), seconds(1))) }},
		"HELO without a nonce":     {"asks for no shared key", func(p *peer) { p.write([]byte("\x92\xa4HELO\x80")) }},
		"something else":           {"asks for no shared key", func(p *peer) { p.write([]byte("\x81\xa3ack\xa1x")) }},
		"no msgpack":               {"0xc1", func(p *peer) { p.write([]byte{0xc1}) }},
		"a HELO without an end":    {"more than 4096 bytes", func(p *peer) { p.write([]byte("\x92\xdb\xff\xff\xff\xff")) }},
		"more than a HELO":         {"not a message of the handshake", func(p *peer) { p.write([]byte("\x92\xa4HELO\x80\xc0")) }},
		"nothing":                  {"does not answer to TLS or the handshake within 5s", func(*peer) {}},
		"nothing after the PING":   {"does not answer to TLS or the handshake within 5s", func(p *peer) { p.hello(nonce) }},
		"an end instead of a PONG": {"closed the connection", func(p *peer) { p.hello(nonce); p.nc.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				cfg := clientConfig()
				cfg.Security.SharedKey = theKey
				cfg.RetryWait, cfg.MaxRetryWait = time.Second, time.Second
				s := run(t, cfg, w)
				s.send("a")
				p := w.accept(t)
				c.serve(p)
				if c.want == "" {
					p.ack(p.read().id)
					s.finish("a")
					return
				}
				p.expectHungUp()
				synctest.Wait()
				if got := s.Trouble(); !strings.Contains(got, c.want) || strings.Contains(got, theKey) {
					t.Errorf("trouble %q, want %q", got, c.want)
				}
				// The next connection finds the server well, and loses nothing.
				p = w.accept(t)
				f := p.hello("fedcba9876543210")
				p.pong(true, "", "server", sha512hex(f[2], "server", "fedcba9876543210", theKey))
				p.ack(p.read().id)
				s.finish("a")
			})
		})
	}
}

func TestFaultsOfSecurityAreNamedTogetherAndTellNoSecret(t *testing.T) {
	expect := func(t *testing.T, err error, want ...string) {
		t.Helper()
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q is not in: %v", w, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("a secret is in: %v", err)
		}
	}
	t.Run("of the server", func(t *testing.T) {
		cfg := config()
		cfg.Listen = []string{"tls://127.0.0.1:0", "tls://nowhere"}
		cfg.Security = fluent.SecurityConfig{Passwords: []string{"sesame"}, AskOn: "some", SelfHostname: strings.Repeat("x", 256)}
		cfg.HandshakeTimeout, cfg.MaxConnectionsPerAddress = 0, 0
		expect(t, cfg.Validate(), "port is missing, as in tls://nowhere:24224", "tls.cert_file is not set", "passwords are set without shared_key",
			"number 1 is not user:password", `ask_on is "some"`, "self_hostname has 256", "handshake_timeout", "max_connections_per_address")
		cfg = config()
		cfg.TLS.CertFile, cfg.Security.SharedKey, cfg.Security.SharedKeyFile = "c", "sesame", "f"
		cfg.Security.Passwords, cfg.Security.PasswordsFile = []string{"a:sesame"}, "f"
		expect(t, cfg.Validate(), "cert_file and key_file must both", "shared_key and shared_key_file are both", "passwords and passwords_file are both")
		cfg = config()
		cfg.TLS.ClientCAFile = "ca"
		expect(t, cfg.Validate(), "client_ca_file is set without")
		cfg = config() // TLS takes memory: what is enough without it is not with it
		cfg.TotalBufferBytes = int64(cfg.MaxConnections)*(cfg.ReadBufferBytes+40<<10) + 2*(cfg.MaxRequestBytes+cfg.MaxDecompressedBytes)
		if err := cfg.Validate(); err != nil {
			t.Errorf("without TLS: %v", err)
		}
		cfg.Listen, cfg.TLS.CertFile, cfg.TLS.KeyFile = []string{"tls://127.0.0.1:0"}, "c", "k"
		expect(t, cfg.Validate(), "total_buffer_bytes")
	})
	t.Run("of the client", func(t *testing.T) {
		cfg := clientConfig()
		cfg.TLS = fluent.ClientTLS{CertFile: "c"}
		cfg.Security = fluent.ClientSecurity{User: "u", SelfHostname: strings.Repeat("x", 256)}
		expect(t, cfg.Validate(), "must begin with tls://", "cert_file and key_file", "user and password", "without shared_key", "255 bytes at most")
	})
}
