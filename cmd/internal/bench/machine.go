package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where the benchmark ran.
type Machine struct {
	CPU        string  `json:"cpu"`
	CPUs       int     `json:"cpus"` // that a process may use: GOMAXPROCS of each
	Go         string  `json:"go"`
	Commit     string  `json:"commit"`
	Kernel     string  `json:"kernel"`
	SyncMedian float64 `json:"fdatasync_median_seconds"`
	SyncP99    float64 `json:"fdatasync_p99_seconds"`
	LoadBefore string  `json:"load_average_before"`
}

func look(dir string) (Machine, error) {
	m := Machine{
		CPU: cpuModel(), CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		Commit: commit(), Kernel: kernel(), LoadBefore: loadAverage(),
	}
	syncs, err := syncLatency(dir)
	if err != nil {
		return m, err
	}
	m.SyncMedian, m.SyncP99 = median(syncs), quantile(syncs, 0.99)
	return m, nil
}

const (
	syncBlock = 4 << 10
	syncCount = 300
)

// syncLatency appends blocks to a preallocated file and returns the seconds of
// each append with its fdatasync: what one group commit costs at the least.
func syncLatency(dir string) (took []float64, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, fmt.Errorf("measure fdatasync: %w", err)
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, syncBlock*syncCount); err != nil {
		return nil, fmt.Errorf("measure fdatasync: %w", err)
	}
	block := make([]byte, syncBlock)
	for i := range block {
		block[i] = byte(i)
	}
	for range syncCount {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, fmt.Errorf("measure fdatasync: %w", err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return nil, fmt.Errorf("measure fdatasync: %w", err)
		}
		took = append(took, time.Since(start).Seconds())
	}
	return took, nil
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
