package backfill

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/gzip"

	"tributary/sinks/objects"
)

// entry is an object in the inventory.
type entry struct {
	Batch    int64     `json:"batch"`
	Key      string    `json:"key"`
	ETag     string    `json:"etag"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256,omitempty"` // as the lake's manifest says
}

// inventoryDocument names the inventory that counts, and sums it up.
type inventoryDocument struct {
	Version  int      `json:"version"`
	Attempt  string   `json:"attempt"`
	Segments int64    `json:"segments"`
	Batches  int64    `json:"batches"`
	Objects  int64    `json:"objects"`
	Bytes    int64    `json:"bytes"`
	Orphans  int64    `json:"orphans"` // objects of the lake that no manifest names, left out
	Named    []string `json:"orphan_keys,omitempty"`
}

// cutter deals objects out to batches, in their order.
type cutter struct {
	rangeBytes int64
	batch      int64 // the one that is open
	objects    int
	estimate   int64
}

const (
	// A batch is some ranges of what its objects are likely to hold, so that its last
	// range, which is whatever is left, is not most of them.
	batchRanges  = 4
	batchObjects = 2000
)

// usual is how much smaller than its lines an object is.
var usual = map[form]int64{lines: 10, parquet: 6}

// next is the batch of the next object.
func (c *cutter) next(o object) int64 {
	estimate := o.size * usual[o.form]
	if c.objects > 0 && (c.objects == batchObjects || c.estimate+estimate > batchRanges*c.rangeBytes) {
		c.batch++
		c.objects, c.estimate = 0, 0
	}
	c.objects++
	c.estimate += estimate
	return c.batch
}

// segmentObjects of whole batches close a segment.
const segmentObjects = 10_000

// takeInventory lists the source and stores what is to be imported, unless that was
// done before.
func (b *Backfill) takeInventory(ctx context.Context) error {
	err := load(ctx, b.state, inventoryFile, &b.inventory)
	if err == nil && b.inventory.Version != stateVersion {
		return fmt.Errorf("read the inventory: %s/%s has version %d, this build knows %d", b.state, inventoryFile, b.inventory.Version, stateVersion)
	}
	if !errors.Is(err, errMissing) {
		return err
	}
	// What an attempt that was cut off has left is nobody's.
	w := &inventoryWriter{state: b.state, doc: inventoryDocument{Version: stateVersion, Attempt: rand.Text()}}
	named := b.source.newManifests()
	cut := cutter{rangeBytes: b.doc.RangeBytes}
	err = b.source.list(ctx, func(page []object, fates []fate) error {
		chosen := page[:0]
		for i, o := range page {
			if fates[i] == taken {
				chosen = append(chosen, o)
			}
		}
		rulings, err := named.rule(ctx, chosen)
		if err != nil {
			return err
		}
		for i, o := range chosen {
			if rulings[i].orphan {
				w.orphan(o.key)
				continue
			}
			batch := cut.next(o)
			if err := w.add(ctx, entry{batch, o.key, o.etag, o.size, o.modified, rulings[i].sha256}); err != nil {
				return fmt.Errorf("store the inventory: %w", err)
			}
		}
		return nil
	})
	if err == nil {
		err = w.end(ctx)
	}
	if err != nil {
		return err
	}
	err = create(ctx, b.state, inventoryFile, w.doc)
	if errors.Is(err, objects.ErrExists) { // a second process was faster: its cuts count
		return load(ctx, b.state, inventoryFile, &b.inventory)
	}
	b.inventory = w.doc
	return err
}

type inventoryWriter struct {
	state   State
	doc     inventoryDocument
	last    int64 // batch
	entries int
	text    bytes.Buffer
	zip     *gzip.Writer
}

// maxNamed bounds what is told one by one.
const maxNamed = 100

func (w *inventoryWriter) orphan(key string) {
	if w.doc.Orphans++; len(w.doc.Named) < maxNamed {
		w.doc.Named = append(w.doc.Named, key)
	}
}

func (w *inventoryWriter) add(ctx context.Context, e entry) error {
	if w.entries >= segmentObjects && e.Batch != w.last {
		if err := w.end(ctx); err != nil {
			return err
		}
	}
	if w.zip == nil {
		w.text.Reset()
		w.zip = gzip.NewWriter(&w.text)
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = w.zip.Write(append(line, '\n'))
	}
	w.entries++
	w.last = e.Batch
	w.doc.Batches = e.Batch + 1
	w.doc.Objects++
	w.doc.Bytes += e.Size
	return err
}

// end stores the open segment.
func (w *inventoryWriter) end(ctx context.Context) error {
	if w.zip == nil {
		return nil
	}
	err := w.zip.Close()
	if err == nil {
		err = w.state.Create(ctx, segmentName(w.doc.Attempt, w.doc.Segments), w.text.Bytes())
	}
	w.zip, w.entries = nil, 0
	w.doc.Segments++
	if err != nil {
		return fmt.Errorf("store the inventory: %w", err)
	}
	return nil
}

func segmentName(attempt string, n int64) string {
	return fmt.Sprintf("inventory-%s/%08d.jsonl.gz", attempt, n)
}

// batch is a run of the inventory.
type batch struct {
	number  int64
	objects []object
}

// eachEntry reads the inventory in its order.
func (b *Backfill) eachEntry(ctx context.Context, each func(entry) error) error {
	for n := range b.inventory.Segments {
		name := segmentName(b.inventory.Attempt, n)
		text, err := b.state.Read(ctx, name)
		if err != nil {
			return fmt.Errorf("read the inventory: %s/%s: %w", b.state, name, err)
		}
		zip, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("read the inventory: %s/%s: %w", b.state, name, err)
		}
		in := bufio.NewScanner(zip)
		for in.Scan() {
			var e entry
			if err := json.Unmarshal(in.Bytes(), &e); err != nil {
				return fmt.Errorf("read the inventory: %s/%s: %w", b.state, name, err)
			}
			if err := each(e); err != nil {
				return err
			}
		}
		if err := in.Err(); err != nil {
			return fmt.Errorf("read the inventory: %s/%s: %w", b.state, name, err)
		}
	}
	return nil
}

// eachBatch reads the inventory batch by batch.
func (b *Backfill) eachBatch(ctx context.Context, each func(batch) error) error {
	open := batch{}
	err := b.eachEntry(ctx, func(e entry) error {
		if e.Batch != open.number && len(open.objects) > 0 {
			if err := each(open); err != nil {
				return err
			}
			open = batch{number: e.Batch}
		}
		open.objects = append(open.objects, object{e.Key, e.ETag, e.Size, e.Modified, e.SHA256, placeOf(e.Key, b.source.zone)})
		return nil
	})
	if err == nil && len(open.objects) > 0 {
		err = each(open)
	}
	return err
}
