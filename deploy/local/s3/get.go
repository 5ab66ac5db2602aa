package s3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
)

func (s *Service) headObject(w http.ResponseWriter, c call) error {
	file, _, err := s.answerObject(w, c)
	if err != nil {
		return err
	}
	return file.Close()
}

func (s *Service) getObject(w http.ResponseWriter, c call) error {
	file, part, err := s.answerObject(w, c)
	if err != nil {
		return err
	}
	_, err = io.CopyN(w, file, part.length)
	if err := errors.Join(err, file.Close()); err != nil {
		// The header is out: only a broken connection tells the client that bytes
		// are missing.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// answerObject opens the object, decides conditions and range, writes the
// header, and leaves the file at the range's start. The caller closes it.
func (s *Service) answerObject(w http.ResponseWriter, c call) (*os.File, section, error) {
	unlock := s.lock(c.bucket, c.key)
	file, o, err := s.open(c.bucket, c.key)
	unlock()
	if err != nil {
		return nil, section{}, err
	}
	part, err := o.choose(c.Request)
	if err == nil && c.operation == "GetObject" {
		err = o.readable()
	}
	if err == nil {
		_, err = file.Seek(part.start, io.SeekStart)
	}
	if err != nil {
		return nil, section{}, errors.Join(err, file.Close())
	}
	// A checksum is that of the whole object.
	o.setHeaders(w.Header(), c.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && !part.partial)
	w.Header().Set("Content-Length", strconv.FormatInt(part.length, 10))
	status := http.StatusOK
	if part.partial {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.start, part.start+part.length-1, o.Size))
	}
	w.WriteHeader(status)
	return file, part, nil
}

// choose decides a read's conditions and range.
func (o object) choose(r *http.Request) (section, error) {
	if v := r.Header.Get("If-Match"); v != "" && v != "*" && !sameETag(v, o.ETag) {
		return section{}, preconditionFailed("If-Match")
	}
	if v := r.Header.Get("If-None-Match"); v != "" && (v == "*" || sameETag(v, o.ETag)) {
		return section{}, refuse(http.StatusNotModified, "NotModified", "Not Modified")
	}
	return cut(r.Header.Get("Range"), o.Size)
}

// section is what of an object is sent.
type section struct {
	start   int64
	length  int64
	partial bool
}

var rangeShape = regexp.MustCompile(`^bytes=([0-9]{0,18})-([0-9]{0,18})$`)

// cut reads a Range header. A suffix longer than the object gives the whole
// object, an end behind the object's is cut, a start behind it is refused.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func cut(header string, size int64) (section, error) {
	if header == "" {
		return section{0, size, false}, nil
	}
	m := rangeShape.FindStringSubmatch(header)
	if m == nil || m[1]+m[2] == "" {
		return section{}, notImplemented("the range " + strconv.Quote(header))
	}
	first, _ := strconv.ParseInt(m[1], 10, 64)
	last, _ := strconv.ParseInt(m[2], 10, 64)
	switch {
	case m[1] == "":
		first, last = max(0, size-last), size-1
	case m[2] == "":
		last = size - 1
	case last < first:
		return section{}, invalidArgument("the range " + strconv.Quote(header) + " ends before it starts")
	}
	if first >= size {
		return section{}, refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable")
	}
	last = min(last, size-1)
	return section{first, last - first + 1, true}, nil
}
