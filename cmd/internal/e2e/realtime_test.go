package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/schema/filter"
)

var rate = flag.Int("e2e.rate", 800, "lines per second of the tests that lose workers under load")

// short are lines of some 500 bytes, one record's worth of them a shard's second.
var short = mixed.Sized(500)

func shortLine(n int) (string, schema.Kind) {
	b, kind := short.Append(nil, int64(n))
	return string(b), kind
}

// realtimeConfig leaves out what would not be worth its price.
const realtimeConfig = `
realtime:
  filter:
    rules:
      - {name: no audit, action: exclude, kinds: [audit]}
  group:
    lease_duration: %v
    attempt_timeout: %v
    reader: {attempt_timeout: 2s}
`

// losses are what three workers and the shards under them go through: in the mean one
// worker is killed in every quiet time.
func losses(of string, quiet time.Duration) func(time.Duration) Plan {
	return func(d time.Duration) Plan {
		p := Plan{Duration: d, Reshards: Reshards{Quiet: Span{quiet / 2, 2 * quiet}, First: 8, Least: 6, Most: 10}}
		for i := range 3 {
			name := fmt.Sprintf("%s-%d", of, i+1)
			p.Processes = append(p.Processes, Trouble{Target: name, Quiet: Span{2 * quiet, 4 * quiet}, Outages: []Outage{{Kill, Span{}}}})
		}
		return p
	}
}

// TestWorkersDieAndEachChosenLineIsInItsLogGroup counts duplicates too, which are few.
// "make realtime" runs it over a million lines.
func TestWorkersDieAndEachChosenLineIsInItsLogGroup(t *testing.T) {
	for name, c := range map[string]struct {
		delay time.Duration // until readers see an event
		most  float64       // of the lines that may come twice, where there are many
	}{
		"read at once":              {0, 1.0 / 100_000},
		"read two seconds after it": {2 * time.Second, 1.0 / 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			if *duration == 0 {
				t.Parallel()
			}
			loseWorkers(t, c.delay, c.most)
		})
	}
}

func loseWorkers(t *testing.T, delay time.Duration, most float64) {
	lease, quiet := 2*second, 3*second
	if *duration > 0 {
		lease, quiet = 5*second, 10*second
	}
	schedule := draw(t, 12*second, losses("realtime", quiet))
	s := NewSystem(t)
	s.Add(s.Endpoints("--limits", "true", "--shards", "8", "--set", fmt.Sprintf("local.logs_visibility_delay=%v", delay)))
	config := filepath.Join(s.Dir, "realtime.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, realtimeConfig, lease, lease/5), 0o600); err != nil {
		t.Fatal(err)
	}
	sent, lanes := NewLedger(), Lanes{Seed: schedule.Seed, Count: 64, Rate: *rate, Line: shortLine}
	stop := s.feedLanes(lanes, sent)
	stopBursts := s.feedBursts()
	for i := range 3 {
		s.Add(s.RealtimeWorker(fmt.Sprintf("realtime-%d", i+1), "--config", config))
	}
	if err := s.Play(t.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	stop()
	bursts := stopBursts()
	fed := time.Now()
	logs := NewLogs(s.Cluster, func(n int) string { text, _ := shortLine(n); return text })
	v := s.settleLogs(logs, sent, bursts)
	t.Logf("%d lines in %d log streams %v after the last one", v.chosen, logs.Streams(), time.Since(fed).Round(time.Second))
	t.Logf("%d copies too many, one in %.0f; errors apart: %d lines, %d copies too many", v.copies, float64(v.chosen)/float64(max(v.copies, 1)), v.errors, v.errorCopies)
	if v.missing > 0 || v.strangers > 0 || len(logs.Faults()) > 0 || v.missingErrors > 0 {
		t.Errorf("%d lines are missing, %d of the errors apart, %d are none of the chosen ones, %d wrong: %q", v.missing, v.missingErrors, v.strangers, len(logs.Faults()), first(logs.Faults(), 3))
	}
	if *duration == 0 {
		most = 1.0 / 100 // of so few lines a single one is much
	}
	if float64(v.copies) > most*float64(v.chosen) {
		t.Errorf("that is more than one in %.0f", 1/most)
	}
	few, total := 0, 0
	for text, n := range bursts {
		got := logs.Equal()[text]
		total += got
		if got < n {
			few++
			t.Errorf("of %d equal lines %d are there: %s", n, got, text)
		}
	}
	t.Logf("%d bursts of %d equal lines within a second: none has less, together %d", len(bursts)-few, burst, total)
	s.Report()
}

func first[T any](all []T, n int) []T { return all[:min(n, len(all))] }

// verdict is what the log groups hold against what was sent.
type verdict struct {
	chosen, missing, strangers, copies int
	errors, missingErrors, errorCopies int
}

// settleLogs looks until nothing is missing, or patience is over.
func (s *System) settleLogs(logs *Logs, sent *Ledger, bursts map[string]int) (v verdict) {
	s.t.Helper()
	levels, err := filter.DefaultRules().Compile()
	if err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * patience); ; <-time.After(2 * second) {
		if err := logs.Refresh(); err != nil {
			s.t.Fatal(err)
		}
		few := 0
		for text, n := range bursts {
			if logs.Equal()[text] < n {
				few++
			}
		}
		if v = judgeLogs(logs, sent, levels); few+v.missing+v.missingErrors == 0 || time.Now().After(deadline) {
			return v
		}
	}
}

func judgeLogs(logs *Logs, sent *Ledger, levels *filter.Filter) (v verdict) {
	sent.mu.Lock()
	defer sent.mu.Unlock()
	for n, acked := range sent.acked {
		text, kind := shortLine(n)
		if kind == schema.KindAudit {
			v.strangers += logs.Counts()[n]
			continue
		}
		isError := levels.Judge(&filter.Subject{Event: &schema.Event{Line: []byte(text)}, Kind: kind, Service: "shop"}).Level >= filter.Error
		got, apart := logs.Counts()[n], logs.Errors()[n]
		v.chosen += min(got, 1)
		v.copies += max(got-1, 0)
		v.errors += min(apart, 1)
		v.errorCopies += max(apart-1, 0)
		if acked && got == 0 {
			v.missing++
		}
		if acked && isError && apart == 0 {
			v.missingErrors++
		}
		if !isError {
			v.strangers += apart
		}
	}
	return v
}

// burst is how many equal lines come within a second, with one timestamp.
const burst = 500

// feedBursts sends them, on lanes that change with each burst, until stop is called,
// which tells how many of each text were sent.
func (s *System) feedBursts() (stop func() map[string]int) {
	ctx, cancel := context.WithCancel(s.t.Context())
	sent := map[string]int{}
	var feeding errgroup.Group
	feeding.Go(func() error {
		encoder, offset := schema.NewEncoder(), uint64(0)
		for n := 0; ctx.Err() == nil; n++ {
			text := fmt.Sprintf("%s%d %s", equalPrefix, n, strings.Repeat("x", 100))
			at := time.Now().Truncate(time.Second).UnixNano()
			const records = 10
			for range records {
				b := schema.Batch{Epoch: schema.Epoch{7}, Lane: uint32(n % 16)}
				for range burst / records {
					offset++
					b.Events = append(b.Events, schema.Event{Time: at, Kind: schema.KindRaw, Origin: &schema.Origin{Service: "bursts"}, Line: []byte(text), Offset: offset})
				}
				data, err := encoder.Append(nil, &b)
				if err != nil {
					return err
				}
				if err := s.put(fmt.Sprintf("burst-%d", n%16), data); err != nil {
					return err
				}
				sent[text] += burst / records
				if sleep(ctx, second/records) != nil {
					return nil
				}
			}
		}
		return nil
	})
	return func() map[string]int {
		s.t.Helper()
		cancel()
		if err := feeding.Wait(); err != nil {
			s.t.Fatal(err)
		}
		return sent
	}
}

// put stores a record, whatever the service says at first. One that was stored although
// its answer was lost comes twice, and is dropped.
func (s *System) put(key string, data []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	name := streamName
	return untilDone(ctx, func() (bool, error) {
		_, err := s.kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: data})
		return err == nil, err
	})
}
