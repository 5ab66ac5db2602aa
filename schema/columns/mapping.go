package columns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary/schema"
)

// Mapping lists for each column the paths that may fill it; the first that a line
// has decides, those after it stay attributes. It is plain data: JSON for a plan,
// YAML in the configuration.
type Mapping struct {
	Level        []string `koanf:"level" json:"level"`
	Logger       []string `koanf:"logger" json:"logger"`
	Thread       []string `koanf:"thread" json:"thread"`
	Message      []string `koanf:"message" json:"message"`
	StackTrace   []string `koanf:"stack_trace" json:"stack_trace"`
	TraceID      []string `koanf:"trace_id" json:"trace_id"`
	SpanID       []string `koanf:"span_id" json:"span_id"`
	RequestID    []string `koanf:"request_id" json:"request_id"`
	Method       []string `koanf:"method" json:"method"`
	Path         []string `koanf:"path" json:"path"`
	Status       []string `koanf:"status" json:"status"`
	Duration     []string `koanf:"duration_ms" json:"duration_ms"`
	ClientIP     []string `koanf:"client_ip" json:"client_ip"`
	UserID       []string `koanf:"user_id" json:"user_id"`
	RequestBody  []string `koanf:"request_body" json:"request_body"`
	ResponseBody []string `koanf:"response_body" json:"response_body"`
	// Promote lists paths that get columns of their own, of text, beside the others.
	Promote []string `koanf:"promote" json:"promote"`
}

// DefaultMapping knows the Logback and Logstash encoders, Spring's and Logback's MDC
// names, Elastic's common schema (nested and dotted) and OpenTelemetry.
func DefaultMapping() Mapping {
	return Mapping{
		Level:        []string{"level", "log.level", "severity", "severity_text", "log_level", "levelname"},
		Logger:       []string{"logger_name", "logger", "log.logger", "loggerName"},
		Thread:       []string{"thread_name", "thread", "process.thread.name", "threadName"},
		Message:      []string{"message", "msg", "body"},
		StackTrace:   []string{"stack_trace", "error.stack_trace", "exception.stacktrace", "stackTrace", "stack"},
		TraceID:      []string{"traceId", "trace_id", "trace.id", "mdc.traceId", "mdc.trace_id", "X-B3-TraceId", "dd.trace_id"},
		SpanID:       []string{"spanId", "span_id", "span.id", "mdc.spanId", "mdc.span_id", "X-B3-SpanId", "dd.span_id"},
		RequestID:    []string{"requestId", "request_id", "http.request.id", "mdc.requestId", "mdc.request_id"},
		Method:       []string{"method", "http.request.method", "req.method", "mdc.req.method", "http_method"},
		Path:         []string{"path", "url.path", "req.requestURI", "mdc.req.requestURI", "request_uri", "uri"},
		Status:       []string{"status", "http.response.status_code", "status_code", "statusCode"},
		Duration:     []string{"duration_ms", "durationMs", "elapsed_ms", "elapsed_time", "elapsed", "duration"},
		ClientIP:     []string{"client_ip", "clientIp", "client.ip", "source.ip", "req.remoteHost", "mdc.req.remoteHost", "remote_addr"},
		UserID:       []string{"userId", "user_id", "user.id", "mdc.userId", "mdc.user_id", "user"},
		RequestBody:  []string{"request_body", "requestBody", "http.request.body.content"},
		ResponseBody: []string{"response_body", "responseBody", "http.response.body.content"},
	}
}

// of is the list of a column.
func (m *Mapping) of(c ID) []string {
	return [columnCount][]string{
		Level: m.Level, Logger: m.Logger, Thread: m.Thread, Message: m.Message, StackTrace: m.StackTrace,
		TraceID: m.TraceID, SpanID: m.SpanID, RequestID: m.RequestID, Method: m.Method, Path: m.Path,
		ClientIP: m.ClientIP, UserID: m.UserID, RequestBody: m.RequestBody, ResponseBody: m.ResponseBody,
		Status: m.Status, Duration: m.Duration,
	}[c]
}

const (
	maxPaths    = 64  // of one column
	maxPath     = 256 // bytes
	maxPromoted = 32
)

// reserved are names of other columns of the tables: none can be promoted to.
var reserved = []string{
	"time", "ingest_time", "service", "container_id", "container_name", "source", "host", "tag", "incomplete",
	"part_line", "part_number", "part_count", "shard", "sequence", "index", "line", "line_bytes", "shape", "attributes",
	"json", "kind", "dt", "hour", "date", "year", "month", "day",
}

// Validate joins all faults.
func (m Mapping) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for c := range columnCount {
		paths := m.of(c)
		if len(paths) > maxPaths {
			fault("%s: lists %d paths, at most %d", c, len(paths), maxPaths)
		}
		for i, p := range paths {
			if !validPath(p) {
				fault("%s[%d]: %q must be a path of 1 to %d bytes of UTF-8", c, i, p, maxPath)
			}
		}
	}
	if len(m.Promote) > maxPromoted {
		fault("promote: lists %d paths, at most %d", len(m.Promote), maxPromoted)
	}
	taken := slices.Concat(reserved, names[:])
	for i, p := range m.Promote {
		name := PromotedName(p)
		switch {
		case !validPath(p):
			fault("promote[%d]: %q must be a path of 1 to %d bytes of UTF-8", i, p, maxPath)
		case slices.Contains(taken, name):
			fault("promote[%d]: %q would be the column %s, which there is already", i, p, name)
		}
		taken = append(taken, name)
	}
	return errors.Join(faults...)
}

func validPath(p string) bool { return p != "" && len(p) <= maxPath && utf8.ValidString(p) }

// PromotedName is the column that a promoted path gets: lower case, since Glue knows
// no other, with an underscore for whatever is neither letter nor digit.
func PromotedName(path string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, path)
	if name != "" && name[0] <= '9' && name[0] >= '0' {
		name = "_" + name
	}
	return name
}

// place is what a path may fill, and how willingly: the lowest rank of a line's
// members gets the column.
type place struct {
	to   target
	rank int
}

// target is where a value goes: a column, a promoted one behind those, or one of
// the two below.
type target uint16

const (
	toPromoted  = target(columnCount)
	toTime      = target(1<<16 - 1)
	toService   = target(1<<16 - 2)
	toAttribute = target(1<<16 - 3)
	toNothing   = target(1<<16 - 4) // a later member of the same name counts
)

// Splitters makes the splitters of one mapping. It is safe for concurrent use.
type Splitters struct {
	promoted []string // column names
	places   [schema.KindAudit + 1]map[string][]place
}

// Compile prepares the mapping. The rules say which members may have told the row's
// time and service.
func (m Mapping) Compile(rules schema.Rules) (*Splitters, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	s := &Splitters{}
	for _, p := range m.Promote {
		s.promoted = append(s.promoted, PromotedName(p))
	}
	for _, k := range []schema.Kind{schema.KindApp, schema.KindAudit} {
		places := map[string][]place{}
		add := func(to target, paths []string) {
			for rank, p := range paths {
				places[p] = append(places[p], place{to, rank})
			}
		}
		add(toTime, rules.TimeFields)
		add(toService, rules.ServiceFields())
		for c := range columnCount {
			if c.Of(k) {
				add(target(c), m.of(c))
			}
		}
		for i, p := range m.Promote {
			add(toPromoted+target(i), []string{p})
		}
		s.places[k] = places
	}
	return s, nil
}
