package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary/deploy/local/disk"
)

const day = 24 * time.Hour

// A group is a set of streams. Its lock is held shared by puts and reads, alone by whatever changes the group or its set of streams.
type group struct {
	dir  string
	opts *Options

	mu      sync.RWMutex
	meta    groupMeta
	streams map[string]*stream
	deleted bool
	closed  bool
}

// makeDir makes dir, with what fill puts into it, under a temporary name: a crash leaves the whole or something that open sweeps.
func makeDir(dir string, fill func(temp string) error) error {
	root := filepath.Dir(dir)
	temp := filepath.Join(root, sweptPrefix+"new-"+filepath.Base(dir))
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return err
	}
	if err := fill(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return disk.SyncDir(root)
}

// discard renames dir, which is the deletion, and gives what removes the files: a crash in between leaves something that open sweeps.
func discard(dir string) (remove func() error, err error) {
	root := filepath.Dir(dir)
	doomed := filepath.Join(root, sweptPrefix+filepath.Base(dir))
	if err := os.Rename(dir, doomed); err != nil {
		return nil, err
	}
	return func() error {
		if err := disk.SyncDir(root); err != nil {
			return err
		}
		return os.RemoveAll(doomed)
	}, nil
}

func createGroup(opts *Options, root string, meta groupMeta) (*group, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("create log group: %w", err)
	}
	if err := disk.SyncDir(filepath.Dir(root)); err != nil {
		return nil, fmt.Errorf("create log group: %w", err)
	}
	dir := filepath.Join(root, groupPrefix+strconv.FormatInt(meta.CreatedMS, 10))
	if err := makeDir(dir, meta.save); err != nil {
		return nil, fmt.Errorf("create log group: %w", err)
	}
	return &group{dir: dir, opts: opts, meta: meta, streams: make(map[string]*stream)}, nil
}

func openGroup(opts *Options, dir string) (*group, error) {
	meta, err := loadGroupMeta(dir)
	if err != nil {
		return nil, err
	}
	g := &group{dir: dir, opts: opts, meta: meta, streams: make(map[string]*stream)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read log group %s: %w", meta.Name, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), sweptPrefix):
			if err := os.RemoveAll(path); err != nil {
				return nil, fmt.Errorf("sweep log group %s: %w", meta.Name, err)
			}
		case strings.HasPrefix(e.Name(), streamPrefix):
			st, err := openStream(opts, path)
			if err != nil {
				return nil, fmt.Errorf("log group %s: %w", meta.Name, err)
			}
			g.streams[st.meta.Name] = st
		}
	}
	return g, nil
}

// newest is the creation time of the newest stream, or the group's.
func (g *group) newest() int64 {
	ms := g.meta.CreatedMS
	for _, st := range g.streams {
		ms = max(ms, st.meta.CreatedMS)
	}
	return ms
}

// close waits for the calls under way.
func (g *group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// usable says why the group that was found is none any more.
func (g *group) usable() error {
	if g.deleted {
		return notFound("group")
	}
	if g.closed {
		return errClosed
	}
	return nil
}

func (g *group) stream(name string) (*stream, error) {
	if st, ok := g.streams[name]; ok {
		return st, nil
	}
	return nil, notFound("stream")
}

// horizon is the timestamp before which events have expired, in ms.
func (g *group) horizon(now time.Time) int64 {
	if g.meta.RetentionDays == 0 {
		return 0
	}
	return now.Add(-time.Duration(g.meta.RetentionDays) * day).UnixMilli()
}

func (g *group) trim(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.meta.RetentionDays == 0 || g.usable() != nil {
		return nil
	}
	for name, st := range g.streams {
		if err := st.trim(g.horizon(now)); err != nil {
			return fmt.Errorf("log stream %s: %w", name, err)
		}
	}
	return nil
}

// stored is the size of all files of events.
func (g *group) stored() (n int64) {
	for _, st := range g.streams {
		n += st.stored()
	}
	return n
}

func (s *Service) find(name string) (*group, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	if g, ok := s.groups[name]; ok {
		return g, nil
	}
	return nil, notFound("group")
}

// use finds the group and holds its lock shared until the returned function is called.
func (c *call) use(name string) (*group, func(), error) {
	g, err := c.svc.find(name)
	if err != nil {
		return nil, nil, err
	}
	g.mu.RLock()
	if err := g.usable(); err != nil {
		g.mu.RUnlock()
		return nil, nil, err
	}
	return g, g.mu.RUnlock, nil
}

// change is use for those who change the group: alone.
func (c *call) change(name string) (*group, func(), error) {
	if err := checkGroupName(name); err != nil {
		return nil, nil, err
	}
	g, err := c.svc.find(name)
	if err != nil {
		return nil, nil, err
	}
	g.mu.Lock()
	if err := g.usable(); err != nil {
		g.mu.Unlock()
		return nil, nil, err
	}
	return g, g.mu.Unlock, nil
}
