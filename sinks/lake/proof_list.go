package lake

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/stream"
)

type listedObject struct {
	key      string
	size     int64
	modified time.Time
}

// list calls each for the keys below prefix, in the order of their bytes, a page at
// a time.
func (p *proving) list(ctx context.Context, prefix string, each func(listedObject) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &p.cfg.Bucket, Prefix: &prefix}
	return p.cfg.List(ctx, p.api, in, func(page *s3.ListObjectsV2Output) error {
		for _, o := range page.Contents {
			if err := each(listedObject{aws.ToString(o.Key), aws.ToInt64(o.Size), aws.ToTime(o.LastModified)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxListed objects cost some 200 MB, 24 bytes each.
const maxListed = 8 << 20

// listed is a set of objects by key and size. It holds a hash of 64 bits each: that
// one of a few millions passes for a missing one happens once in 10^12 runs, and not
// in the next run, whose seed is another.
type listed struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

func newListed() *listed { return &listed{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (l *listed) hash(key string, size int64) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(size))
	_, _ = h.Write(b[:])
	_, _ = h.WriteString(key)
	return h.Sum64()
}

func (l *listed) add(key string, size int64) { l.set[l.hash(key, size)] = struct{}{} }

// take removes an object and tells whether it was there.
func (l *listed) take(key string, size int64) bool {
	h := l.hash(key, size)
	_, ok := l.set[h]
	delete(l.set, h)
	return ok
}

// listData calls each for the Parquet objects written since Since. Other files
// below the prefix are not the lake's, and engines are not told to read them.
func (p *proving) listData(ctx context.Context, each func(listedObject) error) error {
	return p.list(ctx, p.prefix, func(o listedObject) error {
		if !strings.HasSuffix(o.key, ".parquet") || strings.HasPrefix(o.key, p.prefix+rangesFolder+"/") || o.modified.Before(p.Since) {
			return nil
		}
		return each(o)
	})
}

func (p *proving) listObjects(ctx context.Context) error {
	return p.listData(ctx, func(o listedObject) error {
		if len(p.listed.set) == maxListed {
			return fmt.Errorf("more than %d objects were written since then: name a later time to begin at", maxListed)
		}
		p.listed.add(o.key, o.size)
		p.objects.Add(1)
		return nil
	})
}

// openRange is the range beyond a chain's end of which objects are there. A shard's
// ranges are flushed one after another, so there can be one.
type openRange struct {
	first   stream.SequenceNumber
	objects []listedObject
}

// judgeUnnamed lists once more what no manifest named: only the hashes of it are
// known.
func (p *proving) judgeUnnamed(ctx context.Context) error {
	if len(p.listed.set) > 0 {
		err := p.listData(ctx, func(o listedObject) error {
			if p.listed.take(o.key, o.size) {
				p.judge(o)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	byName := func(a, b chainKey) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.generation, b.generation))
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.chains), byName) {
		c := p.chains[k]
		for _, o := range c.open.objects {
			c.Open++
			c.OpenSince = outermost(c.OpenSince, o.modified.UTC(), -1)
		}
	}
	return nil
}

// judge says what an object is that no manifest names.
func (p *proving) judge(o listedObject) {
	text, first, generation, ok := parseName(path.Base(o.key), ".parquet")
	shard, dashed := strings.CutSuffix(text, "-")
	if !ok || !dashed || shard == "" {
		p.fault(nil, FaultForeign, o.key, "no range has written it, and engines read it with the lake")
		return
	}
	c := p.chain(chainKey{shard, generation})
	end := c.newest
	if c.known && c.begun {
		end = c.end
	}
	switch {
	case first.Compare(end) > 0:
		p.addOpen(c, first, o)
	case c.partial[first]:
		// Left of an attempt before the range was truncated, which is told.
	case first.Compare(c.start) <= 0 && !p.Since.IsZero():
		// Its range is not looked at.
	default:
		p.orphan(c, o, "the ranges up to record "+string(end)+" have manifests, and none names it")
	}
}

func (p *proving) addOpen(c *chain, first stream.SequenceNumber, o listedObject) {
	const why = "a later range was begun, and this one has no manifest"
	switch order := first.Compare(c.open.first); {
	case order < 0:
		p.orphan(c, o, why)
		return
	case order > 0:
		for _, earlier := range c.open.objects {
			p.orphan(c, earlier, why)
		}
		c.open = openRange{first: first}
	}
	c.open.objects = append(c.open.objects, o)
}

func (p *proving) orphan(c *chain, o listedObject, why string) {
	p.fault(c, FaultOrphan, o.key, "%s (%d bytes, written at %s)", why, o.size, o.modified.UTC().Format(time.RFC3339))
}
