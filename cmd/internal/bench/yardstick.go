package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"tributary/cmd/internal/workload"
)

// Yardstick is the cost of zstd for lines of one size.
type Yardstick struct {
	LineBytes     int       `json:"line_bytes"`
	CPUPerMillion []float64 `json:"cpu_seconds_per_million_lines"` // in the order of the measurements
	Compression   float64   `json:"compression"`                   // bytes in by bytes out
	Parts         float64   `json:"parts_cpu_seconds_per_million"` // zstd, a JSON scan and msgpack, see partsOf
}

// yardstickBytes of lines make one block, as much as a full record of the
// forwarder holds: 256 KiB compressed 4 to 5 times.
const yardstickBytes = 1200 << 10

// yardPlan is how exact a yardstick is.
type yardPlan struct {
	blocks int
	cpu    float64 // seconds that one measurement lasts
}

// fullYard lasts long enough for the kernel's accounting, exact to some milliseconds.
func fullYard() yardPlan { return yardPlan{blocks: 16, cpu: 0.4} }

// A zstdYard measures one size again and again over the same blocks.
type zstdYard struct {
	plan   yardPlan
	blocks [][]byte
	lines  int64
	bytes  int64
	found  Yardstick
}

// newYard makes the lines, so that making them is not measured.
func newYard(p yardPlan, lines *workload.Lines, size int) *zstdYard {
	y := &zstdYard{plan: p, found: Yardstick{LineBytes: size}}
	for range p.blocks {
		var block []byte
		for range max(1, yardstickBytes/size) {
			block, _ = lines.Append(block, y.lines)
			y.lines++
		}
		y.blocks = append(y.blocks, block)
		y.bytes += int64(len(block))
	}
	return y
}

// measure returns CPU seconds per million lines, on one thread.
func (y *zstdYard) measure() (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	enc, err := newZstd()
	if err != nil {
		return 0, err
	}
	defer enc.Close()
	var out []byte
	packed := int64(0)
	for _, block := range y.blocks { // warm: the first use allocates
		out = enc.EncodeAll(block, out[:0])
		packed += int64(len(out))
	}
	y.found.Compression = float64(y.bytes) / float64(packed)
	start, err := threadCPU()
	if err != nil {
		return 0, err
	}
	for rounds := int64(1); ; rounds++ {
		for _, block := range y.blocks {
			out = enc.EncodeAll(block, out[:0])
		}
		now, err := threadCPU()
		if err != nil {
			return 0, err
		}
		if took := (now - start).Seconds(); took >= y.plan.cpu {
			per := took / float64(rounds*y.lines) * 1e6
			y.found.CPUPerMillion = append(y.found.CPUPerMillion, per)
			return per, nil
		}
	}
}

// newZstd has the options of schema.NewEncoder. They are written again here: a
// yardstick must not change with what it measures.
func newZstd() (*zstd.Encoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(true), zstd.WithWindowSize(1<<20), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("make the yardstick: %w", err)
	}
	return enc, nil
}

// threadCPU is the CPU time of the calling thread.
func threadCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
