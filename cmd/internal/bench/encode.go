package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"tributary/cmd/internal/workload"
	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/stream"
)

// Encode is what the lake's sink takes for lines of one kind: from decoded records
// to verified objects, which lie in memory. The ceiling is what nobody can do
// without: one look at each byte of JSON, and zstd of the pages as they were written.
type Encode struct {
	Kind     string    `json:"kind"`
	Lines    int64     `json:"lines"`
	Bytes    int64     `json:"line_bytes"`
	Ranges   int       `json:"ranges"`
	Objects  int64     `json:"object_bytes"`
	CPU      []float64 `json:"cpu_seconds"` // of each run
	Scan     []float64 `json:"scan_cpu_seconds"`
	Compress []float64 `json:"zstd_cpu_seconds"`
	Decode   []float64 `json:"decode_cpu_seconds"` // of the records, once more: a sink holds them compressed
	Pages    int64     `json:"page_bytes"`         // uncompressed
	DuckDB   []*DuckDB `json:"duckdb,omitempty"`
	Profile  []string  `json:"profile"` // where the CPU goes, most first
	WallRate []float64 `json:"lines_per_second"`
}

// sink is MB of lines per CPU second of the whole sink.
func (e *Encode) sink() float64 { return float64(e.Bytes) / 1e6 / median(e.CPU) }

// rate is the same from the line on, without the decoding before it.
func (e *Encode) rate() float64 {
	return float64(e.Bytes) / 1e6 / (median(e.CPU) - median(e.Decode))
}

// ceiling is the same for scan and zstd alone.
func (e *Encode) ceiling() float64 {
	return float64(e.Bytes) / 1e6 / (median(e.Scan) + median(e.Compress))
}

func (e *Encode) share() float64 { return e.rate() / e.ceiling() }

// encodeRange is how many bytes of lines make one range: what a shard of an even
// stream of a terabyte a month on four shards brings in five minutes.
const encodeRange = 27 << 20

// encode measures both kinds in turn, so that a slow minute meets both.
func (b *bench) encode(ctx context.Context) error {
	var inputs []*encodeInput
	for _, kind := range []schema.Kind{schema.KindApp, schema.KindAudit} {
		in, err := b.encodeInput(kind)
		if err != nil {
			return err
		}
		inputs = append(inputs, in)
		b.report.Encodes = append(b.report.Encodes, &in.found)
	}
	for run := 0; run <= b.plan.runs; run++ { // the first is to warm up
		for _, in := range inputs {
			if err := in.measure(ctx, run > 0); err != nil {
				return fmt.Errorf("%s: %w", in.found.Kind, err)
			}
		}
	}
	for _, in := range inputs {
		if err := in.profiled(ctx, cmp.Or(b.profile.dir, b.dir)); err != nil {
			return fmt.Errorf("profile of %s: %w", in.found.Kind, err)
		}
		var err error
		if in.found.DuckDB, err = b.duckdb(ctx, in); err != nil {
			b.report.Notes = append(b.report.Notes, "DuckDB was not measured: "+err.Error())
		}
		f := &in.found
		b.log("  %-5s %.0f MB/s per CPU, %.2f of the ceiling", f.Kind, f.rate(), f.share())
	}
	return nil
}

// encodeInput is what is encoded: records as a forwarder makes them.
type encodeInput struct {
	found  Encode
	ranges [][]stream.Batch
	lines  [][]byte
}

func (b *bench) encodeInput(kind schema.Kind) (*encodeInput, error) {
	in := &encodeInput{found: Encode{Kind: kind.String()}}
	src := workload.NewLines(b.plan.seed, b.base, lineStep)
	origins := make([]*schema.Origin, 16)
	for i := range origins {
		origins[i] = &schema.Origin{
			Service: fmt.Sprintf("service-%02d", i), ContainerID: fmt.Sprintf("%064x", i), ContainerName: fmt.Sprintf("shop-%d", i),
			Source: "stdout", Tag: "docker.shop", Host: fmt.Sprintf("ip-10-0-0-%d", i%4),
		}
	}
	encoder, decoder := schema.NewEncoder(), schema.NewDecoder()
	sequence := 0
	size := int64(0)
	var batch schema.Batch
	var batchBytes int64
	cut := func() error {
		if len(batch.Events) == 0 {
			return nil
		}
		batch.Epoch, batch.Lane = schema.Epoch{1}, 1
		data, err := encoder.Append(nil, &batch)
		if err != nil {
			return err
		}
		sequence++
		decoded, _, bytes := decoder.Decode(data, b.base)
		at := len(in.ranges) - 1
		in.ranges[at] = append(in.ranges[at], stream.Batch{
			Shard: "shardId-000000000000", Sequence: stream.SequenceNumber(fmt.Sprintf("49590338271490256608559692538361571095921575989136588%06d", sequence)),
			Arrival: b.base, Epoch: batch.Epoch, Lane: 1, Events: decoded.Events, Bytes: bytes, Record: data,
		})
		batch.Events, batchBytes = nil, 0
		return nil
	}
	for n := int64(0); in.found.Bytes < b.plan.encodeBytes; n++ {
		line, is := src.Append(nil, n)
		if is != kind {
			continue
		}
		if len(in.ranges) == 0 || size >= encodeRange {
			if err := cut(); err != nil {
				return nil, err
			}
			in.ranges, size = append(in.ranges, nil), 0
		}
		at := b.base.Add(time.Duration(n) * lineStep)
		batch.Events = append(batch.Events, schema.Event{Time: at.UnixNano(), Kind: kind, Origin: origins[n%16], Line: line, Offset: uint64(n + 1)})
		in.lines = append(in.lines, line)
		in.found.Lines++
		in.found.Bytes += int64(len(line))
		size += int64(len(line))
		if batchBytes += int64(len(line)); batchBytes >= 1<<20 {
			if err := cut(); err != nil {
				return nil, err
			}
		}
	}
	in.found.Ranges = len(in.ranges)
	return in, cut()
}

// measure runs the sink over all ranges, and then the ceiling over what it wrote.
func (in *encodeInput) measure(ctx context.Context, counts bool) error {
	objects, cpu, wall, err := in.flush(ctx)
	if err != nil {
		return err
	}
	scan, compress, err := in.measureCeiling(objects)
	if err != nil || !counts {
		return err
	}
	f := &in.found
	f.Decode = append(f.Decode, in.decodeAgain().Seconds())
	f.CPU = append(f.CPU, cpu.Seconds())
	f.WallRate = append(f.WallRate, float64(f.Lines)/wall.Seconds())
	f.Scan, f.Compress = append(f.Scan, scan.Seconds()), append(f.Compress, compress.Seconds())
	f.Objects = objects.size()
	return nil
}

// flush gives the ranges to a sink in the production configuration.
func (in *encodeInput) flush(ctx context.Context) (*memoryBucket, time.Duration, time.Duration, error) {
	cfg := lake.DefaultConfig()
	cfg.Bucket = "bench"
	bucket := &memoryBucket{objects: map[string]blob{}}
	l, err := lake.New(cfg, schema.DefaultRules(), bucket, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, 0, 0, err
	}
	runtime.GC()
	before, began := processCPU(), time.Now()
	for _, batches := range in.ranges {
		s, err := l.Open(ctx, batches[0].Shard, l.Plan())
		if err != nil {
			return nil, 0, 0, err
		}
		for _, b := range batches {
			if err := s.Append(b); err != nil {
				return nil, 0, 0, err
			}
		}
		r := stream.Range{Shard: batches[0].Shard, First: batches[0].Sequence, Last: batches[len(batches)-1].Sequence}
		if err := s.Flush(ctx, r); err != nil {
			return nil, 0, 0, err
		}
	}
	return bucket, processCPU() - before, time.Since(began), nil
}

// decodeAgain is what a sink takes to decode its records.
func (in *encodeInput) decodeAgain() time.Duration {
	decoder := schema.NewDecoder()
	runtime.GC()
	before := processCPU()
	for _, batches := range in.ranges {
		for i := range batches {
			decoder.Borrow(batches[i].Record, batches[i].Arrival)
		}
	}
	return processCPU() - before
}

// profiled runs it once more and keeps where the CPU went.
func (in *encodeInput) profiled(ctx context.Context, dir string) error {
	path := filepath.Join(dir, "encode-"+in.found.Kind+".pprof")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	_, _, _, err = in.flush(ctx)
	pprof.StopCPUProfile()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=25", path).Output()
	if err != nil {
		return fmt.Errorf("read the profile: %w", err)
	}
	_, table, _ := strings.Cut(string(out), "flat  flat%")
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) >= 6 && strings.HasSuffix(fields[1], "%") {
			in.found.Profile = append(in.found.Profile, fmt.Sprintf("%6s %s", fields[1], strings.Join(fields[5:], " ")))
		}
	}
	return nil
}

// processCPU is that of the whole process, the garbage collector included.
func processCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no reason to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memoryBucket is as much of S3 as a flush needs, in memory, so that no other
// process's work is measured.
type memoryBucket struct {
	mu      sync.Mutex
	objects map[string]blob
}

type blob struct {
	content  []byte
	metadata map[string]string
}

func (m *memoryBucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	content, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[*in.Key] = blob{content, in.Metadata}
	return &s3.PutObjectOutput{}, nil
}

func (m *memoryBucket) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[*in.Key]
	if !ok {
		return nil, fmt.Errorf("no object %s", *in.Key)
	}
	var last int
	if _, err := fmt.Sscanf(aws.ToString(in.Range), "bytes=-%d", &last); err != nil {
		return nil, fmt.Errorf("range %q: %w", aws.ToString(in.Range), err)
	}
	tail := o.content[max(0, len(o.content)-last):]
	return &s3.GetObjectOutput{
		Body: io.NopCloser(bytes.NewReader(tail)), Metadata: o.metadata,
		ContentRange: aws.String(fmt.Sprintf("bytes %d-%d/%d", len(o.content)-len(tail), len(o.content)-1, len(o.content))),
	}, nil
}

func (m *memoryBucket) size() (n int64) {
	for key, o := range m.objects {
		if strings.HasSuffix(key, ".parquet") {
			n += int64(len(o.content))
		}
	}
	return n
}
