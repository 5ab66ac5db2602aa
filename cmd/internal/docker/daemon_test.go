package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tributary/cmd/internal/cluster"
)

// daemon is a Docker daemon of our own, below one directory.
type daemon struct {
	cluster.Process
	cli     string
	dir     string
	socket  string
	cgroup  string // parent of its containers' cgroups, a name that nobody else has
	version string
}

// newDaemon describes a daemon; nothing runs before start.
func newDaemon() (*daemon, error) {
	cli, err := findCLI()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tributary-docker-")
	if err != nil {
		return nil, fmt.Errorf("make the daemon's directory: %w", err)
	}
	d := &daemon{cli: cli, dir: dir, socket: filepath.Join(dir, "docker.sock"), cgroup: "/" + filepath.Base(dir)}
	d.Process = cluster.Process{
		Name: "dockerd", Path: "dockerd",
		Args: []string{
			"--log-level=fatal", "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs",
			"--config-file=" + filepath.Join(dir, "daemon.json"), "--host=unix://" + d.socket,
			"--data-root=" + filepath.Join(dir, "data"), "--exec-root=" + filepath.Join(dir, "exec"), "--pidfile=" + filepath.Join(dir, "pid"),
			// systemd would want the parent to be a slice of its own.
			"--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent=" + d.cgroup,
		},
		Ready: func() bool { _, err := d.docker(context.Background(), "version"); return err == nil },
	}
	// Not /etc/docker/daemon.json: what stands there is for the machine's own daemon.
	if err := os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}"), 0o600); err != nil {
		return nil, fmt.Errorf("write the daemon's configuration: %w", err)
	}
	return d, nil
}

// start starts the daemon and gives it the image.
func (d *daemon) start(ctx context.Context) error {
	if err := d.Start(ctx); err != nil {
		return err
	}
	version, err := d.docker(ctx, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return err
	}
	d.version = version
	return d.importImage(ctx)
}

// findCLI prefers the package's own docker: something else may come before it in
// the path.
func findCLI() (string, error) {
	for _, name := range []string{"/usr/bin/docker", "docker"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, "version", "--format", "{{.Client.Version}} {{.Client.APIVersion}}")
		// Without a daemon it prints its own version and fails all the same.
		cmd.Env = append(cmd.Environ(), "DOCKER_HOST=unix:///nowhere")
		if out, _ := cmd.Output(); len(strings.Fields(string(out))) == 2 {
			return path, nil
		}
	}
	return "", errors.New("find the docker command: neither /usr/bin/docker nor one in the path is Docker's")
}

// docker runs the CLI against this daemon and returns what it has printed.
func (d *daemon) docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.cli, append([]string{"--host", "unix://" + d.socket, "--config", filepath.Join(d.dir, "cli")}, args...)...)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(faults.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// panicked reports whether a life of the daemon has ended in a Go panic.
func (d *daemon) panicked() bool { return strings.Contains(d.Output(), "panic: ") }

// faults is the daemon's output without what containerd tells of its own doing.
func (d *daemon) faults() string {
	var out strings.Builder
	for line := range strings.Lines(d.Output()) {
		if !strings.Contains(line, "level=info") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// stop ends the daemon and all that it has started, and removes its directory.
func (d *daemon) stop() error {
	if d.Running() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if ids, err := d.docker(ctx, "ps", "--all", "--quiet"); err == nil && ids != "" {
			_, _ = d.docker(ctx, append([]string{"rm", "--force"}, strings.Fields(ids)...)...) // what remains is swept
		}
		if err := d.Interrupt(20 * time.Second); err != nil {
			d.Kill()
		}
	}
	return d.sweep()
}
