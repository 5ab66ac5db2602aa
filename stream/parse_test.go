package stream

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithytime "github.com/aws/smithy-go/time"
)

// canned answers every call with the same body.
type canned struct{ body []byte }

func (c canned) Do(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		ContentLength: int64(len(c.body)), Body: io.NopCloser(bytes.NewReader(c.body)),
	}, nil
}

// bySDK is how the SDK reads an answer.
func bySDK(body []byte) (*kinesis.GetRecordsOutput, error) {
	api := kinesis.New(kinesis.Options{Region: "eu-west-1", HTTPClient: canned{body}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	return api.GetRecords(context.Background(), &kinesis.GetRecordsInput{ShardIterator: aws.String("x")})
}

// digest is what readers use of an answer.
func digest(out *kinesis.GetRecordsOutput) string {
	var b strings.Builder
	for i := range out.Records {
		r := &out.Records[i]
		fmt.Fprintf(&b, "%s %v %q\n", aws.ToString(r.SequenceNumber), arrivalOf(r), r.Data)
	}
	fmt.Fprintf(&b, "%q %d %q", aws.ToString(out.NextShardIterator), aws.ToInt64(out.MillisBehindLatest), idsOf(out.ChildShards))
	return b.String()
}

func idsOf(children []types.ChildShard) []string {
	var ids []string
	for _, child := range children {
		ids = append(ids, aws.ToString(child.ShardId))
	}
	return ids
}

var answers = map[string]string{
	"nothing":              `{}`,
	"an empty answer":      `{"MillisBehindLatest":0,"NextShardIterator":"AAA==","Records":[]}`,
	"nulls":                `{"Records":null,"NextShardIterator":null,"ChildShards":null,"MillisBehindLatest":null}`,
	"records":              `{"Records":[{"SequenceNumber":"49","ApproximateArrivalTimestamp":1.700000000123E9,"PartitionKey":"a","Data":"aGVsbG8="},{"Data":"","SequenceNumber":"50"}]}`,
	"white space":          " {\t\"Records\" : [ { \"Data\" : \"YQ==\" , \"SequenceNumber\" : \"1\" } ] ,\r\n \"MillisBehindLatest\" : 5 } \n",
	"members nobody knows": `{"New":{"a":[1,-2.5e3,true,false,null,"\"x\\"]},"Records":[{"Also":[{}],"SequenceNumber":"1","Data":"YWI=","EncryptionType":"KMS"}],"MillisBehindLatest":12}`,
	"escapes":              `{"Records":[{"PartitionKey":"\"\\\u00e9","SequenceNumber":"\u0031","Data":"Pz8\/"}],"NextShardIterator":"a\/b"}`,
	"a closed shard":       `{"ChildShards":[{"ShardId":"shardId-1","ParentShards":["shardId-0"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}],"MillisBehindLatest":0,"Records":[]}`,
	"names in other cases": `{"ChildShards":[{"shardid":"shardId-1","HAshKeYRAnge":{}}],"millisbehindlatest":7,"records":[{}],"Records":[{"data":"YQ==","SequenceNumber":"1"}]}`,
	"a record of 100 KB":   `{"Records":[{"SequenceNumber":"1","Data":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789abcdef!"), 6000)) + `"}]}`,
}

func TestAnAnswerIsReadAsTheSDKReadsIt(t *testing.T) {
	for name, body := range answers {
		t.Run(name, func(t *testing.T) {
			want, err := bySDK([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			var got kinesis.GetRecordsOutput
			if err := parseAnswer([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if g, w := digest(&got), digest(want); g != w {
				t.Errorf("read\n%.300s\nthe SDK\n%.300s", g, w)
			}
		})
	}
}

func TestABrokenAnswerIsAnError(t *testing.T) {
	for name, body := range map[string]string{
		"nothing at all":                 ``,
		"cut off":                        `{"Records":[{"SequenceNumber":"1","Data":"aGVsbG8="}`,
		"cut off in a string":            `{"Records":[{"SequenceNumber":"1`,
		"no base64":                      `{"Records":[{"Data":"a?=="}]}`,
		"base64 with an early end":       `{"Records":[{"Data":"` + strings.Repeat("AAAA", 1023) + "AA==" + `AAAA"}]}`,
		"a word for a number":            `{"MillisBehindLatest":soon}`,
		"a time beyond 2262":             `{"Records":[{"ApproximateArrivalTimestamp":13000000000.0}]}`,
		"a time before 1677":             `{"Records":[{"ApproximateArrivalTimestamp":-9.3E9}]}`,
		"a time no clock shows":          `{"Records":[{"ApproximateArrivalTimestamp":1E300}]}`,
		"two answers":                    `{}{}`,
		"an array":                       `[]`,
		"a bad escape":                   `{"NextShardIterator":"\x"}`,
		"no colon":                       `{"Records"[]}`,
		"no comma":                       `{"Records":[{}{}]}`,
		"deeper than anybody writes":     `{"x":` + strings.Repeat("[", 100_000) + `}`,
		"more records than there may be": `{"Records":[` + strings.Repeat(`{},`, maxReadRecords) + `{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := parseAnswer([]byte(body), new(kinesis.GetRecordsOutput)); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Sinks sort events of other producers by this time, in every version the same.
func TestATimeIsRoundedAsTheSDKDoes(t *testing.T) {
	for ms := int64(1_700_000_000_000); ms < 1_700_000_020_000; ms += 7 {
		seconds := float64(ms) / 1000
		if got, want := time.UnixMilli(int64(seconds*1000)).UTC(), smithytime.ParseEpochSeconds(seconds); !got.Equal(want) {
			t.Fatalf("%v: %v, the SDK %v", seconds, got, want)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, body := range answers {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got kinesis.GetRecordsOutput
		if parseAnswer(bytes.Clone(body), &got) != nil || !json.Valid(body) {
			return
		}
		if want, err := bySDK(body); err == nil && strings.Count(string(body), `"Records"`) == 1 && digest(&got) != digest(want) {
			t.Errorf("read\n%s\nthe SDK\n%s", digest(&got), digest(want))
		}
	})
}
