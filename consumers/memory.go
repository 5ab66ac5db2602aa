package consumers

import (
	"log/slog"
	"runtime"

	"tributary/schema"
)

// decoderBytes is what a decoder keeps; there are as many as processors.
const decoderBytes = 2 << 20

// MemoryBytes is the most that reading takes, however many shards this worker
// holds: what is decoded and not flushed, answers of the stream not handed out,
// decoders. A replay may be one record above worker_bytes, because its range was
// cut for it without.
//
// Not in it: what a sink takes to flush beside its Size; the de-duplication maps,
// 150 bytes for each lane that a shard has seen, at most dedup_entries of them; with
// fan-out, what the connection holds of a subscription that is not read, as much as
// the client lets it.
func (c Config) MemoryBytes() int64 {
	return c.Policy.WorkerBytes + schema.MaxDecoded + c.Reader.ReadBytes + int64(runtime.GOMAXPROCS(0))*decoderBytes
}

func (c Config) logMemory(log *slog.Logger) {
	log.Info("memory bound of reading", "bytes", c.MemoryBytes(), "decoded", c.Policy.WorkerBytes, "answers", c.Reader.ReadBytes)
}
