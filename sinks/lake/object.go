package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"tributary/sinks/objects"
	"tributary/stream"
)

// The user metadata of an object, which names the range it came from.
const (
	metaFormat     = "tributary-format"
	metaShard      = "tributary-shard"
	metaGeneration = "tributary-generation"
	metaFirst      = "tributary-first"
	metaLast       = "tributary-last"
	metaRows       = "tributary-rows"
	metaSHA256     = "tributary-sha256"
	metaTruncated  = "tributary-truncated" // only on objects of a truncated range
)

func objectMetadata(format int, r stream.Range, rows int64, sum string) map[string]string {
	m := map[string]string{
		metaFormat:     strconv.Itoa(format),
		metaShard:      string(r.Shard),
		metaGeneration: strconv.FormatUint(r.Generation, 10),
		metaFirst:      string(r.First),
		metaLast:       string(r.Last),
		metaRows:       strconv.FormatInt(rows, 10),
		metaSHA256:     sum,
	}
	if r.Truncated {
		m[metaTruncated] = "true"
	}
	return m
}

// object is a partition's file on its way to S3.
type object struct {
	bucket, key string
	content     []byte
	tail        []byte // footer and trailer of content
	wrote       tally
	layout      *layout
	format      int
	sum         string // hex SHA-256 of content
}

// newObject checks the encoded file before anybody sees it.
func newObject(lp *layoutPlan, key string, content []byte, wrote tally, l *layout) (object, error) {
	n, err := footerBytes(content)
	if err == nil {
		err = l.checkFooter(content, int64(len(content)), wrote)
	}
	if err != nil {
		return object{}, fmt.Errorf("verify %s before upload: %w", key, err)
	}
	sum := sha256.Sum256(content)
	return object{lp.bucket, key, content, content[int64(len(content))-n:], wrote, l, lp.format, hex.EncodeToString(sum[:])}, nil
}

// place makes the object durable under its name, or finds it there, and returns
// its line for the manifest.
func (l *Lake) place(ctx context.Context, o object, r stream.Range) (manifestObject, error) {
	err := l.store.create(ctx, o.bucket, o.key, o.content, "application/vnd.apache.parquet", objectMetadata(o.format, r, o.wrote.rows, o.sum))
	created := err == nil
	if err != nil && !errors.Is(err, objects.ErrExists) {
		return manifestObject{}, err
	}
	there, err := l.store.tail(ctx, o.bucket, o.key, int64(len(o.tail)))
	if err != nil {
		return manifestObject{}, err
	}
	if !created && r.Truncated {
		return l.leave(o, there, r)
	}
	if !created {
		if err := sameRows(o, there, r); err != nil {
			return manifestObject{}, err
		}
		if there.metadata[metaSHA256] != o.sum {
			return l.adopt(ctx, o, there)
		}
	}
	if there.size != int64(len(o.content)) || !bytes.Equal(there.tail, o.tail) {
		l.metrics.verifyFailures.Inc()
		err := fmt.Errorf("%s/%s differs from what was uploaded: %d bytes there, %d sent; inspect it, then delete it to have it written again",
			o.bucket, o.key, there.size, len(o.content))
		return manifestObject{}, stream.Permanent(err)
	}
	if !created {
		l.metrics.existing.Inc()
	}
	return manifestObject{Key: o.key, Rows: o.wrote.rows, Bytes: there.size, SHA256: o.sum}, nil
}

// sameRows tells this range's object from a stranger under its name.
func sameRows(o object, there stored, r stream.Range) error {
	for name, want := range objectMetadata(o.format, r, o.wrote.rows, "") {
		if got := there.metadata[name]; got != want && name != metaSHA256 {
			return stream.Permanent(fmt.Errorf("%s/%s is there with other content: its %s is %q, this flush has %q",
				o.bucket, o.key, name, got, want))
		}
	}
	return nil
}

// adopt accepts an object with the same rows in other bytes: another build, or
// other page sizes, wrote it. Its own footer must tell the same counts.
func (l *Lake) adopt(ctx context.Context, o object, there stored) (manifestObject, error) {
	n, err := footerBytes(there.tail)
	if err == nil && n > int64(len(there.tail)) {
		if n > there.size {
			err = fmt.Errorf("its footer would have %d of its %d bytes", n, there.size)
		} else if there, err = l.store.tail(ctx, o.bucket, o.key, n); err != nil {
			return manifestObject{}, err
		}
	}
	if err == nil {
		err = o.layout.checkFooter(there.tail, there.size, o.wrote)
	}
	if err != nil {
		l.metrics.verifyFailures.Inc()
		return manifestObject{}, stream.Permanent(fmt.Errorf("%s/%s is there and not whole: %w", o.bucket, o.key, err))
	}
	l.metrics.existing.Inc()
	return manifestObject{Key: o.key, Rows: o.wrote.rows, Bytes: there.size, SHA256: there.metadata[metaSHA256]}, nil
}

// leave reports what a truncated replay found under the range's name: the whole
// range's rows or a longer remainder than this one, better in any case.
func (l *Lake) leave(o object, there stored, r stream.Range) (manifestObject, error) {
	m := there.metadata
	if m[metaShard] != string(r.Shard) || m[metaFirst] != string(r.First) || m[metaLast] != string(r.Last) ||
		m[metaGeneration] != strconv.FormatUint(r.Generation, 10) {
		return manifestObject{}, stream.Permanent(fmt.Errorf("%s/%s is there and belongs to another range: %s to %s of %s",
			o.bucket, o.key, m[metaFirst], m[metaLast], m[metaShard]))
	}
	rows, err := strconv.ParseInt(m[metaRows], 10, 64)
	if err != nil {
		return manifestObject{}, stream.Permanent(fmt.Errorf("%s/%s: row count: %w", o.bucket, o.key, err))
	}
	l.metrics.existing.Inc()
	return manifestObject{Key: o.key, Rows: rows, Bytes: there.size, SHA256: m[metaSHA256]}, nil
}
