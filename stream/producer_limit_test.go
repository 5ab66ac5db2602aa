package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tributary/stream"
)

func TestTheLimitOfARecordIsTheStreamsWithinTheConfiguration(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		kib    int32
		change func(*stream.ProducerConfig)
		want   int64
	}{
		"a stream that tells nothing takes 1 MiB":    {0, nil, mib},
		"a stream of 3 MiB":                          {3072, nil, 3 * mib},
		"a record fits a request":                    {10240, nil, 5 * mib},
		"a request of 10 MiB holds one of the limit": {10240, func(c *stream.ProducerConfig) { c.MaxRequestBytes = 10 * mib }, 10 * mib},
		"the operator wants less":                    {10240, func(c *stream.ProducerConfig) { c.MaxRecordBytes = 2 * mib }, 2 * mib},
		"the operator wants more than there is":      {2048, func(c *stream.ProducerConfig) { c.MaxRecordBytes = 4 * mib }, 2 * mib},
		"no stream takes less than 1 MiB":            {512, nil, mib},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := run(t, &putter{kib: test.kib}, test.change)
				synctest.Wait()
				if got := p.MaxRecordBytes(); got != test.want || !p.Known() {
					t.Errorf("a record may have %d bytes (known: %t), want %d", got, p.Known(), test.want)
				}
				if got := metric(t, p.reg, "max_record_bytes", ""); got != float64(test.want) {
					t.Errorf("the gauge says %v", got)
				}
				if err := ended(t, p.publish(t.Context(), "k", int(test.want)-1)); err != nil {
					t.Errorf("a record of the limit: %v", err)
				}
				if err := ended(t, p.publish(t.Context(), "k", int(test.want))); !stream.IsPermanent(err) {
					t.Errorf("a byte more: %v", err)
				}
			})
		})
	}
}

func TestTheStreamIsAskedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{kib: 2048}
		p := run(t, api, nil)
		synctest.Wait()
		api.tell(3072, nil)
		time.Sleep(3 * time.Minute)
		if got := p.MaxRecordBytes(); got != 2<<20 {
			t.Errorf("after 3 minutes %d bytes", got)
		}
		time.Sleep(2 * time.Minute)
		if got := p.MaxRecordBytes(); got != 3<<20 {
			t.Errorf("after 5 minutes %d bytes", got)
		}
		api.tell(0, errors.New("no route"))
		time.Sleep(time.Hour)
		if got := p.MaxRecordBytes(); got != 3<<20 || !p.Known() {
			t.Errorf("while the stream is away %d bytes", got)
		}
		api.tell(1024, nil)
		time.Sleep(time.Minute)
		if got := p.MaxRecordBytes(); got != 1<<20 {
			t.Errorf("a minute after it is back %d bytes", got)
		}
		began := len(api.looks())
		time.Sleep(10 * time.Hour)
		if n := len(api.looks()) - began; n < 120 || n > 160 {
			t.Errorf("asked %d times in ten hours, want every 3.75 to 5 minutes", n)
		}
	})
}

func TestAStreamThatIsAwayAtTheStartTakesWhatEveryStreamTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{kib: 10240, away: errors.New("no route")}
		p := run(t, api, nil)
		time.Sleep(30 * time.Second)
		if got := p.MaxRecordBytes(); got != 1<<20 || p.Known() {
			t.Errorf("%d bytes (known: %t) before the stream has answered", got, p.Known())
		}
		api.tell(10240, nil)
		time.Sleep(time.Minute)
		if got := p.MaxRecordBytes(); got != 5<<20 || !p.Known() {
			t.Errorf("%d bytes (known: %t) once it has", got, p.Known())
		}
	})
}

func TestWhoHasAskedSparesRunTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{kib: 2048}
		p, err := stream.NewProducer(api, logs, stream.DefaultProducerConfig(), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := p.Describe(t.Context()); err != nil || d.MaxRecordBytes != 2<<20 || p.MaxRecordBytes() != 2<<20 {
			t.Errorf("described %+v, %v; a record may have %d bytes", d, err, p.MaxRecordBytes())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := len(api.looks()); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestARecordRefusedForItsSizeLowersTheLimitUntilTheStreamIsAsked(t *testing.T) {
	limit := 5 << 20 // of the stream
	refuse := func(_ int, in *kinesis.PutRecordsInput, _ *kinesis.PutRecordsOutput) error {
		for _, r := range in.Records {
			if len(r.Data)+len(*r.PartitionKey) > limit {
				return apiError("ValidationException", "1 validation error detected: Value at 'records.1.member.data' failed to satisfy constraint: Member must have length less than or equal to 1048576")
			}
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		api := &putter{kib: 10240, answer: refuse}
		p := run(t, api, nil)
		time.Sleep(2 * time.Minute)
		if err := ended(t, p.publish(t.Context(), "k", 3<<20)); err != nil {
			t.Error(err)
		}
		limit = 2 << 20
		api.tell(0, errors.New("too many calls")) // so that the answer does not hide what the refusal did
		if err := ended(t, p.publish(t.Context(), "k", 3<<20)); !stream.IsPermanent(err) {
			t.Errorf("outcome %v", err)
		}
		if got, n := p.MaxRecordBytes(), len(api.looks()); got != 1<<20 || n != 2 {
			t.Errorf("at once after the refusal a record may have %d bytes, asked %d times; want 1 MiB, 2 times", got, n)
		}
		api.tell(2048, nil)
		time.Sleep(time.Minute)
		if got := p.MaxRecordBytes(); got != 2<<20 {
			t.Errorf("once the stream has told, %d bytes", got)
		}
		// One that tells more than it takes is not asked for each record.
		began := len(api.looks())
		api.tell(10240, nil)
		time.Sleep(5 * time.Minute)
		for range 600 {
			size := 3 << 20
			if int64(size) >= p.MaxRecordBytes() {
				size = 1 << 19
			}
			if err := p.Publish(t.Context(), stream.Record{Key: "k", Data: make([]byte, size)}); err != nil && !stream.IsPermanent(err) {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if n := len(api.looks()) - began; n < 10 || n > 17 {
			t.Errorf("asked %d times in 15 minutes, in ten of which it was in doubt", n)
		}
	})
}

func TestARequestTooLargeForTheWayIsRefusedForALargeRecordOnly(t *testing.T) {
	tooLarge := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusRequestEntityTooLarge}}, Err: errors.New("too large")}
	synctest.Test(t, func(t *testing.T) {
		api := &putter{kib: 10240, answer: func(request int, _ *kinesis.PutRecordsInput, _ *kinesis.PutRecordsOutput) error {
			if request < 2 {
				return tooLarge
			}
			return nil
		}}
		p := run(t, api, nil)
		synctest.Wait()
		if err := ended(t, p.publish(t.Context(), "k", 3<<20)); !stream.IsPermanent(err) {
			t.Errorf("outcome %v", err)
		}
		small := p.publish(t.Context(), "k", 1<<19)
		time.Sleep(time.Minute)
		if err := ended(t, small); err != nil {
			t.Errorf("a record that every stream takes: %v", err)
		}
	})
}
