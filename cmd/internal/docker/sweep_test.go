package docker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweep ends what a daemon leaves behind when it dies: containers, which are known
// by their cgroup, containerd and shims, which name the directory in their command
// line. Then it unmounts and removes what is left.
func (d *daemon) sweep() error {
	deadline := time.Now().Add(10 * time.Second)
	for pids := d.processes(); len(pids) > 0; pids = d.processes() {
		if time.Now().After(deadline) {
			return fmt.Errorf("end what the daemon has started: processes %v remain", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
		<-time.After(20 * time.Millisecond)
	}
	if err := d.unmount(); err != nil {
		return err
	}
	d.removeCgroups()
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove the daemon's directory: %w", err)
	}
	return nil
}

// processes are those of this daemon, itself excepted, that still do something.
func (d *daemon) processes() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile(dir + "/cmdline") // empty for a zombie
		cgroup, _ := os.ReadFile(dir + "/cgroup")
		if len(cmdline) > 0 && (bytes.Contains(cmdline, []byte(d.dir+"/exec")) || bytes.Contains(cgroup, []byte(d.cgroup+"/"))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// unmount takes away the mounts below the directory, the last mounted first.
func (d *daemon) unmount() error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read mounts: %w", err)
	}
	var faults []error
	for _, line := range slices.Backward(strings.Split(string(text), "\n")) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], d.dir+"/") {
			if err := syscall.Unmount(f[4], syscall.MNT_DETACH); err != nil {
				faults = append(faults, fmt.Errorf("unmount %s: %w", f[4], err))
			}
		}
	}
	return errors.Join(faults...)
}

// removeCgroups removes the containers' cgroups and their parent, in every hierarchy.
// A container that has just been killed keeps its cgroup until somebody has taken its
// exit status; one that stays after that is empty and costs nothing.
func (d *daemon) removeCgroups() {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		parents, _ := filepath.Glob("/sys/fs/cgroup/*" + d.cgroup)
		if whole := "/sys/fs/cgroup" + d.cgroup; exists(whole) {
			parents = append(parents, whole)
		}
		if len(parents) == 0 {
			return
		}
		for _, parent := range parents {
			entries, _ := os.ReadDir(parent)
			for _, e := range entries {
				if e.IsDir() {
					_ = syscall.Rmdir(filepath.Join(parent, e.Name()))
				}
			}
			_ = syscall.Rmdir(parent)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
