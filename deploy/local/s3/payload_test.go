package s3_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestDamageOnTheDiskDoesNotReachAClientUnnoticed(t *testing.T) {
	e := withBucket(t)
	e.put("damaged", "content")
	info, err := os.Stat(e.file(bucket, "damaged"))
	if err != nil {
		t.Fatal(err)
	}
	e.byHand("damaged", "CONTENT")
	if err := os.Chtimes(e.file(bucket, "damaged"), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("damaged")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(out.Body); err == nil {
		t.Error("the client read damaged content without an error")
	}
	_ = out.Body.Close()
}

func TestAwsChunkedBodiesAreUnwrapped(t *testing.T) {
	e := withBucket(t)
	send := func(body, length, trailer string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.url+"/"+bucket+"/chunked", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		r.Header.Set("X-Amz-Decoded-Content-Length", length)
		r.Header.Set("Content-Encoding", "aws-chunked")
		if trailer != "" {
			r.Header.Set("X-Amz-Trailer", trailer)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close(); http.DefaultClient.CloseIdleConnections() })
		return resp
	}
	for _, c := range []struct {
		name, body, length, trailer string
		status                      int
	}{
		{"a signed chunk, a checksum behind it", "5;chunk-signature=00\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "5", "x-amz-checksum-crc32", 200},
		{"a chunk before the last of less than 8 KB", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "5", "", 403},
		{"no trailer", "5\r\nhello\r\n0\r\n\r\n", "5", "", 200},
		{"a wrong checksum", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "5", "x-amz-checksum-crc32", 400},
		{"an announced checksum that does not come", "5\r\nhello\r\n0\r\n\r\n", "5", "x-amz-checksum-crc32", 400},
		{"fewer bytes than announced", "5\r\nhello\r\n0\r\n\r\n", "6", "", 400},
		{"an end within a chunk", "6\r\nhello", "6", "", 400},
		{"an end before the last chunk", "5\r\nhello\r\n", "5", "", 400},
		{"no size", "\r\nhello\r\n0\r\n\r\n", "5", "", 400},
		{"a negative size", "-5\r\nhello\r\n0\r\n\r\n", "5", "", 400},
		{"a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n", "4", "", 400},
		{"a trailer nobody knows", "5\r\nhello\r\n0\r\n\r\n", "5", "x-amz-checksum-crc99", 501},
	} {
		t.Run(c.name, func(t *testing.T) {
			_ = os.Remove(e.file(bucket, "chunked"))
			resp := send(c.body, c.length, c.trailer)
			if resp.StatusCode != c.status {
				content, _ := io.ReadAll(resp.Body)
				t.Fatalf("status is %d, want %d: %s", resp.StatusCode, c.status, content)
			}
			_, err := os.Stat(e.file(bucket, "chunked"))
			if stored := err == nil; stored != (c.status == 200) {
				t.Errorf("stored is %t", stored)
			}
			if c.status == 200 && (e.get("chunked") != "hello" || e.head("chunked").ContentEncoding != nil) {
				t.Errorf("object is %q with encoding %v", e.get("chunked"), e.head("chunked").ContentEncoding)
			}
		})
	}
}

func TestABodyThatBreaksOffStoresNothing(t *testing.T) {
	e := withBucket(t)
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.url+"/"+bucket+"/half", reader)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 1 << 20
	go func() {
		_, _ = writer.Write(bytes.Repeat([]byte("x"), 1<<19))
		_ = writer.CloseWithError(errors.New("client died"))
	}()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	e.stop() // waits for the handler
	if _, err := os.Stat(e.file(bucket, "half")); !errors.Is(err, os.ErrNotExist) {
		t.Error("half an object is stored")
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}
