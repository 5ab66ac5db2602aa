package fluent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipBytes is what a gzip reader holds: its 32 KiB window and its tables.
const gzipBytes = 64 << 10

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// gunzip decompresses all members of src into borrowed memory. It refuses what
// grows beyond MaxDecompressedBytes as soon as it does, whatever src claims.
func (d *decoder) gunzip(ctx context.Context, src []byte) ([]byte, error) {
	if len(src) == 0 {
		return nil, nil
	}
	d.batch.borrowed = true
	if err := d.loan.take(ctx, gzipBytes); err != nil {
		return nil, err
	}
	defer d.loan.giveBack(gzipBytes)
	zr := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(zr)
	if err := zr.Reset(bytes.NewReader(src)); err != nil {
		return nil, refuse(reasonCompression, "read gzip header: %v", err)
	}
	var out []byte
	for next := max(4*len(src), 4<<10); ; next = 2 * cap(out) {
		// One byte more than allowed tells a payload of just that size from a larger one.
		grown, err := d.grow(ctx, out, min(next, int(d.cfg.MaxDecompressedBytes)+1))
		if err != nil {
			return nil, err
		}
		out, err = readUntilFull(zr, grown)
		switch {
		case int64(len(out)) > d.cfg.MaxDecompressedBytes:
			return nil, refuse(reasonTooLarge, "decompresses to more than %d bytes", d.cfg.MaxDecompressedBytes)
		case errors.Is(err, io.EOF):
			d.used += int64(len(out))
			return out, nil
		case err != nil:
			return nil, refuse(reasonCompression, "gunzip: %v", err)
		}
	}
}

// grow moves b into a borrowed slice of the capacity given and gives b's back.
func (d *decoder) grow(ctx context.Context, b []byte, capacity int) ([]byte, error) {
	if err := d.loan.take(ctx, int64(capacity)); err != nil {
		return nil, err
	}
	defer d.loan.giveBack(int64(cap(b)))
	return append(make([]byte, 0, capacity), b...), nil
}

// readUntilFull fills b up to its capacity. A nil error means it is full.
// Unlike io.ReadFull it keeps the reader's own "unexpected EOF" apart from EOF.
func readUntilFull(r io.Reader, b []byte) ([]byte, error) {
	for len(b) < cap(b) {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}
