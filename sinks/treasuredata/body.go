package treasuredata

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
)

// A body's memory grows by pieces, so that nothing is copied and little is wasted
// on small ones.
const (
	firstPiece = 16 << 10
	largePiece = 256 << 10
)

// body is what one request carries: rows, compressed.
type body struct {
	layout *layout
	zip    *gzip.Writer
	pieces [][]byte
	sum    hash.Hash // MD5, which TD's answer is compared with
	size   int64     // compressed
	rows   int
	raw    int64
	tally  tally
}

func newBody(l *layout) *body {
	b := &body{layout: l, sum: md5.New()}
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
	_, err := b.zip.Write(row)
	return err
}

func (b *body) close() error {
	err := b.zip.Close()
	b.layout.done(b.zip)
	b.zip = nil
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
