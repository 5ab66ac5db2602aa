package workload

// audit appends what the audit filter writes of a request, or of a slow query.
func (l *Lines) audit(dst []byte, n int64, r *random) []byte {
	start := len(dst)
	req := l.request(n, r)
	dst = l.head(dst, n)
	dst = append(dst, `,"marker":"AUDIT","level":"INFO","service":"`...)
	dst = append(dst, services[n%Slots]...)
	dst = field(dst, "traceId")
	dst = appendTrace(dst, req.trace)
	dst = field(dst, "spanId")
	dst = appendHex(dst, r.next(), 16)
	dst = field(dst, "userId")
	dst = appendUser(dst, req.user)
	dst = field(dst, "tenant")
	dst = append(dst, req.tenant...)
	if l.size == 0 && r.oneIn(20) {
		return slowQuery(dst, r)
	}
	dst = exchange(dst, req, r)
	end := start + l.size - len(`"}`)
	if l.size == 0 {
		end = len(dst) + responseBytes(r)
	}
	dst = appendBody(dst, end, r)
	return append(dst, `"}`...)
}

func slowQuery(dst []byte, r *random) []byte {
	dst = append(dst, `","type":"slow_query","datasource":"`...)
	dst = appendWord(dst, r, pools)
	dst = append(dst, `","duration_ms":`...)
	dst = appendInt(dst, r.between(1000, 30_000))
	dst = append(dst, `,"rows":`...)
	dst = appendInt(dst, r.below(5000))
	dst = append(dst, `,"sql":"`...)
	dst = pick(r, queries).appendEscaped(dst, r)
	return append(dst, `"}`...)
}

// exchange appends the fields of a request up to where the response's body begins.
func exchange(dst []byte, req request, r *random) []byte {
	dst = append(dst, `","type":"http","method":"`...)
	start := len(dst)
	dst = routes[r.often(len(routes))].append(dst, r)
	space := start
	for dst[space] != ' ' {
		space++
	}
	writes := dst[start] == 'P' // POST, PUT
	// "GET /path" becomes GET","path":"/path; the three more bytes are made first.
	const between = `","path":"`
	dst = append(dst, between[1:]...)
	copy(dst[space+len(between):], dst[space+1:len(dst)-len(between)+1])
	copy(dst[space:], between)

	dst = append(dst, `","status":`...)
	dst = appendInt(dst, pick(r, statuses))
	dst = append(dst, `,"duration_ms":`...)
	dst = appendInt(dst, latency(r))
	dst = append(dst, `,"client_ip":"`...)
	dst = appendIP(dst, req.ip)
	dst = field(dst, "session_id")
	dst = appendTrace(dst, [2]uint64{mix(req.trace[0]), mix(req.trace[1])})
	dst = field(dst, "request_id")
	dst = appendHex(dst, r.next(), 16)
	dst = field(dst, "user_agent")
	dst = append(dst, agents[req.agent]...)
	if writes {
		dst = appendBody(field(dst, "request_body"), len(dst)+r.between(150, 700), r)
	}
	return field(dst, "response_body")
}

var statuses = []int{200, 200, 200, 200, 200, 200, 200, 200, 200, 201, 204, 302, 304, 400, 401, 404, 409, 422, 500, 503}

// responseBytes is the length of a response: half of them below 1 KB, a tenth above
// 3 KB, a fiftieth above 16 KiB.
func responseBytes(r *random) int {
	switch share := r.below(100); {
	case share < 50:
		return r.between(200, 1000)
	case share < 90:
		return r.between(1000, 3000)
	case share < 98:
		return r.between(3000, 9000)
	}
	return r.between(16_500, 48_000)
}

// appendBody appends a JSON document, escaped for a string, so that dst ends at
// end; a little behind it if there is too little room.
func appendBody(dst []byte, end int, r *random) []byte {
	const tail = `],\"note\":\"\"}`
	dst = append(dst, `{\"id\":\"`...)
	dst = appendHex(dst, r.next(), 12)
	dst = append(dst, `\",\"items\":[`...)
	for items := 0; end-len(dst) > len(tail)+longestItem; items++ {
		if items > 0 {
			dst = append(dst, ',')
		}
		dst = appendItem(dst, r)
	}
	dst = append(dst, `],\"note\":\"`...)
	end -= len(`\"}`)
	for len(dst) < end {
		dst = append(appendWords(dst, r, 1), ' ')
	}
	return append(cut(dst, end), `\"}`...)
}

// longestItem bounds what appendItem appends.
const longestItem = 320

// appendItem appends one object of a list, as an order, a cart or a search has it.
func appendItem(dst []byte, r *random) []byte {
	dst = append(dst, `{\"sku\":\"`...)
	dst = appendSKU(dst, r)
	dst = append(dst, `\",\"name\":\"`...)
	dst = appendWords(dst, r, r.between(2, 5))
	dst = append(dst, `\",\"price\":`...)
	dst = appendYen(dst, r)
	dst = append(dst, `,\"amount\":`...)
	dst = appendInt(dst, 1+r.often(9))
	dst = append(dst, `,\"stock\":{\"warehouse\":\"`...)
	dst = appendWord(dst, r, warehouses)
	dst = append(dst, `\",\"left\":`...)
	dst = appendInt(dst, r.often(900))
	dst = append(dst, `},\"category\":\"`...)
	dst = appendWord(dst, r, categories)
	dst = append(dst, `\",\"ref\":\"`...)
	dst = appendHex(dst, r.next(), 6)
	dst = append(dst, `\",\"tags\":[\"`...)
	dst = appendWords(dst, r, 1)
	return append(dst, `\"]}`...)
}
