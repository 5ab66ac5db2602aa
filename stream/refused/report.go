package refused

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"tributary/stream/spool"
)

// Report is what Inspect finds beside a spool.
type Report struct {
	Rejects      int           `json:"rejects"`
	FileBytes    int64         `json:"file_bytes"`
	DamagedBytes int64         `json:"damaged_bytes"` // an unfinished end included
	First        *time.Time    `json:"first,omitempty"`
	Last         *time.Time    `json:"last,omitempty"`
	Reasons      []ReasonCount `json:"reasons"` // the most frequent first
}

// ReasonCount is how many rejects have a reason.
type ReasonCount struct {
	Reason  string `json:"reason"`
	Rejects int    `json:"rejects"`
}

// Inspect looks at the rejects of the spool in spoolDir, and changes nothing.
func Inspect(spoolDir string) (*Report, error) {
	r, refs, err := look(spoolDir)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for i := range refs {
		at := &refs[i].At
		count[refs[i].Reason]++
		if r.First == nil || at.Before(*r.First) {
			r.First = at
		}
		if r.Last == nil || at.After(*r.Last) {
			r.Last = at
		}
	}
	for reason, n := range count {
		r.Reasons = append(r.Reasons, ReasonCount{reason, n})
	}
	slices.SortFunc(r.Reasons, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Rejects, a.Rejects), cmp.Compare(a.Reason, b.Reason))
	})
	return r, nil
}

// Each shows the rejects of the spool in spoolDir one by one, oldest first.
func Each(spoolDir string, visit func(Reject) error) error {
	_, refs, err := look(spoolDir)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		r, err := readReject(spool.LocalDisk, filepath.Join(spoolDir, dirName), ref)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped or sent since it was listed
		}
		if err == nil {
			err = visit(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func look(spoolDir string) (*Report, []Ref, error) {
	dir := filepath.Join(spoolDir, dirName)
	r := &Report{Reasons: []ReasonCount{}}
	var refs []Ref
	err := eachSegment(spool.LocalDisk, dir, func(c segmentContent) error {
		r.FileBytes += c.size
		r.DamagedBytes += c.damaged
		refs = append(refs, c.refs...)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("inspect rejects %s: %w", dir, err)
	}
	refs = distinct(refs)
	r.Rejects = len(refs)
	return r, refs, nil
}
