package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"

	"tributary/cmd/internal/cluster"
)

// startProfile writes a CPU profile of this process to path until stop is called.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write profile: %w", err)
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

// A profiler asks the product's processes for CPU profiles while a stage runs, one
// second after the other: nobody knows how long a stage will last, and a profile
// that is cut off is lost. "go tool pprof" adds up any number of files. What they have
// allocated since their start is in one file, as last seen.
type profiler struct {
	dir string // empty: none
}

// path is a file for the profile of a child; empty when none is wanted.
func (p profiler) path(stage string, size, run int, process string) string {
	if p.dir == "" {
		return ""
	}
	return filepath.Join(p.dir, fmt.Sprintf("%s-%d-%s-run%d.pprof", stage, size, process, run))
}

// watch profiles nodes until stop is called.
func (p profiler) watch(ctx context.Context, stage string, size, run int, nodes ...*cluster.Node) (stop func()) {
	if p.dir == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for second := 1; ctx.Err() == nil; second++ {
				path := p.path(stage, size, run, fmt.Sprintf("%s-%03d", n.Name, second))
				if err := fetchProfile(ctx, n.Admin, "profile?seconds=1", path); err != nil {
					return // the process has ended, and with it this second
				}
				if err := fetchProfile(ctx, n.Admin, "allocs", p.path(stage, size, run, n.Name+"-allocs")); err != nil {
					return // so far it was the last
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func fetchProfile(ctx context.Context, admin, kind, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/debug/pprof/"+kind, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	return os.WriteFile(path, body, 0o644)
}
