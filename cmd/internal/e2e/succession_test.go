package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamo "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/cmd/internal/cluster"
	"tributary/schema"
	"tributary/stream"
)

// A succession is workers that follow one another on one shard, each with other
// settings than the one before, and what was published to them. Each worker reaches
// the endpoints through a gateway of its own.
type succession struct {
	*System
	t      *testing.T
	db     *dynamodb.Client
	lake   *Lake
	hired  int
	sent   *Ledger
	origin *schema.Origin
	line   int // the next to look at
	last   schema.Event
	epoch  schema.Epoch

	resends bool // a batch begins with the last event of the one before
	rejects int  // records published that nobody can decode
	pending []legacy
}

// A worker and what stands between it and the endpoints.
type reign struct {
	*cluster.Node
	gateway *Gateway
	settings
}

// A legacy is the range that a worker left pending.
type legacy struct {
	first, last, plan string
	of                settings
}

// settings are those that a worker does not share with its predecessor: what decides
// names and rows, and how much memory it may use.
type settings struct {
	prefix string // below the lake's directory
	path   string // of objects below the prefix: what {service} of a line of another producer begins with
	column bool   // tenants have a column of their own
	args   []string
}

// Both name no hour: a test that meets its turn would have one partition more.
var successors = [2]settings{
	{"a", "kind=app/service=" + foreignService + "/", false, []string{
		"lake.prefix=lake/a", "lake.template=kind={kind}/service={service}", "lake.row_group_bytes=1MiB", "lake.page_bytes=64KiB",
		"lake.group.policy.range_bytes=32MiB", "lake.group.policy.max_bytes=16MiB", "lake.group.policy.worker_bytes=32MiB", "lake.encode_bytes=16MiB",
	}},
	{"b", "by/" + foreignTenant + "/kind=app/", true, []string{
		"lake.prefix=lake/b", "lake.template=by/{service}/kind={kind}", "rules.service=label:none,field:tenant", "rules.time_fields=none",
		"lake.time_window=1h", "lake.columns.promote=tenant", "lake.columns.message=text", "lake.columns.user_id=none",
		"lake.group.policy.range_bytes=64MiB", "lake.group.policy.max_bytes=64MiB", "lake.group.policy.worker_bytes=96MiB",
	}},
}

const (
	foreignService = "order"
	foreignTenant  = "jp-main"
)

func newSuccession(t *testing.T, shards int) *succession {
	t.Helper()
	var flags []string
	if *duration > 0 && shards == 1 { // where many are read memory counts, and that build takes far more
		flags = []string{"-race"}
	}
	s := NewSystem(t, flags...)
	s.Add(s.Endpoints("--shards", fmt.Sprint(shards)))
	return &succession{
		System: s, t: t, db: dynamodb.NewFromConfig(awsConfig(s.AWS)), lake: NewLake(s.LakeDir()), sent: NewLedger(), epoch: schema.Epoch{1: 7}, resends: true,
		origin: &schema.Origin{Service: "shop", ContainerID: "c", ContainerName: "c", Source: "stdout", Tag: "docker.c", Host: "crowd"},
	}
}

// hire describes a worker; it has not started. more goes over its settings.
func (s *succession) hire(with settings, more ...string) *reign {
	s.t.Helper()
	g, err := NewGateway(s.AWS)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(g.Close)
	args := []string{
		"--set", "lake.group.lease_duration=1s", "--set", "lake.group.attempt_timeout=200ms", "--set", "lake.group.policy.max_age=100ms",
		"--set", "lake.group.reader.poll_interval=200ms", "--set", "lake.group.reader.poll_min=200ms", "--set", "lake.group.drain_timeout=2s",
	}
	for _, set := range slices.Concat(with.args, more) {
		args = append(args, "--set", set)
	}
	s.hired++
	n, err := s.LakeWorker(fmt.Sprintf("lake-%d", s.hired), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	n.Env = append(n.Env, "AWS_ENDPOINT_URL=http://"+g.Addr)
	return &reign{n, g, with}
}

// begin hires a worker and starts it.
func (s *succession) begin(with settings) *reign {
	s.t.Helper()
	r := s.hire(with)
	s.start(r)
	return r
}

func (s *succession) start(r *reign) {
	s.t.Helper()
	s.Add(r.Node, nil)
}

// end kills a worker that is to do nothing more.
func (r *reign) end() {
	r.Kill()
	r.gateway.Close()
}

// lost reports whether the worker has lost the shard. Leases are so short here that a
// busy machine is enough.
func (r *reign) lost() bool { return strings.Contains(r.Output(), "lost a shard") }

// sprung waits until the worker's call hangs.
func (s *succession) sprung(r *reign, t *Trap) {
	s.t.Helper()
	select {
	case <-t.Sprung:
	case <-time.After(patience):
		s.t.Fatalf("%s never came to that call; its calls: %q", r.Name, r.gateway.Calls())
	}
}

// publish puts one range's worth into the stream, in one request: a forwarder's batch
// of app and audit lines, a line of another
// producer, and a record that nobody can decode. It returns the lines.
func (s *succession) publish() (numbers []int) {
	s.t.Helper()
	batch := schema.Batch{Epoch: s.epoch, Lane: 1}
	if s.resends && s.last.Offset > 0 {
		batch.Events = append(batch.Events, s.last)
	}
	take := func(fits func(line string, kind schema.Kind) bool) string {
		for ; ; s.line++ {
			if text, kind := Line(s.line); fits(text, kind) {
				numbers = append(numbers, s.line)
				s.line++
				return text
			}
		}
	}
	for _, want := range []schema.Kind{schema.KindApp, schema.KindAudit, schema.KindApp} {
		text := take(func(line string, kind schema.Kind) bool { return kind == want && len(line) < pieceBytes })
		s.last = schema.Event{Time: time.Now().UnixNano(), Kind: want, Origin: s.origin, Line: []byte(text), Offset: s.last.Offset + 1}
		batch.Events = append(batch.Events, s.last)
	}
	bare := take(func(line string, kind schema.Kind) bool {
		return kind == schema.KindApp && strings.Contains(line, `"service":"`+foreignService+`"`) && strings.Contains(line, `"tenant":"`+foreignTenant+`"`)
	})
	data, err := schema.NewEncoder().Append(nil, &batch)
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(numbers, data, []byte(bare), data[:len(data)-1-s.rejects%8])
	s.rejects++
	return numbers
}

// put stores records that hold these lines.
func (s *succession) put(numbers []int, records ...[]byte) {
	s.t.Helper()
	in := &kinesis.PutRecordsInput{StreamName: aws.String(streamName)}
	for _, data := range records {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: data})
	}
	for _, n := range numbers {
		s.sent.Begin(n)
	}
	out, err := s.kinesis.PutRecords(s.t.Context(), in)
	if err == nil && *out.FailedRecordCount > 0 {
		err = fmt.Errorf("%d records were refused", *out.FailedRecordCount)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for _, n := range numbers {
		s.sent.Ack(n)
	}
}

// steps are those of one flush, learned from a worker that is left alone. It gives up
// the shard in the end.
func (s *succession) steps(with settings) []string {
	s.t.Helper()
	r := s.hire(with, "lake.group.lease_duration=10s", "lake.group.attempt_timeout=2s")
	s.start(r)
	for n := range 3 {
		s.publish()
		s.until("the range is behind the checkpoint", func() bool { return r.gateway.Count(stepCheckpoint) == n+1 })
	}
	calls := r.gateway.Calls()
	if err := r.Terminate(patience); err != nil {
		s.t.Fatal(err)
	}
	r.gateway.Close()
	// The first flush of all has no older map to sweep; where the second one ends, the
	// third tells.
	var begins []int
	for i, call := range calls {
		if call == stepPrepare {
			begins = append(begins, i)
		}
	}
	if len(begins) != 3 {
		s.t.Fatalf("three ranges were not three flushes: %q", calls)
	}
	return calls[begins[1]:begins[2]]
}

// item is the shard's row in the lease table.
func (s *succession) item() map[string]dynamo.AttributeValue {
	s.t.Helper()
	out, err := s.db.GetItem(s.t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("tributary-lake"), ConsistentRead: aws.Bool(true),
		Key: map[string]dynamo.AttributeValue{"ShardID": &dynamo.AttributeValueMemberS{Value: "shardId-000000000000"}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.Item
}

// inherit notes what a worker left pending, and says whether it did.
func (s *succession) inherit(of *reign) bool {
	s.t.Helper()
	p, ok := s.item()["Pending"].(*dynamo.AttributeValueMemberM)
	if !ok {
		return false
	}
	s.pending = append(s.pending, legacy{attribute(p.Value, "First"), attribute(p.Value, "Last"), attribute(p.Value, "Plan"), of.settings})
	return true
}

// settled waits until all that was published is delivered and behind the checkpoint.
func (s *succession) settled() {
	s.t.Helper()
	v, err := s.sent.await(s.lake, patience)
	if err != nil || !v.EachOnce() {
		s.t.Fatal(v, err)
	}
	s.until("nothing is pending", func() bool { return s.item()["Pending"] == nil })
}

// bucket is where all objects lie.
func (s *succession) bucket() string { return filepath.Dir(s.LakeDir()) }

// judge lets the last worker finish and demands that each event is one row, that the ranges follow one another without
// a gap, that each names its objects and only those are there, that each pending range
// went under the names of who prepared it, and that each reject was kept once.
func (s *succession) judge(heir *reign) {
	s.t.Helper()
	s.settled()
	if err := heir.Terminate(patience); err != nil {
		s.t.Fatal(err)
	}
	ranges, err := s.lake.Ranges()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, fault := range ranges.Unchained(nil) {
		s.t.Error(fault)
	}
	s.judgeNames(ranges)
	for _, p := range s.pending {
		i := slices.IndexFunc(ranges[theShard], func(r span) bool { return string(r.First) == p.first })
		if i < 0 {
			s.t.Errorf("the pending range from %s has no manifest", p.first)
			continue
		}
		if got := ranges[theShard][i]; string(got.Last) != p.last || got.Plan != p.plan || got.prefix != p.of.prefix {
			s.t.Errorf("a range was pending as %+v and is there as %+v", p, got)
		}
	}
	if got, lines := s.keptRejects(); got != s.rejects || lines != got {
		s.t.Errorf("%d rejects of %d are kept, in %d lines", got, s.rejects, lines)
	}
	s.t.Logf("%v; each is one row; %d workers, %d ranges, %d of them replayed, %d events came twice and were dropped, %d rejects",
		s.sent, s.hired, len(ranges[theShard]), len(s.pending), ranges.Duplicates(), s.rejects)
}

const theShard = "shardId-000000000000"

// judgeNames compares what the manifests say with what lies there.
func (s *succession) judgeNames(ranges Ranges) {
	s.t.Helper()
	named, plans := make(map[string]bool), make(map[string]string)
	for _, r := range ranges[theShard] {
		if of := plans[r.Plan]; of != "" && of != r.prefix {
			s.t.Errorf("plan %s names objects below %s and below %s", r.Plan, of, r.prefix)
		}
		plans[r.Plan] = r.prefix
		i := slices.IndexFunc(successors[:], func(with settings) bool { return with.prefix == r.prefix })
		if i < 0 {
			s.t.Errorf("nobody writes below %q", r.prefix)
			continue
		}
		foreign := false
		for _, o := range r.Objects {
			named[o.Key] = true
			if got, err := hasColumn(filepath.Join(s.bucket(), o.Key), "tenant"); err != nil || got != successors[i].column {
				s.t.Errorf("%s has a column for tenants: %v, %v; its plan says %v", o.Key, got, err, successors[i].column)
			}
			foreign = foreign || strings.HasPrefix(o.Key, "lake/"+r.prefix+"/"+successors[i].path)
		}
		if !foreign && !r.Truncated {
			s.t.Errorf("no object of %+v is named by the rules of its plan", r)
		}
	}
	err := s.lake.walk(func(path string) error {
		key, err := filepath.Rel(s.bucket(), path)
		if !named[key] {
			s.t.Errorf("%s belongs to no range", key)
		}
		delete(named, key)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for key := range named {
		s.t.Errorf("%s is not there, and a manifest names it", key)
	}
}

func hasColumn(path, name string) (bool, error) {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return false, err
	}
	defer r.Close()
	return r.MetaData().Schema.ColumnIndexByName(name) >= 0, nil
}

// keptRejects counts the rejects in the store and the lines that tell of them.
func (s *succession) keptRejects() (n, lines int) {
	s.t.Helper()
	seen := make(map[stream.SequenceNumber]bool) // each is a record of its own
	err := filepath.WalkDir(filepath.Join(s.bucket(), "rejects"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for line := range bytes.Lines(text) {
			var reject struct{ Sequence stream.SequenceNumber }
			if err := json.Unmarshal(line, &reject); err != nil {
				return err
			}
			seen[reject.Sequence] = true
			lines++
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(seen), lines
}

// expectGap demands that a worker has counted and logged the range that was pending,
// and that "groups describe" shows it.
func (s *succession) expectGap(r *reign) {
	s.t.Helper()
	m, err := r.Metrics()
	if err != nil {
		s.t.Fatal(err)
	}
	if m.Sum("tributary_consumers_gaps_total") == 0 { // a replay that has to begin anew counts again
		s.t.Error("no gap was counted")
	}
	if !strings.Contains(r.Output(), "the stream no longer holds") {
		s.t.Error("the log does not tell of a gap")
	}
	describe := exec.CommandContext(s.t.Context(), s.Binary, "groups", "describe", "tributary-lake", "--json")
	describe.Env = append(describe.Environ(), s.Env()...)
	text, err := describe.Output()
	if err != nil {
		s.t.Fatal(err)
	}
	var view struct {
		Totals struct{ Gaps int }
		Shards []struct{ Gap struct{ First, Last string } }
	}
	if err := json.Unmarshal(text, &view); err != nil {
		s.t.Fatal(err)
	}
	p := s.pending[0]
	if len(view.Shards) != 1 || view.Totals.Gaps != 1 || view.Shards[0].Gap.First != p.first || view.Shards[0].Gap.Last != p.last {
		s.t.Errorf("groups describe shows no gap from %s to %s: %s", p.first, p.last, text)
	}
}

// fill puts so many records of lines into each shard, each of about size bytes
// decoded, and returns how many bytes that are.
func (s *succession) fill(records, size int) (decoded int) {
	s.t.Helper()
	shards, err := s.openShards(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	encoder := schema.NewEncoder()
	for lane, shard := range shards {
		in := &kinesis.PutRecordsInput{StreamName: aws.String(streamName)}
		offset, first := uint64(0), s.line
		for range records {
			batch := schema.Batch{Epoch: s.epoch, Lane: uint32(lane)}
			for bytes := 0; bytes < size; s.line++ {
				text, kind := Line(s.line)
				offset++
				batch.Events = append(batch.Events, schema.Event{Time: time.Now().UnixNano(), Kind: kind, Origin: s.origin, Line: []byte(text), Offset: offset})
				s.sent.Begin(s.line)
				bytes += len(text)
				decoded += len(text)
			}
			data, err := encoder.Append(nil, &batch)
			if err != nil {
				s.t.Fatal(err)
			}
			in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), ExplicitHashKey: shard.HashKeyRange.StartingHashKey, Data: data})
		}
		if out, err := s.kinesis.PutRecords(s.t.Context(), in); err != nil || *out.FailedRecordCount > 0 {
			s.t.Fatal(err, "or records were refused")
		}
		for n := first; n < s.line; n++ {
			s.sent.Ack(n)
		}
	}
	return decoded
}

// leases are the ranges pending in the lease table, by shard.
func (s *succession) leases() map[string]legacy {
	s.t.Helper()
	out, err := s.db.Scan(s.t.Context(), &dynamodb.ScanInput{TableName: aws.String("tributary-lake"), ConsistentRead: aws.Bool(true)})
	if missing := (*dynamo.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	all := make(map[string]legacy)
	for _, item := range out.Items {
		if p, ok := item["Pending"].(*dynamo.AttributeValueMemberM); ok {
			all[attribute(item, "ShardID")] = legacy{first: attribute(p.Value, "First"), last: attribute(p.Value, "Last"), plan: attribute(p.Value, "Plan")}
		}
	}
	return all
}
