package s3_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestReadersSeeWholeObjectsWhileTheyAreOverwritten(t *testing.T) {
	e := withBucket(t)
	body := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 100_000) }
	e.put("a", body(0))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 30 {
			if _, err := e.try("a", body(i), nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a")})
				if err != nil {
					t.Error(err)
					continue
				}
				// The SDK verifies the checksum as well.
				if got := read(t, out.Body); aws.ToString(out.ETag) != etagOf(got) {
					t.Errorf("%d bytes of %.1s do not fit etag %s", len(got), got, aws.ToString(out.ETag))
				}
			}
		})
	}
	wg.Wait()
}

func TestRanges(t *testing.T) {
	e := withBucket(t)
	e.put("a", "0123456789")
	e.put("empty", "")
	for _, c := range []struct {
		name, key, header, want, contentRange, code string
	}{
		{"from the start", "a", "bytes=0-3", "0123", "bytes 0-3/10", ""},
		{"in the middle", "a", "bytes=4-4", "4", "bytes 4-4/10", ""},
		{"open end", "a", "bytes=7-", "789", "bytes 7-9/10", ""},
		{"end behind the object's", "a", "bytes=8-100", "89", "bytes 8-9/10", ""},
		{"suffix", "a", "bytes=-3", "789", "bytes 7-9/10", ""},
		{"suffix longer than the object gives the whole object", "a", "bytes=-100", "0123456789", "bytes 0-9/10", ""},
		{"start behind the object", "a", "bytes=10-", "", "", "InvalidRange"},
		{"empty suffix", "a", "bytes=-0", "", "", "InvalidRange"},
		{"any range of nothing", "empty", "bytes=0-1", "", "", "InvalidRange"},
		{"end before the start", "a", "bytes=5-4", "", "", "InvalidArgument"},
		{"several ranges", "a", "bytes=0-1,3-4", "", "", "NotImplemented"},
		{"another unit", "a", "lines=0-1", "", "", "NotImplemented"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(c.key), Range: aws.String(c.header)})
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			if got := read(t, out.Body); got != c.want || aws.ToString(out.ContentRange) != c.contentRange {
				t.Errorf("got %q with %q, want %q with %q", got, aws.ToString(out.ContentRange), c.want, c.contentRange)
			}
		})
	}
}

func TestConditionalReads(t *testing.T) {
	e := withBucket(t)
	e.put("a", "one")
	get := func(match, noneMatch *string) error {
		out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), IfMatch: match, IfNoneMatch: noneMatch})
		if err == nil {
			read(t, out.Body)
		}
		return err
	}
	wantCode(t, get(aws.String(etagOf("one")), nil), "")
	wantCode(t, get(aws.String(etagOf("two")), nil), "PreconditionFailed")
	wantCode(t, get(nil, aws.String(etagOf("two"))), "")
	if err := get(nil, aws.String(etagOf("one"))); err == nil || !strings.Contains(err.Error(), "304") {
		t.Errorf("If-None-Match of the object's etag answers %v, want 304", err)
	}
}
