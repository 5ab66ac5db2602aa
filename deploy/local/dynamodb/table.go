package dynamodb

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tributary/deploy/local/disk"
)

// definition is what a table was created with, as the journal keeps it.
type definition struct {
	Name          string    `json:"name"`
	ID            string    `json:"id"`
	Key           string    `json:"key"` // the HASH key attribute, of type S
	Created       time.Time `json:"created"`
	BillingMode   string    `json:"billing_mode"`
	ReadCapacity  int64     `json:"read_capacity,omitempty"`
	WriteCapacity int64     `json:"write_capacity,omitempty"`
}

// table holds all items in memory and every write in its journal. mu makes each
// operation atomic within the table.
type table struct {
	definition
	dir string

	mu      sync.Mutex
	items   map[string]item
	bytes   int64
	journal *journal
	recent  recent
	gone    bool // deleted while a request waited for mu
}

func journalPath(dir string) string { return filepath.Join(dir, "journal") }

// createTable makes the table's directory and its first journal.
func createTable(dir string, d definition) (*table, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	t := &table{definition: d, dir: dir, items: map[string]item{}}
	j, err := writeJournal(journalPath(dir), t.entries())
	if err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	t.journal = j
	return t, disk.SyncDir(filepath.Dir(dir))
}

// openTable reads a table back. A directory without a journal is the leaving of
// a creation that was never answered: the result is nil.
func openTable(dir string) (*table, error) {
	if err := os.Remove(journalPath(dir) + ".tmp"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open table: %w", err)
	}
	if _, err := os.Stat(journalPath(dir)); errors.Is(err, os.ErrNotExist) {
		return nil, os.Remove(dir)
	}
	t := &table{dir: dir, items: map[string]item{}}
	j, err := openJournal(journalPath(dir), t.replay)
	if err != nil {
		return nil, err
	}
	t.journal = j
	if t.Name == "" {
		return nil, errors.Join(fmt.Errorf("open table: journal %s names no table", j.path), j.file.Close())
	}
	return t, nil
}

func (t *table) replay(e entry) error {
	switch {
	case t.Name == "" && e.Table != nil && e.Table.Name != "" && e.Table.Key != "":
		t.definition = *e.Table
		return nil
	case t.Name != "" && e.Put != nil:
		key := e.Put[t.Key]
		if key.S == nil {
			return fmt.Errorf("item without its key attribute %q", t.Key)
		}
		t.apply(*key.S, e.Put)
		return nil
	case t.Name != "" && e.Delete != nil:
		t.apply(*e.Delete, nil)
		return nil
	}
	return errors.New("entry of no known kind, or out of place")
}

// entries is the table as a fresh journal.
func (t *table) entries() iter.Seq[entry] {
	return func(yield func(entry) bool) {
		if !yield(entry{Table: &t.definition}) {
			return
		}
		for _, i := range t.items {
			if !yield(entry{Put: i}) {
				return
			}
		}
	}
}

// write makes next the item under key (nil deletes it), durably. mu is held.
func (t *table) write(key string, next item) error {
	old, existed := t.items[key]
	if next == nil && !existed {
		return nil
	}
	e := entry{Put: next}
	if next == nil {
		e = entry{Delete: &key}
	}
	if err := t.journal.append(e); err != nil {
		return err
	}
	t.recent.add(key, old)
	t.apply(key, next)
	t.compact()
	return nil
}

func (t *table) apply(key string, next item) {
	t.bytes -= t.items[key].size()
	if next == nil {
		delete(t.items, key)
		return
	}
	t.bytes += next.size()
	t.items[key] = next
}

// compact rewrites a journal that has grown to several times what is alive. The
// write it follows is done whether or not that succeeds; without success the old
// journal goes on and another try comes when it has grown further.
func (t *table) compact() {
	if t.journal.size < t.journal.compact {
		return
	}
	fresh, err := writeJournal(t.journal.path, t.entries())
	if fresh == nil && err != nil {
		t.journal.compact += minCompaction
		return
	}
	// The old file has no name any more; closing it can lose nothing.
	_ = t.journal.file.Close()
	t.journal = fresh
}

// close ends the table; requests that wait for it find it gone.
func (t *table) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	return t.journal.file.Close()
}

// recent remembers what items were before their last writes, for stale reads.
// It is bounded by number and bytes; it forgets the oldest write first.
type recent struct {
	before map[string]past
	order  []past
	bytes  int64
	serial int64
}

type past struct {
	key    string
	item   item // nil: there was none
	serial int64
}

const (
	maxRecent      = 256
	maxRecentBytes = 8 << 20
)

func (r *recent) add(key string, old item) {
	if r.before == nil {
		r.before = map[string]past{}
	}
	r.serial++
	p := past{key, old, r.serial}
	r.before[key] = p
	r.order = append(r.order, p)
	r.bytes += old.size()
	for len(r.order) > maxRecent || r.bytes > maxRecentBytes {
		oldest := r.order[0]
		r.order = r.order[1:]
		r.bytes -= oldest.item.size()
		if r.before[oldest.key].serial == oldest.serial {
			delete(r.before, oldest.key)
		}
	}
}
