package contract_test

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const trailing = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

// trailerCases send bodies in pieces with the checksum behind them, as the SDK does over TLS. Over plain HTTP it does not, so they are
// made by hand.
func trailerCases() (cases []s3Case) {
	for _, b := range []struct{ name, body, length, trailer, code string }{
		{"in one piece is verified", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "5", "x-amz-checksum-crc32", ""},
		{"in two pieces is verified", "2000\r\n" + strings.Repeat("x", 8<<10) + "\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:" + crc32Of(strings.Repeat("x", 8<<10)+"lo") + "\r\n\r\n", "8194", "x-amz-checksum-crc32", ""},
		{"with a piece before the last of less than 8 KB is refused", "3\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "5", "x-amz-checksum-crc32", "InvalidChunkSizeError"},
		{"of nothing is verified", "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "0", "x-amz-checksum-crc32", ""},
		{"with a wrong sum is refused", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "5", "x-amz-checksum-crc32", "BadDigest"},
		{"without the sum that it announced is refused", "5\r\nhello\r\n0\r\n\r\n", "5", "x-amz-checksum-crc32", "MalformedTrailerError"},
		{"with fewer bytes than announced is refused", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "6", "x-amz-checksum-crc32", "IncompleteBody"},
		{"that ends within a piece is refused", "6\r\nhello", "6", "x-amz-checksum-crc32", "IncompleteBody"},
		{"that ends between pieces is refused", "5\r\nhello\r\n", "5", "x-amz-checksum-crc32", "IncompleteBody"},
	} {
		cases = append(cases, s3Case{"a body " + b.name, func(c *check, o objects) {
			key := c.Name()
			code := o.send(c, key, b.body, b.length, b.trailer)
			c.Equal("error code", code, b.code)
			if b.code != "" {
				o.lacks(c, key)
				return
			}
			got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key})
			c.Must("get object", err)
			c.Equal("length", fmt.Sprint(len(got.content)), b.length)
		}})
	}
	return append(cases, s3Case{"pieces are how a body travelled, not what the object is", func(c *check, o objects) {
		key := c.Name()
		c.Equal("error code", o.send(c, key, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "5", "x-amz-checksum-crc32"), "")
		o.holds(c, key, "hello")
		c.Equal("encoding", aws.ToString(o.head(c, key).ContentEncoding), "")
	}})
}

func crc32Of(content string) string {
	sum := crc32.NewIEEE()
	_, _ = sum.Write([]byte(content))
	return base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// send puts an object by a signed request of its own and gives the error's code, "" for none.
func (o objects) send(c *check, key, body, length, trailer string) string {
	options := o.Options()
	base := "https://" + *o.bucket + ".s3." + options.Region + ".amazonaws.com/"
	if options.BaseEndpoint != nil {
		base = *options.BaseEndpoint + "/" + *o.bucket + "/"
	}
	r, err := http.NewRequestWithContext(c.Context(), http.MethodPut, base+url.PathEscape(key), strings.NewReader(body))
	c.Must("make request", err)
	r.Header.Set("X-Amz-Content-Sha256", trailing)
	r.Header.Set("X-Amz-Decoded-Content-Length", length)
	r.Header.Set("Content-Encoding", "aws-chunked")
	r.Header.Set("X-Amz-Trailer", trailer)
	credentials, err := options.Credentials.Retrieve(c.Context())
	c.Must("find credentials", err)
	c.Must("sign request", v4.NewSigner().SignHTTP(c.Context(), credentials, r, trailing, "s3", options.Region, time.Now()))
	resp, err := options.HTTPClient.Do(r)
	c.Must("send request", err)
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all is read
	c.Must("read answer", err)
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	var refusal struct{ Code string }
	c.Must("read error", xml.Unmarshal(answer, &refusal))
	return refusal.Code
}
