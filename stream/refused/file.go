package refused

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/spool"
)

// dirName is the folder of the rejects in a spool's directory: they stay with its
// volume, and its lock is theirs.
const dirName = "rejects"

// File keeps rejects. All methods are safe for concurrent use.
type File struct {
	dir     string
	cfg     Config
	disk    spool.Disk
	log     *slog.Logger
	metrics *metrics

	waiting atomic.Int64 // of known

	mu       sync.Mutex
	segments []*segment // oldest first
	active   spool.File // the last segment; nil: the next Add begins one
	next     uint64     // number of the next segment
	known    map[ID]string
	sending  bool // a lot is being sent: nothing of it may be dropped
}

type segment struct {
	number  uint64
	size    int64
	rejects int
}

// Open reads the rejects that lie with the spool in spoolDir, which the caller holds
// and whose reading begins at start. It makes nothing where there are none. reg may be
// nil.
func Open(spoolDir string, start uint64, cfg Config, d spool.Disk, reg prometheus.Registerer, log *slog.Logger) (*File, error) {
	f := &File{dir: filepath.Join(spoolDir, dirName), cfg: cfg, disk: d, log: log, metrics: newMetrics(), known: map[ID]string{}}
	err := f.recover(start)
	if err == nil {
		err = f.metrics.register(reg)
	}
	if err != nil {
		return nil, fmt.Errorf("open rejects %s: %w", f.dir, err)
	}
	return f, nil
}

func (f *File) recover(start uint64) error {
	var torn []segmentContent
	err := eachSegment(f.disk, f.dir, func(c segmentContent) error {
		f.next = c.number + 1
		f.segments = append(f.segments, &segment{number: c.number, size: c.size, rejects: len(c.refs)})
		for _, r := range c.refs {
			if r.Position >= start {
				f.known[r.ID] = r.Reason
			}
		}
		f.metrics.damaged.Add(float64(c.damaged))
		if c.damaged > 0 {
			f.log.Error("damaged bytes among the rejects are skipped", "segment", segmentName(c.number), "bytes", c.damaged)
		}
		if c.end < c.size {
			torn = append(torn, c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range torn {
		f.cutTail(c)
	}
	f.waiting.Store(int64(len(f.known)))
	f.show()
	return nil
}

// cutTail takes off what a crash left unfinished, so that it is counted once. Nothing
// is added to a segment of an earlier life, so a failure does no harm.
func (f *File) cutTail(c segmentContent) {
	file, err := f.disk.Edit(f.path(c.number))
	if err == nil {
		defer file.Close()
		err = file.Truncate(c.end)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		f.log.Warn("unfinished end of rejects stays", "segment", segmentName(c.number), "err", err)
		return
	}
	for _, s := range f.segments {
		if s.number == c.number {
			s.size = c.end
		}
	}
}

// Has says why an event was set aside in an earlier life, if it was and the spool may
// still offer it. It is to be added again, and not to be offered to the stream: only
// the new copy is known to be durable.
func (f *File) Has(id ID) (reason string, has bool) {
	if f.waiting.Load() == 0 {
		return "", false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	reason, has = f.known[id]
	return reason, has
}

// Add returns when r is durable. An error leaves the caller where it was.
func (f *File) Add(r Reject) error {
	frame := appendReject(nil, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.show()
	if n := len(f.segments); f.active != nil && f.segments[n-1].size+int64(len(frame)) > f.cfg.segmentBytes() {
		f.leave()
	}
	if err := f.makeRoom(segmentHeaderSize + int64(len(frame))); err != nil {
		return fmt.Errorf("keep a reject: %w", err)
	}
	if err := f.write(frame); err != nil {
		// After a failed sync a later one may succeed without having written: what is
		// added next, this one again, goes into another segment.
		f.leave()
		return fmt.Errorf("keep a reject: %w", err)
	}
	f.segments[len(f.segments)-1].rejects++
	if _, has := f.known[r.ID]; has {
		delete(f.known, r.ID)
		f.waiting.Add(-1)
	}
	return nil
}

// leave ends the active segment. f.mu is held.
func (f *File) leave() {
	if f.active != nil {
		f.active.Close() // all that counts in it is synced
		f.active = nil
	}
}

// write appends frame to the active segment, or begins one. f.mu is held.
func (f *File) write(frame []byte) error {
	if f.active == nil {
		return f.begin(append(appendSegmentHeader(nil), frame...))
	}
	s := f.segments[len(f.segments)-1]
	if _, err := f.active.WriteAt(frame, s.size); err != nil {
		return err
	}
	if err := f.active.Sync(); err != nil {
		return err
	}
	s.size += int64(len(frame))
	return nil
}

// begin makes a segment that holds content. f.mu is held.
func (f *File) begin(content []byte) (err error) {
	if len(f.segments) == 0 {
		if err := f.disk.MakeDir(f.dir); err != nil {
			return err
		}
		if err := f.disk.SyncDir(filepath.Dir(f.dir)); err != nil {
			return err
		}
	}
	file, err := f.disk.Create(f.path(f.next))
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(content, 0); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = f.disk.SyncDir(f.dir)
	}
	if err != nil {
		file.Close()
		_ = f.disk.Remove(f.path(f.next)) // on a full disk it would take room for nothing
		return err
	}
	f.active = file
	f.segments = append(f.segments, &segment{number: f.next, size: int64(len(content))})
	f.next++
	return nil
}

// makeRoom drops the oldest segments until n bytes fit the bound. f.mu is held.
func (f *File) makeRoom(n int64) error {
	for !f.sending && len(f.segments) > 0 && f.used()+n > f.cfg.MaxBytes {
		oldest := f.segments[0]
		if len(f.segments) == 1 {
			f.leave()
		}
		if err := f.remove(oldest); err != nil {
			return err
		}
		f.metrics.dropped.Add(float64(oldest.rejects))
		f.log.Error("rejects are lost: the oldest were dropped for new ones", "rejects", oldest.rejects, "bytes", oldest.size, "limit", f.cfg.MaxBytes)
	}
	return nil
}

// remove deletes the oldest segment. f.mu is held.
func (f *File) remove(oldest *segment) error {
	if err := f.disk.Remove(f.path(oldest.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.segments = f.segments[1:]
	return nil
}

func (f *File) used() (n int64) {
	for _, s := range f.segments {
		n += s.size
	}
	return n
}

func (f *File) show() {
	rejects := 0
	for _, s := range f.segments {
		rejects += s.rejects
	}
	f.metrics.rejects.Set(float64(rejects))
	f.metrics.bytes.Set(float64(f.used()))
}

func (f *File) path(number uint64) string { return filepath.Join(f.dir, segmentName(number)) }

// Close lets go of the file.
func (f *File) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leave()
}
