package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
	"golang.org/x/sync/errgroup"
)

// Container logs to a forwarder as the Docker driver does for one container: one
// connection, Message mode, lines over 16 KiB in pieces, stdout and stderr
// interleaved.
type Container struct {
	client *fluent.Fluent
	id     string
	name   string

	// one keeps a single message outstanding while acks are asked for. Of two on
	// their way the client reads whichever ack comes next, takes the other one's for
	// a failure, closes the connection and sends again: nothing is lost, but hardly
	// anything gets through.
	one *sync.Mutex
}

// pieceBytes is the buffer of Docker's copier.
const pieceBytes = 16 << 10

// NewContainer connects to addr, host:port.
func NewContainer(addr string, number int, ack bool) (*Container, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	cfg := fluent.Config{
		FluentHost: host, FluentPort: p, RequestAck: ack, SubSecondPrecision: true,
		RetryWait: 50, MaxRetryWait: 500, MaxRetry: 10_000, // Docker retries 2^31-1 times
		Timeout: patience, // to connect; of a process that is not there the kernel tells at once
		// Without acks a client that gives up a slow connection goes on with the line's
		// other pieces on a new one, and they may overtake the first.
		WriteTimeout: patience,
	}
	if ack {
		// Shorter than forwarders are stopped: what such a client has given up the
		// forwarder finds in its socket all the same, and meets again when it is resent.
		cfg.WriteTimeout, cfg.ReadTimeout = 2*time.Second, 2*time.Second
	}
	client, err := fluent.New(cfg)
	if err != nil {
		return nil, err
	}
	c := &Container{client: client, id: randomHex(), name: fmt.Sprintf("/ecs-shop-7-web%d-%d", number%3, number)}
	if ack {
		c.one = new(sync.Mutex)
	}
	return c, nil
}

func randomHex() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Log sends one line. With acks it returns nil when the whole line was acked.
func (c *Container) Log(source, line string) error {
	at := time.Now()
	if len(line) < pieceBytes {
		return c.post(at, map[string]string{"source": source, "log": line})
	}
	id := randomHex()
	for ordinal := 1; ; ordinal++ {
		n := min(len(line), pieceBytes)
		last := n < pieceBytes // a line of k times 16 KiB ends with an empty piece
		err := c.post(at, map[string]string{
			"source": source, "log": line[:n],
			"partial_message": "true", "partial_id": id,
			"partial_ordinal": strconv.Itoa(ordinal), "partial_last": strconv.FormatBool(last),
		})
		if err != nil || last {
			return err
		}
		line = line[n:]
	}
}

func (c *Container) post(at time.Time, record map[string]string) error {
	record["container_id"], record["container_name"] = c.id, c.name
	record["com.amazonaws.ecs.task-definition-family"] = "shop"
	if c.one != nil {
		c.one.Lock()
		defer c.one.Unlock()
	}
	return c.client.PostWithTime("docker."+c.id[:12], at, record)
}

// Close closes the connection.
func (c *Container) Close() error { return c.client.Close() }

// Feed sends lines first to last, without acks: a line counts as acked when the kernel
// has taken it.
func Feed(ctx context.Context, addr string, connections, first, last int, ledger *Ledger) error {
	return feed(ctx, addr, connections, first, last, false, 0, ledger)
}

// FeedAcked sends lines from first on until ctx ends, each acked before the next one of
// its stream, at most rate a second; 0 is as fast as acks come.
func FeedAcked(ctx context.Context, addr string, connections, first, rate int, ledger *Ledger) error {
	pause := time.Duration(0)
	if rate > 0 {
		pause = time.Duration(2*connections) * time.Second / time.Duration(rate)
	}
	return feed(ctx, addr, connections, first, math.MaxInt, true, pause, ledger)
}

// feed sends on connections, each with a goroutine for stdout and one for stderr, and
// notes the lines in the ledger. When ctx ends it stops behind the lines it has begun.
func feed(ctx context.Context, addr string, connections, first, last int, ack bool, pause time.Duration, ledger *Ledger) error {
	var group errgroup.Group
	for i := range connections {
		c, err := NewContainer(addr, i, ack)
		if err != nil {
			return err
		}
		defer c.Close()
		for j, source := range []string{"stdout", "stderr"} {
			group.Go(func() error {
				for n := first + 2*i + j; n <= last && sleep(ctx, pause) == nil; n += 2 * connections {
					line, _ := Line(n)
					ledger.Begin(n)
					if err := c.Log(source, line); err != nil {
						return fmt.Errorf("line %d: %w", n, err)
					}
					ledger.Ack(n)
				}
				return nil
			})
		}
	}
	return group.Wait()
}
