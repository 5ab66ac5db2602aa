package s3

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
)

// apiError is an error the client is to see.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(status int, code, message string) error { return &apiError{status, code, message} }

func notImplemented(what string) error {
	return refuse(http.StatusNotImplemented, "NotImplemented", what+" is not supported by this endpoint")
}

func invalidArgument(message string) error {
	return refuse(http.StatusBadRequest, "InvalidArgument", message)
}

func noSuchKey(key string) error {
	return refuse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist: "+key)
}

func noSuchBucket(bucket string) error {
	return refuse(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist: "+bucket)
}

func noSuchUpload(id string) error {
	return refuse(http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist: "+id)
}

func preconditionFailed(condition string) error {
	return refuse(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold: "+condition)
}

func slowDown() error {
	return refuse(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
}

// writeError answers with err; what is not an apiError is a fault of this
// endpoint and answered as the service answers its own.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{http.StatusInternalServerError, "InternalError", err.Error()}
	}
	if r.Method == http.MethodHead || e.status == http.StatusNotModified {
		w.WriteHeader(e.status)
		return
	}
	writeXML(w, e.status, struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}{Code: e.code, Message: e.message, Resource: r.URL.Path})
}

// writeSlowDown is the answer to a throttled call.
func writeSlowDown(w http.ResponseWriter) {
	writeError(w, &http.Request{URL: &url.URL{Path: "/"}}, slowDown())
}

func writeXML(w http.ResponseWriter, status int, answer any) {
	body, err := xml.Marshal(answer)
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	// The client may be gone; there is nobody left to tell.
	_, _ = w.Write(append([]byte(xml.Header), body...))
}
