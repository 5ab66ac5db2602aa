package fluent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

var errServerClosed = errors.New("the server closed the connection")

// session is one attempt to connect and, if it succeeds, the life of that
// connection. Its goroutines own the connection; Run owns the chunks.
type session struct {
	out   chan *pending // from Run, received only by a connection that stands
	acks  chan string   // to Run
	ended chan error    // one value, when all goroutines have returned
	end   context.CancelCauseFunc
}

// connect starts a session.
func (c *Client) connect(ctx context.Context) *session {
	ctx, end := context.WithCancelCause(ctx)
	s := &session{out: make(chan *pending), acks: make(chan string), ended: make(chan error, 1), end: end}
	go func() {
		err := s.run(ctx, c)
		end(nil)
		s.ended <- err
	}()
	return s
}

func (s *session) run(ctx context.Context, c *Client) error {
	nc, err := c.open(ctx)
	if err != nil {
		return err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.end(s.write(ctx, nc))
	}()
	// The end of ctx closes the connection, and that ends a blocked Write or Read;
	// the end of either ends ctx with its reason, of which the first counts.
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	s.end(s.read(ctx, nc))
	nc.Close()
	<-written
	return context.Cause(ctx)
}

func (s *session) write(ctx context.Context, nc net.Conn) error {
	for {
		select {
		case p := <-s.out:
			if _, err := nc.Write(p.request); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// read hands on acks until there can be no more.
func (s *session) read(ctx context.Context, nc net.Conn) error {
	var buf [maxAckBytes]byte
	end := 0
	answer := newScanner(maxAckBytes, maxAckDepth)
	for {
		n, err := nc.Read(buf[end:])
		end += n
		rest := buf[:end]
		for len(rest) > 0 {
			whole, err := answer.scan(rest)
			if err != nil {
				return fmt.Errorf("the server's answer is no ack: %w", err)
			}
			if !whole {
				break
			}
			id, err := parseAck(rest[:answer.off])
			if err != nil {
				return err
			}
			select {
			case s.acks <- id:
			case <-ctx.Done():
				return nil
			}
			rest = rest[answer.off:]
			answer.reset()
		}
		end = copy(buf[:], rest)
		switch {
		case errors.Is(err, io.EOF):
			return errServerClosed
		case err != nil:
			return fmt.Errorf("read acks: %w", err)
		}
	}
}

const (
	// maxAckBytes is more than a server sends beside the chunk id, of 24 bytes.
	maxAckBytes = 4 << 10
	maxAckDepth = 8
)

// parseAck reads {"ack": id}, of bytes that a scanner has accepted.
func parseAck(b []byte) (string, error) {
	h, _ := readHead(b)
	body := b[h.size:]
	if h.kind == kindArray && h.items > 0 {
		n, _ := valueEnd(body)
		if word, _ := text(body[:n]); string(word) == wordHelo {
			return "", errors.New("the server asks for a shared key, and none is set")
		}
	}
	if h.kind != kindMap {
		return "", fmt.Errorf("the server's answer is no ack: %.40q", b)
	}
	for range h.items / 2 {
		n, _ := valueEnd(body)
		key, _ := text(body[:n])
		body = body[n:]
		n, _ = valueEnd(body)
		if id, ok := text(body[:n]); ok && string(key) == "ack" {
			return string(id), nil
		}
		body = body[n:]
	}
	return "", fmt.Errorf("the server's answer is no ack: %.40q", b)
}
