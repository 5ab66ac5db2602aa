package kinesis_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"tributary/deploy/local/kinesis"
)

// The ceiling of the stand-in itself: the client's work and HTTP are left out.
func BenchmarkService(b *testing.B) {
	for _, size := range []int{500, 250_000} {
		records := min(500, 8<<20/size)
		service, err := kinesis.Open(b.TempDir(), kinesis.Options{})
		if err != nil {
			b.Fatal(err)
		}
		call := func(op, body string) string {
			req := httptest.NewRequest("POST", "/", strings.NewReader(body))
			req.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
			rec := httptest.NewRecorder()
			service.ServeHTTP(rec, req)
			if rec.Code != 200 {
				b.Fatal(rec.Body)
			}
			return rec.Body.String()
		}
		call("CreateStream", `{"StreamName":"b","ShardCount":4}`)
		data := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", size)))
		var entries []string
		for i := range records {
			entries = append(entries, fmt.Sprintf(`{"Data":%q,"PartitionKey":"key %d"}`, data, i))
		}
		put := fmt.Sprintf(`{"Records":[%s],"StreamName":"b"}`, strings.Join(entries, ","))
		b.Run(fmt.Sprintf("put/%d", size), func(b *testing.B) {
			b.SetBytes(int64(records * size))
			for b.Loop() {
				call("PutRecords", put)
			}
			b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
		})
		b.Run(fmt.Sprintf("get/%d", size), func(b *testing.B) {
			var it struct{ ShardIterator string }
			text := call("GetShardIterator", `{"StreamName":"b","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)
			if err := json.Unmarshal([]byte(text), &it); err != nil {
				b.Fatal(err)
			}
			body := fmt.Sprintf(`{"ShardIterator":%q}`, it.ShardIterator)
			n := strings.Count(call("GetRecords", body), "SequenceNumber")
			b.SetBytes(int64(n * size))
			for b.Loop() {
				call("GetRecords", body)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
		})
		if err := service.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
