package spool_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"tributary/stream/spool"
)

// memDisk is a disk that remembers what was made durable, and can forget the
// rest, fail, or die.
type memDisk struct {
	mu      sync.Mutex
	live    map[string]*memFile // what a process sees
	durable map[string]*memFile // the names a power cut leaves
	steps   int
	// unreadable makes reads behind a segment's header fail.
	unreadable bool
	dieAt      int                         // the step from which every operation fails; 0 for never
	fault      func(op, name string) error // may refuse a step
}

type memFile struct {
	live, synced []byte
	from, to     int // where they differ, apart from their length
}

func (f *memFile) touch(from, to int) {
	if f.from == f.to {
		f.from, f.to = from, to
	}
	f.from, f.to = min(f.from, from), max(f.to, to)
}

func (f *memFile) clean() bool { return f.from == f.to && len(f.live) == len(f.synced) }

func (f *memFile) sync() {
	f.synced = f.synced[:min(len(f.synced), len(f.live))]
	if f.from < min(f.to, len(f.synced)) {
		copy(f.synced[f.from:], f.live[f.from:min(f.to, len(f.synced))])
	}
	f.synced = append(f.synced, f.live[len(f.synced):]...)
	f.from, f.to = 0, 0
}

var (
	errDead  = errors.New("the process is dead")
	errFault = errors.New("no space left on device")
)

func newMemDisk() *memDisk {
	return &memDisk{live: map[string]*memFile{}, durable: map[string]*memFile{}}
}

// step is the moment before a change: the disk may refuse it, or the process may
// be dead. d.mu is held.
func (d *memDisk) step(op, name string) error {
	d.steps++
	if d.dieAt > 0 && d.steps >= d.dieAt {
		return errDead
	}
	if d.fault != nil {
		return d.fault(op, filepath.Base(name))
	}
	return nil
}

// afterKill is what a process finds that starts after SIGKILL.
func (d *memDisk) afterKill() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newMemDisk()
	next.live, next.durable = maps.Clone(d.live), maps.Clone(d.durable)
	return next
}

// afterPowerCut is what a process finds that starts after a power cut: of what
// was not synced, any page and any name may be there or not.
func (d *memDisk) afterPowerCut(rnd *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.durable
	if rnd.IntN(2) == 0 {
		names = d.live
	}
	next := newMemDisk()
	for name, f := range names {
		next.live[name] = f.afterPowerCut(rnd)
	}
	next.durable = maps.Clone(next.live)
	return next
}

func (f *memFile) afterPowerCut(rnd *rand.Rand) *memFile {
	if f.clean() {
		return f // the old disk is never used again
	}
	const page = 64
	content := bytes.Clone(f.synced)
	if rnd.IntN(2) == 0 {
		content = content[:min(len(f.synced), len(f.live))]
		content = append(content, make([]byte, len(f.live)-len(content))...)
	}
	from, to := min(f.from, len(f.synced)), max(f.to, len(f.live))
	for at := from / page * page; at < min(to, len(content)); at += page {
		if rnd.IntN(2) == 0 && at < len(f.live) {
			copy(content[at:min(at+page, len(content))], f.live[at:])
		}
	}
	return &memFile{live: content, synced: bytes.Clone(content)}
}

func (d *memDisk) MakeDir(string) error { return nil }

func (d *memDisk) Create(name string) (spool.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	d.live[name] = &memFile{}
	return &memHandle{d, name, d.live[name]}, nil
}

func (d *memDisk) Open(name string) (spool.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.live[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &memHandle{d, name, f}, nil
}

func (d *memDisk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.live {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("rename", to); err != nil {
		return err
	}
	d.live[to] = d.live[from]
	delete(d.live, from)
	return nil
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("remove", name); err != nil {
		return err
	}
	if _, ok := d.live[name]; !ok {
		return fs.ErrNotExist
	}
	delete(d.live, name)
	return nil
}

func (d *memDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("syncdir", dir); err != nil {
		return err
	}
	here := func(name string, _ *memFile) bool { return filepath.Dir(name) == dir }
	maps.DeleteFunc(d.durable, here)
	for name, f := range d.live {
		if here(name, f) {
			d.durable[name] = f
		}
	}
	return nil
}

type memHandle struct {
	disk *memDisk
	name string
	file *memFile
}

func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.unreadable && off >= 52 && filepath.Ext(h.name) == ".seg" {
		return 0, errFault
	}
	return bytes.NewReader(h.file.live).ReadAt(b, off)
}

func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	err := h.disk.step("write", h.name)
	switch {
	case h.disk.dieAt > 0 && h.disk.steps > h.disk.dieAt:
		return 0, err
	case err != nil:
		b = b[:len(b)/2] // a write that fails may have begun
	}
	if n := int(off) + len(b); n > len(h.file.live) {
		h.file.live = append(h.file.live, make([]byte, n-len(h.file.live))...)
	}
	copy(h.file.live[off:], b)
	h.file.touch(int(off), int(off)+len(b))
	return len(b), err
}

func (h *memHandle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.step("truncate", h.name); err != nil {
		return err
	}
	h.file.live = h.file.live[:size]
	return nil
}

func (h *memHandle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.step("sync", h.name); err != nil {
		if err != errDead && h.disk.steps%2 == 0 {
			h.file.sync() // a sync that fails may have written all the same
		}
		return err
	}
	h.file.sync()
	return nil
}

func (h *memHandle) Size() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return int64(len(h.file.live)), nil
}

func (h *memHandle) Close() error { return nil }

var _ io.ReaderAt = (*memHandle)(nil)
