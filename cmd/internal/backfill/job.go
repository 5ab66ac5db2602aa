package backfill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/sinks/objects"
)

// Job is what is to be imported. The same job has the same id, hence the same state.
type Job struct {
	Bucket string
	Prefix string // a folder, or a single object
	// Since and Until choose objects by the time that their paths tell, and of those
	// the events. Zero is no bound; Until itself is out.
	Since, Until time.Time
	Format       string // one of Formats
	Name         string // tells jobs apart that mean the same
}

// Formats are what Job.Format may be.
func Formats() []string { return []string{formatAuto, formatParquet, formatLines} }

const (
	formatAuto    = "auto"
	formatParquet = "parquet"
	formatLines   = "jsonl.gz"
)

// ParseFrom reads s3://bucket/prefix.
func ParseFrom(text string) (bucket, prefix string, err error) {
	rest, is := strings.CutPrefix(text, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !is || bucket == "" {
		return "", "", fmt.Errorf("%q is not s3://bucket/prefix", text)
	}
	return bucket, strings.TrimSuffix(prefix, "/"), nil
}

// Validate joins all faults.
func (j Job) Validate() error {
	var errs []error
	if j.Bucket == "" {
		errs = append(errs, errors.New("the bucket is missing"))
	}
	if !slices.Contains(Formats(), j.Format) {
		errs = append(errs, fmt.Errorf("format %q is none of %s", j.Format, strings.Join(Formats(), ", ")))
	}
	if !j.Since.IsZero() && !j.Until.IsZero() && !j.Since.Before(j.Until) {
		errs = append(errs, fmt.Errorf("since %s is not before until %s", stamp(j.Since), stamp(j.Until)))
	}
	if len(j.Name) > 64 {
		errs = append(errs, fmt.Errorf("the job's name has %d characters, more than 64", len(j.Name)))
	}
	return errors.Join(errs...)
}

// From is the source as it was given.
func (j Job) From() string { return strings.TrimSuffix("s3://"+j.Bucket+"/"+j.Prefix, "/") }

// ID names the job, and is part of all ids of what it imports.
func (j Job) ID() string {
	h := sha256.New()
	for _, f := range []string{strconv.Itoa(stateVersion), j.Bucket, j.Prefix, stamp(j.Since), stamp(j.Until), j.Format, j.Name} {
		fmt.Fprintf(h, "%d:%s", len(f), f)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// GroupPrefix begins the groups of all jobs.
const GroupPrefix = "backfill-"

// Group is the name under which its rows and rejects go.
func (j Job) Group() string { return GroupPrefix + j.ID() }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// stateVersion is that of all that a job stores.
const stateVersion = 1

// jobDocument is a Job as it is stored, with what decides its rows and cuts.
type jobDocument struct {
	Version    int       `json:"version"`
	From       string    `json:"from"`
	Since      string    `json:"since"`
	Until      string    `json:"until"`
	Format     string    `json:"format"`
	Name       string    `json:"name"`
	Endpoint   string    `json:"endpoint"`
	Plan       string    `json:"plan"` // the sink's
	RangeBytes int64     `json:"range_bytes"`
	Begun      time.Time `json:"begun"`
}

const (
	jobFile       = "job.json"
	inventoryFile = "inventory.json"
	doneFile      = "done.json"
	stepsFolder   = "steps/"
)

// ErrOtherConfiguration says that a job was begun with another configuration.
var ErrOtherConfiguration = errors.New("the job was begun with another configuration")

// begin stores the job, or finds it stored and equal.
func (b *Backfill) begin(ctx context.Context) error {
	doc := jobDocument{
		Version: stateVersion, From: b.job.From(), Since: stamp(b.job.Since), Until: stamp(b.job.Until), Format: b.job.Format, Name: b.job.Name,
		Endpoint: b.endpoint, Plan: b.importer.Plan(), RangeBytes: b.cfg.rangeBytes(), Begun: time.Now().UTC(),
	}
	err := create(ctx, b.state, jobFile, doc)
	if err == nil {
		b.doc = doc
		return nil
	}
	if !errors.Is(err, objects.ErrExists) {
		return fmt.Errorf("store the job: %w", err)
	}
	_, err = b.resume(ctx)
	return err
}

// resume reads the stored job; false if there is none.
func (b *Backfill) resume(ctx context.Context) (bool, error) {
	var there jobDocument
	err := load(ctx, b.state, jobFile, &there)
	if errors.Is(err, errMissing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the job: %w", err)
	}
	if there.Version != stateVersion {
		return false, fmt.Errorf("read the job: %s/%s has version %d, this build knows %d", b.state, jobFile, there.Version, stateVersion)
	}
	if differ := differences(there.Plan, b.importer.Plan()); len(differ) > 0 {
		return false, fmt.Errorf("%w (%s): go on with that one, or give the job another --name, and all of it is imported again", ErrOtherConfiguration, strings.Join(differ, ", "))
	}
	if there.Endpoint != b.endpoint {
		return false, fmt.Errorf("%w (import_endpoint was %s, is %s): what is imported lies there; give the job another --name", ErrOtherConfiguration, there.Endpoint, b.endpoint)
	}
	b.doc = there
	return true, nil
}

// differences names what two plans of the sink do not share.
func differences(then, now string) (names []string) {
	if then == now {
		return nil
	}
	var a, b map[string]json.RawMessage
	if json.Unmarshal([]byte(then), &a) != nil || json.Unmarshal([]byte(now), &b) != nil {
		return []string{"plan"}
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(a[key], b[key]) {
			names = append(names, fmt.Sprintf("%s was %s, is %s", key, short(a[key]), short(b[key])))
		}
	}
	return names
}

func short(text []byte) string {
	if len(text) == 0 {
		return "missing"
	}
	if len(text) > 40 {
		return strings.ToValidUTF8(string(text[:40]), "") + "…"
	}
	return string(text)
}

func create(ctx context.Context, s State, name string, doc any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return s.Create(ctx, name, append(text, '\n'))
}

func load(ctx context.Context, s State, name string, doc any) error {
	text, err := s.Read(ctx, name)
	if err == nil {
		err = json.Unmarshal(text, doc)
	}
	if err != nil {
		return fmt.Errorf("%s/%s: %w", s, name, err)
	}
	return nil
}
