package fluent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Config is what an operator decides about the Forward server.
type Config struct {
	// Listen are the sockets to serve: "tcp://127.0.0.1:24224", "unix:///run/tributary.sock",
	// "tls://0.0.0.0:24225".
	Listen []string `koanf:"listen" json:"listen"`
	// TLS is what tls:// addresses show and demand.
	TLS TLSConfig `koanf:"tls" json:"tls"`
	// Security is the handshake by which clients prove that they know a key.
	Security SecurityConfig `koanf:"security" json:"security"`
	// UDPHeartbeat answers Fluentd's heartbeat datagrams on the port of each TCP socket.
	UDPHeartbeat bool `koanf:"udp_heartbeat" json:"udp_heartbeat"`
	// MaxConnections are served at once; a further one is closed on arrival.
	MaxConnections int `koanf:"max_connections" json:"max_connections"`
	// MaxConnectionsPerAddress are served at once for one remote IP address (of IPv6,
	// its /64). Unix sockets and loopback, where all containers of an instance are
	// one address, have no such limit.
	MaxConnectionsPerAddress int `koanf:"max_connections_per_address" json:"max_connections_per_address"`
	// MaxRequestBytes bounds one request as it is on the wire.
	MaxRequestBytes int64 `koanf:"max_request_bytes" json:"max_request_bytes"`
	// MaxDecompressedBytes bounds what one request becomes in memory: its
	// decompressed payload plus 56 bytes per event.
	MaxDecompressedBytes int64 `koanf:"max_decompressed_bytes" json:"max_decompressed_bytes"`
	// ReadBufferBytes is the buffer each connection owns, and the most that one
	// read takes from a socket.
	ReadBufferBytes int64 `koanf:"read_buffer_bytes" json:"read_buffer_bytes"`
	// TotalBufferBytes bounds the memory of all connections together.
	TotalBufferBytes int64 `koanf:"total_buffer_bytes" json:"total_buffer_bytes"`
	// MaxDepth bounds how deep arrays and maps nest in a request.
	MaxDepth int `koanf:"max_depth" json:"max_depth"`
	// RequestTimeout bounds the time from the first byte of a request to its last.
	RequestTimeout time.Duration `koanf:"request_timeout" json:"request_timeout"`
	// StallTimeout bounds the silence within a request that holds memory which others
	// wait for.
	StallTimeout time.Duration `koanf:"stall_timeout" json:"stall_timeout"`
	// HandshakeTimeout bounds TLS and the handshake together.
	HandshakeTimeout time.Duration `koanf:"handshake_timeout" json:"handshake_timeout"`
	// IdleTimeout closes a connection that is silent between requests; 0 is never.
	IdleTimeout time.Duration `koanf:"idle_timeout" json:"idle_timeout"`
	// WriteTimeout bounds the write of acks to a client that does not read them.
	WriteTimeout time.Duration `koanf:"write_timeout" json:"write_timeout"`
	// Drain bounds what Run does after its context has ended: half of it for
	// reading what clients have already sent, the rest for storing it.
	Drain time.Duration `koanf:"drain" json:"drain"`
}

// DefaultConfig fits one ECS instance with Docker's log driver and, beside it,
// a few Fluent Bit or Fluentd senders.
func DefaultConfig() Config {
	return Config{
		Listen:       []string{"tcp://127.0.0.1:24224"},
		UDPHeartbeat: true,
		Security:     SecurityConfig{AskOn: AskRemote, Keepalive: true},
		// An instance runs up to some 120 tasks of a few containers each.
		MaxConnections: 512,
		// A remote sender has a handful; a quarter leaves room beside one gone mad.
		MaxConnectionsPerAddress: 128,
		// Fluentd sends buffer chunks of 8 MiB by default, Fluent Bit of 2 MB.
		MaxRequestBytes: 16 << 20,
		// JSON logs compress about 10 times, but a chunk is cut before compression:
		// 8 MiB of 60-byte events are 8 MiB + 140,000 × 56 B = 16 MiB.
		MaxDecompressedBytes: 32 << 20,
		// A read is stored with one commit, of some 10 ms on a slow disk: 128 KiB
		// carry 12 MB/s per connection, seven of Docker's 16 KiB pieces at a time.
		ReadBufferBytes: 128 << 10,
		// 512 × (128 + 40) KiB = 84 MiB that connections may own, 96 MiB in reserve
		// for the one largest request, 76 MiB shared. TLS takes 32 MiB of these.
		TotalBufferBytes: 256 << 20,
		MaxDepth:         64,
		// 16 MiB in 2 minutes are 140 kB/s.
		RequestTimeout: 2 * time.Minute,
		// Longer than TCP takes to send a lost packet again, twice.
		StallTimeout: 5 * time.Second,
		// Three round trips, on the worst of lines a second each.
		HandshakeTimeout: 10 * time.Second,
		// A quiet container is silent for hours. The write after a close still
		// succeeds at the client, so that closing would lose its next line.
		IdleTimeout:  0,
		WriteTimeout: 10 * time.Second,
		// The kernel holds up to 6 MiB that a client has sent: at 128 KiB per 10 to
		// 50 ms that is read in half to two and a half seconds of the four.
		Drain: 8 * time.Second,
	}
}

// Limits that are not configured.
const (
	maxDepthLimit = 512     // RecordJSON and Fields recurse once per level
	maxChunkBytes = 1 << 10 // ids of known clients have 24 to 44 bytes
	batchRequests = 256     // requests in one Store call, and
	batchEvents   = 256     // events of its requests that borrowed nothing
	batchAckBytes = 8 << 10

	eventBytes   = int64(unsafe.Sizeof(Event{}))
	requestBytes = int64(unsafe.Sizeof(Request{}))
	// decodeBytes is what a connection owns beside its buffer: 256 events of 56,
	// 256 requests of 40, acks up to 8 KiB and one more chunk, the scanner's levels.
	decodeBytes = 40 << 10
	// tlsBytes is what a connection's TLS holds: one record being read, of up to 16
	// KiB, its buffer grown by doubling, and the decrypted one; and less than that
	// during the handshake, of whose bytes no more than tlsHandshakeBytes are read.
	tlsBytes          = 64 << 10
	tlsHandshakeBytes = 32 << 10 // a chain of client certificates has some 6 KiB
	// maxPingBytes bounds what is read of a client before it has proven its key. A
	// PING has some 400 bytes.
	maxPingBytes = 4 << 10
)

// reserveBytes is what the largest request can borrow: while a buffer grows, the
// old and the new one stand side by side.
func (c Config) reserveBytes() int64 { return 2 * (c.MaxRequestBytes + c.MaxDecompressedBytes) }

// ownBytes is what a connection holds without borrowing.
func (c Config) ownBytes() int64 {
	if c.listensTLS() {
		return c.ReadBufferBytes + decodeBytes + tlsBytes
	}
	return c.ReadBufferBytes + decodeBytes
}

func (c Config) listensTLS() bool {
	return slices.ContainsFunc(c.Listen, func(l string) bool { return strings.HasPrefix(l, schemeTLS+"://") })
}

// Validate reports every fault of c at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	between := func(key string, v, low, high int64) {
		if v < low || v > high {
			fault("%s is %d: must be %d to %d", key, v, low, high)
		}
	}
	lasts := func(key string, v, low time.Duration) {
		if v < low || v > time.Hour {
			fault("%s is %s: must be %s to 1h", key, v, low)
		}
	}
	if len(c.Listen) == 0 {
		fault("listen is empty: name at least one socket, such as tcp://127.0.0.1:24224")
	}
	for _, l := range c.Listen {
		if _, err := parseListen(l); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, c.TLS.validate(c.listensTLS()), c.Security.validate())
	between("max_connections", int64(c.MaxConnections), 1, 1<<16)
	between("max_connections_per_address", int64(c.MaxConnectionsPerAddress), 1, 1<<16)
	between("read_buffer_bytes", c.ReadBufferBytes, 1<<10, 1<<20)
	between("max_request_bytes", c.MaxRequestBytes, max(c.ReadBufferBytes, 1<<10), 1<<30)
	between("max_decompressed_bytes", c.MaxDecompressedBytes, 1<<16, 1<<30)
	between("max_depth", int64(c.MaxDepth), 4, maxDepthLimit)
	lasts("request_timeout", c.RequestTimeout, 10*time.Millisecond)
	lasts("stall_timeout", c.StallTimeout, 10*time.Millisecond)
	lasts("handshake_timeout", c.HandshakeTimeout, 10*time.Millisecond)
	lasts("write_timeout", c.WriteTimeout, 10*time.Millisecond)
	lasts("drain", c.Drain, 10*time.Millisecond)
	if c.IdleTimeout < 0 {
		fault("idle_timeout is %s: must be 0 (never) or more", c.IdleTimeout)
	}
	if need := int64(c.MaxConnections)*c.ownBytes() + c.reserveBytes(); errors.Join(faults...) == nil && c.TotalBufferBytes < need {
		fault("total_buffer_bytes is %d: must be at least %d, which is max_connections × (read_buffer_bytes + %d) + 2 × (max_request_bytes + max_decompressed_bytes)",
			c.TotalBufferBytes, need, c.ownBytes()-c.ReadBufferBytes)
	}
	return errors.Join(faults...)
}

// schemeTLS begins an address that is TCP and speaks TLS.
const schemeTLS = "tls"

// address is a socket in the words of package net.
type address struct {
	network, name string
	tls           bool
}

func parseListen(s string) (address, error) { return parseAddress("listen", s) }

// parseAddress names key in its error.
func parseAddress(key, s string) (address, error) {
	scheme, name, ok := strings.Cut(s, "://")
	switch {
	case !ok || name == "" || (scheme != "tcp" && scheme != "unix" && scheme != schemeTLS):
		return address{}, fmt.Errorf("%s %q: must be tcp://host:port, tls://host:port or unix:///path", key, s)
	case scheme != "unix" && !strings.Contains(name, ":"):
		return address{}, fmt.Errorf("%s %q: the port is missing, as in %s://%s:24224", key, s, scheme, name)
	case scheme == schemeTLS:
		return address{network: "tcp", name: name, tls: true}, nil
	}
	return address{network: scheme, name: name}, nil
}
