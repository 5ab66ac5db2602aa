package spool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
)

// OffsetStride is the distance between the offsets of two entries of a lane. A
// line too long for one record becomes several events, each of which must be
// told from the others by its own offset: the parts take the offsets below that
// of the entry which completed the line.
const OffsetStride = 1024

// Sentinels that callers tell apart.
var (
	// ErrClosed says that the spool has stopped or is stopping.
	ErrClosed = errors.New("spool is closed")
	// ErrTooLarge says that one request is above Config.PendingBytes. Sending it
	// again cannot help.
	ErrTooLarge = errors.New("request is larger than the spool's pending_bytes")
)

// Spool is an open spool. All methods are safe for concurrent use, but Next and
// Pending belong to one goroutine.
type Spool struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	outside outside
	epoch   schema.Epoch
	lock    *os.File

	wake      chan struct{} // something is pending; holds one token
	committed chan struct{} // the log grew; holds one token
	freed     chan struct{} // the cursor moved: a failed commit may find room; holds one token
	full      chan struct{} // see Full; holds one token
	closed    chan struct{} // closed when no Append can succeed any more

	mu       sync.Mutex
	running  bool
	stopping bool
	batch    *batch             // what the next commit writes
	held     int64              // bytes of requests admitted and not yet committed
	extra    int64              // bytes of marks and lane keys not yet committed
	queue    []*waiter          // appends that wait for room, first come first served
	inflight map[chunkID]*batch // chunk ids whose outcome is not known yet
	chunks   *chunkMemory
	keys     laneKeys
	offsets  map[uint32]uint64 // last offset given out, per lane of this epoch
	lastLane uint32
	segments []*segment // oldest first; the last one is written to
	buffer   []byte     // a batch's bytes, for reuse
	trouble  trouble
	ages     ages

	// Of the committer alone.
	active  File         // the last segment
	storing atomic.Int64 // when the commit under way began, 0 for none; read by others
	leaving bool         // active must not be written to again
	zeroed  int64        // how far zeros were written into active, see writeAhead
	failed  *batch       // what the last commit could not store

	trimMu sync.Mutex // held while segments are deleted
	cursor cursor
	reader reader
	drops  drops

	quarantined int64 // bytes in quarantine; of Open, then of Next
}

// outside is what a test replaces to be deterministic or to make things fail.
type outside struct {
	disk   Disk
	now    func() time.Time
	random io.Reader
}

// Open creates or recovers the spool in cfg.Dir and starts a new epoch in a new
// segment. It returns ErrLocked when another process holds the directory. reg
// may be nil. Whoever opened a spool calls Run or Close.
func Open(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Spool, error) {
	return OpenOn(cfg, LocalDisk, reg, log)
}

// OpenOn is Open over another disk. The lock is a file of the operating system all
// the same.
func OpenOn(cfg Config, d Disk, reg prometheus.Registerer, log *slog.Logger) (*Spool, error) {
	return open(cfg, reg, log, outside{disk: d, now: time.Now, random: rand.Reader})
}

func open(cfg Config, reg prometheus.Registerer, log *slog.Logger, out outside) (*Spool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("spool configuration: %w", err)
	}
	s := &Spool{
		cfg: cfg, log: log, outside: out, metrics: newMetrics(),
		wake:      make(chan struct{}, 1),
		committed: make(chan struct{}, 1),
		freed:     make(chan struct{}, 1),
		full:      make(chan struct{}, 1),
		closed:    make(chan struct{}),
		inflight:  make(map[chunkID]*batch),
		chunks:    newChunkMemory(cfg.ChunkMemory, cfg.ChunkWindow),
		keys:      make(laneKeys),
		offsets:   make(map[uint32]uint64),
		batch:     newBatch(nil),
	}
	s.metrics.maxBytes.Set(float64(cfg.MaxBytes))
	s.metrics.usable.Set(1)
	s.metrics.watch(s.oldestAge)
	if _, err := io.ReadFull(out.random, s.epoch[:]); err != nil {
		return nil, fmt.Errorf("draw epoch: %w", err)
	}
	for _, dir := range []string{cfg.Dir, s.quarantineDir()} {
		err := out.disk.MakeDir(dir)
		if err == nil {
			// Lost in a power cut, the directory takes everything acknowledged along.
			err = out.disk.SyncDir(filepath.Dir(dir))
		}
		if err != nil {
			return nil, fmt.Errorf("create spool directory: %w", err)
		}
	}
	var err error
	if s.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	if err = s.recover(); err == nil {
		err = s.metrics.register(reg)
	}
	if err != nil {
		s.release()
		return nil, fmt.Errorf("open spool %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// Epoch returns the epoch that this Open started.
func (s *Spool) Epoch() schema.Epoch { return s.epoch }

// Close gives the directory back. It is for a spool whose Run was never called;
// appends and marks that wait for a commit are lost and told so.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.running || s.stopping {
		s.mu.Unlock()
		return errors.New("close spool: it was run or closed before")
	}
	s.stopping = true
	s.mu.Unlock()
	close(s.closed)
	s.abandon(ErrClosed)
	return s.release()
}

// release closes all files and gives the lock back. The lock goes last: nobody
// else may open the directory while this process can still write to it.
func (s *Spool) release() error {
	errs := []error{s.reader.close(), s.cursor.close()}
	if s.active != nil {
		s.dropAhead(s.active, s.newest())
		errs = append(errs, s.active.Close())
		s.active = nil
	}
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

// Head returns the position after the last committed entry.
func (s *Spool) Head() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head()
}

func (s *Spool) head() uint64 { return s.segments[len(s.segments)-1].end() }

// newest returns the segment that is written to. Only the committer changes it,
// so the committer may read it without s.mu.
func (s *Spool) newest() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments[len(s.segments)-1]
}

func (s *Spool) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// showFill sets the gauges that follow the segments and the cursor. s.mu is held.
func (s *Spool) showFill() {
	var total int64
	for _, seg := range s.segments {
		total += seg.size
	}
	s.metrics.bytes.Set(float64(total))
	s.metrics.segments.Set(float64(len(s.segments)))
	s.metrics.pending.Set(float64(s.held + s.extra))
	s.metrics.chunkIDs.Set(float64(len(s.chunks.stored)))
	s.metrics.backlog.Set(float64(s.head() - min(s.head(), s.cursor.pos.Load())))
}

// oldestAge is how many seconds ago the oldest entry behind the cursor came.
func (s *Spool) oldestAge() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	pos := s.cursor.pos.Load()
	at, known := s.ages.at(pos)
	if !known || !slices.ContainsFunc(s.segments, func(g *segment) bool { return !g.finished(pos) }) {
		return 0
	}
	return max(0, time.Duration(s.outside.now().UnixNano()-at).Seconds())
}

// signal puts the token into a channel of one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run commits what is appended until ctx ends; then it refuses new appends,
// commits what is pending, closes the files and gives the directory back. It
// returns nil when everything pending was committed; a disk that fails then is not
// waited for.
func (s *Spool) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running || s.stopping {
		s.mu.Unlock()
		return fmt.Errorf("run spool: %w", ErrClosed)
	}
	s.running = true
	s.mu.Unlock()
	s.commitUntil(ctx)

	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	close(s.closed)
	var err error
	for err == nil && s.unwritten() {
		err = s.commit()
	}
	if err != nil {
		s.abandon(fmt.Errorf("%w: %w", ErrClosed, err))
	}
	return errors.Join(err, s.release())
}
