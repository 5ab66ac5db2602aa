package lake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tributary/sinks/objects"
	"tributary/stream"
)

// A Prover shows from range manifests and listings that the ranges of each shard
// and generation follow one another without gap or overlap, and that every object
// they name is there with its rows. It reads only.
//
// Workers may write meanwhile: objects are listed before manifests, so that of
// what the listing holds all but the range being flushed is named.
//
// A manifest of the lake is at hand only while it is judged. What grows with the
// lake is a hash of each object listed, up to maxListed.
type Prover struct {
	cfg   Config
	api   proofAPI
	store store

	objects, ranges atomic.Int64
}

// proofAPI is what a proof asks of an S3 client.
type proofAPI interface {
	s3API
	objects.Lister
}

// NewProver returns a prover of the lake that cfg names. It does no I/O.
func NewProver(cfg Config, api proofAPI) (*Prover, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	return &Prover{cfg: cfg, api: api, store: store{api, cfg.Options}}, nil
}

// Looked is how many objects and ranges were looked at so far; safe from any
// goroutine.
func (p *Prover) Looked() (objects, ranges int64) { return p.objects.Load(), p.ranges.Load() }

// ProofOptions say how much to look at.
type ProofOptions struct {
	// Since leaves out ranges whose manifest was written before, and objects written
	// before that nobody names. The first range of a shard looked at is still held
	// against the end of the one before. Zero: from the beginning.
	Since time.Time
	// Deep reads each object's metadata and footer.
	Deep bool
	// Hash reads each object as a whole and compares its SHA-256. It implies Deep.
	Hash bool
}

// ErrNoRanges says that there is nothing to prove: no range was ever finished
// under the lake's prefix.
var ErrNoRanges = errors.New("no range was ever finished there")

// What may be wrong with a lake.
const (
	FaultGap       = "gap"       // records between two ranges are in neither
	FaultOverlap   = "overlap"   // a range begins before the one before it ended
	FaultTruncated = "truncated" // the stream had forgotten a part of the range
	FaultManifest  = "manifest"  // it cannot be read, or contradicts itself
	FaultMissing   = "missing"   // an object that a manifest names is not there
	FaultObject    = "object"    // an object is not what its manifest says
	FaultOrphan    = "orphan"    // an object of a range that does not name it
	FaultForeign   = "foreign"   // a Parquet object that no range has written
)

// A ProofFault is one thing that is wrong.
type ProofFault struct {
	Kind       string         `json:"kind"`
	Shard      stream.ShardID `json:"shard,omitempty"`
	Generation uint64         `json:"generation"`
	Key        string         `json:"key"` // of the manifest or object
	Text       string         `json:"text"`
}

// A Chain is what was proven of one shard in one generation.
type Chain struct {
	Shard        stream.ShardID        `json:"shard"`
	Generation   uint64                `json:"generation"`
	Ranges       int64                 `json:"ranges"`
	Objects      int64                 `json:"objects"`
	Bytes        int64                 `json:"bytes"`
	Records      int64                 `json:"records"`
	Rows         int64                 `json:"rows"`
	Duplicates   int64                 `json:"duplicates"`
	Rejects      int64                 `json:"rejects"`
	After        stream.SequenceNumber `json:"after"` // the record before the first of these ranges; empty: the beginning
	Last         stream.SequenceNumber `json:"last"`
	ArrivalFirst time.Time             `json:"arrival_first,omitzero"`
	ArrivalLast  time.Time             `json:"arrival_last,omitzero"`
	Faults       int64                 `json:"faults"`
	// Open counts the objects of the range that is being flushed, or that was given
	// up by a reset, and says when the first of them was written.
	Open      int64     `json:"open"`
	OpenSince time.Time `json:"open_since,omitzero"`
}

// A Proof is what a Prover found.
type Proof struct {
	Bucket string    `json:"bucket"`
	Prefix string    `json:"prefix"`
	Since  time.Time `json:"since,omitzero"`
	Deep   bool      `json:"deep"`
	Hash   bool      `json:"hash"`
	// Complete is false when an error ended the proof before all was looked at.
	Complete bool `json:"complete"`
	// Proven: all was looked at and nothing is wrong.
	Proven bool    `json:"proven"`
	Chains []Chain `json:"chains"` // those with ranges looked at, or open ones
	// Faults holds the first maxFaults; FaultCount counts all.
	Faults     []ProofFault `json:"faults"`
	FaultCount int64        `json:"fault_count"`
}

// Totals are the sums over all chains; of times, the outermost.
func (p *Proof) Totals() (t Chain) {
	for i := range p.Chains {
		c := &p.Chains[i]
		t.Ranges += c.Ranges
		t.Objects += c.Objects
		t.Bytes += c.Bytes
		t.Records += c.Records
		t.Rows += c.Rows
		t.Duplicates += c.Duplicates
		t.Rejects += c.Rejects
		t.Faults += c.Faults
		t.Open += c.Open
		t.OpenSince = outermost(t.OpenSince, c.OpenSince, -1)
		t.ArrivalFirst = outermost(t.ArrivalFirst, c.ArrivalFirst, -1)
		t.ArrivalLast = outermost(t.ArrivalLast, c.ArrivalLast, 1)
	}
	return t
}

// outermost is the earlier (-1) or later (1) of two times, of which the zero one
// does not count.
func outermost(a, b time.Time, which int) time.Time {
	if a.IsZero() || !b.IsZero() && b.Compare(a) == which {
		return b
	}
	return a
}

// maxFaults bounds what a proof tells one by one. Whoever has more needs no list.
const maxFaults = 1000

// proving is one run of Prove.
type proving struct {
	*Prover
	ProofOptions
	prefix    string // of all keys: empty, or ends in a slash
	proof     *Proof
	listed    *listed
	chains    map[chainKey]*chain
	manifests int64 // named in the listing
}

// Prove looks at the lake. An error says that not all could be looked at; the
// proof then holds what was found until then.
func (p *Prover) Prove(ctx context.Context, o ProofOptions) (*Proof, error) {
	o.Deep = o.Deep || o.Hash
	run := &proving{
		Prover: p, ProofOptions: o, listed: newListed(), chains: map[chainKey]*chain{},
		proof: &Proof{Bucket: p.cfg.Bucket, Prefix: p.cfg.Prefix, Since: o.Since.UTC(), Deep: o.Deep, Hash: o.Hash, Chains: []Chain{}, Faults: []ProofFault{}},
	}
	if p.cfg.Prefix != "" {
		run.prefix = p.cfg.Prefix + "/"
	}
	err := run.all(ctx)
	if err == nil && run.manifests == 0 && run.proof.FaultCount == 0 {
		err = ErrNoRanges
	}
	run.proof.Complete = err == nil
	run.proof.Proven = err == nil && run.proof.FaultCount == 0
	for _, c := range run.chains {
		if c.Ranges > 0 || c.Open > 0 {
			run.proof.Chains = append(run.proof.Chains, c.Chain)
		}
	}
	slices.SortFunc(run.proof.Chains, func(a, b Chain) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Generation, b.Generation))
	})
	if err != nil {
		return run.proof, fmt.Errorf("prove lake s3://%s/%s: %w", p.cfg.Bucket, run.prefix, err)
	}
	return run.proof, nil
}

func (p *proving) all(ctx context.Context) error {
	if err := p.listObjects(ctx); err != nil {
		return err
	}
	if err := p.readManifests(ctx); err != nil {
		return err
	}
	return p.judgeUnnamed(ctx)
}

func (p *proving) fault(c *chain, kind, key, format string, args ...any) {
	f := ProofFault{Kind: kind, Key: key, Text: fmt.Sprintf(format, args...)}
	if c != nil {
		f.Shard, f.Generation = c.Shard, c.Generation
		c.Faults++
	}
	if p.proof.FaultCount++; p.proof.FaultCount <= maxFaults {
		p.proof.Faults = append(p.proof.Faults, f)
	}
}
