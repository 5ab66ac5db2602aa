package workload

import "strconv"

// level: of a hundred lines three are debug, five warnings, two errors.
func level(r *random) string {
	switch share := r.below(100); {
	case share < 2:
		return "ERROR"
	case share < 7:
		return "WARN"
	case share < 10:
		return "DEBUG"
	}
	return "INFO"
}

// threads is the pool of a Tomcat in a small container.
const threads = 64

// messagesPerLogger is how many texts one class writes.
const messagesPerLogger = 6

func (l *Lines) app(dst []byte, n int64, r *random) []byte {
	start := len(dst)
	slot := int(n % Slots)
	req := l.request(n, r)
	severity := level(r)
	logger := r.often(len(loggers[slot]))

	dst = l.head(dst, n)
	dst = append(dst, `,"@version":"1","level":"`...)
	dst = append(dst, severity...)
	dst = field(dst, "logger_name")
	dst = append(dst, loggers[slot][logger]...)
	dst = field(dst, "thread_name")
	dst = append(dst, "http-nio-8080-exec-"...)
	dst = appendInt(dst, r.between(1, threads)) // each service has its own for the request
	dst = field(dst, "service")
	dst = append(dst, services[slot]...)
	dst = field(dst, "traceId")
	dst = appendTrace(dst, req.trace)
	dst = field(dst, "spanId")
	dst = appendHex(dst, r.next(), 16)
	dst = field(dst, "requestId")
	dst = appendHex(appendHex(dst, r.next(), 12), r.next(), 12)
	dst = field(dst, "userId")
	dst = appendUser(dst, req.user)
	dst = field(dst, "tenant")
	dst = append(dst, req.tenant...)
	dst = field(dst, "clientIp")
	dst = appendIP(dst, req.ip)
	dst = field(dst, "message")
	message := messages[(logger*messagesPerLogger+slot*17+r.often(messagesPerLogger))%len(messages)]
	dst = message.append(dst, r)
	if l.size > 0 {
		dst = fillUp(dst, start+l.size-len(`"}`), r)
	} else if severity == "ERROR" && r.oneIn(2) {
		dst = appendStack(field(dst, "stack_trace"), r)
	}
	return append(dst, `"}`...)
}

// fillUp makes dst exactly size bytes long, with further values as a verbose
// developer logs them, the last of them cut. A longer dst stays as it is.
func fillUp(dst []byte, size int, r *random) []byte {
	for len(dst) < size {
		dst = append(dst, ", "...)
		dst = pick(r, details).append(dst, r)
	}
	return cut(dst, size)
}

// cut shortens dst to size, at a character: what is missing becomes dots.
func cut(dst []byte, size int) []byte {
	if len(dst) <= size {
		return dst
	}
	i := size
	for i > 0 && dst[i]&0xc0 == 0x80 {
		i--
	}
	dst = dst[:i]
	for len(dst) < size {
		dst = append(dst, '.')
	}
	return dst
}

// details have neither quotes nor backslashes: they are cut anywhere.
var details = parseAll(`
order={order}
elapsed={ms}ms tx={hex12}
sku={sku} amount={n} price={yen}
parcel={digits12}
session={hex12}
path={path}
total={yen} approval={digits6}
member={user} mail={mail}
offset={digits12} lag={stock}
message={hex16}
trace={hex8} of {host}
at={clock} in {city}
`)

// appendStack appends a stack trace of about 2 KB as a JSON string has it.
func appendStack(dst []byte, r *random) []byte {
	for cause := range 1 + r.below(2) {
		if cause > 0 {
			dst = append(dst, "Caused by: "...)
		}
		dst = pick(r, exceptions).appendEscaped(dst, r)
		dst = append(dst, `\n`...)
		for range r.between(10, 22) {
			dst = append(dst, `\tat `...)
			frame := frames[r.often(len(frames))]
			open := len(frame) - len("%)")
			dst = append(dst, frame[:open]...)
			// A frame's place in the source is the same each time.
			dst = strconv.AppendUint(dst, mix(uint64(len(frame)))%900+20, 10)
			dst = append(dst, `)\n`...)
		}
		dst = append(dst, `\t... `...)
		dst = appendInt(dst, r.between(20, 80))
		dst = append(dst, ` common frames omitted\n`...)
	}
	return dst
}
