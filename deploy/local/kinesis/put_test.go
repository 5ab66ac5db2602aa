package kinesis_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/deploy/local/fault"
)

func number(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		panic("not a number: " + text)
	}
	return n
}

func middle(s types.Shard) string {
	n := new(big.Int).Add(number(*s.HashKeyRange.StartingHashKey), number(*s.HashKeyRange.EndingHashKey))
	return n.Rsh(n, 1).String()
}

func entry(key, data string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data)}
}

func TestSequenceNumbersGrowOverTheWholeStream(t *testing.T) {
	w := open(t)
	w.create(4)
	last := new(big.Int)
	grow := func(sequence string) {
		t.Helper()
		if n := number(sequence); n.Cmp(last) <= 0 || len(sequence) != 56 {
			t.Errorf("sequence number %s does not follow %s", n, last)
		} else {
			last = n
		}
	}
	for i := range 20 {
		grow(w.put(fmt.Sprint(i), "x"))
	}
	w.reopen()
	grow(w.put("k", "x"))
	w.split(shard0)
	for _, s := range w.shards(nil)[4:] {
		grow(*s.SequenceNumberRange.StartingSequenceNumber)
	}
	grow(w.put("k", "x"))
	if _, err := w.DeleteStream(t.Context(), &client.DeleteStreamInput{StreamName: name}); err != nil {
		t.Fatal(err)
	}
	w.create(1)
	grow(w.put("k", "x"))
}

func TestTheLimitOfARecordIsThatOfTheLastUpdateAlsoAfterARestart(t *testing.T) {
	w := open(t)
	w.create(1)
	refused := func(size int) {
		t.Helper()
		_, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{entry("k", strings.Repeat("x", size-1))}})
		wantCode(t, err, "ValidationException")
		_, err = w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: make([]byte, size-1)})
		wantCode(t, err, "ValidationException")
	}
	refused(1<<20 + 1)
	if err := w.limit(3072); err != nil {
		t.Fatal(err)
	}
	w.reopen() // the process dies while the stream is UPDATING
	if got := w.describe(); *got.MaxRecordSizeInKiB != 3072 || got.StreamStatus != types.StreamStatusActive {
		t.Errorf("after a restart the stream is %s with %d KiB", got.StreamStatus, *got.MaxRecordSizeInKiB)
	}
	w.put("k", strings.Repeat("x", 3<<20-1))
	refused(3<<20 + 1)
	if err := w.limit(1024); err != nil {
		t.Fatal(err)
	}
	w.put("k", strings.Repeat("y", 1<<20-1)) // while it is UPDATING
	refused(1<<20 + 1)
	w.reopen()
	refused(1<<20 + 1)
	for i, data := range w.read(shard0, horizon) {
		if want := []int{3<<20 - 1, 1<<20 - 1}[i]; len(data) != want {
			t.Errorf("record %d has %d bytes, want %d", i, len(data), want)
		}
	}
}

func TestTheLimitOfARecordIsUpdatedOnceAtATime(t *testing.T) {
	w := open(t)
	w.create(2)
	if err := w.limit(2048); err != nil {
		t.Fatal(err)
	}
	if got := w.describe(); got.StreamStatus != types.StreamStatusUpdating || *got.MaxRecordSizeInKiB != 2048 {
		t.Errorf("right after the call: %s with %d KiB", got.StreamStatus, *got.MaxRecordSizeInKiB)
	}
	wantCode(t, w.limit(3072), "ResourceInUseException")
	wantCode(t, w.resize(4), "ResourceInUseException")
	if steps := w.untilActive(); steps != 1 {
		t.Errorf("%d steps, want 1", steps)
	}
	if err := w.resize(4); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.limit(3072), "ResourceInUseException")
	w.untilActive()
	w.uniform(4)
	for _, kib := range []int32{0, 1023, 10241} {
		wantCode(t, w.limit(kib), "ValidationException")
	}
	_, err := w.UpdateMaxRecordSize(t.Context(), &client.UpdateMaxRecordSizeInput{MaxRecordSizeInKiB: aws.Int32(2048)})
	wantCode(t, err, "ValidationException")
	_, err = w.UpdateMaxRecordSize(t.Context(), &client.UpdateMaxRecordSizeInput{StreamARN: aws.String("arn:aws:kinesis:us-east-1:1:stream/other"), MaxRecordSizeInKiB: aws.Int32(2048)})
	wantCode(t, err, "ResourceNotFoundException")
	if got := *w.describe().MaxRecordSizeInKiB; got != 2048 {
		t.Errorf("refused calls left %d KiB", got)
	}
}

func TestRecordsFailOneByOneWithinTheAnswer(t *testing.T) {
	for action, code := range map[fault.Action]string{fault.ThrottleRecords: "ProvisionedThroughputExceededException", fault.FailRecords: "InternalFailure"} {
		t.Run(string(action), func(t *testing.T) {
			w := open(t)
			w.create(2)
			if err := w.faults.Replace([]fault.Rule{{Service: "kinesis", Operation: "PutRecords", Action: action, Every: 3}}); err != nil {
				t.Fatal(err)
			}
			var entries []types.PutRecordsRequestEntry
			for i := range 10 {
				entries = append(entries, entry(fmt.Sprint(i), fmt.Sprint(i)))
			}
			out, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: entries})
			if err != nil || *out.FailedRecordCount != 3 || len(out.Records) != 10 {
				t.Fatal(out, err)
			}
			for i, r := range out.Records {
				failed := i%3 == 2
				if failed && (aws.ToString(r.ErrorCode) != code || r.ErrorMessage == nil || r.SequenceNumber != nil || r.ShardId != nil) {
					t.Errorf("record %d: %+v, want a failed entry", i, r)
				}
				if !failed && (r.ErrorCode != nil || r.SequenceNumber == nil || r.ShardId == nil) {
					t.Errorf("record %d: %+v, want a stored entry", i, r)
				}
			}
			if got := len(w.read(shard0, horizon)) + len(w.read(shard1, horizon)); got != 7 {
				t.Errorf("%d records are stored, want 7", got)
			}
		})
	}
}
