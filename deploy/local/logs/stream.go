package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// reopenGap is how many numbers are left out when a stream is read from its files, so that numbers lost with the kernel's buffers in a
// power cut are not given a second time.
const reopenGap = 1 << 24

// A stream is a row of segments, the last of them written to. Files are opened for each call: there may be many streams.
type stream struct {
	dir  string
	opts *Options
	meta streamMeta

	mu     sync.Mutex
	loaded bool // what follows is known
	segs   []segment
	last   uint64 // the last number given
	lastMS int64  // arrival of the last event; 0: there was none
}

func createStream(opts *Options, groupDir string, meta streamMeta) (*stream, error) {
	dir := filepath.Join(groupDir, streamPrefix+strconv.FormatInt(meta.CreatedMS, 10))
	if err := makeDir(dir, meta.save); err != nil {
		return nil, fmt.Errorf("create log stream: %w", err)
	}
	return &stream{dir: dir, opts: opts, meta: meta, loaded: true}, nil
}

// openStream leaves the events to the first call that needs them.
func openStream(opts *Options, dir string) (*stream, error) {
	meta, err := loadStreamMeta(dir)
	if err != nil {
		return nil, err
	}
	return &stream{dir: dir, opts: opts, meta: meta}, nil
}

func (st *stream) files() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(st.dir, "*.seg"))
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	slices.Sort(paths)
	return paths, nil
}

// load finds the segments and cuts off what a crash left behind the last whole frame.
func (st *stream) load() error {
	if st.loaded {
		return nil
	}
	paths, err := st.files()
	if err != nil {
		return err
	}
	st.segs, st.last, st.lastMS = nil, 0, 0
	for i, path := range paths {
		seg, end, err := openSegment(path)
		newest := i == len(paths)-1
		switch {
		case errors.Is(err, errTorn) && newest:
			st.opts.Log.Warn("remove a segment that was never finished", "path", path)
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("recover log stream: %w", err)
			}
			continue
		case err != nil:
			return fmt.Errorf("recover log stream: %w", err)
		case end.torn && !newest:
			return fmt.Errorf("recover log stream: %s at byte %d: %w", path, seg.size, errTorn)
		case end.torn:
			st.opts.Log.Warn("cut a torn tail off a segment", "path", path, "at", seg.size)
			if err := os.Truncate(path, seg.size); err != nil {
				return fmt.Errorf("recover log stream: %w", err)
			}
		}
		st.segs = append(st.segs, seg)
		st.last, st.lastMS = max(st.last, seg.base-1, end.number), max(st.lastMS, end.ms)
	}
	if len(st.segs) > 0 {
		st.last += reopenGap
	}
	st.loaded = true
	return nil
}

// append writes the events in order with one write.
func (st *stream) append(events []inputLogEvent, now time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.load(); err != nil {
		return err
	}
	if n := len(st.segs); n == 0 || st.segs[n-1].size >= st.opts.SegmentBytes {
		seg, err := createSegment(st.dir, st.last+1)
		if err != nil {
			return err
		}
		st.segs = append(st.segs, seg)
	}
	ms := max(now.UnixMilli(), st.lastMS)
	seg := &st.segs[len(st.segs)-1]
	var frames []byte
	var marks []mark
	number := st.last + 1
	for rest := events; len(rest) > 0; {
		off, n := seg.size+int64(len(frames)), 0
		frames, n = appendFrame(frames, number, ms, rest)
		marks = append(marks, mark{off, seg.size + int64(len(frames)), *rest[0].Timestamp, *rest[n-1].Timestamp})
		number, rest = number+uint64(n), rest[n:]
	}
	if err := st.write(seg, frames); err != nil {
		return fmt.Errorf("write log events: %w", err)
	}
	for _, m := range marks {
		seg.note(m)
	}
	seg.size += int64(len(frames))
	st.last, st.lastMS = number-1, ms
	return nil
}

// write takes back what it wrote when it fails half way. If it cannot, the stream is read from its files again before anything else
// is done: that cuts the torn frame off.
func (st *stream) write(seg *segment, frames []byte) error {
	f, err := os.OpenFile(seg.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(frames, seg.size); err != nil {
		if cut := f.Truncate(seg.size); cut != nil {
			st.loaded = false
		}
	}
	return errors.Join(err, f.Close())
}

// A block is a part of a file to be read, at the state of the time when it was asked for.
type block struct {
	mark
	path   string
	base   uint64
	stream *stream
}

// blocks adds those that may hold timestamps from lo to hi, both included.
func (st *stream) blocks(dst []block, lo, hi int64) ([]block, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.load(); err != nil {
		return nil, err
	}
	for _, seg := range st.segs {
		for _, m := range seg.marks {
			if m.hi >= lo && m.lo <= hi {
				dst = append(dst, block{m, seg.path, seg.base, st})
			}
		}
	}
	return dst, nil
}

// times are what DescribeLogStreams tells; ok is false without events.
type times struct {
	first, last, ingested int64
	ok                    bool
}

func (st *stream) times() (t times, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.load(); err != nil {
		return t, err
	}
	t.ingested = st.lastMS
	for _, seg := range st.segs {
		for _, m := range seg.marks {
			if !t.ok {
				t.first, t.last, t.ok = m.lo, m.hi, true
			}
			t.first, t.last = min(t.first, m.lo), max(t.last, m.hi)
		}
	}
	return t, nil
}

// stored is the size of the stream's files. It does not read them.
func (st *stream) stored() (n int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.loaded {
		for _, seg := range st.segs {
			n += seg.size
		}
		return n
	}
	paths, err := st.files()
	if err != nil {
		return 0
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}

// trim deletes the files all of whose events have expired, except the one that is written to. The caller keeps readers out.
func (st *stream) trim(horizon int64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.load(); err != nil {
		return err
	}
	for i := 0; i < len(st.segs)-1; {
		if st.segs[i].newest() >= horizon {
			i++
			continue
		}
		if err := os.Remove(st.segs[i].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete expired segment: %w", err)
		}
		st.segs = slices.Delete(st.segs, i, i+1)
	}
	return nil
}
