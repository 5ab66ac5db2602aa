package lake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"tributary/sinks/objects"
	"tributary/stream"
)

// chainKey names a chain as keys do.
type chainKey struct {
	shard      string // path segment
	generation uint64
}

// chain follows the ranges of one shard and generation in their order.
type chain struct {
	Chain
	prior   listedObject                   // manifest of the last range before Since
	within  bool                           // a range since then was met
	begun   bool                           // end tells where a range ended
	known   bool                           // the range before could be read
	start   stream.SequenceNumber          // where what is looked at begins
	end     stream.SequenceNumber          // of the last range read
	newest  stream.SequenceNumber          // first record of the last manifest, by its name
	partial map[stream.SequenceNumber]bool // first records of truncated ranges
	open    openRange
}

func (p *proving) chain(k chainKey) *chain {
	c := p.chains[k]
	if c == nil {
		c = &chain{Chain: Chain{Shard: stream.ShardID(k.shard), Generation: k.generation}, known: true, partial: map[stream.SequenceNumber]bool{}}
		p.chains[k] = c
	}
	return c
}

// parseName takes apart "<text><sequence>[.g<generation>]<extension>".
func parseName(name, extension string) (text string, sequence stream.SequenceNumber, generation uint64, ok bool) {
	name, ok = strings.CutSuffix(name, extension)
	if !ok {
		return "", "", 0, false
	}
	if i := strings.LastIndex(name, ".g"); i >= 0 {
		n, err := strconv.ParseUint(name[i+2:], 10, 64)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != name[i+2:] {
			return "", "", 0, false
		}
		name, generation = name[:i], n
	}
	text = strings.TrimRight(name, "0123456789")
	if len(text) == len(name) {
		return "", "", 0, false
	}
	return text, stream.SequenceNumber(name[len(text):]), generation, true
}

// A batch of manifests is read at a time; both bounds are those of the listing,
// and a manifest goes alone if need be.
const (
	batchManifests = 64
	batchBytes     = 32 << 20
)

// entry is one manifest to be read.
type entry struct {
	key   string
	chain *chain
	prior bool // only its end counts
	m     *manifest
	fault string
}

// readManifests walks through all manifests: shard by shard, and within one in the
// order of sequence numbers, generations among one another.
func (p *proving) readManifests(ctx context.Context) error {
	var batch []entry
	var bytes int64
	add := func(e entry, size int64) error {
		if len(batch) > 0 && (len(batch) == batchManifests || bytes+size > batchBytes) {
			if err := p.readBatch(ctx, batch); err != nil {
				return err
			}
			batch, bytes = batch[:0], 0
		}
		batch, bytes = append(batch, e), bytes+size
		return nil
	}
	folder := p.prefix + rangesFolder + "/"
	err := p.list(ctx, folder, func(o listedObject) error {
		shard, name, below := strings.Cut(strings.TrimPrefix(o.key, folder), "/")
		text, first, generation, ok := parseName(name, ".json")
		if !below || !ok || text != "" {
			p.fault(nil, FaultManifest, o.key, "no range has this name")
			return nil
		}
		if len(first) > sequenceDigits {
			return fmt.Errorf("%s: a sequence number has more than %d digits, names are not in its order", o.key, sequenceDigits)
		}
		p.manifests++
		c := p.chain(chainKey{shard, generation})
		c.newest = first
		if !c.within && o.modified.Before(p.Since) {
			c.prior = o
			return nil
		}
		if !c.within && c.prior.key != "" {
			if err := add(entry{key: c.prior.key, chain: c, prior: true}, c.prior.size); err != nil {
				return err
			}
		}
		c.within = true
		return add(entry{key: o.key, chain: c}, o.size)
	})
	if err != nil {
		return err
	}
	for _, c := range p.chains {
		if !c.within { // an object written since may belong to it
			if err := add(entry{key: c.prior.key, chain: c, prior: true}, c.prior.size); err != nil {
				return err
			}
		}
	}
	return p.readBatch(ctx, batch)
}

func (p *proving) readBatch(ctx context.Context, batch []entry) error {
	g, getting := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range batch {
		g.Go(func() (err error) {
			batch[i].m, batch[i].fault, err = p.readManifest(getting, batch[i].key)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range batch {
		p.follow(&batch[i])
	}
	return p.checkObjects(ctx, batch)
}

// readManifest returns a manifest, or what is wrong with it. A manifest of a later
// format is an error: it is not known what it promises.
func (p *proving) readManifest(ctx context.Context, key string) (m *manifest, fault string, err error) {
	var got stored
	err = objects.Patiently(ctx, func() (err error) {
		got, err = p.store.get(ctx, p.cfg.Bucket, key, maxManifest, "")
		return err
	})
	switch {
	case objects.Status(err) == http.StatusNotFound:
		return nil, "was listed, and is not there", nil
	case err != nil:
		return nil, "", fmt.Errorf("read manifest %s: %w", key, err)
	}
	m = &manifest{}
	if err := json.Unmarshal(got.tail, m); err != nil {
		return nil, "cannot be read: " + err.Error(), nil
	}
	if m.Format > formatVersion {
		return nil, "", fmt.Errorf("manifest %s has format %d, this build reads up to %d: use a newer one", key, m.Format, formatVersion)
	}
	if err := p.contradiction(m, key); err != nil {
		return nil, err.Error(), nil
	}
	return m, "", nil
}

// contradiction is what a manifest cannot say and be true.
func (p *proving) contradiction(m *manifest, key string) error {
	r := stream.Range{Shard: m.Shard, Generation: m.Generation, First: m.First, Last: m.Last}
	if name := (&layoutPlan{prefix: p.prefix}).manifestKey(r); m.Format < 1 || m.Shard == "" || m.First == "" || name != key {
		return fmt.Errorf("tells of range %q of shard %q in generation %d, which has another name", m.First, m.Shard, m.Generation)
	}
	if m.First.Compare(m.Last) > 0 || m.After != "" && m.After.Compare(m.First) >= 0 {
		return fmt.Errorf("tells of a range after %q from %s to %q, which is none", m.After, m.First, m.Last)
	}
	var rows int64
	keys := make(map[string]bool, len(m.Objects))
	for _, o := range m.Objects {
		if o.Rows < 1 || o.Bytes < 1 {
			return fmt.Errorf("names %s with %d rows in %d bytes", o.Key, o.Rows, o.Bytes)
		}
		if keys[o.Key] {
			return fmt.Errorf("names %s twice", o.Key)
		}
		keys[o.Key] = true
		rows += o.Rows
	}
	if rows != m.Rows {
		return fmt.Errorf("counts %d rows, its objects have %d", m.Rows, rows)
	}
	return nil
}

// follow holds a range against the one before it.
func (p *proving) follow(e *entry) {
	c, m := e.chain, e.m
	if m == nil {
		c.known = false
		if !e.prior {
			p.fault(c, FaultManifest, e.key, "%s", e.fault)
			c.Ranges++
			p.ranges.Add(1)
		}
		return
	}
	c.Shard = m.Shard
	if e.prior {
		c.start, c.end, c.begun = m.Last, m.Last, true
		if m.Truncated {
			c.partial[m.First] = true
		}
		return
	}
	if kind, text := c.link(m, !p.Since.IsZero()); kind != "" {
		p.fault(c, kind, e.key, "%s", text)
	}
	if m.Truncated {
		p.fault(c, FaultTruncated, e.key, "the stream had forgotten a part of the range when it was delivered: %d records from %s to %s are left, %d rows",
			m.Records, m.First, m.Last, m.Rows)
		c.partial[m.First] = true
	}
	if c.Ranges == 0 {
		c.After = m.After
	}
	c.begun, c.known, c.end, c.Last = true, true, m.Last, m.Last
	c.Ranges++
	c.Objects += int64(len(m.Objects))
	c.Records += m.Records
	c.Rows += m.Rows
	c.Duplicates += m.Duplicates
	c.Rejects += m.Rejects
	for _, o := range m.Objects {
		c.Bytes += o.Bytes
	}
	c.ArrivalFirst, c.ArrivalLast = outermost(c.ArrivalFirst, m.ArrivalFirst, -1), outermost(c.ArrivalLast, m.ArrivalLast, 1)
	p.ranges.Add(1)
}

// link tells whether a range begins where the one before ended. Of the first one
// looked at that has none before it, the record it follows is held against it only
// when the proof is from the beginning.
func (c *chain) link(m *manifest, since bool) (kind, text string) {
	switch {
	case !c.known:
		return "", "" // told already, of the manifest before
	case !c.begun && (since || m.After == ""), c.begun && m.After == c.end:
		return "", ""
	case !c.begun:
		return FaultGap, fmt.Sprintf("the first range there is begins after record %s, and the range that ended there has no manifest", m.After)
	case m.First.Compare(c.end) <= 0:
		return FaultOverlap, fmt.Sprintf("begins at record %s, though the range before it goes up to %s", m.First, c.end)
	case m.After == "":
		return FaultGap, fmt.Sprintf("the shard was begun anew behind record %s, up to which it was delivered", c.end)
	case m.After.Compare(c.end) < 0:
		return FaultOverlap, fmt.Sprintf("follows record %s, though the range before it goes up to %s", m.After, c.end)
	}
	return FaultGap, fmt.Sprintf("the records after %s, up to %s, are in no range", c.end, m.After)
}

// parallel requests are on their way at once.
const parallel = 16
