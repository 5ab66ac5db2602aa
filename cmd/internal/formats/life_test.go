package formats

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers/lease"
	"tributary/schema"
	"tributary/stream"
)

const (
	// Half of the hash keys each: where a split in the middle sends records.
	lowHash, highHash = "1", "340282366920938463463374607431768211455"
	middleHash        = "170141183460469231731687303715884105728"

	firstShard = "shardId-000000000000"
)

// life is the data directory of a group whose worker dies in the middle of a
// flush. It leaves in it everything that a group ever writes: a shard that was
// reset twice and is finished, children that inherit its generation and map, a
// range that is pending with its objects there and its manifest not, rejects, and
// behind the pending range a record that repeats what the map knows.
func life(t *testing.T) (archive []byte) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openSite(t, dir)
		defer s.close()
		s.found(t)
		w := s.start(groupConfig("lake", "worker-1"), "lake", "AUDIT-ONCE")
		s.put(t, lowHash, lines(1, 1, `{"message":"one","level":"INFO","service":"condor"}`, `{"message":"two","marker":"AUDIT-ONCE"}`))
		s.put(t, lowHash, []byte("{\"message\":\"of another producer\",\"marker\":\"AUDIT-ONCE\"}\n{\"message\":\"and once more\"}"))
		s.put(t, highHash, []byte("\xF5TRB\x63 a record of version 99"))
		s.put(t, highHash, marked())
		time.Sleep(10 * time.Second)
		_, err := s.kinesis.SplitShard(t.Context(), &kinesis.SplitShardInput{
			StreamName: aws.String(streamName), ShardToSplit: aws.String(firstShard), NewStartingHashKey: aws.String(middleHash),
		})
		must(t, err)
		time.Sleep(10 * time.Second)
		s.put(t, lowHash, lines(1, 2, "two again, dropped", "three")) // the map came from the parent
		s.put(t, highHash, lines(2, 1, "of the other child"))
		time.Sleep(10 * time.Second)
		s.noManifests.Store(true)
		s.put(t, lowHash, lines(1, 3, "three again, dropped", "four"))
		s.put(t, lowHash, []byte(`{"message":"pending, of another producer","marker":"AUDIT-ONCE"}`))
		time.Sleep(5 * time.Second)
		s.put(t, lowHash, lines(1, 4, "four again, dropped", "five"))
		s.put(t, lowHash, []byte(`{"message":"behind what was pending","marker":"AUDIT-ONCE"}`))
		wide := s.table(t, "wide")
		must(t, wide.Init(t.Context()))
		for shard, start := range map[stream.ShardID]lease.Start{
			"shardId-000000000097": {From: lease.StartTimestamp, Time: time.Now()},
			"shardId-000000000098": {From: lease.StartSequence, Sequence: "12345"},
		} {
			must(t, wide.Apply(t.Context(), lease.Item{Shard: shard}, lease.Reset{Generation: 1, Start: start}))
		}
		must(t, wide.PutSnapshot(t.Context(), widePlace, wideMap()))
		time.Sleep(time.Second)
		synctest.Wait() // nothing is being written now: this is what kill -9 leaves
		archive = pack(t, dir)
		w.stop()
	})
	return archive
}

// A map of more than one item: what is in it does not matter to the table.
var widePlace = lease.Place{Shard: "shardId-000000000099", Generation: 1, Sequence: "12345"}

func wideMap() []byte { return bytes.Repeat([]byte("0123456789abcde\n"), 25_000) }

// found makes stream and bucket, and a lease table whose first shard was reset.
func (s *site) found(t *testing.T) {
	t.Helper()
	_, err := s.kinesis.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(streamName), ShardCount: aws.Int32(1)})
	must(t, err)
	_, err = s.objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucketName)})
	must(t, err)
	table := s.table(t, "lake")
	must(t, table.Init(t.Context()))
	must(t, table.Create(t.Context(), firstShard, "", 1))
	item, err := table.Find(t.Context(), firstShard)
	must(t, err)
	must(t, table.Apply(t.Context(), item, lease.Reset{Generation: 2, Start: lease.Start{From: lease.StartTrimHorizon}}))
}

func (s *site) table(t *testing.T, name string) *lease.Table {
	t.Helper()
	cfg := lease.DefaultConfig()
	cfg.Table, cfg.Worker = name, "founder"
	table, err := lease.New(s.tables, cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(t, err)
	return table
}

func (s *site) put(t *testing.T, hash string, data []byte) {
	t.Helper()
	time.Sleep(10 * time.Millisecond) // an arrival time of its own
	_, err := s.kinesis.PutRecord(t.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String(streamName), PartitionKey: aws.String("key"), ExplicitHashKey: aws.String(hash), Data: data,
	})
	must(t, err)
}

var (
	epoch  = schema.Epoch{0xe1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	origin = schema.Origin{
		Service: "condor", ContainerID: "0f1e2d3c4b5a", ContainerName: "shop-web-1", Source: "stdout", Tag: "docker.web", Host: "i-0abc",
		Labels: []schema.Label{{Name: "com.docker.compose.service", Value: "web"}, {Name: "team", Value: "shop"}},
	}
)

// lines is a record of a forwarder with one line per offset, from the first on.
func lines(lane uint32, first uint64, lines ...string) []byte {
	b := schema.Batch{Epoch: epoch, Lane: lane}
	for i, l := range lines {
		b.Events = append(b.Events, schema.Event{
			Time: time.Now().UnixNano(), Kind: kindOf(l), Origin: &origin, Line: []byte(l), Offset: first + uint64(i),
		})
	}
	return encoded(&b)
}

func kindOf(line string) schema.Kind {
	if line[0] == '{' {
		return schema.KindApp
	}
	return schema.KindRaw
}

// marked is a record whose events carry all that an event can: a line with
// missing pieces, parts of a long line, bytes that are no text, a time of long ago.
func marked() []byte {
	id := [16]byte{0xf0, 15: 0xff}
	now := time.Now().UnixNano()
	return encoded(&schema.Batch{Epoch: epoch, Lane: 7, Events: []schema.Event{
		{Time: now, Kind: schema.KindApp, Origin: &origin, Line: []byte(`{"cut`), Flags: schema.FlagIncomplete, Offset: 1024},
		{Time: now, Kind: schema.KindAudit, Origin: &origin, Line: []byte(`{"body":"be`), Part: schema.Part{Line: id, Number: 1, Count: 2}, Offset: 2047},
		{Time: now, Kind: schema.KindAudit, Origin: &origin, Line: []byte(`gin"}`), Part: schema.Part{Line: id, Number: 2, Count: 2}, Offset: 2048},
		{Time: now - int64(48*time.Hour), Kind: schema.KindRaw, Origin: &schema.Origin{Service: "albatross", Source: "stderr"}, Line: []byte("late\xff\x00"), Offset: 3072},
	}})
}

func encoded(b *schema.Batch) []byte {
	record, err := schema.NewEncoder().Append(nil, b)
	if err != nil {
		panic(err)
	}
	return record
}
