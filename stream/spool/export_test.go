package spool

import (
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The seam through which tests replace disk, clock and randomness.
type (
	Disk = disk
	File = file
)

var LocalDisk Disk = localDisk{}

func OpenOn(cfg Config, reg prometheus.Registerer, log *slog.Logger, d Disk, now func() time.Time, random io.Reader) (*Spool, error) {
	return open(cfg, reg, log, outside{disk: d, now: now, random: random})
}

// WithSegmentVersion is a segment's bytes under another format version.
func WithSegmentVersion(segment []byte, version uint32) []byte {
	b := append([]byte(nil), segment...)
	little.PutUint32(b[8:], version)
	little.PutUint32(b[48:], checksum(b[:48]))
	return b
}
