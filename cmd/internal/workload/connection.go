package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// A connection hands messages to a forwarder and goes on trying, as
// fluent-logger-golang does: after any failure it closes, connects anew and sends
// the message again. An ack that was lost so costs a resend under the same chunk;
// without acks a message counts as handed over once the kernel has taken its last
// byte.
type connection struct {
	network, address string
	timeout          time.Duration
	wait, maxWait    time.Duration

	conn  net.Conn
	acks  *msgp.Reader
	tries int64 // writes, resends included
}

// send writes messages and, unless chunk is empty, waits for its ack. It returns an
// error only when ctx has ended: a try that is under way then goes on to its own
// end, and no other follows.
func (c *connection) send(ctx context.Context, messages []byte, chunk string) error {
	wait := c.wait
	for {
		written, err := c.try(ctx, messages, chunk)
		if err == nil {
			return nil
		}
		c.close()
		if chunk == "" {
			// A forwarder that was slow still reads what the kernel has.
			messages = behind(messages, written)
		}
		if ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(wait*3/2, c.maxWait)
	}
}

// behind returns messages from the first one on that does not lie within written
// bytes.
func behind(messages []byte, written int) []byte {
	for rest := messages; ; {
		next, err := msgp.Skip(rest)
		if err != nil || len(messages)-len(next) > written {
			return rest
		}
		rest = next
	}
}

func (c *connection) try(ctx context.Context, messages []byte, chunk string) (written int, err error) {
	if c.conn == nil {
		dialer := net.Dialer{Timeout: c.timeout}
		conn, err := dialer.DialContext(ctx, c.network, c.address)
		if err != nil {
			return 0, err
		}
		c.conn, c.acks = conn, msgp.NewReaderSize(conn, 256)
	}
	c.tries++
	// One deadline for the write and its ack.
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	written, err = c.conn.Write(messages)
	if err != nil || chunk == "" {
		return written, err
	}
	return written, c.awaitAck(chunk)
}

var errOtherAck = errors.New("ack of another chunk")

// awaitAck reads the answer {"ack": chunk}.
func (c *connection) awaitAck(chunk string) error {
	fields, err := c.acks.ReadMapHeader()
	if err != nil {
		return fmt.Errorf("read ack: %w", err)
	}
	var buf [64]byte
	acked := false
	for range fields {
		key, err := c.acks.ReadStringAsBytes(buf[:0])
		if err != nil {
			return fmt.Errorf("read ack: %w", err)
		}
		if string(key) != "ack" {
			if err := c.acks.Skip(); err != nil {
				return fmt.Errorf("read ack: %w", err)
			}
			continue
		}
		value, err := c.acks.ReadStringAsBytes(buf[:0])
		if err != nil {
			return fmt.Errorf("read ack: %w", err)
		}
		acked = string(value) == chunk
	}
	if !acked {
		return errOtherAck
	}
	return nil
}

// close closes the connection, if there is one. What was written before reaches
// the forwarder.
func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is buffered here
		c.conn = nil
	}
}
