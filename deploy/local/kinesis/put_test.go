package kinesis_test

import (
	"crypto/md5"
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

func TestRecordsGoToTheShardThatOwnsTheHashOfTheirKey(t *testing.T) {
	w := open(t)
	w.create(3)
	shards := w.shards(nil)
	var entries []types.PutRecordsRequestEntry
	for i := range 100 {
		entries = append(entries, entry(fmt.Sprint("key ", i), fmt.Sprint(i)))
	}
	out, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: entries})
	if err != nil || *out.FailedRecordCount != 0 {
		t.Fatal(out, err)
	}
	for i, r := range out.Records {
		sum := md5.Sum([]byte(*entries[i].PartitionKey))
		hash := new(big.Int).SetBytes(sum[:])
		for _, s := range shards {
			owns := number(*s.HashKeyRange.StartingHashKey).Cmp(hash) <= 0 && hash.Cmp(number(*s.HashKeyRange.EndingHashKey)) <= 0
			if owns != (*s.ShardId == *r.ShardId) {
				t.Errorf("record %d with hash %s went to %s; %s owns it: %t", i, hash, *r.ShardId, *s.ShardId, owns)
			}
		}
	}
}

func TestExplicitHashKeyOverridesThePartitionKey(t *testing.T) {
	w := open(t)
	w.create(2)
	for hash, want := range map[string]string{
		"0": shard0, "170141183460469231731687303715884105727": shard0,
		"170141183460469231731687303715884105728": shard1, "340282366920938463463374607431768211455": shard1,
	} {
		out, err := w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), ExplicitHashKey: &hash, Data: []byte("x")})
		if err != nil || *out.ShardId != want {
			t.Errorf("hash key %s: got %v, %v, want %s", hash, out, err, want)
		}
	}
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

func TestPutRecordsRefusesWrongRequestsAsAWhole(t *testing.T) {
	w := open(t)
	w.create(1)
	many := make([]types.PutRecordsRequestEntry, 501)
	for i := range many {
		many[i] = entry("k", "x")
	}
	big := entry("key", strings.Repeat("x", 1<<20-3))
	heavy := make([]types.PutRecordsRequestEntry, 11)
	for i := range heavy {
		heavy[i] = big
	}
	tooBig := entry("key+", strings.Repeat("x", 1<<20-3))
	badHash, hugeHash := entry("k", "x"), entry("k", "x")
	badHash.ExplicitHashKey, hugeHash.ExplicitHashKey = aws.String("0x1"), aws.String("340282366920938463463374607431768211456")
	tests := map[string]struct {
		records []types.PutRecordsRequestEntry
		code    string
	}{
		"no record":                            {[]types.PutRecordsRequestEntry{}, "ValidationException"},
		"501 records":                          {many, "ValidationException"},
		"more than 10 MiB with keys":           {heavy, "InvalidArgumentException"},
		"data and key over 1 MiB":              {[]types.PutRecordsRequestEntry{entry("k", "x"), tooBig}, "ValidationException"},
		"an empty key":                         {[]types.PutRecordsRequestEntry{entry("", "x")}, "ValidationException"},
		"a key of 257 characters":              {[]types.PutRecordsRequestEntry{entry(strings.Repeat("é", 257), "x")}, "ValidationException"},
		"a hash key that is no decimal":        {[]types.PutRecordsRequestEntry{badHash}, "InvalidArgumentException"},
		"a hash key outside the 128-bit space": {[]types.PutRecordsRequestEntry{hugeHash}, "InvalidArgumentException"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: aws.String("logs"), Records: test.records})
			wantCode(t, err, test.code)
		})
	}
	if got := w.read(shard0, horizon); len(got) != 0 {
		t.Errorf("%d records of refused requests were stored", len(got))
	}
	accepted := []types.PutRecordsRequestEntry{big, entry(strings.Repeat("é", 256), ""), entry("k", "\x00\xff")}
	if _, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: accepted}); err != nil {
		t.Fatal(err)
	}
	got := w.get(w.iterator(shard0, horizon), 0).Records
	if len(got) != 3 || len(got[0].Data) != 1<<20-3 || *got[1].PartitionKey != strings.Repeat("é", 256) || string(got[2].Data) != "\x00\xff" {
		t.Errorf("records at the limits were not kept as they are")
	}
}

func TestLargerRecordsNeedALargerLimitOfTheStream(t *testing.T) {
	w := open(t)
	_, err := w.CreateStream(t.Context(), &client.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1), MaxRecordSizeInKiB: aws.Int32(2048)})
	if err != nil {
		t.Fatal(err)
	}
	w.put("k", strings.Repeat("x", 2<<20-1))
	_, err = w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: make([]byte, 2<<20)})
	wantCode(t, err, "ValidationException")
}

func TestThrottledRecordsFailOneByOneWithinTheAnswer(t *testing.T) {
	w := open(t)
	w.create(2)
	if err := w.faults.Replace([]fault.Rule{{Service: "kinesis", Operation: "PutRecords", Action: fault.ThrottleRecords, Every: 3}}); err != nil {
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
		if failed && (aws.ToString(r.ErrorCode) != "ProvisionedThroughputExceededException" || r.ErrorMessage == nil || r.SequenceNumber != nil || r.ShardId != nil) {
			t.Errorf("record %d: %+v, want a throttled entry", i, r)
		}
		if !failed && (r.ErrorCode != nil || r.SequenceNumber == nil || r.ShardId == nil) {
			t.Errorf("record %d: %+v, want a stored entry", i, r)
		}
	}
	if got := len(w.read(shard0, horizon)) + len(w.read(shard1, horizon)); got != 7 {
		t.Errorf("%d records are stored, want 7", got)
	}
}

func TestSequenceNumberForOrderingMustBeOfThisStream(t *testing.T) {
	w := open(t)
	w.create(1)
	first := w.put("k", "1")
	put := func(ordering string) error {
		_, err := w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("2"), SequenceNumberForOrdering: &ordering})
		return err
	}
	if err := put(first); err != nil {
		t.Error(err)
	}
	wantCode(t, put("17"), "InvalidArgumentException")
}
