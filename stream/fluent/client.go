package fluent

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
)

// Chunk is a batch of entries that is stored and acked as one.
type Chunk struct {
	Tag     string
	Entries []byte // of AppendEntry, one after the other
	Events  int    // how many they are
	// Acked, if not nil, is called once, when the server has acked the chunk, by
	// the goroutine of Run: it must not block.
	Acked func()
}

// Client sends chunks to a Forward server. A chunk is out of its hands when the
// server has acked it, and not before: on any fault the client connects anew and
// sends all chunks that are not acked once more, in the order of Send and under
// the same ids, by which a server like Tributary's recognises those it has. So
// nothing is lost or doubled while Run runs; what is not acked when Run ends may
// or may not be stored.
//
// Run does the work and is called once; the other methods may be called from any
// goroutine.
type Client struct {
	cfg     ClientConfig
	address address
	dialer  dialer
	log     *slog.Logger

	in      chan *pending
	closing chan struct{}
	close   func()
	done    chan struct{} // closed when Run has ended
	err     error         // why; not nil and not written any more when done is closed
	bytes   atomic.Int64
	trouble atomic.Pointer[string]
}

// dialer opens connections; *net.Dialer does.
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// NewClient checks cfg. It opens nothing.
func NewClient(cfg ClientConfig, d dialer, log *slog.Logger) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a, err := parseAddress("address", cfg.Address)
	if err != nil {
		return nil, err
	}
	closing := make(chan struct{})
	return &Client{
		cfg: cfg, address: a, dialer: d, log: log, in: make(chan *pending), done: make(chan struct{}),
		closing: closing, close: sync.OnceFunc(func() { close(closing) }),
	}, nil
}

// pending is a chunk that is not acked.
type pending struct {
	id      string
	request []byte
	acked   func()
}

// pendingBytes is what a pending chunk takes beside its request.
const pendingBytes = 128

func (p *pending) size() int64 { return int64(len(p.request)) + pendingBytes }

// Close says that no more chunks come: Run returns when all it has are acked.
func (c *Client) Close() { c.close() }

// PendingBytes is what the chunks that are not acked hold in memory.
func (c *Client) PendingBytes() int64 { return c.bytes.Load() }

// Trouble says, for a person, why chunks are not acked at present; it is empty
// while they are.
func (c *Client) Trouble() string {
	if t := c.trouble.Load(); t != nil {
		return *t
	}
	return ""
}

var (
	errClientClosed = errors.New("the client is closed")
	errChunkTooLong = errors.New("larger than max_chunk_bytes")
)

// Send hands a chunk to Run, and blocks while MaxPendingBytes wait for acks. It
// copies what it keeps. An error means that the chunk was not taken: ctx has
// ended, or Run has, whose error it then is.
func (c *Client) Send(ctx context.Context, chunk Chunk) error {
	if size := int64(len(chunk.Tag) + len(chunk.Entries)); size > c.cfg.MaxChunkBytes {
		return fmt.Errorf("send a chunk of %d bytes: %w (%d)", size, errChunkTooLong, c.cfg.MaxChunkBytes)
	}
	id := newChunkID()
	request := make([]byte, 0, len(chunk.Tag)+len(chunk.Entries)+packedOverhead)
	p := &pending{id: id, request: appendPacked(request, chunk.Tag, chunk.Entries, chunk.Events, id), acked: chunk.Acked}
	select {
	case c.in <- p:
		return nil
	case <-c.closing:
		return errClientClosed
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newChunkID is base64 of 16 bytes, like the ids of Docker and Fluent Bit: two
// clients never send the same.
func newChunkID() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails
	return base64.StdEncoding.EncodeToString(raw[:])
}
