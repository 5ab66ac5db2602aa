package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
)

// world is what all tests share; nil when they are not asked for.
var world *shared

type shared struct {
	*daemon
	*system
	table report
}

func TestMain(m *testing.M) {
	if os.Getenv("TRIBUTARY_DOCKER_TEST") != "1" {
		os.Exit(m.Run()) // each test says why it is skipped
	}
	// To the product, TRIBUTARY_… are its own variables, and this one is a mistake.
	_ = os.Unsetenv("TRIBUTARY_DOCKER_TEST")
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "docker test:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	d, err := newDaemon()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(context.Background()); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "tributary-system-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	s, err := startSystem(context.Background(), dir)
	if err != nil {
		return 1, err
	}
	defer s.stop()
	world = &shared{daemon: d, system: s}
	code = m.Run()
	world.table.print(os.Stdout, d.version)
	if code != 0 {
		fmt.Printf("\nlast output of dockerd:\n%s\nand of the lake worker:\n%s\n", d.faults(), s.worker.Output())
	}
	return code, nil
}

// need skips the test when the real Docker was not asked for.
func need(t *testing.T) *shared {
	t.Helper()
	if world == nil {
		t.Skip("docker test skipped: it starts a Docker daemon, run it with make test-docker")
	}
	return world
}
