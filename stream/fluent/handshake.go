package fluent

import (
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
)

// The handshake of the protocol: the server says HELO with a nonce, the client PING
// with a digest that only a holder of the key can make of it, and the server PONG
// with a digest of its own. Digests are SHA-512 in lower-case hexadecimal.

const (
	wordHelo = "HELO"
	wordPing = "PING"
	wordPong = "PONG"

	saltBytes = 16

	// pingDepth is HELO's: an array with a map in it.
	pingDepth = 2
)

// Reasons in a PONG, in Fluentd's words. Fluent Bit copies a reason into 32 bytes
// without looking how long it is.
const (
	pongInvalid = "invalid ping message"
	pongKey     = "shared_key mismatch"
	pongUser    = "username/password mismatch"
)

func newSalt() []byte {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails
	return salt
}

// digest is SHA-512 over parts in hexadecimal.
func digest(parts ...[]byte) []byte {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return hex.AppendEncode(nil, h.Sum(nil))
}

// same compares in a time that tells nothing of where a and b differ.
func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// helo is what a server begins with.
type helo struct {
	nonce     []byte
	auth      []byte // salt for the password; empty: no user is asked for
	keepalive bool
}

// append appends ["HELO", {"nonce": …, "auth": …, "keepalive": …}].
func (m helo) append(dst []byte) []byte {
	dst = append(dst, "\x92\xa4HELO\x83\xa5nonce"...)
	dst = appendBinary8(dst, m.nonce)
	dst = appendBinary8(append(dst, "\xa4auth"...), m.auth)
	dst = append(dst, "\xa9keepalive"...)
	return appendBool(dst, m.keepalive)
}

// ping is a client's answer.
type ping struct {
	host, salt, digest   []byte
	user, passwordDigest []byte
}

func (m ping) append(dst []byte) []byte {
	dst = append(dst, "\x96\xa4PING"...)
	for _, field := range [][]byte{m.host, m.salt, m.digest, m.user, m.passwordDigest} {
		dst = append(appendStringHead(dst, len(field)), field...)
	}
	return dst
}

// pong is the server's verdict.
type pong struct {
	ok           bool
	reason       []byte // why not
	host, digest []byte
}

func (m pong) append(dst []byte) []byte {
	dst = appendBool(append(dst, "\x95\xa4PONG"...), m.ok)
	for _, field := range [][]byte{m.reason, m.host, m.digest} {
		dst = append(appendStringHead(dst, len(field)), field...)
	}
	return dst
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 0xc3)
	}
	return append(dst, 0xc2)
}

// appendBinary8 appends up to 255 bytes.
func appendBinary8(dst, b []byte) []byte { return append(append(dst, 0xc4, byte(len(b))), b...) }

var errHandshake = errors.New("not a message of the handshake")

// message takes the items of the array b, of bytes that a scanner has accepted,
// after its first, which must be word. Each is a value with its head.
func message(b []byte, word string, items int) ([][]byte, error) {
	h, ok := readHead(b)
	if !ok || h.kind != kindArray || h.items != items {
		return nil, errHandshake
	}
	out := make([][]byte, items)
	b = b[h.size:]
	for i := range out {
		n, ok := valueEnd(b)
		if !ok {
			return nil, errHandshake
		}
		out[i], b = b[:n], b[n:]
	}
	if first, ok := text(out[0]); !ok || string(first) != word {
		return nil, errHandshake
	}
	return out[1:], nil
}

// texts reads values that all must be strings or binary.
func texts(values [][]byte, into ...*[]byte) error {
	for i, to := range into {
		var ok bool
		if *to, ok = text(values[i]); !ok {
			return errHandshake
		}
	}
	return nil
}

func parsePing(b []byte) (m ping, err error) {
	values, err := message(b, wordPing, 6)
	if err != nil {
		return m, err
	}
	return m, texts(values, &m.host, &m.salt, &m.digest, &m.user, &m.passwordDigest)
}

func parsePong(b []byte) (m pong, err error) {
	values, err := message(b, wordPong, 5)
	if err != nil {
		return m, err
	}
	switch values[0][0] {
	case 0xc3:
		m.ok = true
	case 0xc2:
	default:
		return m, errHandshake
	}
	return m, texts(values[1:], &m.reason, &m.host, &m.digest)
}

// parseHelo skips options it does not know.
func parseHelo(b []byte) (helo, error) {
	m := helo{keepalive: true}
	values, err := message(b, wordHelo, 2)
	if err != nil {
		return m, err
	}
	h, _ := readHead(values[0])
	if h.kind != kindMap {
		return m, errHandshake
	}
	rest := values[0][h.size:]
	for range h.items / 2 {
		n, _ := valueEnd(rest)
		key, _ := text(rest[:n])
		rest = rest[n:]
		n, _ = valueEnd(rest)
		value := rest[:n]
		rest = rest[n:]
		ok := true
		switch string(key) {
		case "nonce":
			m.nonce, ok = text(value)
		case "auth":
			if forms[value[0]].kind != kindNil {
				m.auth, ok = text(value)
			}
		case "keepalive":
			m.keepalive = value[0] != 0xc2
		}
		if !ok {
			return m, errHandshake
		}
	}
	if len(m.nonce) == 0 {
		return m, errHandshake
	}
	return m, nil
}

// judge checks a client's PING against the HELO that it answers. The verdict of a
// good one proves that the server knows the key too.
func (s *secrets) judge(m ping, h helo) (pong, error) {
	key := []byte(s.key)
	if !same(m.digest, digest(m.salt, m.host, h.nonce, key)) {
		return pong{reason: []byte(pongKey)}, refuse(reasonKey, "the client, which calls itself %.64q, has another shared key", m.host)
	}
	if len(s.users) > 0 {
		// An unknown user takes as long as a known one.
		password, known := s.users[string(m.user)]
		right := same(m.passwordDigest, digest(h.auth, m.user, []byte(password)))
		if !known || !right {
			return pong{reason: []byte(pongUser)}, refuse(reasonUser, "the client, which calls itself %.64q, has a wrong user or password", m.host)
		}
	}
	return pong{ok: true, host: []byte(s.host), digest: digest(m.salt, []byte(s.host), h.nonce, key)}, nil
}
