package kinesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"tributary/deploy/local/awsjson"
	"tributary/deploy/local/fault"
)

const (
	streamPrefix = "stream-" // so that a stream named ".." stays a directory of ours
	sweptPrefix  = "swept-"  // being made or deleted; removed at open

	target = "Kinesis_20131202."

	// maxBody bounds a request: 10 MiB of records in base64, 500 keys of 1 KiB escaped at worst six-fold, and names.
	maxBody = 20 << 20
	// bodyCost is the memory of a PutRecords call in bodies: the text, what is decoded from it, and the frames.
	bodyCost = 3
	// smallBody bounds all other requests.
	smallBody = 64 << 10
	// sweepEvery is how often expired files are looked for, at most.
	sweepEvery = time.Minute
)

// Options say how the service behaves.
type Options struct {
	Faults       *fault.Set    // nil: none
	Limits       bool          // apply the rates of real shards
	SegmentBytes int64         // a shard's file is closed at this size; 0 means 64 MiB
	ReshardStep  time.Duration // how long UpdateShardCount takes for each split and merge; 0 means 20 ms
	// SubscriptionLife is how long SubscribeToShard pushes; 0 means 5 minutes. A shorter one also shortens the 5 seconds before which
	// the same consumer may not subscribe to the shard again.
	SubscriptionLife time.Duration
	InFlightBytes    int64            // bounds the memory of calls being served, at least 64 MiB; 0 means 256 MiB
	Now              func() time.Time // nil means time.Now
	Log              *slog.Logger     // nil means none
}

func (o *Options) limits() *shardLimits {
	if !o.Limits {
		return nil
	}
	return newShardLimits()
}

func (o *Options) callRates() *callRates {
	if !o.Limits {
		return nil
	}
	return newCallRates()
}

func (o Options) withDefaults() *Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.InFlightBytes == 0 {
		o.InFlightBytes = 256 << 20
	}
	if o.ReshardStep == 0 {
		o.ReshardStep = 20 * time.Millisecond
	}
	if o.SubscriptionLife == 0 {
		o.SubscriptionLife = subscriptionLife
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &o
}

// A Service is the stand-in over one directory. It is an http.Handler for calls whose X-Amz-Target begins with Kinesis_20131202.
// and may be used from any goroutine.
type Service struct {
	dir      string
	opts     *Options
	handler  http.Handler
	rates    *callRates // of calls that the whole account shares
	memory   *semaphore.Weighted
	requests atomic.Uint64
	swept    atomic.Int64 // when expired files were last looked for, in ms

	unsubscribed atomic.Bool // no more subscriptions are opened

	mu      sync.RWMutex
	streams map[string]*stream
	made    int64 // creation time of the newest stream, in ms
	closed  bool
}

// Open opens the streams under dir, which it makes when missing. The caller keeps other processes out of dir and closes the service.
func Open(dir string, opts Options) (*Service, error) {
	s := &Service{dir: dir, opts: opts.withDefaults(), streams: make(map[string]*stream)}
	if s.opts.InFlightBytes < maxBody*bodyCost {
		return nil, fmt.Errorf("open kinesis: in-flight bytes are %d: want %d or more", s.opts.InFlightBytes, maxBody*bodyCost)
	}
	s.rates = s.opts.callRates()
	s.memory = semaphore.NewWeighted(s.opts.InFlightBytes)
	s.handler = s.opts.Faults.Handler("kinesis", operation, writeThrottle, http.HandlerFunc(s.serve))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open kinesis: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open kinesis: %w", err)
	}
	for _, e := range entries {
		if err := s.openEntry(e.Name()); err != nil {
			return nil, errors.Join(fmt.Errorf("open kinesis: %w", err), s.Close())
		}
	}
	return s, nil
}

func (s *Service) openEntry(entry string) error {
	path := filepath.Join(s.dir, entry)
	if strings.HasPrefix(entry, sweptPrefix) {
		return os.RemoveAll(path)
	}
	name, ok := strings.CutPrefix(entry, streamPrefix)
	if !ok {
		return nil
	}
	st, err := openStream(s.opts, path)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	s.streams[name] = st
	s.made = max(s.made, st.meta.CreatedMS)
	return nil
}

// Close closes all files. Calls under way and later ones fail. A second Close does nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, st := range s.streams {
		errs = append(errs, st.close())
	}
	return errors.Join(errs...)
}

// ServeHTTP serves one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func operation(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target)
}

// A call is one request being served: the operation's answer is written by serve, and the memory it reserved is given back then.
type call struct {
	ctx  context.Context
	svc  *Service
	now  time.Time
	held int64

	opened *subscription // what SubscribeToShard opened
}

// reserve waits until n bytes fit. A call reserves once: two that each hold a part and wait for more would wait for ever.
func (c *call) reserve(n int64) error {
	if err := c.svc.memory.Acquire(c.ctx, n); err != nil {
		return fmt.Errorf("wait for memory: %w", err)
	}
	c.held = n
	return nil
}

func (c *call) release() {
	if c.held > 0 {
		c.svc.memory.Release(c.held)
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	c := &call{ctx: r.Context(), svc: s, now: s.opts.Now()}
	defer c.release()
	w.Header().Set("X-Amzn-Requestid", strconv.FormatUint(s.requests.Add(1), 10))
	s.sweep(c.now)
	answer, err := s.answer(c, r)
	if err != nil {
		if refused := (*apiError)(nil); !errors.As(err, &refused) {
			s.opts.Log.Error("call failed", "service", "kinesis", "operation", operation(r), "err", err)
		}
		awsjson.WriteError(w, err)
		return
	}
	if c.opened != nil {
		c.opened.serve(w)
		return
	}
	w.Header().Set("Content-Type", awsjson.ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the client may have left
}

func (s *Service) answer(c *call, r *http.Request) ([]byte, error) {
	op, ok := operations[operation(r)]
	if !ok {
		return nil, refuse("UnknownOperationException", "the local endpoint does not support Kinesis operation %q", operation(r))
	}
	limit := int64(smallBody)
	if op.puts {
		limit = maxBody
		size := r.ContentLength
		if size < 0 || size > maxBody {
			size = maxBody
		}
		if err := c.reserve(size * bodyCost); err != nil {
			return nil, err
		}
	}
	body, err := awsjson.ReadBody(r.Body, r.ContentLength, limit, codeValidation)
	if err != nil {
		return nil, err
	}
	return op.serve(c, body)
}

// sweep looks for expired files, once in sweepEvery, in the goroutine of whichever call comes then.
func (s *Service) sweep(now time.Time) {
	last := s.swept.Load()
	if now.UnixMilli()-last < sweepEvery.Milliseconds() || !s.swept.CompareAndSwap(last, now.UnixMilli()) {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return
	}
	for name, st := range s.streams {
		if err := st.trim(now); err != nil {
			s.opts.Log.Error("expired records were not deleted", "stream", name, "err", err)
		}
	}
}
