package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Build compiles the binary into dir as "make build" does, flags added, and returns
// its path. With "-race" among flags cgo stays on, the race detector needs it.
func Build(dir string, flags ...string) (string, error) {
	out := filepath.Join(dir, "tributary")
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w"}, flags...)
	cmd := exec.Command("go", append(args, "-o", out, "tributary/cmd/tributary")...)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	for _, f := range flags {
		if f == "-race" {
			cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
		}
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, text)
	}
	return out, nil
}

var (
	building sync.Mutex
	built    = make(map[string]string) // by flags
)

// Built is the path of a binary that all tests of this process share. The first call
// with these flags builds it; RemoveBuilt removes it.
func Built(flags ...string) (string, error) {
	building.Lock()
	defer building.Unlock()
	key := strings.Join(flags, " ")
	if built[key] != "" {
		return built[key], nil
	}
	dir, err := os.MkdirTemp("", "tributary-built-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	path, err := Build(dir, flags...)
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	built[key] = path
	return path, nil
}

// RemoveBuilt removes what Built has built.
func RemoveBuilt() {
	building.Lock()
	defer building.Unlock()
	for key, path := range built {
		_ = os.RemoveAll(filepath.Dir(path))
		delete(built, key)
	}
}

// Ports below those that Linux gives to outgoing connections (32768 and up, see
// ip(7)): while a process is down, its port must not become somebody's end of a
// connection. A client that keeps trying to connect to it can even get connected to
// itself, and the process could not start again.
const firstPort, lastPort = 10_000, 32_767

// FreeAddr returns an address of 127.0.0.1 that nobody listens on.
func FreeAddr() (string, error) {
	var l net.Listener
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort+1))
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}
