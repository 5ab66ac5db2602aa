package treasuredata

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error the client is to see.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return e.message }

func refuse(status int, format string, args ...any) error {
	return &apiError{status, fmt.Sprintf(format, args...)}
}

func noDatabase(name string) error {
	return refuse(http.StatusNotFound, "Couldn't find UserDatabase with name = %s", name)
}

func noTable(name string) error {
	return refuse(http.StatusNotFound, "Couldn't find UserTable with name = %s", name)
}

// envelope carries what each of the service's clients looks for: Ruby message, Java text and severity, Go error.
type envelope struct {
	Error      string `json:"error"`
	Message    string `json:"message"`
	Text       string `json:"text"`
	Severity   string `json:"severity"`
	StatusCode int    `json:"status_code"`
}

// writeError answers with err; what is not an apiError is a fault of this endpoint and answered as the service answers its own.
func writeError(w http.ResponseWriter, err error) {
	e := &apiError{http.StatusInternalServerError, "the local endpoint failed: " + err.Error()}
	errors.As(err, &e)
	writeJSON(w, e.status, envelope{e.message, e.message, e.message, "error", e.status})
}

// writeThrottled is the answer to a throttled call.
func writeThrottled(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	writeError(w, refuse(http.StatusTooManyRequests, "too many requests"))
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}
