package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"golang.org/x/sync/errgroup"

	"tributary/sinks/objects"
)

// tailBytes of an object are read first; most footers lie within.
const tailBytes = 64 << 10

// maxFooter is more than any footer of a gigabyte of rows takes.
const maxFooter = 16 << 20

// question is about an object that has to be asked for.
type question struct {
	of         *entry
	object     manifestObject
	kind, text string // what is wrong
}

// checkObjects looks for the objects of a batch. One that was listed with the size
// its manifest tells is there, and is asked for only in a deep proof. The others
// are asked for one by one: they may have come since.
func (p *proving) checkObjects(ctx context.Context, batch []entry) error {
	var questions []question
	for i := range batch {
		e := &batch[i]
		if e.m == nil || e.prior {
			continue
		}
		for _, o := range e.m.Objects {
			if !p.listed.take(o.Key, o.Bytes) || p.Deep {
				questions = append(questions, question{of: e, object: o})
			}
		}
	}
	g, asking := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range questions {
		q := &questions[i]
		g.Go(func() (err error) {
			q.kind, q.text, err = p.checkObject(asking, q.of.m, q.object)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, q := range questions {
		if q.kind != "" {
			p.fault(q.of.chain, q.kind, q.object.Key, "%s", q.text)
		}
	}
	return nil
}

// checkObject returns what is wrong with an object, if anything is.
func (p *proving) checkObject(ctx context.Context, m *manifest, o manifestObject) (kind, text string, err error) {
	there, err := p.objectTail(ctx, o.Key, tailBytes)
	switch {
	case objects.Status(err) == http.StatusNotFound:
		return FaultMissing, fmt.Sprintf("it is not there (rows: %d)", o.Rows), nil
	case err != nil:
		return "", "", err
	case there.size != o.Bytes:
		return FaultObject, fmt.Sprintf("it has %d bytes, not %d", there.size, o.Bytes), nil
	}
	if wrong := wrongMetadata(m, o, there.metadata); wrong != "" {
		return FaultObject, wrong, nil
	}
	if !p.Deep {
		return "", "", nil
	}
	n, err := footerBytes(there.tail)
	if err != nil {
		return FaultObject, err.Error(), nil
	}
	if n > min(there.size, maxFooter) {
		return FaultObject, fmt.Sprintf("its footer would have %d of its %d bytes", n, there.size), nil
	}
	if n > int64(len(there.tail)) {
		if there, err = p.objectTail(ctx, o.Key, n); err != nil {
			return "", "", err
		}
	}
	if err := countFooter(there.tail, there.size, o.Rows); err != nil {
		return FaultObject, err.Error(), nil
	}
	if !p.Hash {
		return "", "", nil
	}
	sum, err := p.hashObject(ctx, o)
	if err == nil && sum != o.SHA256 {
		return FaultObject, fmt.Sprintf("its SHA-256 is %s, not %s", sum, o.SHA256), nil
	}
	return "", "", err
}

// objectTail reads the end of an object; of an empty one there is none.
func (p *proving) objectTail(ctx context.Context, key string, n int64) (there stored, err error) {
	err = objects.Patiently(ctx, func() (err error) {
		there, err = p.store.tail(ctx, p.cfg.Bucket, key, n)
		if objects.Status(err) == http.StatusRequestedRangeNotSatisfiable {
			there, err = stored{}, nil
		}
		return err
	})
	return there, err
}

func wrongMetadata(m *manifest, o manifestObject, got map[string]string) string {
	for _, c := range [...]struct{ name, want string }{
		{metaShard, string(m.Shard)},
		{metaGeneration, strconv.FormatUint(m.Generation, 10)},
		{metaFirst, string(m.First)},
		{metaLast, string(m.Last)},
		{metaRows, strconv.FormatInt(o.Rows, 10)},
		{metaSHA256, o.SHA256},
	} {
		if got[c.name] != c.want {
			return fmt.Sprintf("its %s is %q, not %q", c.name, got[c.name], c.want)
		}
	}
	return ""
}

func (p *proving) hashObject(ctx context.Context, o manifestObject) (sum string, err error) {
	err = objects.Patiently(ctx, func() error {
		ctx, cancel := p.cfg.Attempt(ctx, int(o.Bytes))
		defer cancel()
		out, err := p.cfg.Get(ctx, p.api, &s3.GetObjectInput{Bucket: &p.cfg.Bucket, Key: &o.Key})
		if err != nil {
			return fmt.Errorf("read %s: %w", o.Key, err)
		}
		defer out.Body.Close()
		h := sha256.New()
		if _, err := io.Copy(h, out.Body); err != nil {
			return fmt.Errorf("read %s: %w", o.Key, err)
		}
		sum = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	return sum, err
}

// countFooter holds the counts of a footer against one another and against the
// number of rows that ought to be there, whatever columns the file has.
func countFooter(tail []byte, size, rows int64) error {
	file, err := parquet.OpenFile(&tailReader{tail, size}, size,
		parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("read footer: %w", err)
	}
	leaves := leavesOf(file.Root(), "", nil)
	var sum int64
	for i := range file.Metadata().RowGroups {
		group := &file.Metadata().RowGroups[i]
		if err := countGroup(group, leaves, size); err != nil {
			return fmt.Errorf("row group %d: %w", i, err)
		}
		sum += group.NumRows
	}
	if sum != rows || file.NumRows() != rows {
		return fmt.Errorf("it holds %d rows (%d in the sum of its row groups), not %d", file.NumRows(), sum, rows)
	}
	return nil
}

// leaf is a column that holds values.
type leaf struct {
	path     string
	repeated string // path of the outermost repeated group it is in; values of one such group go together
}

func leavesOf(c *parquet.Column, repeated string, leaves []leaf) []leaf {
	path := strings.Join(c.Path(), ".")
	if c.Repeated() && repeated == "" {
		repeated = path
	}
	if c.Leaf() {
		return append(leaves, leaf{path, repeated})
	}
	for _, below := range c.Columns() {
		leaves = leavesOf(below, repeated, leaves)
	}
	return leaves
}

func countGroup(group *format.RowGroup, leaves []leaf, size int64) error {
	if len(group.Columns) != len(leaves) {
		return fmt.Errorf("it has %d columns, the schema %d", len(group.Columns), len(leaves))
	}
	together := map[string]int64{}
	for i := range leaves {
		c, l := &group.Columns[i].MetaData, leaves[i]
		if path := strings.Join(c.PathInSchema, "."); path != l.path {
			return fmt.Errorf("column %d is %s, not %s", i, path, l.path)
		}
		begin := c.DataPageOffset
		if c.DictionaryPageOffset > 0 {
			begin = min(begin, c.DictionaryPageOffset)
		}
		if begin < 0 || c.TotalCompressedSize < 0 || begin > size-c.TotalCompressedSize {
			return fmt.Errorf("column %s has %d bytes at %d of a file of %d", l.path, c.TotalCompressedSize, begin, size)
		}
		if l.repeated == "" && c.NumValues != group.NumRows || c.NumValues < group.NumRows {
			return fmt.Errorf("column %s holds %d values for %d rows", l.path, c.NumValues, group.NumRows)
		}
		if n, ok := together[l.repeated]; ok && l.repeated != "" && n != c.NumValues {
			return fmt.Errorf("column %s holds %d values, another of its group %d", l.path, c.NumValues, n)
		}
		together[l.repeated] = c.NumValues
	}
	return nil
}
