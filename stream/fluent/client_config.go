package fluent

import (
	"errors"
	"fmt"
	"time"
)

// ClientConfig is what a sender decides about its connection to a Forward server.
type ClientConfig struct {
	// Address is the server's socket: "tcp://127.0.0.1:24224", "unix:///run/tributary.sock",
	// "tls://logs.example.com:24225".
	Address string `koanf:"address" json:"address"`
	// TLS and Security are how the two sides prove who they are.
	TLS      ClientTLS      `koanf:"tls" json:"tls"`
	Security ClientSecurity `koanf:"security" json:"security"`
	// MaxChunkBytes bounds the entries of one chunk.
	MaxChunkBytes int64 `koanf:"max_chunk_bytes" json:"max_chunk_bytes"`
	// MaxPendingBytes bounds the chunks that are not acked, on the wire or waiting.
	MaxPendingBytes int64 `koanf:"max_pending_bytes" json:"max_pending_bytes"`
	// DialTimeout bounds one attempt to connect, TLS and handshake included.
	DialTimeout time.Duration `koanf:"dial_timeout" json:"dial_timeout"`
	// AckTimeout is how long chunks may be under way without any ack before the
	// connection is taken for dead and replaced.
	AckTimeout time.Duration `koanf:"ack_timeout" json:"ack_timeout"`
	// RetryWait is the pause before the first new connection; it doubles up to
	// MaxRetryWait and starts anew after an ack.
	RetryWait    time.Duration `koanf:"retry_wait" json:"retry_wait"`
	MaxRetryWait time.Duration `koanf:"max_retry_wait" json:"max_retry_wait"`
	// GiveUp ends Run when chunks wait and none was acked for so long; 0 is never.
	//
	// A server remembers chunk ids for a while (Tributary's five minutes, key
	// forward.spool.chunk_window): a chunk whose ack was lost and which is sent
	// again later than that is stored twice.
	GiveUp time.Duration `koanf:"give_up" json:"give_up"`
}

// DefaultClientConfig suits a sender on the forwarder's own machine.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{
		Address: "tcp://127.0.0.1:24224",
		// Fluentd's own chunks are up to 8 MiB and the server takes 16 MiB; half a
		// MiB is stored within some milliseconds.
		MaxChunkBytes: 512 << 10,
		// Eight of the largest: one being stored, one in each kernel's buffer, the
		// rest ready.
		MaxPendingBytes: 4 << 20,
		DialTimeout:     5 * time.Second,
		// A server whose spool is full is silent too, and a new connection does not
		// help it: so not sooner than a person would look.
		AckTimeout: time.Minute,
		// A forwarder that restarts is back within a second or two, and one that is
		// alive ends a line whose next piece is 2 s late.
		RetryWait:    100 * time.Millisecond,
		MaxRetryWait: 2 * time.Second,
		GiveUp:       0,
	}
}

// Validate reports every fault of c at once.
func (c ClientConfig) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	between := func(key string, v, low, high time.Duration) {
		if v < low || v > high {
			fault("%s is %s: must be %s to %s", key, v, low, high)
		}
	}
	if _, err := parseAddress("address", c.Address); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, c.validateSecurity())
	if c.MaxChunkBytes < 1<<10 || c.MaxChunkBytes > 1<<30 {
		fault("max_chunk_bytes is %d: must be 1024 to 1073741824", c.MaxChunkBytes)
	} else if c.MaxPendingBytes < 2*c.MaxChunkBytes {
		fault("max_pending_bytes is %d: must be at least 2 × max_chunk_bytes = %d", c.MaxPendingBytes, 2*c.MaxChunkBytes)
	}
	between("dial_timeout", c.DialTimeout, 10*time.Millisecond, time.Hour)
	between("ack_timeout", c.AckTimeout, 10*time.Millisecond, time.Hour)
	between("retry_wait", c.RetryWait, time.Millisecond, time.Hour)
	between("max_retry_wait", c.MaxRetryWait, c.RetryWait, time.Hour)
	if c.GiveUp < 0 {
		fault("give_up is %s: must be 0 (never) or more", c.GiveUp)
	}
	return errors.Join(faults...)
}
