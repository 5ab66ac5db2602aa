package columns

import "tributary/schema"

// ID names a column that a member of a line can fill.
type ID uint8

// The columns, those of text first.
const (
	Level ID = iota
	Logger
	Thread
	Message
	StackTrace
	TraceID
	SpanID
	RequestID
	ClientIP
	UserID
	Method
	Path
	RequestBody
	ResponseBody
	textColumns    // the number of those above
	Status      ID = iota - 1
	Duration
	columnCount ID = iota - 1
)

// TextColumns is how many columns hold text: all below Status.
const TextColumns = int(textColumns)

var names = [columnCount]string{
	Level: "level", Logger: "logger", Thread: "thread", Message: "message", StackTrace: "stack_trace",
	TraceID: "trace_id", SpanID: "span_id", RequestID: "request_id",
	ClientIP: "client_ip", UserID: "user_id", Method: "method", Path: "path",
	RequestBody: "request_body", ResponseBody: "response_body",
	Status: "status", Duration: "duration_ms",
}

// String is the column's name in every table.
func (c ID) String() string { return names[c] }

// Of reports whether tables of a kind have the column: raw ones only the message,
// audit ones all, app ones what is not of a request.
func (c ID) Of(k schema.Kind) bool {
	switch k {
	case schema.KindAudit:
		return true
	case schema.KindApp:
		return c <= UserID
	}
	return c == Message
}

// Row is a line taken apart. Its slices belong to the Splitter and to the line.
type Row struct {
	Text        [TextColumns][]byte // nil: the line has none
	Status      int32
	HasStatus   bool
	Duration    float64 // milliseconds, if the program counts so
	HasDuration bool
	Promoted    [][]byte // by Mapping.Promote
	Keys        [][]byte // names of attributes, each once
	Values      [][]byte
	Shape       []byte // nil: the line is no JSON object, Message is all of it
	Verbatim    bool   // the line's bytes cannot be told from the rest
}
