package treasuredata

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
)

// A body's memory grows by pieces, so that nothing is copied and little is wasted
// on small ones.
const (
	firstPiece = 16 << 10
	largePiece = 256 << 10
	plainBytes = 64 << 10
)

// body is what one request carries: rows, compressed.
type body struct {
	layout *layout
	zip    *gzip.Writer
	plain  []byte // rows that wait for zip, which is faster with many at a time
	pieces [][]byte
	sum    hash.Hash // MD5, which TD's answer is compared with
	size   int64     // compressed
	rows   int
	raw    int64
	tally  tally
}

func newBody(l *layout) *body {
	b := &body{layout: l, sum: md5.New(), plain: make([]byte, 0, plainBytes)}
	b.zip = l.compressor(b)
	return b
}

// Write takes what is compressed.
func (b *body) Write(p []byte) (int, error) {
	b.sum.Write(p)
	b.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		last := len(b.pieces) - 1
		if last < 0 || len(b.pieces[last]) == cap(b.pieces[last]) {
			n := firstPiece
			if last >= 0 {
				n = min(2*cap(b.pieces[last]), largePiece)
			}
			b.pieces = append(b.pieces, make([]byte, 0, n))
			last++
		}
		piece := b.pieces[last]
		n := min(len(rest), cap(piece)-len(piece))
		b.pieces[last] = append(piece, rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

func (b *body) add(row []byte, t tally) error {
	b.rows++
	b.raw += int64(len(row))
	b.tally.add(t)
	if len(b.plain)+len(row) > cap(b.plain) {
		if err := b.squeeze(); err != nil {
			return err
		}
	}
	if len(row) > cap(b.plain) {
		_, err := b.zip.Write(row)
		return err
	}
	b.plain = append(b.plain, row...)
	return nil
}

// squeeze compresses what waits.
func (b *body) squeeze() error {
	_, err := b.zip.Write(b.plain)
	b.plain = b.plain[:0]
	return err
}

func (b *body) close() error {
	err := errors.Join(b.squeeze(), b.zip.Close())
	b.layout.done(b.zip)
	b.zip, b.plain = nil, nil
	return err
}

// md5 of a closed body, as TD writes it.
func (b *body) md5() string { return hex.EncodeToString(b.sum.Sum(nil)) }

func (b *body) reader() io.Reader {
	if b == nil {
		return nil
	}
	readers := make([]io.Reader, len(b.pieces))
	for i, p := range b.pieces {
		readers[i] = bytes.NewReader(p)
	}
	return io.MultiReader(readers...)
}
