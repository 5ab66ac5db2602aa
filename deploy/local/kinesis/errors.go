package kinesis

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// An apiError is an answer of the service. Its code is one of the API reference's.
type apiError struct {
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, args ...any) error {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

func invalidArgument(format string, args ...any) error {
	return refuse("InvalidArgumentException", format, args...)
}

func validation(format string, args ...any) error {
	return refuse("ValidationException", format, args...)
}

func notFound(format string, args ...any) error {
	return refuse("ResourceNotFoundException", format, args...)
}

func limitExceeded(format string, args ...any) error {
	return refuse("LimitExceededException", format, args...)
}

func inUse(format string, args ...any) error {
	return refuse("ResourceInUseException", format, args...)
}

const (
	codeThrottled = "ProvisionedThroughputExceededException"
	codeInternal  = "InternalFailure"
)

func unsupported(format string, args ...any) error {
	return validation("the local endpoint does not support "+format, args...)
}

func writeError(w http.ResponseWriter, err error) {
	e := &apiError{codeInternal, "the local endpoint failed: " + err.Error()}
	status := http.StatusBadRequest
	if !errors.As(err, &e) || e.code == codeInternal {
		status = http.StatusInternalServerError
	}
	body, _ := json.Marshal(map[string]string{"__type": e.code, "message": e.message}) // strings always marshal
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-Errortype", e.code)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}

func writeThrottle(w http.ResponseWriter) {
	writeError(w, refuse(codeThrottled, "Rate exceeded, by a fault rule"))
}
