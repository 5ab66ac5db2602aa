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
