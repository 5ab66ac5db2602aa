package fluent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Store makes requests durable. Calls for different connections are concurrent;
// for one connection there is one at a time, and Closed is the last.
type Store interface {
	// Store returns nil when reqs, all of one connection and in its order, are
	// durable. It copies what it keeps: the slices are the server's again when it
	// returns. While it blocks nothing is read from the connection. An error
	// closes the connection, none of reqs acked. It must return soon after ctx
	// has ended.
	Store(ctx context.Context, conn uint64, reqs []Request) error
	// Closed says that no more requests come from conn. It is called once for each
	// connection that was served, whether it ever sent a request or not.
	Closed(conn uint64)
}

// Server serves the Forward protocol. Call Listen, then Run, each once.
type Server struct {
	cfg     Config
	store   Store
	metrics *metrics
	warner  *warner
	budget  *budget

	secrets *secrets      // of the handshake; nil without
	certs   *certificates // of TLS; nil without

	listeners  []listener
	heartbeats []net.PacketConn

	mu       sync.Mutex
	conns    map[*conn]struct{}
	remotes  map[netip.Prefix]int // connections by where they come from
	lastID   uint64
	stopping time.Time // not zero: when reading ends
}

// New checks cfg and registers the metrics. It opens nothing.
func New(cfg Config, store Store, reg prometheus.Registerer, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg, cfg.listensTLS())
	if err != nil {
		return nil, fmt.Errorf("register fluent metrics: %w", err)
	}
	m.limit.Set(float64(cfg.TotalBufferBytes))
	shared := cfg.TotalBufferBytes - int64(cfg.MaxConnections)*cfg.ownBytes() - cfg.reserveBytes()
	return &Server{
		cfg: cfg, store: store, metrics: m, warner: newWarner(log),
		budget: newBudget(shared, m.buffers), conns: map[*conn]struct{}{}, remotes: map[netip.Prefix]int{},
	}, nil
}

// Run serves the sockets that Listen has opened, until ctx ends. Then it closes
// them and lets each connection store and ack what its client has already sent,
// for at most Drain. It returns nil when all connections are closed.
func (s *Server) Run(ctx context.Context) error {
	if len(s.listeners) == 0 {
		return errors.New("run fluent server: not listening")
	}
	// Storing goes on for a while after ctx has ended.
	storing, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var running, accepting sync.WaitGroup
	for _, l := range s.listeners {
		accepting.Go(func() { s.accept(ctx, storing, l, &running) })
	}
	for _, pc := range s.heartbeats {
		running.Go(func() { s.answerHeartbeats(pc) })
	}
	if s.certs != nil {
		running.Go(func() { s.certs.watch(ctx) })
	}
	<-ctx.Done()
	s.drain(time.Now().Add(s.cfg.Drain / 2))
	// A client whose connection waits in the kernel believes what it has sent: a close
	// would reset it.
	for _, l := range s.listeners {
		if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
			_ = d.SetDeadline(time.Now().Add(lastAccepts)) // one that is closed accepts nothing more
		}
	}
	accepting.Wait()
	closing := s.Close()
	last := time.AfterFunc(s.cfg.Drain, func() {
		cut()
		s.cutConnections()
	})
	defer last.Stop()
	running.Wait()
	return closing
}

// lastAccepts is how long connections are taken that clients have made before the
// sockets close.
const lastAccepts = 20 * time.Millisecond

// accept takes connections from l until its deadline, or until it is closed.
func (s *Server) accept(ctx, storing context.Context, l listener, running *sync.WaitGroup) {
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			// Out of file descriptors, as a rule: that passes.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.warner.warn(reasonConnections, "accept forward connection", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		c, full := s.admit(l, nc)
		if c == nil {
			s.metrics.refused[full].Inc()
			s.warner.warn(full, "forward connection refused", "listener", l.Addr().String(), "remote", nc.RemoteAddr().String(),
				"max_connections", s.cfg.MaxConnections, "max_connections_per_address", s.cfg.MaxConnectionsPerAddress)
			nc.Close()
			continue
		}
		running.Go(func() { s.serve(storing, c) })
	}
}

// admit gives a connection its id and a claim to its own memory, or nil and why
// there are too many.
func (s *Server) admit(l listener, nc net.Conn) (*conn, reason) {
	from, limited := remote(nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == s.cfg.MaxConnections {
		return nil, reasonConnections
	}
	if limited {
		if s.remotes[from] >= s.cfg.MaxConnectionsPerAddress {
			return nil, reasonPerAddress
		}
		s.remotes[from]++
	}
	s.lastID++
	c := s.newConn(nc, s.lastID)
	if limited {
		c.from = from
	}
	c.guard(l)
	s.conns[c] = struct{}{}
	s.metrics.accepted.Inc()
	s.metrics.open.Inc()
	s.metrics.buffers.Add(float64(c.claim))
	if !s.stopping.IsZero() {
		c.drain(s.stopping) // accepted while drain was going through the others
	}
	return c, ""
}

// remote is the address that a connection counts for; not limited for unix sockets
// and loopback.
func remote(nc net.Conn) (from netip.Prefix, limited bool) {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return from, false
	}
	ip := a.AddrPort().Addr().Unmap().WithZone("")
	if !ip.IsValid() || ip.IsLoopback() {
		return from, false
	}
	bits := 64 // what one IPv6 host has of its own
	if ip.Is4() {
		bits = 32
	}
	from, err := ip.Prefix(bits)
	return from, err == nil
}

func (s *Server) serve(ctx context.Context, c *conn) {
	err := c.serve(ctx)
	c.net.Close()
	s.store.Closed(c.id)

	s.mu.Lock()
	delete(s.conns, c)
	if c.from.IsValid() {
		if s.remotes[c.from]--; s.remotes[c.from] == 0 {
			delete(s.remotes, c.from)
		}
	}
	s.mu.Unlock()
	s.metrics.open.Dec()
	s.metrics.buffers.Sub(float64(c.claim))
	if err == nil {
		return
	}
	r := &refusal{reasonIncomplete, err.Error()}
	errors.As(err, &r)
	s.metrics.refused[r.reason].Inc()
	s.warner.warn(r.reason, "forward connection closed", "listener", c.net.LocalAddr().String(),
		"remote", c.net.RemoteAddr().String(), "detail", r.detail)
}

// drain tells all connections to read no further than what their clients sent.
func (s *Server) drain(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = until
	for c := range s.conns {
		c.drain(until)
	}
}

// cutConnections ends reads and writes that are still going on.
func (s *Server) cutConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.raw.Close() // below TLS, whose own farewell could block
	}
}
