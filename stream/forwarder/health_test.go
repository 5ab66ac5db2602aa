package forwarder

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/stream"
	"tributary/stream/spool"
)

// service is a publisher whose calls end, or not, as the test says.
type service struct {
	called time.Time
	known  bool
	result chan error
}

func (s *service) Run(context.Context) error { return nil }
func (s *service) Called() time.Time         { return s.called }
func (s *service) MaxRecordBytes() int64     { return SmallRecordBytes }
func (s *service) Known() bool               { return s.known }
func (s *service) Publish(ctx context.Context, _ stream.Record) error {
	select {
	case err := <-s.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// disk is a spool's.
type disk struct {
	slow bool
	err  error
}

func (d *disk) Usable() error              { return d.err }
func (d *disk) Stalled(time.Duration) bool { return d.slow || d.err != nil }

func TestHealthTellsAStuckLaneFromAnAbsentStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &service{result: make(chan error)}
		f := &Forwarder{cfg: DefaultConfig(), out: out}
		demand := func(ready, healthy string) {
			t.Helper()
			for what, c := range map[string]struct {
				err  error
				want string
			}{"readiness": {f.Ready(), ready}, "health": {f.Healthy(), healthy}} {
				if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
					t.Errorf("%s is %v, want %q", what, c.err, c.want)
				}
			}
		}
		demand("starting", "")
		disk := &disk{}
		f.vitals.spool = disk
		f.vitals.phase.Store(phaseServing)
		demand("not answered", "")
		out.known = true
		demand("", "")
		time.Sleep(time.Hour)
		demand("", "") // nothing is sent, nothing is wrong

		m := newMetrics(prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		var ended []chan error
		publish := func() {
			l := newLane(schema.Epoch{}, uint32(len(ended)+1), "k", f.cfg, out, newTracker(0, nil), m, &f.vitals, newEncoders(1), &aside{}, nil)
			done := make(chan error, 1)
			ended = append(ended, done)
			go func() { done <- l.publish(ctx, nil, true) }()
			synctest.Wait()
		}
		publish()
		out.called = time.Now()
		demand("", "")
		time.Sleep(readyWithin + time.Second)
		demand("stored nothing for 16s", "")
		time.Sleep(time.Hour)
		out.called = time.Now() // attempts end: the stream is away, and a new start cannot help
		demand("stored nothing for", "")
		publish()
		time.Sleep(f.cfg.StuckAfter + time.Second)
		demand("stored nothing for", "lane") // no attempt ends any more
		out.called = time.Now()
		out.result <- nil // one of the two goes on
		synctest.Wait()
		demand("", "lane")
		out.result <- nil
		synctest.Wait()
		demand("", "")
		cancel()
		for _, done := range ended {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}

		f.vitals.pumped.Store(time.Now().UnixNano())
		time.Sleep(f.cfg.StuckAfter + time.Second)
		demand("", "the pump")
		f.vitals.pumped.Store(0)

		disk.slow = true
		demand("the spool has stored nothing for 15s", "")
		disk.err = errors.New("no space left")
		demand("no space left", "")
		disk.slow, disk.err = false, nil
		demand("", "")
		f.vitals.phase.Store(phaseStopping)
		demand("stopping", "")
	})
}

func TestAStopFitsItsGrace(t *testing.T) {
	c := DefaultConfig()
	if err := c.ValidateStop(8 * time.Second); err != nil {
		t.Error(err)
	}
	c.ListenGrace = 11 * time.Second
	if err := c.ValidateStop(8 * time.Second); err == nil || !strings.Contains(err.Error(), "grace is 30s, less than listen_grace (11s)") {
		t.Errorf("got %v", err)
	}
	c.Grace = time.Minute
	if err := c.ValidateStop(8 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestTheClockStandsStillWhileSilenceMeansNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := spool.DefaultConfig()
		cfg.Dir = t.TempDir()
		sp, err := spool.Open(cfg, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer sp.Close()
		f := &run{Forwarder: &Forwarder{cfg: DefaultConfig()}, spool: sp, lanes: &laneSet{}}
		f.lanes.open.Store(&[]uint32{1})
		p := &pump{f: f, rejoiner: newRejoiner(f.cfg, newTracker(0, nil), nil), lastTick: time.Now()}
		pass := func(d time.Duration, keepsUp bool) time.Duration {
			before := p.rejoiner.clock
			for range d / tickEvery {
				time.Sleep(tickEvery)
				if err := p.tick(keepsUp); err != nil {
					t.Fatal(err)
				}
			}
			return p.rejoiner.clock - before
		}
		if got := pass(time.Second, true); got != time.Second {
			t.Errorf("in a second the clock went on by %v", got)
		}
		if got := pass(time.Second, false); got != 0 {
			t.Errorf("while the pump was behind, by %v", got)
		}
		time.Sleep(time.Hour) // the process slept
		if got := pass(tickEvery, true); got > 2*tickEvery {
			t.Errorf("over a pause, by %v", got)
		}
		f.deaf.Store(true)
		if got := pass(time.Second, true); got != 0 {
			t.Errorf("behind closed listeners, by %v", got)
		}
	})
}
