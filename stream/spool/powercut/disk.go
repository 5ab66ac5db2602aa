// Package powercut is a disk in memory for tests of the spool and of what stands on
// it. It remembers which bytes and names were made durable, and can forget the rest
// as a power cut does, fail as a full, read-only or broken disk does, or let the
// process die at any step.
package powercut

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"tributary/stream/spool"
)

// Disk is one life of a disk; AfterKill and AfterPowerCut give the next.
type Disk struct {
	mu      sync.Mutex
	live    map[string]*memFile // what a process sees
	durable map[string]*memFile // the names that are durable
	renamed []rename            // what became of names since, in order
	steps   int
	dieAt   int // the step from which every operation fails; 0 for never
	died    chan struct{}
	fault   func(op, name string) error
	reading func(name string, off int64) error
}

// rename is a change of names: from goes, to becomes file.
type rename struct {
	from, to string
	file     *memFile
}

func (r rename) apply(names map[string]*memFile) {
	if r.from != "" {
		delete(names, r.from)
	}
	if r.to != "" {
		names[r.to] = r.file
	}
}

type memFile struct {
	live, synced []byte
	from, to     int // where they differ, apart from their length
	// lying says that a sync failed and what it should have written counts as
	// written: later ones do not write it either, and only the cache has it.
	lying bool
}

func (f *memFile) touch(from, to int) {
	if f.from == f.to {
		f.from, f.to = from, to
	}
	f.from, f.to = min(f.from, from), max(f.to, to)
}

func (f *memFile) clean() bool { return !f.lying && f.from == f.to && len(f.live) == len(f.synced) }

func (f *memFile) sync() {
	f.synced = f.synced[:min(len(f.synced), len(f.live))]
	if f.from < min(f.to, len(f.synced)) {
		copy(f.synced[f.from:], f.live[f.from:min(f.to, len(f.synced))])
	}
	f.synced = append(f.synced, f.live[len(f.synced):]...)
	f.from, f.to = 0, 0
}

// lie makes what is not synced count as synced.
func (f *memFile) lie() {
	f.synced = f.synced[:min(len(f.synced), len(f.live))]
	f.synced = append(f.synced, make([]byte, len(f.live)-len(f.synced))...)
	f.from, f.to, f.lying = 0, 0, true
}

// ErrDead is what a dead process would be told.
var ErrDead = errors.New("the process is dead")

// New returns an empty disk.
func New() *Disk {
	return &Disk{live: map[string]*memFile{}, durable: map[string]*memFile{}, died: make(chan struct{})}
}

// Fail has fault asked before each change: it may refuse it, or wait. Operations
// are create, write, sync, truncate, rename, remove and syncdir; nil heals.
func (d *Disk) Fail(fault func(op, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// FailReads has fault asked before each read; nil heals.
func (d *Disk) FailReads(fault func(name string, off int64) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reading = fault
}

// DieAt lets the process die at a step from now on.
func (d *Disk) DieAt(step int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dieAt = step
}

// Steps is how many changes were tried.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Died is closed when the process has died.
func (d *Disk) Died() <-chan struct{} { return d.died }

// Kill lets the process die now, between two steps.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dieAt == 0 || d.dieAt > d.steps+1 {
		d.dieAt = d.steps + 1
	}
	d.die()
}

func (d *Disk) die() {
	select {
	case <-d.died:
	default:
		close(d.died)
	}
}

// step is the moment before a change: the disk may refuse it, or the process may
// be dead. d.mu is held, but not while a fault is asked.
func (d *Disk) step(op, name string) error {
	d.steps++
	if d.dieAt > 0 && d.steps >= d.dieAt {
		d.die()
		return ErrDead
	}
	fault, at := d.fault, d.steps
	if fault == nil {
		return nil
	}
	d.mu.Unlock()
	err := fault(op, filepath.Base(name))
	d.mu.Lock()
	if d.dieAt > 0 && at != d.steps && d.steps >= d.dieAt {
		return ErrDead // meanwhile
	}
	return err
}

// AfterKill is what a process finds that starts after SIGKILL.
func (d *Disk) AfterKill() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := New()
	next.live, next.durable = maps.Clone(d.live), maps.Clone(d.durable)
	next.renamed = slices.Clone(d.renamed)
	return next
}

// AfterPowerCut is what a process finds that starts after a power cut: of what was
// not synced, any page may be there or not, and the first of the new names.
func (d *Disk) AfterPowerCut(rnd *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := maps.Clone(d.durable)
	for _, r := range d.renamed[:rnd.IntN(len(d.renamed)+1)] {
		r.apply(names)
	}
	next := New()
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
	page := 64 // small, so that frames are torn too
	if len(f.live) > 64<<10 {
		page = 4 << 10
	}
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

func (d *Disk) MakeDir(string) error { return nil }

func (d *Disk) Create(name string) (spool.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	return &memHandle{d, name, d.named("", name, &memFile{})}, nil
}

// named changes names. d.mu is held.
func (d *Disk) named(from, to string, f *memFile) *memFile {
	r := rename{from, to, f}
	r.apply(d.live)
	d.renamed = append(d.renamed, r)
	return f
}

func (d *Disk) Edit(name string) (spool.File, error) { return d.Open(name) }

func (d *Disk) Open(name string) (spool.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.live[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &memHandle{d, name, f}, nil
}

func (d *Disk) List(dir string) ([]string, error) {
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

func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("rename", to); err != nil {
		return err
	}
	d.named(from, to, d.live[from])
	return nil
}

func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("remove", name); err != nil {
		return err
	}
	if _, ok := d.live[name]; !ok {
		return fs.ErrNotExist
	}
	d.named(name, "", nil)
	return nil
}

func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("syncdir", dir); err != nil {
		return err
	}
	kept := d.renamed[:0]
	for _, r := range d.renamed {
		if (r.from == "" || filepath.Dir(r.from) == dir) && (r.to == "" || filepath.Dir(r.to) == dir) {
			r.apply(d.durable)
		} else {
			kept = append(kept, r)
		}
	}
	d.renamed = kept
	return nil
}

type memHandle struct {
	disk *Disk
	name string
	file *memFile
}

func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.reading != nil {
		if err := h.disk.reading(filepath.Base(h.name), off); err != nil {
			return 0, err
		}
	}
	return bytes.NewReader(h.file.live).ReadAt(b, off)
}

func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	err := h.disk.step("write", h.name)
	switch {
	case err == ErrDead && h.disk.steps > h.disk.dieAt:
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
		switch {
		case err == ErrDead:
		case h.disk.steps%3 == 0:
			h.file.sync() // a sync that fails may have written all the same
		case h.disk.steps%3 == 1:
			h.file.lie()
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

var _ spool.Disk = (*Disk)(nil)
