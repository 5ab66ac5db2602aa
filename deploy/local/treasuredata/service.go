package treasuredata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"tributary/deploy/local/fault"
)

const (
	serviceName = "td"
	// maxForm bounds what a request other than an import may carry.
	maxForm = 64 << 10
	// baseCost is what a call holds whatever it does: windows and buffers.
	baseCost = 512 << 10
	// rowCost is how many times the largest row a call holds: packed and as a line, both in slices that grow; a tail, its tokens too.
	rowCost = 6
	// maxRatio is how many bytes a line may have for one of a body: deflate packs 1032 into one at best, and a line is at most six
	// times as long as its row packed.
	maxRatio = 6 * 1032
)

// Options say how the service behaves. A zero field is the default it names.
type Options struct {
	Faults        *fault.Set       // nil: none
	APIKeys       []string         // empty: any key
	WriteOnlyKeys []string         // keys that may import and nothing else
	IDMemory      int              // how many ids are remembered, the youngest; 0: all
	IDAge         time.Duration    // how long an id is remembered; 0: for ever
	BodyBytes     int64            // the largest body, as it is sent; 0: 32 MiB
	DecodedBytes  int64            // the largest body, unpacked; 0: 512 MiB
	RowBytes      int64            // the largest row, packed or as a line; 0: 16 MiB
	RowColumns    int              // the most columns a row has; 0: 512
	InFlightBytes int64            // bounds the memory of calls being served; 0: four of the largest
	Now           func() time.Time // nil: time.Now
	Log           *slog.Logger     // nil: none
}

func (o Options) withDefaults() *Options {
	setDefault(&o.BodyBytes, 32<<20)
	setDefault(&o.DecodedBytes, 512<<20)
	setDefault(&o.RowBytes, 16<<20)
	setDefault(&o.RowColumns, 512)
	setDefault(&o.InFlightBytes, 4*o.largestCall())
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &o
}

func setDefault[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (o *Options) largestCall() int64 { return baseCost + rowCost*o.RowBytes }

func (o *Options) validate() error {
	if o.IDMemory < 0 || o.IDAge < 0 || o.BodyBytes < 0 || o.DecodedBytes < 0 || o.RowBytes < 0 || o.RowColumns < 0 {
		return errors.New("a limit is below 0")
	}
	if o.InFlightBytes < o.largestCall() {
		return fmt.Errorf("in-flight bytes are %d: want %d or more, the largest call needs that", o.InFlightBytes, o.largestCall())
	}
	return nil
}

// A Service is the stand-in over one directory. It is an http.Handler for paths below /v3/ and may be used from any goroutine.
type Service struct {
	dir     string
	opts    *Options
	handler http.Handler
	memory  *semaphore.Weighted

	mu        sync.Mutex // guards all below, and what is named in dir
	databases map[string]*database
	ids       *ids
	made      int64 // the last stamp
	temps     int   // names given below tempDir
	closed    bool
}

// Open opens what is below dir, which is made by the first database, and removes imports that a crash left half written.
// The caller keeps other processes out of dir and closes the service.
func Open(dir string, opts Options) (*Service, error) {
	s := &Service{dir: dir, opts: opts.withDefaults(), databases: make(map[string]*database)}
	if err := s.opts.validate(); err != nil {
		return nil, fmt.Errorf("open treasure data: %w", err)
	}
	s.ids = newIDs(s.opts.IDMemory, s.opts.IDAge)
	s.memory = semaphore.NewWeighted(s.opts.InFlightBytes)
	s.handler = s.opts.Faults.Handler(serviceName, operationOf, writeThrottled, http.HandlerFunc(s.serve))
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open treasure data: %w", err)
	}
	return s, nil
}

// Close makes later calls fail, and waits for those that change something. A second Close does nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// ServeHTTP answers one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// stamp gives the milliseconds of now, or the next that were not given yet. The caller holds the lock.
func (s *Service) stamp() int64 {
	s.made = max(s.made+1, s.opts.Now().UnixMilli())
	return s.made
}

// A call is one request on its way.
type call struct {
	*http.Request
	svc       *Service
	op        *operation
	writeOnly bool
	args      []string // what the operation's path leaves open
	began     time.Time
	held      int64
}

// reserve waits until n bytes fit. A call reserves once: two that each hold something and wait for more would wait for ever.
func (c *call) reserve(n int64) error {
	if err := c.svc.memory.Acquire(c.Context(), n); err != nil {
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
	c := &call{Request: r, svc: s, began: s.opts.Now()}
	defer c.release()
	err := c.answer(w)
	if err == nil {
		return
	}
	if refused := (*apiError)(nil); !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		s.opts.Log.Error("call failed", "service", serviceName, "operation", operationOf(r), "err", err)
	}
	// A server that answers while the client still writes makes the client see a broken pipe instead.
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, fault.MaxBody))
	writeError(w, err)
}

func (c *call) answer(w http.ResponseWriter) error {
	if err := c.authorize(); err != nil {
		return err
	}
	var err error
	if c.op, c.args, err = match(c.Request); err != nil {
		return err
	}
	if c.writeOnly && !c.op.imports {
		return refuse(http.StatusForbidden, "the API key may only import, %s is not allowed", c.op.name)
	}
	if err := c.admitParameters(); err != nil {
		return err
	}
	return c.op.do(c, w)
}

// authorize tells who calls.
func (c *call) authorize() error {
	key, ok := cutKey(c.Header.Get("Authorization"))
	c.writeOnly = ok && slices.Contains(c.svc.opts.WriteOnlyKeys, key)
	switch {
	case !ok:
		return refuse(http.StatusUnauthorized, "the request carries no API key: want the header Authorization: TD1 <key>")
	case c.writeOnly || len(c.svc.opts.APIKeys) == 0 || slices.Contains(c.svc.opts.APIKeys, key):
		return nil
	}
	return refuse(http.StatusUnauthorized, "the API key is not one of this account")
}
