package fluent

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// drainQuiet is how long a connection must be silent, once the server stops, to
// be taken as drained. What a client wrote before is in the kernel by then.
const drainQuiet = 100 * time.Millisecond

// conn is one connection. Its goroutine owns everything but deadlines, which the
// stopping server sets too.
type conn struct {
	id    uint64
	srv   *Server
	net   net.Conn     // raw, or TLS over it
	raw   net.Conn     // the socket
	from  netip.Prefix // what it counts for; zero: for no address
	tls   *tls.Conn    // net, if that is TLS
	meter *meter       // below tls
	asked bool         // for the handshake
	claim int64        // of bytes, to its own memory

	taken bool // bytes that came since collect looked, see takeDecrypted

	own   []byte // the buffer that is always there once the client is greeted
	buf   []byte // own, or a borrowed larger one; buf[start:end] is what was read and not yet stored
	start int
	end   int

	scan    scanner // of the request at buf[start]
	decoder *decoder
	loan    loan

	served bool      // at least one request
	acked  time.Time // when the last ack was written
	owed   bool      // the client had sent more by then: two writers, see ack

	since time.Time // when reading the request at buf[start] began; zero when none has

	mu         sync.Mutex
	deadline   time.Time // of the next read, as it was set
	readUntil  time.Time // not zero: the server stops, and reading ends here
	greetUntil time.Time // not zero: the client is being greeted, until then at most
}

func (s *Server) newConn(nc net.Conn, id uint64) *conn {
	c := &conn{id: id, srv: s, net: nc, raw: nc, claim: s.cfg.ownBytes(), loan: loan{from: s.budget}}
	c.scan = newScanner(s.cfg.MaxRequestBytes, s.cfg.MaxDepth)
	c.decoder = newDecoder(s.cfg, &c.loan)
	return c
}

// guard makes c ask of its client what l does. Until it has that it claims no more
// memory than it takes.
func (c *conn) guard(l listener) {
	c.asked = l.asks
	if l.tls != nil {
		c.meter = &meter{Conn: c.raw}
		c.tls = tls.Server(c.meter, l.tls)
		c.net = c.tls
	}
	switch {
	case c.tls != nil:
		c.claim = tlsBytes + maxPingBytes
	case c.asked:
		c.claim = maxPingBytes
	}
}

// open gives a greeted connection its memory.
func (c *conn) open() {
	own := c.srv.cfg.ownBytes()
	c.srv.metrics.buffers.Add(float64(own - c.claim))
	c.claim = own
	c.own = make([]byte, c.srv.cfg.ReadBufferBytes)
	c.buf = c.own
}

// serve reads, stores and acks until the client leaves (nil), the server stops
// (nil), or something must be refused. ctx ends when storing must end.
func (c *conn) serve(ctx context.Context) error {
	defer c.loan.settle()
	if gone, err := c.greet(); gone || err != nil {
		return err
	}
	c.open()
	for {
		more, refused := c.collect(ctx)
		if err := c.store(ctx); err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
		if c.last() {
			return nil
		}
		if more || c.taken {
			c.taken = false
			continue
		}
		if err := c.makeRoom(ctx); err != nil {
			return err
		}
		if done, err := c.read(); done || err != nil {
			return err
		}
	}
}

// collect decodes the complete requests of the buffer into the batch. more says
// that it stopped because the batch is full. After an error the batch still
// holds the requests before the fault.
func (c *conn) collect(ctx context.Context) (more bool, err error) {
	for c.start < c.end {
		if c.decoder.batch.full() {
			return true, nil
		}
		rest := c.buf[c.start:c.end]
		if !c.scan.started {
			if forms[rest[0]].kind == kindNil { // a heartbeat
				c.srv.metrics.tcpNils.Inc()
				c.start++
				continue
			}
			if err := checkStart(rest); err != nil {
				return false, err
			}
		}
		whole, err := c.scan.scan(rest)
		if err != nil || !whole {
			return false, err
		}
		if err := c.decoder.add(ctx, rest[:c.scan.off], &c.scan); err != nil {
			return false, err
		}
		c.start += c.scan.off
		c.scan.reset()
		c.since = time.Time{}
	}
	return false, nil
}

// store hands the batch on, acks it, and gives back what it had borrowed.
func (c *conn) store(ctx context.Context) error {
	b := &c.decoder.batch
	if len(b.requests) > 0 {
		begin := time.Now()
		if err := c.srv.store.Store(ctx, c.id, b.requests); err != nil {
			return refuse(reasonStore, "%v", err)
		}
		c.srv.metrics.storeTime.Observe(time.Since(begin).Seconds())
		c.srv.metrics.stored(b)
		c.served = true
	}
	if len(b.acks) > 0 {
		if err := c.ack(b); err != nil {
			return err
		}
	}
	b.reset()
	c.rewind()
	return nil
}

// rewind moves what is left to the front. A borrowed buffer goes back as soon as
// what is left fits into our own: always, once its large request is stored,
// because the last read took no more than our own holds.
func (c *conn) rewind() {
	left := c.buf[c.start:c.end]
	borrowed := c.borrows()
	if c.start > 0 && (!borrowed || len(left) <= len(c.own)) {
		copy(c.own, left)
		c.buf, borrowed = c.own, false
		c.start, c.end = 0, len(left)
	}
	// What is borrowed beyond the buffer was for the batch, which is stored.
	var keep int64
	if borrowed {
		keep = int64(len(c.buf))
	}
	c.loan.giveBack(c.loan.shared + c.loan.reserved - keep)
}

// makeRoom doubles the buffer when a request fills it. It grows with the bytes
// that came, never with those a client announced.
func (c *conn) makeRoom(ctx context.Context) error {
	if c.end < len(c.buf) {
		return nil
	}
	size := min(2*len(c.buf), int(c.srv.cfg.MaxRequestBytes))
	if size == len(c.buf) {
		return refuse(reasonTooLarge, "more than %d bytes", size)
	}
	begin := time.Now()
	if err := c.loan.take(ctx, int64(size)); err != nil {
		return refuse(reasonIncomplete, "the server stopped in mid-request")
	}
	if !c.since.IsZero() {
		c.since = c.since.Add(time.Since(begin)) // waiting was not the client's fault
	}
	grown := make([]byte, size)
	c.end = copy(grown, c.buf[c.start:c.end])
	if c.borrows() {
		c.loan.giveBack(int64(len(c.buf)))
	}
	c.buf, c.start = grown, 0
	return nil
}

// last reports whether the client, told to keep no connection, has had its request.
func (c *conn) last() bool {
	return c.asked && !c.srv.cfg.Security.Keepalive && c.served && !c.sentMore()
}

// read reads once. done without an error means that nothing is left to do.
func (c *conn) read() (done bool, err error) {
	partial := c.end > c.start
	if err := c.arm(partial); err != nil {
		return true, nil // closed under us: the drain is over
	}
	// No more than our own buffer holds, see rewind.
	n, err := c.net.Read(c.buf[c.end:min(len(c.buf), c.end+len(c.own))])
	c.end += n
	if n > 0 || err == nil {
		return false, nil // an error comes again
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.late(partial)
	case partial && errors.Is(err, io.EOF):
		return true, refuse(reasonIncomplete, "the client closed within a request, %d bytes into it", c.end-c.start)
	case partial:
		return true, refuse(reasonIncomplete, "%d bytes into a request: %v", c.end-c.start, err)
	}
	return true, nil
}

// late says what a read that ran into its deadline means.
func (c *conn) late(partial bool) (done bool, err error) {
	c.mu.Lock()
	until, since := c.readUntil, c.since
	c.mu.Unlock()
	switch {
	case !until.IsZero() && partial && time.Now().Before(until):
		return false, nil // silent, but the rest of a request may still come
	case !until.IsZero() && partial:
		return true, refuse(reasonIncomplete, "the server stopped %d bytes into a request", c.end-c.start)
	case !until.IsZero() && !time.Now().Before(until):
		return true, refuse(reasonIncomplete, "the server stopped while the client was still sending")
	case !until.IsZero():
		return !c.waiting(), nil // silent for drainQuiet
	case partial && c.borrows() && time.Now().Before(since.Add(c.srv.cfg.RequestTimeout)):
		if c.srv.budget.waiting.Load() == 0 {
			return false, nil
		}
		return true, refuse(reasonStalled, "silent for %s, %d bytes into a request, with memory that others wait for", c.srv.cfg.StallTimeout, c.end-c.start)
	case partial:
		return true, refuse(reasonTimeout, "a request was not complete after %s", c.srv.cfg.RequestTimeout)
	}
	return true, refuse(reasonIdle, "silent for %s", c.srv.cfg.IdleTimeout)
}

// waiting reports whether the socket holds something after a deadline. On a busy
// machine this goroutine is stopped between arm and Read, its deadline passes, and
// Read does not even look: what the client sent, and believes delivered, would be
// taken for silence and thrown away.
func (c *conn) waiting() bool {
	return c.setReadDeadline(time.Time{}) == nil && c.sentMore() // or looking fails for the same reason
}

func (c *conn) setReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.net.SetReadDeadline(t)
}

// borrows reports whether the request being read has outgrown the connection's own memory.
func (c *conn) borrows() bool { return len(c.buf) > len(c.own) }

// arm sets the deadline of the next read.
func (c *conn) arm(partial bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if partial && c.since.IsZero() {
		c.since = now
	}
	var deadline time.Time // zero is none
	switch {
	case !c.readUntil.IsZero() && partial:
		deadline = c.readUntil
	case !c.readUntil.IsZero():
		deadline = earlier(now.Add(drainQuiet), c.readUntil)
	case partial:
		deadline = c.since.Add(c.srv.cfg.RequestTimeout)
		if c.borrows() {
			deadline = earlier(deadline, now.Add(c.srv.cfg.StallTimeout))
		}
	case c.srv.cfg.IdleTimeout > 0:
		deadline = now.Add(c.srv.cfg.IdleTimeout)
	}
	if deadline.Equal(c.deadline) {
		return nil
	}
	c.deadline = deadline
	return c.net.SetReadDeadline(deadline)
}

// drain makes reading end when the client is silent, at the latest at until. It
// is called by the stopping server. arm takes the same lock: without it, arm
// could see no stop, drain set its deadline, and arm remove it again, and the
// connection would wait for its client for ever.
func (c *conn) drain(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readUntil = until
	c.deadline = earlier(time.Now().Add(drainQuiet), until)
	if !c.greetUntil.IsZero() {
		c.deadline = earlier(c.greetUntil, until) // its first lines may follow at once
	}
	// An error means that it is closed, which is as good.
	_ = c.net.SetReadDeadline(c.deadline)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
