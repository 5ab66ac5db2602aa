package s3

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// payload is a request's body as the object's bytes: plain, or unwrapped from
// the aws-chunked encoding. Signatures are not verified.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
type payload struct {
	io.Reader
	checksum string // the checksum header the client announced, "" for none
	header   http.Header
	trailer  *chunked // nil: the checksum is in the header
}

// want is the checksum the client sent; known once the body is read to its end.
func (p *payload) want() (string, error) {
	header := p.header
	if p.trailer != nil {
		header = p.trailer.trailer
	}
	sum := header.Get(p.checksum)
	if p.trailer != nil && sum == "" {
		return "", refuse(http.StatusBadRequest, "MalformedTrailerError", "The trailer "+p.checksum+" was announced and did not come.")
	}
	if !isBase64(sum, checksums[p.checksum]().Size()) {
		return "", refuse(http.StatusBadRequest, "InvalidRequest", fmt.Sprintf("Value for %s header is invalid: %.100q", p.checksum, sum))
	}
	return sum, nil
}

// isBase64 tells whether text is size bytes in base64.
func isBase64(text string, size int) bool {
	raw, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(raw) == size
}

func newPayload(r *http.Request) (*payload, error) {
	if r.ContentLength < 0 {
		return nil, refuse(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	p := &payload{Reader: http.MaxBytesReader(nil, r.Body, maxPut), header: r.Header}
	for name := range r.Header {
		if isChecksum(name) {
			if p.checksum != "" {
				return nil, refuse(http.StatusBadRequest, "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
			}
			p.checksum = strings.ToLower(name)
		}
	}
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return p, nil
	}
	length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return nil, refuse(http.StatusLengthRequired, "MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.")
	}
	c := &chunked{in: bufio.NewReaderSize(p.Reader, 64<<10), want: length, trailer: http.Header{}}
	p.Reader = c
	if announced := r.Header.Get("X-Amz-Trailer"); announced != "" {
		if !isChecksum(announced) || p.checksum != "" {
			return nil, notImplemented("trailer " + announced)
		}
		p.checksum, p.trailer = strings.ToLower(announced), c
	}
	return p, nil
}

// minChunk is the service's limit of all chunks but the last.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
const minChunk = 8 << 10

// chunked reads "<hex size>[;extension]\r\n<bytes>\r\n" until a size of 0, then
// trailer lines until an empty one or the end.
type chunked struct {
	in      *bufio.Reader
	size    int64 // of the chunk being read
	left    int64 // of it
	started bool
	done    bool
	got     int64
	want    int64
	trailer http.Header
}

func (c *chunked) Read(p []byte) (int, error) {
	for c.left == 0 && !c.done {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if c.done {
		return 0, io.EOF
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.got += int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads a chunk's header, or the trailer behind the last chunk.
func (c *chunked) next() error {
	if c.started {
		if line, err := c.line(); err != nil || line != "" {
			return errors.Join(malformed("chunk does not end with CRLF"), err)
		}
	}
	c.started = true
	line, err := c.line()
	if err != nil {
		return err
	}
	digits, _, _ := strings.Cut(line, ";")
	size, err := strconv.ParseInt(digits, 16, 64)
	if err != nil || size < 0 {
		return malformed(fmt.Sprintf("chunk size %.20q", digits))
	}
	if size > 0 && c.size > 0 && c.size < minChunk {
		return refuse(http.StatusForbidden, "InvalidChunkSizeError", fmt.Sprintf("Only the last chunk may have less than %d bytes, not one of %d.", minChunk, c.size))
	}
	c.size, c.left = size, size
	if size > 0 {
		return nil
	}
	c.done = true
	if c.got != c.want {
		return refuse(http.StatusBadRequest, "IncompleteBody", fmt.Sprintf("x-amz-decoded-content-length is %d, but %d bytes were sent", c.want, c.got))
	}
	return c.readTrailer()
}

func (c *chunked) readTrailer() error {
	for range 16 {
		line, err := c.line()
		if line == "" && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) {
			return nil
		}
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(line, ":")
		c.trailer.Set(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	return malformed("too many trailers")
}

// line reads up to CRLF; what bounds it is the buffer.
func (c *chunked) line() (string, error) {
	line, err := c.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		return string(line), io.ErrUnexpectedEOF
	case errors.Is(err, bufio.ErrBufferFull):
		return "", malformed("line without end")
	case err != nil:
		return "", fmt.Errorf("receive body: %w", err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func malformed(what string) error {
	return refuse(http.StatusBadRequest, "InvalidRequest", "The aws-chunked body is malformed: "+what)
}
