package workload_test

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/workload"
)

func config(f *forwarder) workload.Config {
	c := workload.DefaultConfig()
	c.Address = f.address
	c.Containers = 4
	c.Count = 200
	c.RetryWait, c.MaxRetryWait = time.Millisecond, 5*time.Millisecond
	return c
}

func run(t *testing.T, c workload.Config, l *workload.Lines) workload.Result {
	t.Helper()
	s, err := workload.NewSender(c, l)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return s.Run(ctx)
}

// check compares what arrived with lines [first, first+count), each once.
func check(t *testing.T, f *forwarder, l *workload.Lines, first, count int64) {
	t.Helper()
	f.close()
	got := joined(f.all)
	var want []string
	for n := first; n < first+count; n++ {
		want = append(want, lineOf(l, n))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%d lines arrived, not the %d that were sent", len(got), len(want))
	}
}

func TestEveryLineArrivesAsItIs(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, change := range map[string]func(*workload.Config){
			"with acks":                 func(c *workload.Config) {},
			"without acks":              func(c *workload.Config) { c.Ack = false },
			"without acks, in batches":  func(c *workload.Config) { c.Ack, c.BatchBytes = false, 64<<10 },
			"at a rate, in batches":     func(c *workload.Config) { c.Ack, c.BatchBytes, c.Rate = false, 64<<10, 4000 },
			"whole seconds, from a 777": func(c *workload.Config) { c.Seconds, c.First = true, 777 },
			"more containers than lines": func(c *workload.Config) {
				c.Containers, c.Count = 7, 3
			},
		} {
			t.Run(name+" over "+network, func(t *testing.T) {
				f := listen(t, network, ack)
				c, l := config(f), newLines(9)
				if c.Ack {
					f.answer = ack
				}
				change(&c)
				r := run(t, c, l)
				check(t, f, l, c.First, c.Count)
				bytes := int64(0)
				for n := c.First; n < c.First+c.Count; n++ {
					bytes += int64(len(lineOf(l, n)))
					if !r.Handed(n) {
						t.Errorf("line %d is said not to be handed over", n)
					}
				}
				if r.Lines != c.Count || r.Bytes != bytes || r.Messages != int64(len(f.all)) || r.Resent != 0 || r.Elapsed <= 0 {
					t.Errorf("result %+v of %d messages", r, len(f.all))
				}
				if r.Handed(c.First-1) || r.Handed(c.First+c.Count) {
					t.Error("lines that were not sent are said to be handed over")
				}
			})
		}
	}
}

func TestAContainerHasOneConnectionAndOneService(t *testing.T) {
	f := listen(t, "tcp", ack)
	c, l := config(f), newLines(9)
	c.Containers = 2 * workload.Slots
	run(t, c, l)
	f.close()
	if len(f.byConn) != c.Containers {
		t.Fatalf("%d connections", len(f.byConn))
	}
	for _, all := range f.byConn {
		first := int64(-1)
		for _, line := range joined(all) {
			_, n, ok := workload.Number([]byte(line))
			if !ok {
				t.Fatal(line)
			}
			if first < 0 {
				first = n
			}
			if (n-first)%int64(c.Containers) != 0 {
				t.Fatalf("lines %d and %d on one connection", first, n)
			}
			for _, m := range all {
				if got := m.record["com.amazonaws.ecs.container-name"]; got != workload.Service(n) || m.record["container_id"] != all[0].record["container_id"] {
					t.Fatalf("line %d of %s comes from %s", n, workload.Service(n), got)
				}
			}
		}
	}
}

func TestWithAcksOneMessageIsOutstanding(t *testing.T) {
	f := listen(t, "tcp", ack)
	run(t, config(f), newLines(9))
	f.close()
	if f.unread != 0 {
		t.Fatalf("%d bytes came before the ack", f.unread)
	}
	seen := map[string]bool{}
	for _, m := range f.all {
		chunk := m.option["chunk"]
		if id, err := base64.StdEncoding.DecodeString(chunk); err != nil || len(id) != 16 || len(m.option) != 1 || seen[chunk] {
			t.Fatalf("option %v", m.option)
		}
		seen[chunk] = true
	}
}

func TestLongLinesAreInterleavedWithTheNextOnStderr(t *testing.T) {
	f := listen(t, "tcp", ack)
	c, l := config(f), newLines(9).Sized(40_960)
	c.Containers, c.Count = 1, 5
	run(t, c, l)
	check(t, f, l, 0, 5)
	var sources []string
	for _, m := range f.all {
		sources = append(sources, m.record["source"]+" "+m.record["partial_ordinal"])
	}
	pair := []string{"stdout 1", "stderr 1", "stdout 2", "stderr 2", "stdout 3", "stderr 3"}
	if want := slices.Concat(pair, pair, []string{"stdout 1", "stdout 2", "stdout 3"}); !slices.Equal(sources, want) {
		t.Fatalf("pieces came as %v", sources)
	}
}

func TestAMessageWhoseAckIsLostIsSentAgainUnderItsChunk(t *testing.T) {
	for name, answer := range map[string]func(number int, m message) string{
		"the connection breaks": func(n int, m message) string {
			if n%10 == 0 {
				return hangUp
			}
			return m.option["chunk"]
		},
		"another chunk is acked": func(n int, m message) string {
			if n%10 == 0 {
				return "another"
			}
			return m.option["chunk"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := listen(t, "tcp", answer)
			c, l := config(f), newLines(9)
			r := run(t, c, l)
			f.close()
			if r.Lines != c.Count || r.Resent == 0 || int64(len(f.all)) != r.Messages+r.Resent {
				t.Errorf("result %+v of %d messages", r, len(f.all))
			}
			once := map[string]message{}
			var kept []message
			for _, m := range f.all {
				chunk := m.option["chunk"]
				before, again := once[chunk]
				if again && before.record["log"] != m.record["log"] {
					t.Fatal("one chunk with two contents")
				}
				if !again {
					once[chunk] = m
					kept = append(kept, m)
				}
			}
			f.all = kept
			check(t, f, l, 0, c.Count)
		})
	}
}

func TestASilentForwarderCostsATimeoutAndAResend(t *testing.T) {
	f := listen(t, "tcp", func(n int, m message) string {
		if n == 1 {
			return ""
		}
		return m.option["chunk"]
	})
	c := config(f)
	c.Containers, c.Count, c.Timeout = 1, 3, 50*time.Millisecond
	if r := run(t, c, newLines(9)); r.Lines != 3 || r.Resent != 1 || r.Slowest < c.Timeout || r.Slowest > r.Elapsed {
		t.Errorf("result %+v", r)
	}
}

func TestOfABatchThatWasCutOffOnlyTheRestIsSentAgain(t *testing.T) {
	var f *forwarder
	f = listen(t, "unix", func(n int, _ message) string {
		if n == 1 {
			<-f.second // reading goes on when the sender has lost its patience
		}
		return ""
	})
	c, l := config(f), newLines(9).Sized(4096)
	c.Ack, c.Containers, c.Count, c.BatchBytes, c.Timeout = false, 1, 1500, 4<<20, 100*time.Millisecond
	r := run(t, c, l)
	check(t, f, l, 0, c.Count)
	if r.Lines != c.Count || r.Resent == 0 {
		t.Errorf("result %+v", r)
	}
}

func TestTheSenderWaitsForAForwarderThatIsAway(t *testing.T) {
	f := listen(t, "tcp", ack)
	c, l := config(f), newLines(9)
	f.close()
	s, err := workload.NewSender(c, l)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := s.Run(ctx)
	if r.Lines != 0 || r.Messages != 0 || r.Handed(0) {
		t.Errorf("nobody was there, and yet %+v", r)
	}
}

func TestWhenTheContextEndsLinesThatAreBegunAreFinished(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := listen(t, "tcp", func(n int, m message) string {
		if n == 40 {
			cancel()
		}
		return m.option["chunk"]
	})
	c, l := config(f), newLines(9).Sized(40_960)
	c.Count = 0
	s, err := workload.NewSender(c, l)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(ctx)
	f.close()
	got := joined(f.all)
	if int64(len(got)) != r.Lines || r.Lines == 0 {
		t.Fatalf("%d whole lines arrived, %d were handed over", len(got), r.Lines)
	}
	for _, line := range got {
		if _, n, _ := workload.Number([]byte(line)); !r.Handed(n) || line != lineOf(l, n) {
			t.Fatalf("line %d", n)
		}
	}
}

func TestRateAndDurationAreKept(t *testing.T) {
	f := listen(t, "tcp", ack)
	c := config(f)
	c.Count, c.Rate, c.Duration = 0, 500, 400*time.Millisecond
	r := run(t, c, newLines(9))
	// A machine that is busy delivers later, never more.
	if r.Lines > 210 || r.Lines < 50 || r.Elapsed < c.Duration {
		t.Errorf("%d lines in %v at %v a second", r.Lines, r.Elapsed, c.Rate)
	}
}

func TestOneWriteIsOneMessageUnlessBatched(t *testing.T) {
	f := listen(t, "tcp", ack)
	c, l := config(f), newLines(9).Sized(500)
	c.Ack, c.Containers = false, 1
	if r := run(t, c, l); r.Writes != r.Messages || r.Messages != c.Count {
		t.Errorf("%d writes of %d messages", r.Writes, r.Messages)
	}
	c.BatchBytes = 32 << 10
	if r := run(t, c, l); r.Writes > 8 || r.Messages != c.Count {
		t.Errorf("in batches %d writes of %d messages", r.Writes, r.Messages)
	}
}

func TestFaultsOfTheConfigurationAreToldTogether(t *testing.T) {
	c := workload.Config{Address: "udp://x", Containers: 0, First: -1, Count: -1, Duration: -1, Rate: -1, BatchBytes: -1}
	_, err := workload.NewSender(c, newLines(1))
	if err == nil {
		t.Fatal("taken")
	}
	for _, key := range []string{"address", "containers", "first", "count", "duration", "rate", "batch_bytes", "timeout", "retry_wait"} {
		if !containsLine(err.Error(), key+" is ") {
			t.Errorf("nothing about %s: %v", key, err)
		}
	}
	if err := workload.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func containsLine(text, begin string) bool {
	return slices.ContainsFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, begin) })
}
