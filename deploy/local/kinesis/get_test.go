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

func TestIteratorsStartWhereTheySayAfterARestart(t *testing.T) {
	w := open(t)
	w.create(1)
	var sequences []string
	var times []time.Time
	for i := range 4 {
		sequences = append(sequences, w.put("k", fmt.Sprint(i)))
		times = append(times, w.clock.now())
		w.clock.advance(1001 * time.Millisecond)
	}
	before, between, after := times[0].Add(-time.Hour), times[1].Add(time.Millisecond), times[3].Add(time.Millisecond)
	sequence := func(kind types.ShardIteratorType, i int) client.GetShardIteratorInput {
		return client.GetShardIteratorInput{ShardIteratorType: kind, StartingSequenceNumber: &sequences[i]}
	}
	at := func(tm *time.Time) client.GetShardIteratorInput {
		return client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: tm}
	}
	tests := map[string]struct {
		from client.GetShardIteratorInput
		want []string
	}{
		"TRIM_HORIZON":                         {horizon, []string{"0", "1", "2", "3"}},
		"LATEST":                               {client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}, nil},
		"AT_SEQUENCE_NUMBER":                   {sequence(types.ShardIteratorTypeAtSequenceNumber, 1), []string{"1", "2", "3"}},
		"AFTER_SEQUENCE_NUMBER":                {sequence(types.ShardIteratorTypeAfterSequenceNumber, 1), []string{"2", "3"}},
		"AFTER_SEQUENCE_NUMBER of the last":    {sequence(types.ShardIteratorTypeAfterSequenceNumber, 3), nil},
		"AT_TIMESTAMP before all":              {at(&before), []string{"0", "1", "2", "3"}},
		"AT_TIMESTAMP of a record":             {at(&times[1]), []string{"1", "2", "3"}},
		"AT_TIMESTAMP between two records":     {at(&between), []string{"2", "3"}},
		"AT_TIMESTAMP after the last":          {at(&after), nil},
		"AT_SEQUENCE_NUMBER of shard's start ": {client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: w.shards(nil)[0].SequenceNumberRange.StartingSequenceNumber}, []string{"0", "1", "2", "3"}},
	}
	w.reopen()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { equal(t, "records", w.read(shard0, test.from), test.want) })
	}
}

func TestIteratorsExpireAfterFiveMinutes(t *testing.T) {
	w := open(t)
	w.create(1)
	it := w.iterator(shard0, horizon)
	w.clock.advance(5 * time.Minute)
	next := w.get(it, 0).NextShardIterator
	w.clock.advance(time.Millisecond)
	_, err := w.GetRecords(t.Context(), &client.GetRecordsInput{ShardIterator: it})
	wantCode(t, err, "ExpiredIteratorException")
	w.get(next, 0) // given later, lives longer
}

func TestMillisBehindLatestIsTheAgeOfTheLastRecordRead(t *testing.T) {
	w := open(t)
	w.create(1)
	if got := *w.get(w.iterator(shard0, horizon), 0).MillisBehindLatest; got != 0 {
		t.Errorf("an empty shard is %d ms behind", got)
	}
	for range 3 {
		w.put("k", "x")
		w.clock.advance(1500 * time.Millisecond)
	}
	it := w.iterator(shard0, horizon)
	for _, want := range []int64{4500, 3000, 0, 0} {
		out := w.get(it, 1)
		if *out.MillisBehindLatest != want {
			t.Errorf("got %d ms behind, want %d", *out.MillisBehindLatest, want)
		}
		it = out.NextShardIterator
	}
}

func TestAnAnswerHoldsAtMostTenMebibytesAndTenThousandRecords(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.SegmentBytes = 3 << 20 })
	w.create(1)
	for i := range 12 {
		w.put("k", fmt.Sprintf("%02d", i)+strings.Repeat("x", 1<<20-3))
	}
	w.reopen() // closed segments are then read from their files' beginnings
	first := w.get(w.iterator(shard0, horizon), 0)
	if len(first.Records) != 10 || *first.MillisBehindLatest == 0 {
		t.Fatalf("%d records in the first answer, want 10; %d ms behind", len(first.Records), *first.MillisBehindLatest)
	}
	second := w.get(first.NextShardIterator, 0)
	if len(second.Records) != 2 || string(second.Records[0].Data[:2]) != "10" || *second.MillisBehindLatest != 0 {
		t.Errorf("%d records in the second answer", len(second.Records))
	}

	small := make([]types.PutRecordsRequestEntry, 500)
	for i := range small {
		small[i] = entry("k", "x")
	}
	tip := w.iterator(shard0, client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	for range 21 {
		if _, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: small}); err != nil {
			t.Fatal(err)
		}
	}
	out := w.get(tip, 0)
	if len(out.Records) != 10_000 {
		t.Errorf("%d records in one answer, want 10,000", len(out.Records))
	}
	if out = w.get(out.NextShardIterator, 0); len(out.Records) != 500 {
		t.Errorf("%d records in the second answer, want 500", len(out.Records))
	}
}
