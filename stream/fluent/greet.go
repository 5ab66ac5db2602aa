package fluent

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// greet does what the address asks of a client before it is served: TLS and the
// handshake, within HandshakeTimeout. gone says that it left without a word, as
// those do who only look whether somebody listens.
func (c *conn) greet() (gone bool, err error) {
	if c.tls == nil && !c.asked {
		return false, nil
	}
	if !c.beginGreeting() {
		return true, nil
	}
	defer c.endGreeting()
	if c.tls != nil {
		if gone, err := c.shakeTLS(); gone || err != nil {
			return gone, err
		}
	}
	if c.asked {
		return c.ask()
	}
	return false, nil
}

// beginGreeting sets the deadlines of the handshake, which drain leaves alone as
// long as it has time itself.
func (c *conn) beginGreeting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetUntil = time.Now().Add(c.srv.cfg.HandshakeTimeout)
	c.deadline = c.greetUntil
	if !c.readUntil.IsZero() {
		c.deadline = earlier(c.deadline, c.readUntil)
	}
	return c.net.SetReadDeadline(c.deadline) == nil && c.net.SetWriteDeadline(c.greetUntil) == nil
}

func (c *conn) endGreeting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetUntil = time.Time{}
}

func (c *conn) shakeTLS() (gone bool, err error) {
	err = c.tls.Handshake()
	var plain tls.RecordHeaderError
	switch {
	case err == nil:
		c.meter.open.Store(true)
		return false, nil
	case c.meter.read.Load() == 0 && left(err):
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.greetingLate("TLS")
	case errors.As(err, &plain):
		return false, refuse(reasonTLSHandshake, "the client does not speak TLS")
	}
	return false, refuse(reasonTLSHandshake, "%.200s", err)
}

// greetingLate says what it means that a deadline has passed.
func (c *conn) greetingLate(what string) (gone bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readUntil.IsZero() {
		return true, nil // the server stops, and has promised nothing
	}
	return false, refuse(reasonHandshakeTimeout, "no %s after %s", what, c.srv.cfg.HandshakeTimeout)
}

// left reports whether err says that the client has gone.
func left(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// ask says HELO, reads PING and answers PONG. Each goes out in one write: Fluent Bit
// reads each in one read.
func (c *conn) ask() (gone bool, err error) {
	secrets := c.srv.secrets
	h := helo{nonce: newSalt(), keepalive: c.srv.cfg.Security.Keepalive}
	if len(secrets.users) > 0 {
		h.auth = newSalt()
	}
	if _, err := c.net.Write(h.append(nil)); err != nil {
		if left(err) || errors.Is(err, syscall.EPIPE) {
			return true, nil
		}
		return false, refuse(reasonWrite, "write HELO: %v", err)
	}
	b, err := c.readPing()
	if b == nil && err == nil {
		return true, nil
	}
	var verdict pong
	if err == nil {
		var m ping
		if m, err = parsePing(b); err == nil {
			verdict, err = secrets.judge(m, h)
		} else {
			verdict, err = pong{reason: []byte(pongInvalid)}, refuse(reasonHandshake, "its first message is no PING: this address asks for the shared key")
		}
	}
	if err != nil && verdict.reason == nil {
		return false, err // nothing that an answer would help
	}
	if _, werr := c.net.Write(verdict.append(nil)); werr != nil && err == nil {
		return false, refuse(reasonWrite, "write PONG: %v", werr)
	}
	return false, err
}

// readPing reads the client's first message, of maxPingBytes at most; nil without an
// error when the client has gone before its first byte.
func (c *conn) readPing() ([]byte, error) {
	buf := make([]byte, maxPingBytes)
	end := 0
	s := newScanner(maxPingBytes, pingDepth)
	for {
		n, err := c.net.Read(buf[end:])
		end += n
		if n > 0 {
			if forms[buf[0]].kind != kindArray {
				return nil, refuse(reasonHandshake, "it begins with byte 0x%02x: this address asks for the shared key", buf[0])
			}
			whole, serr := s.scan(buf[:end])
			switch {
			case serr != nil:
				return nil, refuse(reasonHandshake, "its first message is no PING: %v", serr)
			case whole && s.off < end:
				return nil, refuse(reasonHandshake, "it goes on before the answer to its PING")
			case whole:
				return buf[:end], nil
			case end == len(buf):
				return nil, refuse(reasonHandshake, "its PING has more than %d bytes", maxPingBytes)
			}
			continue
		}
		switch {
		case end == 0 && left(err):
			return nil, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			_, err := c.greetingLate("PING")
			return nil, err
		case err != nil:
			return nil, refuse(reasonHandshake, "%d bytes into its PING: %v", end, err)
		}
	}
}

// meter is the connection below TLS. Until the handshake is done it gives no more
// than tlsHandshakeBytes.
type meter struct {
	net.Conn
	open atomic.Bool
	read atomic.Int64
}

var errTooLong = errors.New("the client's part of the TLS handshake is too long")

func (m *meter) Read(p []byte) (int, error) {
	if m.open.Load() {
		return m.Conn.Read(p)
	}
	room := tlsHandshakeBytes - m.read.Load()
	if room == 0 {
		return 0, errTooLong
	}
	n, err := m.Conn.Read(p[:min(int64(len(p)), room)])
	m.read.Add(int64(n))
	return n, err
}
