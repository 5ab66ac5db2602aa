package kinesis

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// keptBuffer is how much of a shard's write buffer is kept between calls, in bytes.
const keptBuffer = 1 << 20

// A shard is a row of segments, the last of them open for writing.
type shard struct {
	dir          string
	segmentBytes int64
	numbers      *atomic.Uint64 // the stream's last number given

	mu     sync.RWMutex
	meta   shardMeta // guarded by the stream's lock, not by mu
	limits *shardLimits
	segs   []segment
	active *os.File // nil: the shard is closed, or its file is in doubt
	last   uint64   // number of the last record, or what the shard started with
	lastMS int64
	buf    []byte
	grown  chan struct{} // closed when records come or the shard closes; nil: nobody waits for that
}

// A put is a record on its way in, and what became of it.
type put struct {
	key       string
	data      []byte
	number    uint64
	throttled bool
	err       error
}

func (p *put) size() int { return len(p.key) + len(p.data) }

func createShard(dir string, meta shardMeta, segmentBytes int64, numbers *atomic.Uint64) (*shard, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create shard: %w", err)
	}
	sh := &shard{dir: dir, segmentBytes: segmentBytes, numbers: numbers, meta: meta, last: meta.Start, lastMS: meta.OpenedMS}
	return sh, sh.roll(meta.Start, meta.OpenedMS)
}

// roll starts a new segment. The old file is complete; what it lacks is only the kernel's own writing.
func (sh *shard) roll(base uint64, ms int64) error {
	seg, f, err := createSegment(sh.dir, base, ms)
	if err != nil {
		return err
	}
	old := sh.active
	sh.segs, sh.active = append(sh.segs, seg), f
	if old != nil {
		return old.Close()
	}
	return nil
}

// openShard finds the segments of a shard and cuts off what a crash left behind the last whole frame.
func openShard(dir string, meta shardMeta, segmentBytes int64, numbers *atomic.Uint64, log *slog.Logger) (*shard, error) {
	sh := &shard{dir: dir, segmentBytes: segmentBytes, numbers: numbers, meta: meta, last: meta.Start, lastMS: meta.OpenedMS}
	paths, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	slices.Sort(paths)
	for i, path := range paths {
		seg, err := findSegment(path)
		if errors.Is(err, errTorn) && i == len(paths)-1 {
			log.Warn("remove a segment that was never finished", "path", path)
			err = os.Remove(path)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("open shard %s: %w", meta.ID, err)
		}
		sh.segs = append(sh.segs, seg)
	}
	if len(sh.segs) == 0 {
		return sh, sh.roll(meta.Start, meta.OpenedMS)
	}
	return sh, sh.recover(log)
}

func (sh *shard) recover(log *slog.Logger) error {
	seg := &sh.segs[len(sh.segs)-1]
	size := seg.size
	number, ms, torn, err := seg.index()
	if err != nil {
		return fmt.Errorf("recover shard %s: %w", sh.meta.ID, err)
	}
	if torn {
		log.Warn("cut a torn tail off a segment", "path", seg.path, "bytes", size-seg.size)
		if err := os.Truncate(seg.path, seg.size); err != nil {
			return fmt.Errorf("recover shard %s: %w", sh.meta.ID, err)
		}
	}
	// A segment without records is named by a number that no earlier record reaches.
	sh.last, sh.lastMS = max(sh.last, seg.base-1, number), max(sh.lastMS, seg.ms, ms)
	if sh.meta.closed() {
		return nil
	}
	sh.active, err = os.OpenFile(seg.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("recover shard %s: %w", sh.meta.ID, err)
	}
	return nil
}

// append gives each put its number, or marks it as throttled or failed, and writes them in order with one write.
func (sh *shard) append(puts []*put, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ms := max(now.UnixMilli(), sh.lastMS)
	if err := sh.ready(ms); err != nil {
		fail(puts, err)
		return
	}
	seg := &sh.segs[len(sh.segs)-1]
	marks, last := len(seg.marks), sh.last
	buf := sh.buf[:0]
	for _, p := range puts {
		if !sh.limits.write(p.size(), now) {
			p.throttled = true
			continue
		}
		p.number = sh.numbers.Add(1)
		seg.note(p.number, ms, seg.size+int64(len(buf)))
		buf = appendFrame(buf, p.number, ms, p.key, p.data)
		last = p.number
	}
	if cap(buf) <= keptBuffer {
		sh.buf = buf
	}
	if _, err := sh.active.WriteAt(buf, seg.size); err != nil {
		seg.marks = seg.marks[:marks]
		sh.undo(seg.size)
		fail(puts, fmt.Errorf("write records: %w", err))
		return
	}
	seg.size += int64(len(buf))
	sh.last, sh.lastMS = last, ms
	sh.tell()
}

// changed gives a channel that is closed at the next record, or when the shard closes.
func (sh *shard) changed() <-chan struct{} {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.grown == nil {
		sh.grown = make(chan struct{})
	}
	return sh.grown
}

func (sh *shard) tell() {
	if sh.grown != nil {
		close(sh.grown)
		sh.grown = nil
	}
}

func (sh *shard) ready(ms int64) error {
	if sh.active == nil {
		return errors.New("the shard's file is closed")
	}
	if sh.segs[len(sh.segs)-1].size < sh.segmentBytes {
		return nil
	}
	return sh.roll(sh.last+1, ms)
}

// undo takes back a write that failed half way. If it cannot, the shard takes no more records: behind a torn frame they would be
// answered now and cut off at the next open.
func (sh *shard) undo(size int64) {
	if err := sh.active.Truncate(size); err != nil {
		_ = sh.active.Close()
		sh.active = nil
	}
}

func fail(puts []*put, err error) {
	for _, p := range puts {
		p.number, p.err = 0, err
	}
}

// read calls emit with each record at or behind position that arrived no earlier than horizon, in order, until emit returns false.
// atEnd: nothing that had been written when read began lies behind next.
func (sh *shard) read(position uint64, horizon int64, emit func(frame) bool) (next uint64, atEnd bool, err error) {
	if position >= sh.tip() {
		return position, true, nil
	}
	next, from := position, position
	for {
		seg, following, err := sh.segmentAt(from, horizon)
		if err != nil {
			return 0, false, err
		}
		stopped, err := seg.scan(seg.start(from, horizon), func(rec frame) bool {
			if rec.number < from || rec.ms < horizon {
				return true
			}
			if !emit(rec) {
				return false
			}
			next = rec.number + 1
			return true
		})
		switch {
		case errors.Is(err, fs.ErrNotExist) && sh.trimmed(seg.base):
			// Retention took the file after segmentAt: go on with what there is now.
		case err != nil:
			return 0, false, err
		case stopped:
			return next, false, nil
		case following == 0:
			return next, true, nil
		default:
			from = following
		}
	}
}

// segmentAt returns the segment that may hold the first record at or behind position and the base of the one after it (0: none).
func (sh *shard) segmentAt(position uint64, horizon int64) (seg segment, following uint64, err error) {
	sh.mu.RLock()
	i := max(0, sort.Search(len(sh.segs), func(i int) bool { return sh.segs[i].base > position })-1)
	// A record in i arrived no later than i+1 was made.
	for i+1 < len(sh.segs) && sh.segs[i+1].ms < horizon {
		i++
	}
	seg = sh.segs[i]
	if i+1 < len(sh.segs) {
		following = sh.segs[i+1].base
	}
	sh.mu.RUnlock()
	if seg.known {
		return seg, following, nil
	}
	if _, _, torn, err := seg.index(); err != nil {
		return segment{}, 0, err
	} else if torn {
		return segment{}, 0, fmt.Errorf("%s at byte %d: %w", seg.path, seg.size, errTorn)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i := range sh.segs {
		if sh.segs[i].base == seg.base && !sh.segs[i].known {
			sh.segs[i] = seg
		}
	}
	return seg, following, nil
}

func (sh *shard) trimmed(base uint64) bool {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.segs[0].base > base
}

// tip is the position behind the last record.
func (sh *shard) tip() uint64 {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.last + 1
}

// unread bounds the bytes stored at and behind position.
func (sh *shard) unread(position uint64) int64 {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if position > sh.last {
		return 0
	}
	var n int64
	for _, seg := range slices.Backward(sh.segs) {
		if seg.base <= position {
			return n + seg.size - seg.start(position, 0)
		}
		n += seg.size
	}
	return n
}

// trim deletes the files whose records have all expired.
func (sh *shard) trim(horizon int64) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for len(sh.segs) > 1 && sh.segs[1].ms < horizon {
		if err := os.Remove(sh.segs[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete expired segment: %w", err)
		}
		sh.segs = slices.Delete(sh.segs, 0, 1)
	}
	return nil
}

// close ends writing. Reading goes on: files are opened for each read.
func (sh *shard) close() error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.tell()
	if sh.active == nil {
		return nil
	}
	err := sh.active.Close()
	sh.active = nil
	return err
}
