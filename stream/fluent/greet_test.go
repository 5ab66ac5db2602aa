package fluent_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/stream/fluent"
)

const (
	theKey      = "correct horse battery"
	thePassword = "open:sesame"
)

// asking is a configuration that asks everyone for the key.
func asking(users bool) fluent.Config {
	cfg := config()
	cfg.Security.SharedKey, cfg.Security.AskOn, cfg.Security.SelfHostname = theKey, fluent.AskAll, "server.example"
	if users {
		cfg.Security.Passwords = []string{"other:x", "condor:" + thePassword}
	}
	return cfg
}

func sha512hex(parts ...string) string {
	sum := sha512.Sum512([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// visitor is the client's side of the handshake, written from the protocol: what
// Fluent Bit and Fluentd do.
type visitor struct {
	t           *testing.T
	nc          net.Conn
	r           *msgp.Reader
	nonce, auth string
	keepalive   bool
}

const visitorSalt = "\x00\xff0123456789abcd" // Fluent Bit sends 16 bytes as a string, whatever they are

// visit connects and reads HELO.
func visit(t *testing.T, nc net.Conn) *visitor {
	t.Helper()
	v := &visitor{t: t, nc: nc, r: msgp.NewReader(nc)}
	n, err := v.r.ReadArrayHeader()
	v.check(err)
	word, err := v.r.ReadString()
	v.check(err)
	if n != 2 || word != "HELO" {
		t.Fatalf("greeted with %d elements, %q", n, word)
	}
	options := map[string]any{}
	v.check(v.r.ReadMapStrIntf(options))
	nonce, _ := options["nonce"].([]byte)
	auth, _ := options["auth"].([]byte)
	v.nonce, v.auth = string(nonce), string(auth)
	v.keepalive, _ = options["keepalive"].(bool)
	if len(nonce) != 16 || len(options) != 3 {
		t.Fatalf("HELO with %v", options)
	}
	return v
}

func (v *visitor) check(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// ping answers a HELO of this nonce and this salt.
func (v *visitor) ping(key, user, password string) []byte {
	fields := []string{"PING", "client.example", visitorSalt, sha512hex(visitorSalt, "client.example", v.nonce, key), "", ""}
	if v.auth != "" {
		fields[4], fields[5] = user, sha512hex(v.auth, user, password)
	}
	b := msgp.AppendArrayHeader(nil, 6)
	for _, f := range fields {
		b = msgp.AppendString(b, f)
	}
	return b
}

func (v *visitor) write(b []byte) {
	v.t.Helper()
	_, err := v.nc.Write(b)
	v.check(err)
}

// pong reads the verdict and checks the server's proof.
func (v *visitor) pong() (ok bool, reason string) {
	v.t.Helper()
	n, err := v.r.ReadArrayHeader()
	v.check(err)
	word, err := v.r.ReadString()
	v.check(err)
	ok, err = v.r.ReadBool()
	v.check(err)
	reason, err = v.r.ReadString()
	v.check(err)
	host, err := v.r.ReadString()
	v.check(err)
	proof, err := v.r.ReadString()
	v.check(err)
	if n != 5 || word != "PONG" {
		v.t.Fatalf("answered with %d elements, %q", n, word)
	}
	if ok && (host != "server.example" || proof != sha512hex(visitorSalt, host, v.nonce, theKey)) {
		v.t.Errorf("%q proves itself with %q", host, proof)
	}
	return ok, reason
}

func (v *visitor) expectWelcome() {
	v.t.Helper()
	if ok, reason := v.pong(); !ok || reason != "" {
		v.t.Fatalf("refused: %q", reason)
	}
}

// expectSecretsKept looks for what must not be in the log.
func (r *running) expectSecretsKept() {
	r.t.Helper()
	for _, secret := range []string{theKey, thePassword, "sesame", "correct horse"} {
		if strings.Contains(r.logs.String(), secret) {
			r.t.Errorf("the log tells %q: %s", secret, r.logs)
		}
	}
}

func TestAClientThatProvesItsKeyIsServed(t *testing.T) {
	for name, users := range map[string]bool{"key": false, "key and user": true} {
		t.Run(name, func(t *testing.T) {
			r := start(t, asking(users))
			v := visit(t, r.dial())
			if (v.auth != "") != users || !v.keepalive {
				t.Errorf("HELO asks for a user: %v, keepalive %v", v.auth != "", v.keepalive)
			}
			v.write(v.ping(theKey, "condor", thePassword))
			v.expectWelcome()
			for _, id := range []string{"1", "2"} {
				v.write(array(str("t"), seconds(1), record("log", id), chunk(id)))
				expectAck(t, v.nc, id)
			}
			r.store.wait(t, 2)
		})
	}
}

func TestAHandshakeMayArriveByteByByte(t *testing.T) {
	r := start(t, asking(true))
	v := visit(t, r.dial())
	for _, b := range v.ping(theKey, "condor", thePassword) {
		v.write([]byte{b})
	}
	v.expectWelcome()
	v.write(array(str("t"), seconds(1), record("log", "x"), chunk("1")))
	expectAck(t, v.nc, "1")
}

func TestWhoProvesNothingIsRefusedCountedAndStoresNothing(t *testing.T) {
	event := message(1, "log", "smuggled")
	long := func(n int) []byte {
		b := msgp.AppendArrayHeader(nil, 6)
		return append(msgp.AppendStringFromBytes(msgp.AppendString(b, "PING"), make([]byte, n)), event...)
	}
	for name, c := range map[string]struct {
		reason, pong string
		say          func(v *visitor) []byte
	}{
		"another key":             {"shared_key", "shared_key mismatch", func(v *visitor) []byte { return v.ping("wrong", "condor", thePassword) }},
		"another password":        {"user", "username/password mismatch", func(v *visitor) []byte { return v.ping(theKey, "condor", "wrong") }},
		"another user's password": {"user", "username/password mismatch", func(v *visitor) []byte { return v.ping(theKey, "other", thePassword) }},
		"an unknown user":         {"user", "username/password mismatch", func(v *visitor) []byte { return v.ping(theKey, "nobody", "") }},
		"a PING of 5 elements":    {"handshake", "invalid ping message", func(*visitor) []byte { return array(str("PING"), str(""), str(""), str(""), str("")) }},
		"a PING of numbers": {"handshake", "invalid ping message", func(*visitor) []byte {
			return array(str("PING"), seconds(1), seconds(1), seconds(1), seconds(1), seconds(1))
		}},
		"another word":             {"handshake", "invalid ping message", func(*visitor) []byte { return array(str("PONG"), str(""), str(""), str(""), str(""), str("")) }},
		"Docker's first line":      {"handshake", "invalid ping message", func(*visitor) []byte { return event }},
		"lines right after PING":   {"handshake", "", func(v *visitor) []byte { return join(v.ping(theKey, "condor", thePassword), event) }},
		"a PING of 5 KiB":          {"handshake", "", func(*visitor) []byte { return long(5 << 10) }},
		"a PING of 4 GB":           {"handshake", "", func(*visitor) []byte { return []byte("\x96\xa4PING\xdb\xff\xff\xff\xff") }},
		"a deep PING":              {"handshake", "", func(*visitor) []byte { return append([]byte("\x96\xa4PING"), bytes.Repeat([]byte{0x91}, 100)...) }},
		"HTTP":                     {"handshake", "", func(*visitor) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }},
		"a TLS hello":              {"handshake", "", func(*visitor) []byte { return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") }},
		"bytes that msgpack lacks": {"handshake", "", func(*visitor) []byte { return []byte("\x96\xa4PING\xc1") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, asking(true))
			v := visit(t, r.dial())
			v.nc.Write(c.say(v)) // the server may hang up in the middle of it
			if c.pong != "" {
				if ok, reason := v.pong(); ok || reason != c.pong {
					t.Errorf("PONG %v, %q", ok, reason)
				}
			}
			expectClosed(t, v.nc)
			r.store.waitClosed(t, 1)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if n := r.metric("refused_connections_total", c.reason); n != 1 {
				t.Errorf("%v counted as %s; log: %s", n, c.reason, r.logs)
			}
			if log := r.logs.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "reason="+c.reason) {
				t.Errorf("log: %s", log)
			}
			r.expectSecretsKept()
			r.store.wait(t, 0)
		})
	}
}

func TestAPingThatWasHeardIsWorthNothingOnTheNextConnection(t *testing.T) {
	r := start(t, asking(true))
	heard := visit(t, r.dial())
	ping := heard.ping(theKey, "condor", thePassword)
	heard.write(ping)
	heard.expectWelcome()
	replay := visit(t, r.dial())
	if replay.nonce == heard.nonce || replay.auth == heard.auth {
		t.Fatal("two connections have the same nonce")
	}
	replay.write(ping)
	if ok, reason := replay.pong(); ok || reason != "shared_key mismatch" {
		t.Errorf("PONG %v, %q", ok, reason)
	}
	expectClosed(t, replay.nc)
}

func TestWhoOnlyLooksWhetherTheServerIsThereIsNoFault(t *testing.T) {
	r := start(t, asking(false))
	visit(t, r.dial()).nc.Close() // Fluentd's heartbeat, a balancer's check
	r.store.waitClosed(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if log := r.logs.String(); strings.Contains(log, "WARN") {
		t.Errorf("log: %s", log)
	}
}

func TestHalfAHandshakeTakesLittleAndEnds(t *testing.T) {
	cfg := asking(false)
	cfg.HandshakeTimeout = 300 * time.Millisecond
	r := start(t, cfg)
	var halves []*visitor
	for i := range 20 {
		v := visit(t, r.dial())
		if i%2 == 0 {
			v.write(v.ping(theKey, "", "")[:100])
		}
		halves = append(halves, v)
	}
	if held := r.metric("buffer_bytes"); held > 20*4<<10 {
		t.Errorf("%v bytes held for 20 clients that have proven nothing", held)
	}
	for _, v := range halves {
		expectClosed(t, v.nc)
	}
	r.store.waitClosed(t, 20)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.metric("refused_connections_total", "handshake_timeout"); n != 20 {
		t.Errorf("%v counted; log: %s", n, r.logs)
	}
	if held := r.metric("buffer_bytes"); held != 0 {
		t.Errorf("%v bytes still held", held)
	}
}

func TestWithoutKeepaliveAConnectionEndsWithItsRequest(t *testing.T) {
	cfg := asking(false)
	cfg.Security.Keepalive = false
	r := start(t, cfg)
	v := visit(t, r.dial())
	if v.keepalive {
		t.Error("HELO offers to keep the connection")
	}
	v.write(v.ping(theKey, "", ""))
	v.expectWelcome()
	v.write(array(str("t"), seconds(1), record("log", "x"), chunk("1")))
	expectAck(t, v.nc, "1")
	if rest := expectClosed(t, v.nc); len(rest) != 0 {
		t.Errorf("%q after the ack", rest)
	}
	r.store.wait(t, 1)
}

func TestOnlyClientsFromElsewhereAreAskedUnlessAllAre(t *testing.T) {
	cfg := asking(false)
	cfg.Security.AskOn = fluent.AskRemote
	cfg.Listen = []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "s"), "tcp://0.0.0.0:0"}
	r := start(t, cfg)
	for i, a := range r.Addrs() {
		nc, err := net.Dial(a.Network(), strings.Replace(a.String(), "[::]", "127.0.0.1", 1))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		if i == 2 {
			v := visit(t, nc)
			v.write(v.ping(theKey, "", ""))
			v.expectWelcome()
		}
		if _, err := nc.Write(array(str("t"), seconds(1), record("log", "x"), chunk("1"))); err != nil {
			t.Fatal(err)
		}
		expectAck(t, nc, "1")
	}
	if log := r.logs.String(); log != "" {
		t.Errorf("log: %s", log)
	}
}

func TestAnOpenDoorIsWarnedOfOnce(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*fluent.Config)
		want int
	}{
		"loopback":        {func(*fluent.Config) {}, 0},
		"open":            {func(c *fluent.Config) { c.Listen = []string{"tcp://0.0.0.0:0", "tcp://127.0.0.1:0", "tcp://:0"} }, 1},
		"open with a key": {func(c *fluent.Config) { c.Listen, c.Security.SharedKey = []string{"tcp://0.0.0.0:0"}, "k" }, 0},
		"open, everything": {func(c *fluent.Config) {
			c.Listen, c.Security.SharedKey, c.Security.AskOn = []string{"tcp://:0"}, "k", "all"
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			c.set(&cfg)
			r := start(t, cfg)
			if n := strings.Count(r.logs.String(), "from anyone"); n != c.want {
				t.Errorf("%d warnings: %s", n, r.logs)
			}
		})
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := asking(false)
	cfg.Security.SharedKey = ""
	cfg.Security.SharedKeyFile = file("key", theKey+"\n")
	cfg.Security.PasswordsFile = file("users", "other:x\r\ncondor:"+thePassword+"\n")
	r := start(t, cfg)
	v := visit(t, r.dial())
	v.write(v.ping(theKey, "condor", thePassword))
	v.expectWelcome()

	for name, set := range map[string]func(*fluent.SecurityConfig){
		"no such file":    func(c *fluent.SecurityConfig) { c.SharedKeyFile = filepath.Join(dir, "none") },
		"an empty key":    func(c *fluent.SecurityConfig) { c.SharedKeyFile = file("empty", "\n") },
		"a huge key":      func(c *fluent.SecurityConfig) { c.SharedKeyFile = file("huge", strings.Repeat("x", 1<<20)) },
		"a line too few:": func(c *fluent.SecurityConfig) { c.PasswordsFile = file("bad", "condor:x\nsesame\n") },
		"a user twice":    func(c *fluent.SecurityConfig) { c.PasswordsFile = file("twice", "a:sesame\na:y\n") },
	} {
		t.Run(name, func(t *testing.T) {
			broken := cfg
			set(&broken.Security)
			err := tryToListen(t, broken)
			if err == nil || strings.Contains(err.Error(), "sesame") {
				t.Errorf("Listen: %v", err)
			}
		})
	}
}
