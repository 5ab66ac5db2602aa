package fluent

import (
	"syscall"
	"time"
)

// ackGap is the pause between the acks for two writers of one connection: long
// enough for the first to have read its own, even on a busy machine.
const ackGap = 5 * time.Millisecond

// ack writes all acks of the batch, at once but for Docker's. Docker has one goroutine
// for stdout and one for stderr, or at the end of a non-blocking container one that
// empties the ring beside the one that was sending. Each sends, then reads all that
// has come and takes it for its own ack. Of two acks that come together one reader
// swallows both and the other waits for ever: the container cannot end.
//
// A single writer that waits for its ack never waits here: it has sent nothing more
// when its ack is written.
func (c *conn) ack(b *batch) error {
	acks := b.acks
	if b.ofWaitingWriters() {
		c.keepApart()
		if b.ackCount == 2 {
			if err := c.write(acks[:b.firstAck]); err != nil {
				return err
			}
			acks, c.owed = acks[b.firstAck:], true
			c.keepApart()
		}
		c.owed = c.sentMore()
	}
	if err := c.write(acks); err != nil {
		return err
	}
	c.srv.metrics.acks.Add(float64(b.ackCount))
	return nil
}

// keepApart waits until the writer of the last ack has read it, when another was
// waiting beside it.
func (c *conn) keepApart() {
	if c.owed {
		<-time.After(ackGap - time.Since(c.acked))
	}
}

// sentMore reports whether the client has sent more than has been taken from the
// connection. It looks and does not wait.
func (c *conn) sentMore() bool {
	if c.start == c.end {
		c.takeDecrypted()
	}
	if c.start < c.end {
		return true
	}
	socket, ok := c.raw.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK) // nothing there is an error too
		return true
	})
	return err == nil && n > 0
}

// takeDecrypted moves into the buffer what TLS has taken from the socket: a read whose
// time is over gets that and nothing else.
func (c *conn) takeDecrypted() {
	if c.tls == nil || c.setReadDeadline(time.Unix(1, 0)) != nil {
		return
	}
	n, _ := c.tls.Read(c.buf[c.end:min(len(c.buf), c.end+len(c.own))]) // an error comes again, a deadline's goes
	c.end += n
	c.taken = c.taken || n > 0
	_ = c.setReadDeadline(time.Time{}) // likewise
}

func (c *conn) write(acks []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout)); err != nil {
		return refuse(reasonWrite, "set write deadline: %v", err)
	}
	if _, err := c.net.Write(acks); err != nil {
		return refuse(reasonWrite, "write acks: %v", err)
	}
	c.acked = time.Now()
	return nil
}
