package docker

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/cluster"
)

// system is Tributary as processes: endpoints and one lake worker for all tests, a
// forwarder for each, so that its counters are the test's.
type system struct {
	*cluster.Cluster
	endpoints, worker *cluster.Node
	lake              *lake
}

func startSystem(ctx context.Context, dir string) (*system, error) {
	binary, err := cluster.Build(dir)
	if err != nil {
		return nil, err
	}
	c, err := cluster.New(binary, dir)
	if err != nil {
		return nil, err
	}
	s := &system{Cluster: c, lake: newLake(c.LakeDir())}
	if s.endpoints, err = c.Endpoints(); err != nil {
		return nil, err
	}
	if s.worker, err = c.LakeWorker("lake", "--set", "lake.group.policy.max_age=1s"); err != nil {
		return nil, err
	}
	if err := s.endpoints.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.worker.Start(ctx); err != nil {
		s.endpoints.Kill()
		return nil, err
	}
	return s, nil
}

func (s *system) stop() {
	s.worker.Kill()
	s.endpoints.Kill()
}

// forwarder is a forwarder that listens on TCP and on a unix socket.
type forwarder struct {
	*cluster.Node
	unix string
	name string
}

// startForwarder starts a forwarder that ends with the test.
func (s *system) startForwarder(t *testing.T) *forwarder {
	t.Helper()
	dir, err := os.MkdirTemp(s.Dir, "f-")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(dir)
	n, err := s.Forwarder(name, "--set", "forward.linger=50ms", "--set", "forward.max_lanes=1", "--set", "forward.listen_grace=1s", "--set", "forward.restart_grace=2s")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{Node: n, unix: filepath.Join(dir, "sock"), name: name}
	n.Args = append(n.Args, "--set", "forward.server.listen=tcp://"+n.Forward+",unix://"+f.unix)
	t.Cleanup(func() {
		if t.Failed() {
			m, _ := n.Metrics() // none when it does not run
			for _, name := range slices.Sorted(maps.Keys(m)) {
				if m[name] != 0 && strings.HasPrefix(name, "tributary_") && !strings.Contains(name, "_bucket{") {
					t.Logf("%s %v", name, m[name])
				}
			}
			t.Logf("output of the forwarder:\n%s", n.Output())
		}
		n.Kill()
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// received is what the forwarder's counters say, of its present life.
type received struct {
	pieces int // Forward messages stored, those known by their chunk excepted
	lines  int // after rejoining
}

// settle waits until all that has reached the forwarder is in the lake, and returns
// what has. The containers have ended before, or their daemon.
func (s *system) settle(t *testing.T, f *forwarder) received {
	t.Helper()
	// Twice: a forwarder that has just started looks idle before it reads its spool.
	// Behind the first sentinel's row it has read it, and shows lines that wait for
	// pieces; behind the second's these are rows too. It has one lane, hence all is
	// in one shard, in the order it was published.
	var r received
	for n := 1; n <= 2; n++ {
		r = s.idle(t, f)
		if err := f.say("sentinel"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the lake", 60*time.Second, func() bool {
			if err := s.lake.refresh(); err != nil {
				t.Fatal(err)
			}
			return len(s.lake.of(f.name)) == n
		})
	}
	return received{r.pieces - 1, r.lines - 1}
}

// idle waits until the forwarder waits for nothing.
func (s *system) idle(t *testing.T, f *forwarder) (r received) {
	t.Helper()
	same := 0
	waitFor(t, "the forwarder to store all it has", 60*time.Second, func() bool {
		m, err := f.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		last := r
		r = received{
			pieces: int(m.Sum("tributary_forwarder_received_total") - m.Sum("tributary_spool_chunk_hits_total")),
			lines:  int(m.Sum("tributary_forwarder_lines_total")),
		}
		if same++; r != last || m.Sum("tributary_forwarder_open_lines") > 0 || m.Sum("tributary_forwarder_undone_entries") > 0 {
			same = 0
		}
		// A driver that was stopped while it tried to connect connects all the same, and
		// leaves that connection open for ever: silence for two seconds is the end too.
		return same >= 20 || same >= 1 && m.Sum("tributary_fluent_connections") == 0
	})
	return r
}

// say sends one line as a container that has the forwarder's name.
func (f *forwarder) say(text string) error {
	conn, err := net.Dial("tcp", f.Forward)
	if err != nil {
		return fmt.Errorf("say a line: %w", err)
	}
	defer conn.Close()
	b := binary.BigEndian.AppendUint32([]byte("\x93\xa1t\xce"), uint32(time.Now().Unix()))
	b = append(b, '\x82')
	for _, s := range []string{"log", text, "container_name", "/" + f.name} {
		b = append(append(b, 0xa0|byte(len(s))), s...) // fixstr: none has over 31 bytes
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("say a line: %w", err)
	}
	return nil
}

// waitFor polls until ok, or fails the test.
func waitFor(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", within, what)
		}
		pause(100 * time.Millisecond)
	}
}

// pause waits between two looks at other processes.
func pause(d time.Duration) { <-time.After(d) }
