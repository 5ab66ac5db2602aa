package logs

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"tributary/deploy/local/awsjson"
)

// An op serves one operation. puts and reads mark those that need memory; rate is the account's quota of calls a second, 0: none.
type op struct {
	puts, reads bool
	rate        float64
	serve       func(c *call, body []byte) ([]byte, error)
}

// The rates are those of "CloudWatch Logs quotas", as far as they are known.
var operations = map[string]op{
	"CreateLogGroup":        {serve: serve((*call).createLogGroup)},
	"DeleteLogGroup":        {serve: serve((*call).deleteLogGroup)},
	"DescribeLogGroups":     {serve: serve((*call).describeLogGroups)},
	"PutRetentionPolicy":    {serve: serve((*call).putRetentionPolicy)},
	"DeleteRetentionPolicy": {serve: serve((*call).deleteRetentionPolicy)},
	"CreateLogStream":       {rate: 50, serve: serve((*call).createLogStream)},
	"DeleteLogStream":       {serve: serve((*call).deleteLogStream)},
	"DescribeLogStreams":    {rate: 25, serve: serve((*call).describeLogStreams)},
	"PutLogEvents":          {puts: true, rate: 5000, serve: serve((*call).putLogEvents)},
	"GetLogEvents":          {reads: true, rate: 25, serve: serve((*call).getLogEvents)},
	"FilterLogEvents":       {reads: true, rate: 5, serve: serve((*call).filterLogEvents)},
}

// none is the answer of operations that answer nothing.
type none struct{}

func serve[In, Out any](f func(*call, In) (Out, error)) func(*call, []byte) ([]byte, error) {
	return func(c *call, body []byte) ([]byte, error) {
		var in In
		if err := awsjson.Decode(body, &in, codeInvalid); err != nil {
			return nil, err
		}
		out, err := f(c, in)
		if err != nil {
			return nil, err
		}
		if _, empty := any(out).(none); empty {
			return nil, nil
		}
		return json.Marshal(out)
	}
}

const codeInvalid = "InvalidParameterException"

func invalid(format string, args ...any) error { return awsjson.Refuse(codeInvalid, format, args...) }

func unsupported(format string, args ...any) error {
	return invalid("the local endpoint does not support "+format, args...)
}

func notFound(what string) error {
	return awsjson.Refuse("ResourceNotFoundException", "The specified log %s does not exist.", what)
}

func alreadyExists(what string) error {
	return awsjson.Refuse("ResourceAlreadyExistsException", "The specified log %s already exists", what)
}

func throttled() error { return awsjson.Refuse("ThrottlingException", "Rate exceeded") }

func writeThrottle(w http.ResponseWriter) {
	awsjson.WriteError(w, awsjson.Refuse("ThrottlingException", "Rate exceeded, by a fault rule"))
}

var errClosed = errors.New("the local endpoint is closed")

const (
	// accountID stands in ARNs; any account and region is accepted in requests.
	accountID    = "000000000000"
	arnPrefix    = "arn:aws:logs:us-east-1:" + accountID + ":log-group:"
	maxNameRunes = 512
)

var (
	groupNames = regexp.MustCompile(`^[-._/#A-Za-z0-9]{1,512}$`)
	groupARNs  = regexp.MustCompile(`^arn:aws[a-z-]*:logs:[^:]*:[^:]*:log-group:([-._/#A-Za-z0-9]{1,512})(:\*)?$`)
)

func checkGroupName(name string) error {
	if !groupNames.MatchString(name) {
		return invalid("logGroupName %q: want 1 to 512 of a-z, A-Z, 0-9, _, -, /, . and #", name)
	}
	return nil
}

func checkStreamName(what, name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > maxNameRunes || strings.ContainsAny(name, ":*") {
		return invalid("%s %q: want 1 to %d characters without : and *", what, name, maxNameRunes)
	}
	return nil
}

// groupRef names a group by name or by name or ARN as its identifier, never both.
type groupRef struct {
	LogGroupName       *string `json:"logGroupName"`
	LogGroupIdentifier *string `json:"logGroupIdentifier"`
}

func (ref groupRef) name() (string, error) {
	switch {
	case (ref.LogGroupName == nil) == (ref.LogGroupIdentifier == nil):
		return "", invalid("want either logGroupName or logGroupIdentifier, and not both")
	case ref.LogGroupName != nil:
		return *ref.LogGroupName, checkGroupName(*ref.LogGroupName)
	}
	if match := groupARNs.FindStringSubmatch(*ref.LogGroupIdentifier); match != nil {
		return match[1], nil
	}
	return *ref.LogGroupIdentifier, checkGroupName(*ref.LogGroupIdentifier)
}

// limitOf gives a parameter limit, or what stands for none.
func limitOf(limit *int, highest int) (int, error) {
	if limit == nil {
		return highest, nil
	}
	if *limit < 1 || *limit > highest {
		return 0, invalid("limit %d: want 1 to %d", *limit, highest)
	}
	return *limit, nil
}

// The kinds of tokens.
const (
	groupsToken byte = iota + 1
	streamsToken
	forwardToken
	backwardToken
	filterToken
)

func openToken(token string, kind byte, content any) error {
	if err := awsjson.OpenToken(token, kind, content); err != nil {
		return invalid("The specified nextToken is invalid: %v", err)
	}
	return nil
}
