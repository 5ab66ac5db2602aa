package app

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"go.uber.org/fx"
)

func TestTheMemoryLimitIsTheSumOfTheBoundsUnlessOneIsNamed(t *testing.T) {
	mib := func(n int64) func(*Settings) int64 { return func(*Settings) int64 { return n << 20 } }
	for name, c := range map[string]struct {
		named int64
		env   string
		want  int64
	}{
		"no limit named: what the components hold and the runtime's own": {want: runtimeBytes + 300<<20},
		"a limit in the configuration wins over the sum":                 {named: 99 << 20, want: 99 << 20},
		"GOMEMLIMIT wins over both":                                      {named: 99 << 20, env: "1GiB", want: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", c.env)
			debug.SetMemoryLimit(math.MaxInt64)
			t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
			s := Defaults()
			s.Memory.LimitBytes = c.named
			if err := fx.New(fx.NopLogger, fx.Supply(s, slog.New(slog.DiscardHandler)), LimitMemory(mib(100), mib(200))).Err(); err != nil {
				t.Fatal(err)
			}
			if got := debug.SetMemoryLimit(-1); got != c.want {
				t.Errorf("the limit is %d, want %d", got, c.want)
			}
		})
	}
}

func TestAForwardersMemoryDoesNotGrowWithWhatTheStreamTakes(t *testing.T) {
	s := Defaults()
	f := s.Forward
	// 16 lanes: a queue, a record of 1 MiB and its request each; records above that share
	// 10 MiB, twice.
	want := f.Server.TotalBufferBytes + 2*f.Spool.PendingBytes + f.MaxOpenBytes + 16*(f.LaneBytes+2<<20) + 20<<20
	for _, limit := range []int64{0, 1 << 20, 5 << 20} {
		s.Stream.Producer.MaxRecordBytes = limit
		if got := ForwarderMemory(s); got != want {
			t.Errorf("with records of up to %d bytes it is %d, want %d", limit, got, want)
		}
	}
}

func TestTheHeapGrowsByAFixedAmountOnceItIsNotSmall(t *testing.T) {
	for live, want := range map[uint64]int{0: 100, 1 << 20: 100, 4 << 20: 100, 8 << 20: 50, 16 << 20: 25, 1 << 30: 15} {
		if got := growthPercent(live); got != want {
			t.Errorf("of %d MiB it may grow by %d%%, want %d%%", live>>20, got, want)
		}
	}
}
