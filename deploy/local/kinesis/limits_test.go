package kinesis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/deploy/local/kinesis"
)

func limited(t *testing.T) *world {
	return open(t, func(o *kinesis.Options) { o.Limits = true })
}

// putMany puts n records into shard 0 and returns how many were throttled.
func (w *world) putMany(n, bytes int) (failed int32) {
	w.t.Helper()
	entries := make([]types.PutRecordsRequestEntry, n)
	for i := range entries {
		entries[i] = entry("k", strings.Repeat("x", bytes-1))
	}
	out, err := w.PutRecords(w.t.Context(), &client.PutRecordsInput{StreamName: name, Records: entries})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.FailedRecordCount
}

func TestAShardTakesAThousandRecordsASecond(t *testing.T) {
	w := limited(t)
	w.create(1)
	for i, want := range []int32{0, 0, 500} {
		if got := w.putMany(500, 10); got != want {
			t.Errorf("call %d: %d records throttled, want %d", i, got, want)
		}
	}
	w.clock.advance(100 * time.Millisecond)
	if got := w.putMany(500, 10); got != 400 {
		t.Errorf("after 100 ms: %d records throttled, want 400", got)
	}
	w.clock.advance(time.Second)
	_, err := w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: name, Data: []byte("x")})
	if err != nil {
		t.Error(err)
	}
}

func TestAShardTakesOneMebibyteASecond(t *testing.T) {
	w := limited(t)
	w.create(1)
	if got := w.putMany(20, 64<<10); got != 4 {
		t.Errorf("%d of 20 records of 64 KiB throttled, want 4", got)
	}
	_, err := w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: name, Data: []byte("x")})
	wantCode(t, err, "ProvisionedThroughputExceededException")
	w.clock.advance(time.Second)
	if got := w.putMany(1, 1<<20); got != 0 {
		t.Error("a record of a whole second's bytes was throttled")
	}
	if got := len(w.read(shard0, horizon)); got != 17 {
		t.Errorf("%d records stored, want 17", got)
	}
}

func TestAShardIsReadFiveTimesASecond(t *testing.T) {
	w := limited(t)
	w.create(2)
	it := w.iterator(shard0, horizon)
	for range 5 {
		w.get(it, 0)
	}
	_, err := w.GetRecords(t.Context(), &client.GetRecordsInput{ShardIterator: it})
	wantCode(t, err, "ProvisionedThroughputExceededException")
	w.get(w.iterator(shard1, horizon), 0) // the other shard is not concerned
	w.clock.advance(200 * time.Millisecond)
	w.get(it, 0)
}

func TestAShardIsReadAtTwoMebibytesASecond(t *testing.T) {
	w := limited(t)
	w.create(1)
	for range 14 {
		if got := w.putMany(1, 1<<20); got != 0 {
			t.Fatal("throttled while filling")
		}
		w.clock.advance(time.Second)
	}
	it := w.iterator(shard0, horizon)
	refused := func() {
		t.Helper()
		_, err := w.GetRecords(t.Context(), &client.GetRecordsInput{ShardIterator: it})
		wantCode(t, err, "ProvisionedThroughputExceededException")
	}
	out := w.get(it, 0)
	if len(out.Records) != 10 {
		t.Fatalf("%d records, want 10", len(out.Records))
	}
	it = out.NextShardIterator
	w.clock.advance(4900 * time.Millisecond)
	refused() // a full answer rests the shard for 5 s
	w.clock.advance(100 * time.Millisecond)
	if out = w.get(it, 3); len(out.Records) != 3 { // 3 MiB: one and a half seconds' worth, one second of it in advance
		t.Fatalf("%d records, want 3", len(out.Records))
	}
	it = out.NextShardIterator
	w.clock.advance(400 * time.Millisecond)
	refused()
	w.clock.advance(100 * time.Millisecond)
	if out = w.get(it, 0); len(out.Records) != 1 {
		t.Errorf("%d records, want 1", len(out.Records))
	}
}

func TestAnAccountSplitsAndMergesFiveTimesASecondEach(t *testing.T) {
	w := limited(t)
	w.create(1)
	for i := range 5 {
		w.split(fmt.Sprintf("shardId-%012d", 2*i))
	}
	wantCode(t, w.splitAt("shardId-000000000010", "5"), "LimitExceededException")
	for range 5 {
		wantCode(t, w.merge(shard0, shard1), "InvalidArgumentException") // also a refused call counts
	}
	wantCode(t, w.merge(shard0, shard1), "LimitExceededException")
	w.clock.advance(200 * time.Millisecond)
	w.split("shardId-000000000010")
	for range 10 {
		wantCode(t, w.resize(100), "LimitExceededException") // more than double
	}
	wantCode(t, w.resize(7), "LimitExceededException") // too often
	w.clock.advance(100 * time.Millisecond)
	if err := w.resize(7); err != nil {
		t.Error(err)
	}
}
