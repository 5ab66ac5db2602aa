package fluent

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// reason is why a connection was refused or cut; a metric label.
type reason string

const (
	reasonConnections      reason = "connections"             // max_connections are being served
	reasonPerAddress       reason = "connections_per_address" // max_connections_per_address of the client's are
	reasonTLSHandshake     reason = "tls_handshake"           // TLS did not come about
	reasonHandshake        reason = "handshake"               // no PING, or a damaged one
	reasonHandshakeTimeout reason = "handshake_timeout"       // TLS and PING did not come in time
	reasonKey              reason = "shared_key"              // another key
	reasonUser             reason = "user"                    // a wrong user or password
	reasonJSON             reason = "json"                    // Fluentd takes JSON streams, Docker never sends them
	reasonTLS              reason = "tls"                     // a TLS hello
	reasonNotForward       reason = "not_forward"             // something else: HTTP, a handshake, noise
	reasonMalformed        reason = "malformed"               // msgpack, but damaged or of another shape
	reasonTooLarge         reason = "too_large"               // beyond max_request_bytes or max_decompressed_bytes
	reasonTooDeep          reason = "too_deep"                // beyond max_depth
	reasonCompression      reason = "compression"             // damaged gzip or another compression
	reasonSignal           reason = "signal"                  // metrics or traces
	reasonTimeout          reason = "request_timeout"         // a request did not end in time
	reasonStalled          reason = "stall_timeout"           // silent within a request, with memory that others wait for
	reasonIdle             reason = "idle_timeout"            // silent between requests
	reasonIncomplete       reason = "incomplete"              // closed by the client in mid-request, or cut at the end of the drain
	reasonStore            reason = "store"                   // Store returned an error
	reasonWrite            reason = "write"                   // the acks could not be written
)

var reasons = []reason{
	reasonConnections, reasonPerAddress, reasonTLSHandshake, reasonHandshake, reasonHandshakeTimeout, reasonKey, reasonUser,
	reasonJSON, reasonTLS, reasonNotForward, reasonMalformed, reasonTooLarge, reasonTooDeep,
	reasonCompression, reasonSignal, reasonTimeout, reasonStalled, reasonIdle, reasonIncomplete, reasonStore, reasonWrite,
}

// refusal says why a connection is closed.
type refusal struct {
	reason reason
	detail string
}

func refuse(r reason, format string, args ...any) error {
	return &refusal{r, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return string(r.reason) + ": " + r.detail }

// warner writes one warning per reason and second: a client that connects in a
// loop must not fill the log that Tributary itself may be shipping.
type warner struct {
	log  *slog.Logger
	mu   sync.Mutex
	last map[reason]time.Time
	held map[reason]int // since the last warning; counted in metrics all the same
}

func newWarner(log *slog.Logger) *warner {
	return &warner{log: log, last: map[reason]time.Time{}, held: map[reason]int{}}
}

func (w *warner) warn(r reason, msg string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if last, ok := w.last[r]; ok && now.Sub(last) < time.Second {
		w.held[r]++
		return
	}
	if n := w.held[r]; n > 0 {
		args = append(args, "not_logged_before", n)
	}
	w.last[r], w.held[r] = now, 0
	w.log.Warn(msg, append(args, "reason", string(r))...)
}
