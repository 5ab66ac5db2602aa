package refused

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"tributary/stream/spool"
)

// Ref is a reject without its record.
type Ref struct {
	ID
	At       time.Time
	Position uint64
	Reason   string
	segment  uint64
	at, size int
}

// segmentContent is what a segment holds.
type segmentContent struct {
	number    uint64
	size, end int64 // end lies behind the last sound reject
	damaged   int64
	refs      []Ref
}

// eachSegment reads the segments in dir, oldest first; a dir that is not there has none.
func eachSegment(d spool.Disk, dir string, visit func(segmentContent) error) error {
	names, err := d.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	reasons := map[string]string{} // one copy of each
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		b, err := readFile(d, filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped since it was listed
		}
		if err != nil {
			return fmt.Errorf("segment %s: %w", name, err)
		}
		c := segmentContent{number: number, size: int64(len(b))}
		damaged, end, err := scan(b, func(at, size int, r Reject) {
			reason, ok := reasons[r.Reason]
			if !ok {
				reason = r.Reason
				reasons[reason] = reason
			}
			c.refs = append(c.refs, Ref{r.ID, r.At, r.Position, reason, number, at, size})
		})
		if err != nil {
			return fmt.Errorf("segment %s: %w", name, err)
		}
		c.damaged, c.end = int64(damaged), int64(end)
		if err := visit(c); err != nil {
			return err
		}
	}
	return nil
}

func readFile(d spool.Disk, path string) ([]byte, error) {
	f, err := d.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return readAt(f, 0, int(size))
}

func readAt(f spool.File, at int64, size int) ([]byte, error) {
	b := make([]byte, size)
	if n, err := f.ReadAt(b, at); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// distinct keeps one of those with one id, and none that was refused again under the
// next epoch: both are there when a sending was cut off.
func distinct(refs []Ref) []Ref {
	there := make(map[ID]bool, len(refs))
	for i := range refs {
		there[refs[i].ID] = true
	}
	superseded := func(r Ref) bool { return there[r.again()] }
	refs = slices.DeleteFunc(refs, superseded)
	clear(there)
	return slices.DeleteFunc(refs, func(r Ref) bool {
		twice := there[r.ID]
		there[r.ID] = true
		return twice
	})
}

// Lot is all rejects of one moment.
type Lot struct {
	Refs     []Ref // by epoch, lane and offset
	segments []*segment
}

// Turn begins to send: it returns all there is. What is added from here on lies apart,
// and nothing is dropped until Discard or the end of the process.
func (f *File) Turn() (*Lot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leave()
	f.sending = true
	lot := &Lot{segments: slices.Clone(f.segments)}
	err := eachSegment(f.disk, f.dir, func(c segmentContent) error {
		lot.Refs = append(lot.Refs, c.refs...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rejects: %w", err)
	}
	lot.Refs = distinct(lot.Refs)
	slices.SortFunc(lot.Refs, func(a, b Ref) int {
		return cmp.Or(slices.Compare(a.Epoch[:], b.Epoch[:]), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Offset, b.Offset))
	})
	return lot, nil
}

// Discard ends a sending: each reject of the lot is in the stream or was added again.
func (f *File) Discard(lot *Lot) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.show()
	for _, s := range lot.segments {
		err := f.remove(s)
		if err == nil {
			// In this order also after a power cut: a reject that was refused again must
			// not outlive the copy that says so.
			err = f.disk.SyncDir(f.dir)
		}
		if err != nil {
			return fmt.Errorf("delete rejects: %w", err)
		}
	}
	f.sending = false
	return nil
}

// Read reads a reject of a lot.
func (f *File) Read(ref Ref) (Reject, error) { return readReject(f.disk, f.dir, ref) }

func readReject(d spool.Disk, dir string, ref Ref) (Reject, error) {
	file, err := d.Open(filepath.Join(dir, segmentName(ref.segment)))
	if err != nil {
		return Reject{}, fmt.Errorf("read a reject: %w", err)
	}
	defer file.Close()
	b, err := readAt(file, int64(ref.at), ref.size)
	if err != nil {
		return Reject{}, fmt.Errorf("read a reject: %w", err)
	}
	r, _, ok := cutReject(b)
	if !ok {
		return Reject{}, fmt.Errorf("read a reject: segment %s has changed at %d", segmentName(ref.segment), ref.at)
	}
	return r, nil
}
