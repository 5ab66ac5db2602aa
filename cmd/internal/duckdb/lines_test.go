package duckdb_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"tributary/cmd/internal/workload"
	"tributary/schema"
	"tributary/stream"
)

// record is one of the stream, with the events in it.
type record struct {
	shard    stream.ShardID
	sequence stream.SequenceNumber
	arrival  time.Time
	events   []schema.Event
	data     []byte
}

var shards = []stream.ShardID{"shardId-000000000000", "shardId-000000000007"}

// promoted are the paths that become columns of their own.
var promoted = []string{"tenant", "mdc.Order-Id"}

// step is the time between two lines: 190,000 of them are two hours and a half.
const step = 45 * time.Millisecond

// recordLines is how many lines a record has.
const recordLines = 1000

// traffic are n lines of a shop, and one odd line after each nineteenth.
func traffic(n int) []record {
	shop := workload.NewLines(1, begin, step)
	odd := newOddities()
	var events []schema.Event
	for i := range n {
		at := begin.Add(time.Duration(i) * step).Truncate(time.Millisecond)
		line, kind := shop.Append(nil, int64(i))
		events = append(events, schema.Event{Time: at.UnixNano(), Kind: kind, Origin: origins[i%len(origins)].of(workload.Service(int64(i))), Line: line})
		if i%19 == 18 {
			events = append(events, odd.event(at))
		}
	}
	return records(events)
}

// records puts events into records of both shards in turn.
func records(events []schema.Event) (out []record) {
	for n := 0; len(events) > 0; n++ {
		k := min(recordLines, len(events))
		r := record{
			shard: shards[n%len(shards)], sequence: stream.SequenceNumber(fmt.Sprintf("4959033827149025660855969253836157109592157598913658%04d", n)),
			events: events[:k:k],
		}
		for i := range r.events {
			r.events[i].Index, r.events[i].Offset = uint32(i), uint64(n*recordLines+i+1)
		}
		r.arrival = time.Unix(0, r.events[k-1].Time).UTC().Truncate(time.Millisecond).Add(700 * time.Millisecond)
		r.data = encode(r.events)
		out, events = append(out, r), events[k:]
	}
	return out
}

// encode makes a record as a forwarder does.
func encode(events []schema.Event) []byte {
	data, err := schema.NewEncoder().Append(nil, &schema.Batch{Epoch: schema.Epoch{1}, Lane: 3, Events: events})
	if err != nil {
		panic(err) // an event that no forwarder makes
	}
	return data
}

// origin is a container whose service its line tells.
type origin map[string]*schema.Origin

func (o origin) of(service string) *schema.Origin {
	if o[service] == nil {
		like := *o[""]
		like.Service = service
		o[service] = &like
	}
	return o[service]
}

var origins = func() (all []origin) {
	for i := range 24 {
		o := &schema.Origin{
			ContainerID: fmt.Sprintf("%064x", i*7919), ContainerName: fmt.Sprintf("ecs-shop-%d", i), Source: []string{"stdout", "stderr", ""}[i%3],
			Tag: []string{"docker.shop", ""}[i%2], Host: fmt.Sprintf("ip-10-0-0-%d", i%5),
		}
		for k := range i % 4 {
			o.Labels = append(o.Labels, schema.Label{Name: fmt.Sprintf("team.%d", k), Value: strings.Repeat("v", k*i)})
		}
		all = append(all, origin{"": o})
	}
	return all
}()

// oddities makes the lines that a shop's programs write now and then: other
// encoders' names, values of the wrong sort, broken text, parts and ends.
type oddities struct {
	rng *rand.Rand
	n   int
}

func newOddities() *oddities { return &oddities{rng: rand.New(rand.NewPCG(3, 4))} }

// event is one of them, written at some time.
func (o *oddities) event(at time.Time) schema.Event {
	o.n++
	at = at.Add(time.Duration(o.rng.IntN(1000)) * time.Microsecond)
	e := schema.Event{Time: at.UnixNano() + int64(o.rng.IntN(1000)), Kind: schema.KindApp, Origin: origins[o.n%len(origins)].of("odd-" + fmt.Sprint(o.n%3))}
	if o.rng.IntN(2) == 0 {
		e.Kind = schema.KindAudit
	}
	switch o.n % 10 {
	case 0:
		e.Line = o.object(at, 0)
		cut := o.rng.IntN(len(e.Line) + 1) // in the middle of a character, perhaps
		e.Part = schema.Part{Line: [16]byte{byte(o.n), byte(o.n >> 8), 0xab}, Number: uint32(o.rng.IntN(3) + 1), Count: 3}
		e.Line = e.Line[cut:]
	case 1:
		e.Kind = schema.KindRaw
		e.Line = []byte(o.text())
		if o.rng.IntN(2) == 0 {
			e.Line = append(e.Line, o.broken()...)
		}
	case 2:
		e.Line = o.object(at, 0)
		e.Line = bytes.Replace(e.Line, []byte(`"msg"`), append([]byte(`"msg":"`), append(o.broken(), `","m"`...)...), 1)
	default:
		e.Line = o.object(at, 0)
	}
	if o.rng.IntN(20) == 0 {
		e.Flags = schema.FlagIncomplete
	}
	return e
}

func (o *oddities) broken() []byte {
	return [][]byte{{0xff}, {0xc3, 0x28}, {0xe3, 0x81}, {0xff, 0xfe, 0x80, 'x', 0xc0}, {0x83, 0x47, 0x83, 0x89}}[o.rng.IntN(5)]
}

// names are those that columns take, those next to them, and those that are nobody's.
var names = []string{
	"level", "log.level", "severity", "log_level", "logger_name", "loggerName", "thread", "threadName", "message", "msg", "body", "stack_trace", "stack",
	"traceId", "trace_id", "trace.id", "spanId", "requestId", "request_id", "method", "http_method", "path", "uri", "status", "status_code", "statusCode",
	"duration_ms", "elapsed", "duration", "client_ip", "clientIp", "userId", "user_id", "user", "request_body", "response_body", "requestBody",
	"tenant", "Tenant", "mdc.Order-Id", "@timestamp", "ts", "time", "timestamp", "a", "a.b", "b", "ключ", "", "k k", "x\ty", `q"q`, "a~", "attributes", "service", "label.team.0", "label.team.1", "label.team.0~",
}

var groups = []string{"mdc", "log", "trace", "http", "req", "user", "a", "error", "client", "", "url"}

// object is a JSON object of a line.
func (o *oddities) object(at time.Time, depth int) []byte {
	var b bytes.Buffer
	o.space(&b)
	b.WriteByte('{')
	for i := range o.rng.IntN(9 - min(depth, 6)) {
		if i > 0 {
			b.WriteByte(',')
		}
		o.space(&b)
		nested := depth < 11 && o.rng.IntN(4) == 0
		name := names[o.rng.IntN(len(names))]
		if nested {
			name = groups[o.rng.IntN(len(groups))]
		} else if depth > 0 && o.rng.IntN(2) == 0 {
			name = []string{"level", "id", "traceId", "Order-Id", "status_code", "b", "ip", "stack_trace", "logger", "deep"}[o.rng.IntN(10)]
		}
		b.Write(o.quoted(name))
		o.space(&b)
		b.WriteByte(':')
		o.space(&b)
		if nested {
			b.Write(o.object(at, depth+1))
		} else {
			b.WriteString(o.value(name, at))
		}
	}
	o.space(&b)
	b.WriteByte('}')
	o.space(&b)
	return b.Bytes()
}

func (o *oddities) space(b *bytes.Buffer) {
	if o.rng.IntN(12) == 0 {
		b.WriteString([]string{" ", "\t", "  "}[o.rng.IntN(3)])
	}
}

// value is what stands behind a name: mostly what it promises, else anything.
func (o *oddities) value(name string, at time.Time) string {
	fits := o.rng.IntN(4) > 0
	switch {
	case fits && strings.Contains(name, "evel") || fits && name == "severity":
		return string(o.quoted([]string{"INFO", "warn", "Error", "DEBUG", "wArNing", "trace2", "уровень", strings.Repeat("L", 33)}[o.rng.IntN(8)]))
	case fits && strings.HasPrefix(name, "status"):
		return []string{"200", "404", `"503"`, "-1", "2147483647", "2147483648", "200.0", `"0200"`, "2e2", `"OK"`}[o.rng.IntN(10)]
	case fits && (strings.HasPrefix(name, "duration") || name == "elapsed"):
		return []string{"12", "0.125", `"7.5"`, "12.50", "1e3", "-0", "123456789012345678", "0.1", "1e400", `"3ms"`}[o.rng.IntN(10)]
	case fits && name == "service":
		return fmt.Sprintf(`"odd-%d"`, o.rng.IntN(3))
	case fits && (name == "@timestamp" || name == "ts" || name == "time" || name == "timestamp"):
		return o.time(at)
	}
	switch o.rng.IntN(12) {
	case 0:
		return "null"
	case 1:
		return []string{"true", "false"}[o.rng.IntN(2)]
	case 2:
		return []string{"0", "-0", "1.0", "1E+2", "12345678901234567890", "0.1e-7", "-3.25"}[o.rng.IntN(7)]
	case 3:
		return `[1, "x" ,{"y":null, "z":[ ]}]`
	case 4:
		return "{}"
	case 5:
		return []string{`"\ud83d\ude00"`, `"\u0000\u001f"`, `"a\/b\\c\"d\b\f\n\r\t"`, `"\ud800"`, `"\udc00x"`, `"\ud83d"`, `"\\ud83d"`, `"\u00e9\u30a8"`}[o.rng.IntN(8)]
	}
	return string(o.quoted(o.text()))
}

// time is the event's in one of many forms, or another one.
func (o *oddities) time(at time.Time) string {
	if o.rng.IntN(4) == 0 {
		at = at.Add(time.Duration(o.rng.IntN(2e6)-1e6) * time.Microsecond)
	}
	switch o.rng.IntN(8) {
	case 0:
		return fmt.Sprint(at.UnixMilli())
	case 1:
		return fmt.Sprint(at.Unix())
	case 2:
		return fmt.Sprintf("%d.%06d", at.Unix(), at.Nanosecond()/1000)
	case 3:
		return fmt.Sprintf("%q", fmt.Sprint(at.UnixMicro()))
	}
	layout := []string{
		"2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05.000000Z07:00", "2006-01-02 15:04:05,000Z0700", time.RFC3339, "2006-01-02T15:04:05.000000000Z07:00",
		"Jan 2 15:04:05",
	}[o.rng.IntN(6)]
	zone := []*time.Location{time.UTC, time.FixedZone("", 9*3600), time.FixedZone("", -(3*3600 + 1800))}[o.rng.IntN(3)]
	return `"` + at.In(zone).Format(layout) + `"`
}

var words = strings.Fields("order 注文 cart stock käse refund 😀 retry <b> \\n a\tb \"quoted\" & 0 null 領収書 é")

func (o *oddities) text() string {
	var out []string
	for range o.rng.IntN(6) {
		out = append(out, words[o.rng.IntN(len(words))])
	}
	return strings.Join(out, " ")
}

// quoted is a JSON string of a text, escaped more than it must be now and then.
func (o *oddities) quoted(text string) []byte {
	if o.rng.IntN(8) == 0 {
		var b bytes.Buffer
		b.WriteByte('"')
		for _, r := range text {
			if r > 0xffff {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		}
		b.WriteByte('"')
		return b.Bytes()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(o.rng.IntN(2) == 0)
	if err := enc.Encode(text); err != nil {
		panic(err) // texts are text
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
