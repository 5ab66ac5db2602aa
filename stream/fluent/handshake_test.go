package fluent

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// What the protocol's formulas give, computed elsewhere (Python's hashlib):
//
//	sha512hex(salt + client's host + nonce + key)
//	sha512hex(auth salt + user + password)
//	sha512hex(salt + server's host + nonce + key)
const (
	goldenPing     = "2cab3b9b3a6b67cf81c09c999bf61caafa6487eb9a16dfe29591b1a7f30b515d23bce4382f5d3f7365fc63fb7b3f9d0b444d6484d34e69e8e75ff888fb0c1ef0"
	goldenPassword = "2ba29f257d365a249681a96f3093b77939772c22542668b0b0bd8fcb8d27baec6a3672113def4f1d0c4e4cf8be23d6815b1798f380fbc0796ea9814008a751a1"
	goldenPong     = "78c61c7690119269e8827026d07c28761926d8d6bba8fb729db519bdb40cf9aee7e302ebe76cfa214360c764c5ea9fa41d6f7cf91a148ed3c3e9e6d3ee60893f"
)

func ascending(first byte) []byte {
	b := make([]byte, saltBytes)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

var (
	goldenSecrets = &secrets{host: "server.example", key: "correct horse", users: map[string]string{"condor": "s3cret:x"}}
	goldenHelo    = helo{nonce: ascending(0), auth: ascending(0x20)}
)

func goldenClient() ping {
	return ping{
		host: []byte("client.example"), salt: ascending(0xf0), digest: []byte(goldenPing),
		user: []byte("condor"), passwordDigest: []byte(goldenPassword),
	}
}

func TestAPingOfTheRightKeyAndUserHasTheServersProofAsAnswer(t *testing.T) {
	p, err := goldenSecrets.judge(goldenClient(), goldenHelo)
	if err != nil || !p.ok || string(p.host) != "server.example" || string(p.digest) != goldenPong {
		t.Errorf("%v, %+v", err, p)
	}
}

func TestAPingIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ping, *helo)
		reason reason
		pong   string
	}{
		"of another key":           {func(m *ping, _ *helo) { m.digest[5] ^= 1 }, reasonKey, pongKey},
		"that answers another one": {func(_ *ping, h *helo) { h.nonce = ascending(1) }, reasonKey, pongKey},
		"without a digest":         {func(m *ping, _ *helo) { m.digest = nil }, reasonKey, pongKey},
		"with half a digest":       {func(m *ping, _ *helo) { m.digest = m.digest[:64] }, reasonKey, pongKey},
		"under another name":       {func(m *ping, _ *helo) { m.host = []byte("mallory") }, reasonKey, pongKey},
		"of an unknown user":       {func(m *ping, _ *helo) { m.user = []byte("nobody") }, reasonUser, pongUser},
		"of no user":               {func(m *ping, _ *helo) { m.user, m.passwordDigest = nil, nil }, reasonUser, pongUser},
		"of a wrong password":      {func(m *ping, _ *helo) { m.passwordDigest[0] ^= 1 }, reasonUser, pongUser},
		"with an old password salt": {func(_ *ping, h *helo) { h.auth = ascending(0x21) }, reasonUser,
			pongUser},
		"of an unknown user with the digest of none": {func(m *ping, h *helo) {
			m.user = []byte("nobody")
			m.passwordDigest = digest(h.auth, m.user, nil)
		}, reasonUser, pongUser},
	} {
		t.Run(name, func(t *testing.T) {
			m, h := goldenClient(), goldenHelo
			c.change(&m, &h)
			p, err := goldenSecrets.judge(m, h)
			var r *refusal
			if !errors.As(err, &r) || r.reason != c.reason {
				t.Fatalf("refused as %v, want %s", err, c.reason)
			}
			if p.ok || string(p.reason) != c.pong || len(p.digest)+len(p.host) != 0 {
				t.Errorf("answered %+v", p)
			}
			if len(p.reason) > 31 {
				t.Errorf("the reason %q overflows what Fluent Bit has for it", p.reason)
			}
			for _, secret := range []string{"correct horse", "s3cret", goldenPing, goldenPassword} {
				if bytes.Contains([]byte(err.Error()), []byte(secret)) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
		})
	}
}

// Another msgpack library reads and writes the messages.
func TestMessagesAreWhatTheProtocolSays(t *testing.T) {
	helo := helo{nonce: ascending(0), auth: nil, keepalive: true}.append(nil)
	if want, _ := hex.DecodeString("92a448454c4f83a56e6f6e6365c410000102030405060708090a0b0c0d0e0fa461757468c400a96b656570616c697665c3"); !bytes.Equal(helo, want) {
		t.Errorf("HELO is %x", helo)
	}
	want := msgp.AppendArrayHeader(nil, 6)
	for _, s := range []string{"PING", "client.example", string(ascending(0xf0)), goldenPing, "condor", goldenPassword} {
		want = msgp.AppendString(want, s)
	}
	if got := goldenClient().append(nil); !bytes.Equal(got, want) {
		t.Errorf("PING is %q, want %q", got, want)
	}
	want = msgp.AppendString(msgp.AppendBool(msgp.AppendString(msgp.AppendArrayHeader(nil, 5), "PONG"), true), "")
	want = msgp.AppendString(msgp.AppendString(want, "server.example"), goldenPong)
	if got := (pong{ok: true, host: []byte("server.example"), digest: []byte(goldenPong)}).append(nil); !bytes.Equal(got, want) {
		t.Errorf("PONG is %q, want %q", got, want)
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(goldenHelo.append(nil))
	f.Add(goldenClient().append(nil))
	f.Add(pong{ok: true, host: []byte("h"), digest: []byte(goldenPong)}.append(nil))
	f.Add(pong{reason: []byte(pongUser)}.append(nil))
	f.Add([]byte("\x92\xa4HELO\x80"))
	f.Add([]byte("\x92\xa4HELO\x82\xa5nonce\xa1x\xa4auth\xc0"))
	f.Add([]byte("\x92\xa4HELO\xdf\xff\xff\xff\xff"))
	f.Add([]byte("\xdc\x00\x06\xa4PING\xa0\xa0\xa0\xa0\xa0"))
	f.Add([]byte("\x96\xa4PING\xc0\xc0\xc0\xc0\xc0"))
	f.Add([]byte("\x96\xa4PING\xdb\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newScanner(maxPingBytes, pingDepth)
		if whole, err := s.scan(b); err != nil || !whole || s.off < len(b) {
			return // the readers hand on nothing else
		}
		// What is understood says the same when it is written and read again.
		if m, err := parsePing(b); err == nil {
			again, err := parsePing(m.append(nil))
			if err != nil || !bytes.Equal(again.append(nil), m.append(nil)) {
				t.Fatalf("PING %q becomes %q, %v", b, again.append(nil), err)
			}
			if p, err := goldenSecrets.judge(m, helo{nonce: newSalt()}); err == nil || p.ok {
				t.Fatalf("%q answers a nonce that nobody knows", b)
			}
		}
		if m, err := parsePong(b); err == nil {
			if again, err := parsePong(m.append(nil)); err != nil || !bytes.Equal(again.append(nil), m.append(nil)) {
				t.Fatalf("PONG %q becomes %q, %v", b, again.append(nil), err)
			}
		}
		if m, err := parseHelo(b); err == nil && len(m.nonce) < 256 && len(m.auth) < 256 {
			if again, err := parseHelo(m.append(nil)); err != nil || !bytes.Equal(again.append(nil), m.append(nil)) {
				t.Fatalf("HELO %q becomes %q, %v", b, again.append(nil), err)
			}
		}
	})
}
