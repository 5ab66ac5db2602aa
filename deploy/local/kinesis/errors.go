package kinesis

import (
	"errors"
	"net/http"

	"tributary/deploy/local/awsjson"
)

// An apiError is an answer of the service. Its code is one of the API reference's.
type apiError = awsjson.Error

func refuse(code, format string, args ...any) error { return awsjson.Refuse(code, format, args...) }

func invalidArgument(format string, args ...any) error {
	return refuse("InvalidArgumentException", format, args...)
}

func validation(format string, args ...any) error {
	return refuse(codeValidation, format, args...)
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
	codeValidation = "ValidationException"
	codeThrottled  = "ProvisionedThroughputExceededException"
	codeInternal   = "InternalFailure"
)

// errInjected is of a record that a fault rule picked.
var errInjected = errors.New("injected by a fault rule")

func unsupported(format string, args ...any) error {
	return validation("the local endpoint does not support "+format, args...)
}

func writeThrottle(w http.ResponseWriter) {
	awsjson.WriteError(w, refuse(codeThrottled, "Rate exceeded, by a fault rule"))
}
