package backfill

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/sinks/objects"
)

// object is one of the source, as a listing tells it.
type object struct {
	key      string
	etag     string
	size     int64
	modified time.Time
	sha256   string // empty: not known
	place
}

// fate is what the job makes of an object by its name alone.
type fate uint8

const (
	taken   fate = iota
	skipped      // of another format, or ours: manifests, rejects, state
	outside      // its path tells another time
)

// source is the bucket that is read.
type source struct {
	api     API
	options objects.Options
	job     Job
	zone    *time.Location
	hidden  []string // prefixes that are not for import
}

// list calls each for all that lies under the job's prefix, a page at a time, in the
// order of the keys.
func (s *source) list(ctx context.Context, each func(page []object, fates []fate) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.job.Bucket, Prefix: &s.job.Prefix}
	return s.options.List(ctx, s.api, in, func(out *s3.ListObjectsV2Output) error {
		page := make([]object, 0, len(out.Contents))
		fates := make([]fate, 0, len(out.Contents))
		for _, o := range out.Contents {
			key := aws.ToString(o.Key)
			if !s.below(key) {
				continue
			}
			found := object{key, aws.ToString(o.ETag), aws.ToInt64(o.Size), aws.ToTime(o.LastModified).UTC(), "", placeOf(key, s.zone)}
			page, fates = append(page, found), append(fates, s.fate(found))
		}
		return each(page, fates)
	})
}

// below tells what is in the folder from what only begins like it.
func (s *source) below(key string) bool {
	rest := key[len(s.job.Prefix):]
	return s.job.Prefix == "" || rest == "" || rest[0] == '/' || s.job.Prefix[len(s.job.Prefix)-1] == '/'
}

func (s *source) fate(o object) fate {
	switch {
	case o.form == foreign, o.size == 0,
		o.form == lines && s.job.Format == formatParquet, o.form == parquet && s.job.Format == formatLines,
		s.ours(o.key):
		return skipped
	case !s.job.chosen(o.place):
		return outside
	}
	return taken
}

// ours reports whether a key is not for import: hidden, as engines also see it, or of
// a folder that holds something else.
func (s *source) ours(key string) bool {
	if slices.ContainsFunc(s.hidden, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
		return true
	}
	for segment := range strings.SplitSeq(path.Dir(strings.TrimPrefix(key[len(s.job.Prefix):], "/")), "/") {
		if segment != "." && segment != "" && (segment[0] == '_' || segment[0] == '.') {
			return true
		}
	}
	return false
}

// Plan is what a job would do, as far as a listing and a few samples tell.
type Plan struct {
	Job       Job    `json:"-"`
	ID        string `json:"job"`
	From      string `json:"from"`
	State     string `json:"state"`
	Resumed   bool   `json:"resumed"`    // the job was begun
	Finished  bool   `json:"finished"`   // and ended
	StepsDone int64  `json:"steps_done"` // ranges imported so far

	Objects  int64 `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Parquet  int64 `json:"parquet"` // of Objects
	Outside  int64 `json:"outside"` // not among Objects
	Skipped  int64 `json:"skipped"`
	LineSize int64 `json:"line_bytes"` // estimated, before compression
	Rows     int64 `json:"rows"`       // estimated
	Batches  int64 `json:"batches"`
	AtOnce   int   `json:"at_once"` // batches
	Parallel int   `json:"parallel"`

	RangeBytes int64     `json:"range_bytes"`
	Memory     int64     `json:"memory"`
	First      time.Time `json:"first,omitzero"` // that paths tell
	Last       time.Time `json:"last,omitzero"`
	Tables     []string  `json:"tables"`
	MoreTables bool      `json:"more_tables"` // than are listed
	OtherKinds []string  `json:"other_kinds"` // folders where a kind ought to be
	Manifests  bool      `json:"manifests"`   // there are some, and they say which objects count
}

const maxPlanTables = 40

// Plan looks at the source. It changes nothing.
func (b *Backfill) Plan(ctx context.Context) (*Plan, error) {
	p := &Plan{Job: b.job, ID: b.job.ID(), From: b.job.From(), State: b.state.String(), Memory: b.cfg.Memory, Parallel: b.cfg.Parallel,
		RangeBytes: b.cfg.rangeBytes(), Tables: []string{}, OtherKinds: []string{}}
	if err := b.planState(ctx, p); err != nil {
		return nil, err
	}
	p.AtOnce = b.cfg.batches(p.RangeBytes)
	samples := &samples{}
	tables, kinds := map[string]bool{}, map[string]bool{}
	cut := cutter{rangeBytes: p.RangeBytes}
	err := b.source.list(ctx, func(page []object, fates []fate) error {
		for i, o := range page {
			switch fates[i] {
			case skipped:
				p.Skipped++
				continue
			case outside:
				p.Outside++
				continue
			}
			p.count(o)
			p.Batches = cut.next(o) + 1
			samples.offer(o)
			if o.kindName != "" && o.kind == 0 && len(kinds) < maxPlanTables {
				kinds[o.kindName] = true
			}
			if o.service != "" && o.kind != 0 {
				b.addTable(p, tables, b.importer.Table(o.service, o.kind))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := b.estimate(ctx, p, samples, tables); err != nil {
		return nil, err
	}
	p.Tables = sortedKeys(tables)
	p.OtherKinds = sortedKeys(kinds)
	return p, nil
}

// planState says what was done before.
func (b *Backfill) planState(ctx context.Context, p *Plan) (err error) {
	if p.Resumed, err = b.resume(ctx); err != nil || !p.Resumed {
		return err
	}
	p.RangeBytes = b.doc.RangeBytes
	if _, err := b.state.Read(ctx, doneFile); err == nil {
		p.Finished = true
	}
	err = b.state.List(ctx, stepsFolder, func(string) error { p.StepsDone++; return nil })
	if err != nil {
		return fmt.Errorf("list steps: %w", err)
	}
	return nil
}

func (p *Plan) count(o object) {
	p.Objects++
	p.Bytes += o.size
	if o.form == parquet {
		p.Parquet++
	}
	if o.at.IsZero() {
		return
	}
	if p.First.IsZero() || o.at.Before(p.First) {
		p.First = o.at
	}
	if end := o.at.Add(o.span); end.After(p.Last) {
		p.Last = end
	}
}

func (b *Backfill) addTable(p *Plan, tables map[string]bool, name string) {
	if len(tables) >= maxPlanTables && !tables[name] {
		p.MoreTables = true
		return
	}
	tables[name] = true
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
