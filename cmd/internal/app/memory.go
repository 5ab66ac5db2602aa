package app

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"go.uber.org/fx"

	"tributary/deploy/local"
	"tributary/stream/forwarder"
)

// MemoryConfig bounds the process as a whole.
type MemoryConfig struct {
	// LimitBytes is what the garbage collector keeps the process within as long as
	// it can; 0: the bounds of the command's buffers and what is known to come on
	// top. GOMEMLIMIT, where it is set, wins over both.
	LimitBytes int64 `koanf:"limit_bytes" json:"limit_bytes"`
}

// Validate refuses a limit that would only make the collector run all the time.
func (c MemoryConfig) Validate() error {
	if c.LimitBytes != 0 && c.LimitBytes < 64<<20 {
		return errors.New("limit_bytes is less than 64 MiB: the collector would do nothing but run; want 0 or more than that")
	}
	return nil
}

// runtimeBytes is stacks, metrics, connections and the SDK's tables. The pages of the
// executable, some 16 MiB, are not the collector's and come on top of its limit.
const runtimeBytes = 8 << 20

// ForwarderMemory is the sum of the forwarder's bounds. One lane for each MB/s is
// more than any instance has. A record takes twice its bytes, once encoded for the wire;
// those above what every stream takes have a bound of their own.
func ForwarderMemory(s *Settings) int64 {
	const lanes = 16
	f := s.Forward
	return f.Server.TotalBufferBytes + 2*f.Spool.PendingBytes + f.MaxOpenBytes +
		lanes*(f.LaneBytes+2*forwarder.SmallRecordBytes) + 2*forwarder.LargeRecordsBytes
}

// LakeMemory is what reading takes, sinks included, and flushing them.
func LakeMemory(s *Settings) int64 { return s.Lake.Group.MemoryBytes() + s.Lake.EncodeBytes }

// RealtimeMemory is what reading takes, sinks included, and the batches in hand.
func RealtimeMemory(s *Settings) int64 {
	return s.Realtime.Group.MemoryBytes() + s.Realtime.RenderBytes
}

// TreasureDataMemory is what reading takes, sinks included, and flushing them.
func TreasureDataMemory(s *Settings) int64 {
	return s.TreasureData.Group.MemoryBytes() + s.TreasureData.EncodeBytes
}

// EndpointsMemory is that of the calls being served by Kinesis and CloudWatch Logs, by far the most.
func EndpointsMemory(s *Settings) int64 { return s.Local.InFlightBytes + local.LogsInFlightBytes }

// growthBytes is how far the heap may grow between two collections once it is no
// longer small. A collection of what a forwarder holds takes a millisecond or two, so
// that memory costs little; twice of it would be the runtime's default.
const growthBytes = 4 << 20

// BoundGrowth has the heap grow by no more than growthBytes, or a seventh of what lives,
// before it is collected. Where GOGC is set, that stands.
var BoundGrowth = fx.Invoke(func() {
	if os.Getenv("GOGC") == "" {
		boundGrowth(100)
	}
})

// cycle is garbage at once, so that its finalizer runs behind the next collection.
type cycle struct{ _ *cycle } // a pointer: without one it would share its block with others

func boundGrowth(now int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := growthPercent(live[0].Value.Uint64())
	if percent != now {
		debug.SetGCPercent(percent)
	}
	runtime.SetFinalizer(&cycle{}, func(*cycle) { boundGrowth(percent) })
}

func growthPercent(live uint64) int {
	return int(min(100, max(15, growthBytes*100/max(live, 1))))
}

// LimitMemory tells the collector the bounds of the components that run. Without
// it the heap grows to twice what they hold before anything is collected.
func LimitMemory(bounds ...func(*Settings) int64) fx.Option {
	return fx.Invoke(func(s *Settings, log *slog.Logger) {
		if os.Getenv("GOMEMLIMIT") != "" {
			return // the runtime has read it
		}
		limit := s.Memory.LimitBytes
		if limit == 0 {
			limit = runtimeBytes
			for _, bound := range bounds {
				limit += bound(s)
			}
		}
		debug.SetMemoryLimit(limit)
		log.Debug("memory limit", "bytes", limit)
	})
}
