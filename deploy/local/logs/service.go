package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
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
	"tributary/deploy/local/rate"
)

const (
	serviceName  = "logs"
	target       = "Logs_20140328."
	groupPrefix  = "group-"
	streamPrefix = "stream-"
	sweptPrefix  = "swept-" // being made or deleted; removed at open

	// maxBody bounds PutLogEvents: 1 MiB of messages escaped at worst six-fold, and 10,000 times the rest of an event.
	maxBody = 8 << 20
	// putCost is what a put holds beside its body: the messages, the frames, and the events.
	putCost = 4 << 20
	// readCost is what a read holds: a page of 1 MiB, a block, and the answer, escaped at worst six-fold while its buffer grows.
	readCost = 20 << 20
	// smallBody bounds all other requests: 100 names of streams.
	smallBody = 512 << 10
	// sweepEvery is how often expired files are looked for, at most.
	sweepEvery = time.Minute
)

// MinInFlightBytes is what the largest call needs.
const MinInFlightBytes = readCost

// Options say how the service behaves.
type Options struct {
	Faults          *fault.Set       // nil: none
	Limits          bool             // apply the account's rates
	VisibilityDelay time.Duration    // how long after its answer an event is seen
	SegmentBytes    int64            // a stream's file is closed at this size; 0 means 64 MiB
	ScanBytes       int64            // of files, that a call reads before it answers what it has; 0 means 32 MiB
	InFlightBytes   int64            // bounds the memory of calls being served, at least MinInFlightBytes; 0 means 80 MiB
	Now             func() time.Time // nil means time.Now
	Log             *slog.Logger     // nil means none
}

func (o Options) withDefaults() *Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.ScanBytes == 0 {
		o.ScanBytes = 32 << 20
	}
	if o.InFlightBytes == 0 {
		o.InFlightBytes = 4 * MinInFlightBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &o
}

// A Service is the stand-in over one directory. It is an http.Handler for calls whose X-Amz-Target begins with Logs_20140328. and may
// be used from any goroutine.
type Service struct {
	dir      string
	opts     *Options
	handler  http.Handler
	rates    *rate.Calls
	memory   *semaphore.Weighted
	requests atomic.Uint64
	swept    atomic.Int64 // when expired files were last looked for, in ms

	made atomic.Int64 // creation time of the newest group or stream, in ms

	mu     sync.RWMutex
	groups map[string]*group
	closed bool
}

// Open opens the groups under dir, which is made by the first group. The caller keeps other processes out of dir and closes the service.
func Open(dir string, opts Options) (*Service, error) {
	s := &Service{dir: dir, opts: opts.withDefaults(), groups: make(map[string]*group)}
	if s.opts.InFlightBytes < MinInFlightBytes {
		return nil, fmt.Errorf("open logs: in-flight bytes are %d: want %d or more", s.opts.InFlightBytes, MinInFlightBytes)
	}
	if s.opts.Limits {
		s.rates = rate.NewCalls()
	}
	s.memory = semaphore.NewWeighted(s.opts.InFlightBytes)
	s.handler = s.opts.Faults.Handler(serviceName, operation, writeThrottle, http.HandlerFunc(s.serve))
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	for _, e := range entries {
		if err := s.openEntry(e.Name()); err != nil {
			return nil, fmt.Errorf("open logs: %w", err)
		}
	}
	return s, nil
}

func (s *Service) openEntry(entry string) error {
	path := filepath.Join(s.dir, entry)
	if strings.HasPrefix(entry, sweptPrefix) {
		return os.RemoveAll(path)
	}
	if !strings.HasPrefix(entry, groupPrefix) {
		return nil
	}
	g, err := openGroup(s.opts, path)
	if err != nil {
		return err
	}
	s.groups[g.meta.Name] = g
	s.made.Store(max(s.made.Load(), g.newest()))
	return nil
}

// stamp gives each group and stream a creation time of its own, which is also its identity.
func (s *Service) stamp(now time.Time) int64 {
	for {
		last := s.made.Load()
		next := max(last+1, now.UnixMilli())
		if s.made.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Close makes later calls fail, and waits for those that change something. A second Close does nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, g := range s.groups {
		g.close()
	}
	return nil
}

// ServeHTTP serves one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func operation(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target)
}

// A call is one request being served; the memory it reserved is given back when it was answered.
type call struct {
	ctx  context.Context
	svc  *Service
	now  time.Time
	held int64
}

// reserve waits until n bytes fit. A call reserves once, before it takes a lock: two that each hold something and wait for more would
// wait for ever.
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
		if refused := (*awsjson.Error)(nil); !errors.As(err, &refused) {
			s.opts.Log.Error("call failed", "service", serviceName, "operation", operation(r), "err", err)
		}
		awsjson.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", awsjson.ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the client may have left
}

func (s *Service) answer(c *call, r *http.Request) ([]byte, error) {
	name := operation(r)
	op, ok := operations[name]
	if !ok {
		return nil, awsjson.Refuse("UnknownOperationException", "the local endpoint does not support CloudWatch Logs operation %q", name)
	}
	if op.rate > 0 && !s.rates.Take(name, op.rate, c.now) {
		return nil, throttled()
	}
	limit := int64(smallBody)
	if op.puts {
		limit = maxBody
		size := r.ContentLength
		if size < 0 || size > maxBody {
			size = maxBody
		}
		if err := c.reserve(size + putCost); err != nil {
			return nil, err
		}
	}
	if op.reads {
		if err := c.reserve(readCost); err != nil {
			return nil, err
		}
	}
	body, err := awsjson.ReadBody(r.Body, r.ContentLength, limit, codeInvalid)
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
	groups := maps.Clone(s.groups)
	s.mu.RUnlock()
	for name, g := range groups {
		if err := g.trim(now); err != nil {
			s.opts.Log.Error("expired events were not deleted", "group", name, "err", err)
		}
	}
}
