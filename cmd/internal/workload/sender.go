package workload

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tributary/schema"
)

// A source makes lines; *Lines is one.
type source interface {
	Append(dst []byte, n int64) ([]byte, schema.Kind)
}

// Sender sends lines from a number of containers: container i of k has the lines
// First+i, First+i+k, and so on, in this order.
type Sender struct {
	cfg        Config
	lines      source
	containers []*feed
	began      atomic.Int64 // nanoseconds since the epoch; 0: not yet
	took       atomic.Int64 // nanoseconds; 0: not finished
}

// NewSender validates the configuration. It connects to nothing. lines is used
// from all containers at once.
func NewSender(cfg Config, lines source) (*Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	network, address, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	s := &Sender{cfg: cfg, lines: lines}
	for i := range cfg.Containers {
		number := cfg.First + int64(i)
		container := NewContainer(Service(number))
		container.Seconds = cfg.Seconds
		s.containers = append(s.containers, &feed{
			cfg: cfg, source: lines, container: container, index: int64(i),
			to: connection{network: network, address: address, timeout: cfg.Timeout, wait: cfg.RetryWait, maxWait: cfg.MaxRetryWait},
		})
	}
	return s, nil
}

// Run sends until all lines are handed over, or Duration or ctx is over; then it
// finishes the line that each container has begun, which takes at most a Timeout
// per piece, and closes the connections. What has become of the lines is in the
// Result; that a forwarder is away is no error, as little as for Docker. Run must
// be called once.
func (s *Sender) Run(ctx context.Context) Result {
	began := time.Now()
	s.began.Store(began.UnixNano())
	if s.cfg.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.Duration)
		defer cancel()
	}
	var wg sync.WaitGroup
	for _, f := range s.containers {
		wg.Go(func() { f.run(ctx, began) })
	}
	wg.Wait()
	s.took.Store(int64(time.Since(began)))
	return s.Progress()
}

// Progress is the result so far; safe from any goroutine.
func (s *Sender) Progress() Result {
	r := Result{first: s.cfg.First, handed: make([]int64, len(s.containers)), Elapsed: time.Duration(s.took.Load())}
	if began := s.began.Load(); r.Elapsed == 0 && began != 0 {
		r.Elapsed = time.Since(time.Unix(0, began))
	}
	for i, f := range s.containers {
		r.handed[i] = f.handed.Load()
		r.Lines += r.handed[i]
		r.Bytes += f.bytes.Load()
		r.Messages += f.messages.Load()
		r.Writes += f.writes.Load()
		r.Resent += f.resent.Load()
		r.Slowest = max(r.Slowest, time.Duration(f.slowest.Load()))
	}
	return r
}

// Result says what became of the lines.
type Result struct {
	Lines    int64         // handed over whole: acked, or without Ack written
	Bytes    int64         // of these lines, without newlines
	Messages int64         // that carried them: a long line has several
	Writes   int64         // to the sockets, resends included
	Resent   int64         // messages, or batches, sent again
	Slowest  time.Duration // the longest that handing a message, or a batch, over took, resends and the ack included
	Elapsed  time.Duration // from Run's beginning to its end, or to now

	first  int64
	handed []int64 // lines by container
}

// Handed reports whether line n was handed over whole. Of a line that was not,
// pieces may have been, and without an ack that came all of it.
func (r Result) Handed(n int64) bool {
	k := int64(len(r.handed))
	return n >= r.first && k > 0 && (n-r.first)/k < r.handed[(n-r.first)%k]
}
