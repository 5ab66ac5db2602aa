package kinesis_test

import (
	"fmt"
	"math/big"
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
