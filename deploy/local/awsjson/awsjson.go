// Package awsjson is what services of the AWS JSON protocol have in common: how a request is read, an error is answered and a place
// to go on from is handed out.
package awsjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// ContentType is that of requests and answers.
const ContentType = "application/x-amz-json-1.1"

// codeInternal is answered, with 500, to what is not the client's fault.
const codeInternal = "InternalFailure"

// An Error is an answer of the service. Its code is one of the API reference's.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse makes an Error.
func Refuse(code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// WriteError answers err: as it is if it is an Error, else as a failure of the endpoint.
func WriteError(w http.ResponseWriter, err error) {
	e := &Error{codeInternal, "the local endpoint failed: " + err.Error()}
	status := http.StatusBadRequest
	if !errors.As(err, &e) || e.Code == codeInternal {
		status = http.StatusInternalServerError
	}
	body, _ := json.Marshal(map[string]string{"__type": e.Code, "message": e.Message}) // strings always marshal
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("X-Amzn-Errortype", e.Code)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}

// Decode refuses every parameter that in does not name, with unsupported for its code: what is not implemented must not be ignored.
func Decode(body []byte, in any, unsupported string) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(in); err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return Refuse(unsupported, "the local endpoint does not support parameter %s", name)
		}
		if refused := (*Error)(nil); errors.As(err, &refused) { // by the parameter's own decoder
			return refused
		}
		return Refuse("SerializationException", "%v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Refuse("SerializationException", "want one JSON object and nothing behind it")
	}
	return nil
}

// ReadBody reads a body of announced size (below 0: not announced) and at most limit bytes; tooLarge is the code of a larger one.
func ReadBody(r io.Reader, size, limit int64, tooLarge string) ([]byte, error) {
	buf := make([]byte, 0, min(max(size, 0), limit)+512) // io.ReadAll would grow it a dozen times
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, Refuse(tooLarge, "request body is larger than %d bytes", limit)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, Refuse("SerializationException", "read request body: %v", err)
		case len(buf) == cap(buf):
			buf = append(buf, 0)[:len(buf)]
		}
	}
}
