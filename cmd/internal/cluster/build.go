package cluster

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
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

// FreeAddr returns an address of 127.0.0.1 that nobody listens on.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
