package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tributary/stream/fluent"
)

// Config is what a person decides.
type Config struct {
	Address string        // of the forwarder: tcp://host:port, tls://host:port or unix:///path
	Service string        // of the lines
	Tag     string        // of the entries
	Timeout time.Duration // how long no ack may come while lines wait for one
	// How the forwarder and this side prove who they are.
	TLS      fluent.ClientTLS
	Security fluent.ClientSecurity
}

// DefaultConfig finds a forwarder on this machine.
func DefaultConfig() Config {
	// A forwarder restarts within seconds; a person waits half a minute.
	return Config{Address: "tcp://127.0.0.1:24224", Tag: "pipe", Timeout: 30 * time.Second}
}

const (
	maxServiceBytes = 128  // schema cuts longer names
	maxTagBytes     = 1024 // the forwarder cuts longer tags
)

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var faults []error
	name := func(key, v string, most int) {
		if v == "" || len(v) > most || !utf8.ValidString(v) {
			faults = append(faults, fmt.Errorf("%s is %.200q: must be UTF-8 of 1 to %d bytes", key, v, most))
		}
	}
	name("service", c.Service, maxServiceBytes)
	name("tag", c.Tag, maxTagBytes)
	if c.Timeout < 100*time.Millisecond || c.Timeout > 24*time.Hour {
		faults = append(faults, fmt.Errorf("timeout is %s: must be 100ms to 24h", c.Timeout))
	}
	return errors.Join(append(faults, c.client().Validate())...)
}

func (c Config) client() fluent.ClientConfig {
	cc := fluent.DefaultClientConfig()
	cc.Address, cc.GiveUp = c.Address, c.Timeout
	cc.TLS, cc.Security = c.TLS, c.Security
	return cc
}

const (
	// chunkBytes is when a batch is sent: two reads of the server, each with one
	// fdatasync. The client takes chunks of up to twice that.
	chunkBytes = 256 << 10
	// linger is how long the first line of a batch waits for others: short enough
	// for a person who watches, and ten chunks a second at most for a trickle.
	linger = 100 * time.Millisecond
)

// Pipe sends one stream of lines.
type Pipe struct {
	cfg    Config
	client *fluent.Client
	read   atomic.Int64
	acked  atomic.Int64
}

// dialer opens connections; *net.Dialer does.
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// New checks cfg. It opens nothing.
func New(cfg Config, d dialer, log *slog.Logger) (*Pipe, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := fluent.NewClient(cfg.client(), d, log)
	if err != nil {
		return nil, err
	}
	return &Pipe{cfg: cfg, client: client}, nil
}

// Figures are the lines so far.
type Figures struct {
	Read, Acked int64
	Trouble     string // why no acks come at present; empty while they do
}

// Figures may be called from any goroutine.
func (p *Pipe) Figures() Figures {
	acked := p.acked.Load() // first: never more than are read
	return Figures{Read: p.read.Load(), Acked: acked, Trouble: p.client.Trouble()}
}

var errTooLate = errors.New("stopped before the rest was acked")

// Run sends in to its end, and copies it to tee unless that is nil. When ctx ends
// it reads no more and waits for the acks of what it has read, for Timeout at most.
// It returns nil when all is acked. Call it once.
func (p *Pipe) Run(ctx context.Context, in io.Reader, tee io.Writer) error {
	sending, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(p.cfg.Timeout):
			cut(errTooLate)
		case <-sending.Done():
		}
	})
	defer stop()
	ended := make(chan struct{})
	var ackErr error
	go func() {
		defer close(ended)
		ackErr = p.client.Run(sending)
	}()
	f := newFeed(in, tee)
	go f.run()
	s := shipping{pipe: p, form: newForm(p.cfg.Service), linger: time.NewTimer(linger)}
	readErr := s.run(ctx, sending, f, ended)
	close(f.done)
	p.client.Close()
	<-ended
	return errors.Join(readErr, ackErr)
}
