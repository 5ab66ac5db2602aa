package kinesis_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/deploy/local/kinesis"
)

func TestAnyAccountsARNReachesTheStream(t *testing.T) {
	w := open(t)
	w.create(1)
	out, err := w.DescribeStreamSummary(t.Context(), &client.DescribeStreamSummaryInput{StreamARN: aws.String("arn:aws:kinesis:ap-northeast-1:123456789012:stream/logs")})
	if err != nil || *out.StreamDescriptionSummary.StreamName != "logs" {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestAStreamMadeAnewWithinTheSameMillisecondIsYounger(t *testing.T) {
	w := open(t)
	w.create(1)
	created := func() time.Time {
		out, err := w.DescribeStreamSummary(t.Context(), &client.DescribeStreamSummaryInput{StreamName: name})
		if err != nil {
			t.Fatal(err)
		}
		return *out.StreamDescriptionSummary.StreamCreationTimestamp
	}
	before := created()
	if !before.Equal(w.clock.now()) {
		t.Errorf("created at %s, want %s", before, w.clock.now())
	}
	if _, err := w.DeleteStream(t.Context(), &client.DeleteStreamInput{StreamName: name}); err != nil {
		t.Fatal(err)
	}
	w.create(1)
	if !created().After(before) {
		t.Errorf("created at %s, the first at %s", created(), before)
	}
}

func TestRetentionSurvivesARestart(t *testing.T) {
	w := open(t)
	w.create(1)
	in := &client.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(168)}
	if _, err := w.IncreaseStreamRetentionPeriod(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	out, err := w.DescribeStreamSummary(t.Context(), &client.DescribeStreamSummaryInput{StreamName: name})
	if err != nil || *out.StreamDescriptionSummary.RetentionPeriodHours != 168 {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestCreateStreamRefusesWhatItCannotDo(t *testing.T) {
	w := open(t)
	w.create(1)
	one := aws.Int32(1)
	tests := map[string]struct {
		in   client.CreateStreamInput
		code string
		says string
	}{
		"on-demand mode": {client.CreateStreamInput{StreamName: aws.String("x"),
			StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}}, "ValidationException", "ON_DEMAND"},
		"too many":       {client.CreateStreamInput{StreamName: aws.String("x"), ShardCount: aws.Int32(10_001)}, "LimitExceededException", "10001"},
		"tags":           {client.CreateStreamInput{StreamName: aws.String("x"), ShardCount: one, Tags: map[string]string{"a": "b"}}, "ValidationException", "Tags"},
		"warm capacity":  {client.CreateStreamInput{StreamName: aws.String("x"), ShardCount: one, WarmThroughputMiBps: one}, "ValidationException", "WarmThroughputMiBps"},
		"a small record": {client.CreateStreamInput{StreamName: aws.String("x"), ShardCount: one, MaxRecordSizeInKiB: one}, "ValidationException", "MaxRecordSizeInKiB"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := w.CreateStream(t.Context(), &test.in)
			wantCode(t, err, test.code)
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error does not say %s: %v", test.says, err)
			}
		})
	}
	// A name that a directory could misunderstand is a name like any other.
	if _, err := w.CreateStream(t.Context(), &client.CreateStreamInput{StreamName: aws.String(".."), ShardCount: one}); err != nil {
		t.Error(err)
	}
}

func TestUnsupportedOperationsAndParametersAreRefusedByName(t *testing.T) {
	w := open(t)
	w.create(1)
	_, err := w.StartStreamEncryption(t.Context(), &client.StartStreamEncryptionInput{StreamName: name, KeyId: aws.String("k"), EncryptionType: types.EncryptionTypeKms})
	wantCode(t, err, "UnknownOperationException")
	if !strings.Contains(err.Error(), "StartStreamEncryption") {
		t.Errorf("the operation is not named: %v", err)
	}
	dry := aws.Bool(true)
	_, err = w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, DryRun: dry, Records: []types.PutRecordsRequestEntry{entry("k", "x")}})
	wantCode(t, err, "ValidationException")
	_, err = w.PutRecord(t.Context(), &client.PutRecordInput{StreamName: name, DryRun: dry, PartitionKey: aws.String("k"), Data: []byte("x")})
	wantCode(t, err, "ValidationException")
	_, err = w.GetRecords(t.Context(), &client.GetRecordsInput{DryRun: dry, ShardIterator: w.iterator(shard0, horizon)})
	wantCode(t, err, "ValidationException")
	if got := w.read(shard0, horizon); len(got) != 0 {
		t.Errorf("refused calls stored %v", got)
	}
	_, err = w.DescribeStreamSummary(t.Context(), &client.DescribeStreamSummaryInput{StreamName: aws.String("logs"), StreamARN: aws.String("arn:aws:kinesis:us-east-1:1:stream/other")})
	wantCode(t, err, "InvalidArgumentException")
}

func TestBodiesThatAreNotTheProtocolAreRefused(t *testing.T) {
	service, err := kinesis.Open(t.TempDir(), kinesis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	for _, op := range []string{"PutRecords", "GetRecords", "ListStreams"} {
		for _, body := range []string{"", "{", "[]", `{} {}`, `{"NoSuch":1}`, strings.Repeat(" ", 21<<20)} {
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
			req.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
			rec := httptest.NewRecorder()
			service.ServeHTTP(rec, req)
			if rec.Code != http.StatusBadRequest || rec.Header().Get("X-Amzn-Errortype") == "" {
				t.Errorf("%s with %.20q: %d %s", op, body, rec.Code, rec.Body)
			}
		}
	}
}

func TestABodyThatBreaksOffIsNotServed(t *testing.T) {
	service, err := kinesis.Open(t.TempDir(), kinesis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	broken := io.MultiReader(bytes.NewReader([]byte(`{"StreamName":"x","ShardCount":1}`)), brokenReader{})
	req := httptest.NewRequestWithContext(t.Context(), "POST", "/", broken)
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.CreateStream")
	rec := httptest.NewRecorder()
	service.ServeHTTP(rec, req)
	if rec.Code != http.StatusBadRequest {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestListStreamsGivesAllPagesInOrder(t *testing.T) {
	w := open(t)
	var want []string
	for i := range 7 {
		n := fmt.Sprint("s", i)
		want = append(want, n)
		if _, err := w.CreateStream(t.Context(), &client.CreateStreamInput{StreamName: &n, ShardCount: aws.Int32(1)}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	in := &client.ListStreamsInput{Limit: aws.Int32(3)}
	for {
		out, err := w.ListStreams(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.StreamNames...)
		if len(out.StreamSummaries) != len(out.StreamNames) {
			t.Errorf("%d summaries for %d names", len(out.StreamSummaries), len(out.StreamNames))
		}
		if !*out.HasMoreStreams {
			break
		}
		in.NextToken = out.NextToken
	}
	equal(t, "paged by token", got, want)
}

func TestRecordsCanBeMadeToExpire(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.SegmentBytes = 200 })
	w.create(1)
	var at []time.Time
	for i := range 10 {
		at = append(at, w.clock.now())
		w.put("k", fmt.Sprint("record ", i))
		w.clock.advance(time.Millisecond)
	}
	expire := func(stream string, before time.Time) error { return w.service.Expire(stream, before) }
	if err := expire("other", at[3]); err == nil {
		t.Error("records of a stream that does not exist expired")
	}
	for _, n := range []int{4, 2} { // what is gone stays gone
		if err := expire(*name, at[n]); err != nil {
			t.Fatal(err)
		}
		equal(t, "records left", w.read(shard0, horizon), []string{"record 4", "record 5", "record 6", "record 7", "record 8", "record 9"})
	}
	w.reopen()
	if err := expire(*name, w.clock.now()); err != nil {
		t.Fatal(err)
	}
	equal(t, "records left", w.read(shard0, horizon), nil)
	w.put("k", "later")
	equal(t, "records after all had expired", w.read(shard0, horizon), []string{"later"})
}

func TestExpiredRecordsAreGone(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.SegmentBytes = 4096 })
	w.create(1)
	var sequences []string
	for i := range 48 { // one an hour, four to a segment
		sequences = append(sequences, w.put("k", fmt.Sprintf("%02d%s", i, strings.Repeat(".", 1000))))
		w.clock.advance(time.Hour)
	}
	first := func(in client.GetShardIteratorInput) string {
		t.Helper()
		if data := w.read(shard0, in); len(data) > 0 {
			return data[0][:2]
		}
		return "none"
	}
	// Now is hour 48: the record of hour 24 is exactly 24 hours old.
	if got := first(horizon); got != "24" {
		t.Errorf("TRIM_HORIZON starts at %s, want 24", got)
	}
	for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
		if got := first(client.GetShardIteratorInput{ShardIteratorType: kind, StartingSequenceNumber: &sequences[3]}); got != "24" {
			t.Errorf("%s of an expired record starts at %s, want 24", kind, got)
		}
	}
	early := w.clock.now().Add(-40 * time.Hour)
	if got := first(client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &early}); got != "24" {
		t.Errorf("an expired AT_TIMESTAMP starts at %s, want 24", got)
	}
	// A longer period does not bring back what has expired.
	if _, err := w.IncreaseStreamRetentionPeriod(t.Context(), &client.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(100)}); err != nil {
		t.Fatal(err)
	}
	if got := first(horizon); got != "24" {
		t.Errorf("after the increase TRIM_HORIZON starts at %s, want 24", got)
	}
	w.reopen()
	if got := first(horizon); got != "24" {
		t.Errorf("after a restart TRIM_HORIZON starts at %s, want 24", got)
	}
	w.clock.advance(100 * time.Hour)
	if got := first(horizon); got != "none" {
		t.Errorf("long after, the stream holds %s", got)
	}
	if n := segments(t, w.dir); n != 1 {
		t.Errorf("%d files are left of expired records, want the open one", n)
	}
	w.put("k", "new")
	if got := first(horizon); got != "ne" {
		t.Errorf("got %s, want the new record", got)
	}
}
