package fluent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// listener is a socket with what it asks of clients.
type listener struct {
	net.Listener
	tls  *tls.Config // nil: none
	asks bool        // for the shared key
}

// Listen reads keys and certificates and opens the sockets of the configuration, so
// that a port which is taken is known before anything else starts. On an error none
// stays open.
func (s *Server) Listen() error {
	if err := s.arm(); err != nil {
		return err
	}
	for _, l := range s.cfg.Listen {
		if err := s.listen(l); err != nil {
			err = errors.Join(err, s.Close())
			s.listeners, s.heartbeats = nil, nil
			return err
		}
	}
	s.warnOfOpenDoors()
	return nil
}

// arm reads the files of the configuration.
func (s *Server) arm() (err error) {
	if s.secrets, err = s.cfg.Security.load(); err != nil {
		return fmt.Errorf("read secrets of the forward server: %w", err)
	}
	if !s.cfg.listensTLS() {
		return nil
	}
	s.certs = &certificates{cfg: s.cfg.TLS, metrics: s.metrics, log: s.warner.log}
	if err := s.certs.load(); err != nil {
		return fmt.Errorf("read TLS files of the forward server: %w", err)
	}
	return nil
}

// warnOfOpenDoors says once which sockets take lines from anyone on the network.
func (s *Server) warnOfOpenDoors() {
	var open []string
	for _, l := range s.listeners {
		if isRemote(l.Addr()) && l.tls == nil && !l.asks {
			open = append(open, l.Addr().String())
		}
	}
	if len(open) > 0 {
		s.warner.log.Warn("forward server takes lines from the network in clear text and from anyone: use a tls:// address or security.shared_key", "listen", open)
	}
}

// isRemote reports whether other machines may reach a socket.
func isRemote(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && !tcp.IP.IsLoopback()
}

func (s *Server) listen(where string) error {
	a, err := parseListen(where)
	if err != nil {
		return err
	}
	if a.network == "unix" {
		if err := removeStale(a.name); err != nil {
			return fmt.Errorf("listen on %s: %w", where, err)
		}
	}
	var lc net.ListenConfig
	ctx := context.Background() // binding a local address does not block
	l, err := lc.Listen(ctx, a.network, a.name)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", where, err)
	}
	socket := listener{Listener: l, asks: s.secrets != nil && (s.cfg.Security.AskOn == AskAll || isRemote(l.Addr()))}
	if a.tls {
		socket.tls = s.certs.serve()
	}
	s.listeners = append(s.listeners, socket)
	if a.network != "tcp" || a.tls || !s.cfg.UDPHeartbeat {
		return nil
	}
	pc, err := lc.ListenPacket(ctx, "udp", l.Addr().String())
	if err != nil {
		return fmt.Errorf("listen on %s for heartbeats: %w", where, err)
	}
	s.heartbeats = append(s.heartbeats, pc)
	return nil
}

// removeStale removes the socket that a killed process has left, but neither a
// socket on which somebody answers nor a file that is no socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	nc, err := net.Dial("unix", path)
	if err == nil {
		nc.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Addrs returns the addresses of the stream sockets, in the order of
// Config.Listen. A port that was configured as 0 is the real one here.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Close closes the sockets that Listen has opened. It is for a server whose Run
// was never called.
func (s *Server) Close() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	for _, pc := range s.heartbeats {
		errs = append(errs, pc.Close())
	}
	return errors.Join(errs...)
}

// answerHeartbeats answers each datagram with one zero byte until pc is closed.
// The answer is never longer than the question, so it amplifies nothing.
func (s *Server) answerHeartbeats(pc net.PacketConn) {
	var b [1]byte
	for {
		n, from, err := pc.ReadFrom(b[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 {
			continue // one client's ICMP error, or nothing to answer
		}
		s.metrics.datagrams.Inc()
		// A lost answer is as good as a lost question: the client asks again.
		_, _ = pc.WriteTo([]byte{0}, from)
	}
}
