package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"tributary/stream/spool"
)

// victimDir is set for the process that is to be killed.
const victimDir = "SPOOL_TEST_VICTIM_DIR"

// appendForEver appends from several goroutines and prints what is stored.
func appendForEver(dir string) {
	cfg := roomy(dir)
	cfg.Ack = os.Getenv("SPOOL_TEST_ACK")
	s, err := spool.Open(cfg, nil, quiet)
	if err != nil {
		panic(err)
	}
	go s.Run(context.Background())
	ctx := context.Background()
	lane, err := s.OpenLane(ctx, "key")
	if err != nil {
		panic(err)
	}
	for a := range 4 {
		go func() {
			for i := 0; ; i++ {
				line := fmt.Sprintf("%d-%d", a, i)
				if err := s.Append(ctx, []spool.Request{{Chunk: line, Entries: []spool.Entry{{Lane: lane, Payload: []byte(line)}}}}); err != nil {
					panic(err)
				}
				os.Stdout.WriteString(line + "\n")
			}
		}()
	}
	select {}
}

func TestAProcessKilledInMidStreamKeepsWhatItAcknowledged(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, ack := range []string{spool.AckSynced, spool.AckWritten} {
		t.Run(ack, func(t *testing.T) {
			dir := t.TempDir()
			victim := exec.Command(self)
			victim.Env = append(os.Environ(), victimDir+"="+dir, "SPOOL_TEST_ACK="+ack)
			out, err := victim.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			var acked []string
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				if acked = append(acked, lines.Text()); len(acked) == 300 {
					victim.Process.Kill() // what is still in the pipe was acknowledged too
				}
			}
			victim.Wait()
			if len(acked) < 300 {
				t.Fatalf("the process acknowledged %d lines", len(acked))
			}

			l := start(t, roomy(dir))
			for _, line := range acked {
				l.put(line, line)
			}
			got := payloads(l.rest())
			slices.Sort(got)
			if once := slices.Compact(slices.Clone(got)); len(once) != len(got) {
				t.Errorf("%d lines are there more than once", len(got)-len(once))
			}
			for _, line := range acked {
				if _, found := slices.BinarySearch(got, line); !found {
					t.Errorf("%s was acknowledged and is lost", line)
				}
			}
		})
	}
}
