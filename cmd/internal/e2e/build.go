package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tributary/cmd/internal/cluster"
)

// Build compiles the binary once per test process for each set of flags.
func Build(t testing.TB, flags ...string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	key := strings.Join(flags, " ")
	if built[key] != "" {
		return built[key]
	}
	dir, err := os.MkdirTemp("", "tributary-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if built[key], err = cluster.Build(dir, flags...); err != nil {
		t.Fatal(err)
	}
	return built[key]
}

var (
	building sync.Mutex
	built    = make(map[string]string)
)

// removeBuilt is called when the package's tests are over.
func removeBuilt() {
	for _, binary := range built {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
}
