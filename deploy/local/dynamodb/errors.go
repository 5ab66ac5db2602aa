package dynamodb

import (
	"encoding/json"
	"errors"
	"hash/crc32"
	"net/http"
	"strconv"
)

const (
	typePrefix       = "com.amazonaws.dynamodb.v20120810#"
	serializerPrefix = "com.amazon.coral.service#"
	validatorPrefix  = "com.amazon.coral.validate#"
)

// apiError is an error the client is to see.
type apiError struct {
	status  int
	kind    string
	message string
	item    item // the old item, when the caller asked for it on a failed condition
}

func (e *apiError) Error() string { return e.kind + ": " + e.message }

func validation(message string) error {
	return &apiError{status: http.StatusBadRequest, kind: validatorPrefix + "ValidationException", message: message}
}

func tableNotFound(name string) error {
	return &apiError{status: http.StatusBadRequest, kind: typePrefix + "ResourceNotFoundException",
		message: "Requested resource not found: Table: " + name + " not found"}
}

func tableInUse(name string) error {
	return &apiError{status: http.StatusBadRequest, kind: typePrefix + "ResourceInUseException",
		message: "Table already exists: " + name}
}

func conditionFailed(old item) error {
	return &apiError{status: http.StatusBadRequest, kind: typePrefix + "ConditionalCheckFailedException",
		message: "The conditional request failed", item: old}
}

func throttled() error {
	return &apiError{status: http.StatusBadRequest, kind: typePrefix + "ProvisionedThroughputExceededException",
		message: "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."}
}

// writeError answers with err; what is not an apiError is a fault of this
// endpoint and answered as the service answers its own.
func writeError(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, kind: typePrefix + "InternalServerError", message: err.Error()}
	}
	writeJSON(w, e.status, struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Item    item   `json:"Item,omitempty"`
	}{e.kind, e.message, e.item})
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// Clients of the service check the answer against this sum.
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; there is nobody left to tell
}
