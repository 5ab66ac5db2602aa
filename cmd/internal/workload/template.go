package workload

import (
	"fmt"
	"strconv"
	"strings"
)

// A template is a text with parameters in braces: literals and fills in turn,
// beginning and ending with a literal.
type template struct {
	literals []string
	fills    []fill
}

// A fill is a parameter: what it appends and from which choice. It is data and not
// a function: through a function value the generator would escape to the heap.
type fill struct {
	what      value
	low, high int      // of a number; low is the count of digits and hexes
	words     []string // of oneOf
}

// A value is a way to append.
type value uint8

const (
	wordValue value = iota
	numberValue
	digitsValue
	hexValue
	agentValue
	clockValue
	couponValue
	hostValue
	ipValue
	latencyValue
	mailValue
	orderValue
	pathValue
	percentValue
	queryValue
	skuValue
	userValue
	yenValue
)

func parseAll(text string) (all []template) {
	for line := range strings.Lines(strings.TrimPrefix(text, "\n")) {
		all = append(all, parse(strings.TrimSuffix(line, "\n")))
	}
	return all
}

// parse panics on an unknown name: templates are constants of this package.
func parse(text string) (t template) {
	for {
		literal, rest, more := strings.Cut(text, "{")
		t.literals = append(t.literals, literal)
		if !more {
			return t
		}
		name, rest, _ := strings.Cut(rest, "}")
		f, known := fills[name]
		if !known {
			panic(fmt.Sprintf("workload: unknown parameter %q in %q", name, text))
		}
		t.fills = append(t.fills, f)
		text = rest
	}
}

func (t template) append(dst []byte, r *random) []byte {
	for i, f := range t.fills {
		dst = append(dst, t.literals[i]...)
		dst = f.append(dst, r)
	}
	return append(dst, t.literals[len(t.fills)]...)
}

// appendEscaped is append for a text that stands in a JSON string. Templates have
// no control characters but the tab; quotes and backslashes are escaped.
func (t template) appendEscaped(dst []byte, r *random) []byte {
	start := len(dst)
	return escape(t.append(dst, r), start)
}

// escape escapes dst[start:] in place for a JSON string.
func escape(dst []byte, start int) []byte {
	more := 0
	for _, c := range dst[start:] {
		if c == '"' || c == '\\' {
			more++
		}
	}
	if more == 0 {
		return dst
	}
	from := len(dst) - 1
	for range more {
		dst = append(dst, 0)
	}
	for to := len(dst) - 1; to > from; from-- { // until nothing is left to shift
		dst[to] = dst[from]
		to--
		if dst[from] == '"' || dst[from] == '\\' {
			dst[to] = '\\'
			to--
		}
	}
	return dst
}

// oneOf is one of some words, the first ones more often.
func oneOf(text string) fill { return fill{what: wordValue, words: strings.Fields(text)} }

// number is a number of [low, high].
func number(low, high int) fill { return fill{what: numberValue, low: low, high: high} }

func digits(n int) fill { return fill{what: digitsValue, low: n} }
func hexes(n int) fill  { return fill{what: hexValue, low: n} }

func appendDigits(dst []byte, v uint64, n int) []byte {
	for range n {
		dst = append(dst, '0'+byte(v%10))
		v /= 10
	}
	return dst
}

func appendHex(dst []byte, v uint64, n int) []byte {
	for range n {
		dst = append(dst, "0123456789abcdef"[v&15])
		v >>= 4
	}
	return dst
}

// latency is milliseconds: mostly some, sometimes thousands.
func latency(r *random) int {
	switch {
	case r.oneIn(40):
		return r.between(1000, 9000)
	case r.oneIn(5):
		return r.between(100, 999)
	}
	return r.between(1, 99)
}

func appendUser(dst []byte, user int) []byte {
	dst = append(dst, "u-"...)
	return appendInt(dst, 100_000+user)
}

func appendIP(dst []byte, v int) []byte {
	dst = append(dst, "10."...)
	dst = appendInt(dst, v>>12&15)
	dst = append(dst, '.')
	dst = appendInt(dst, v>>8&15)
	dst = append(dst, '.')
	return appendInt(dst, v&255)
}

func appendWords(dst []byte, r *random, n int) []byte {
	for i := range n {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, words[r.below(len(words))]...)
	}
	return dst
}

func appendPath(dst []byte, r *random) []byte {
	start := len(dst)
	dst = routes[r.often(len(routes))].append(dst, r)
	for i := start; ; i++ { // a route is a method, a space and the path
		if dst[i] == ' ' {
			return append(dst[:start], dst[i+1:]...)
		}
	}
}

// What an online shop has of each.
const (
	users    = 5000
	products = 20_000
	coupons  = 4000
	hosts    = 120
)

// fills by the name that templates use.
var fills = map[string]fill{
	"actor":    oneOf("system batch operator-12 operator-07 member partner operator-31"),
	"agent":    {what: agentValue},
	"bool":     oneOf("true false"),
	"bytes":    number(120, 48_000),
	"cache":    oneOf("product price member category stock banner tax route"),
	"carrier":  oneOf("yamato sagawa yubin seino fukuyama"),
	"circuit":  oneOf("CLOSED HALF_OPEN OPEN"),
	"city":     oneOf("東京 大阪 横浜 名古屋 福岡 札幌 京都 神戸 仙台 広島"),
	"clock":    {what: clockValue},
	"coupon":   {what: couponValue},
	"digits3":  digits(3),
	"digits6":  digits(6),
	"digits12": digits(12),
	"event":    oneOf("OrderPlaced OrderPaid StockReserved ShipmentSent CartUpdated MemberChanged CouponUsed OrderCancelled"),
	"facet":    {words: categories},
	"field":    oneOf("email address phone name birthday postalCode rank newsletter quantity price memo"),
	"gw":       oneOf("sbps gmo stripe veritrans paypay"),
	"hex8":     hexes(8),
	"hex12":    hexes(12),
	"hex16":    hexes(16),
	"host":     {what: hostValue},
	"index":    oneOf("products-v7 products-v8 suggest-v3 members-v2 reviews-v1"),
	"ip":       {what: ipValue},
	"job":      oneOf("points-expiry stock-sync price-import invoice-export mail-digest rank-update carrier-poll index-rebuild"),
	"kb":       number(1, 4000),
	"lang":     oneOf("ja en zh ko"),
	"login":    oneOf("password passkey line-login apple google"),
	"mail":     {what: mailValue},
	"method":   oneOf("GET POST PUT DELETE PATCH"),
	"ms":       {what: latencyValue},
	"n":        number(1, 64),
	"order":    {what: orderValue},
	"path":     {what: pathValue},
	"pay":      oneOf("card paypay convenience invoice points carrier"),
	"pct":      {what: percentValue},
	"pool":     {words: pools},
	"query":    {what: queryValue},
	"reason":   oneOf("timeout out-of-stock expired duplicate limit-exceeded not-eligible invalid-address insufficient-funds suspected-fraud cancelled-by-member"),
	"sec":      number(1, 3600),
	"sku":      {what: skuValue},
	"sort":     oneOf("relevance price-asc new price-desc review"),
	"state":    oneOf("PAID PLACED SHIPPED PACKED DELIVERED CANCELLED RETURNED ON_HOLD"),
	"status":   oneOf("200 201 204 302 304 400 401 403 404 409 422 429 500 502 503"),
	"stock":    number(1, 2500),
	"table":    oneOf("orders order_items stocks members carts coupons payments shipments reviews points"),
	"topic":    oneOf("order-events stock-events member-events mail-requests payment-events search-feed"),
	"tpl":      oneOf("order-confirmed shipped password-reset review-request points-expiring welcome restock"),
	"user":     {what: userValue},
	"wh":       {words: warehouses},
	"yen":      {what: yenValue},
}

func (f *fill) append(dst []byte, r *random) []byte {
	switch f.what {
	case numberValue:
		return appendInt(dst, r.between(f.low, f.high))
	case digitsValue:
		return appendDigits(dst, r.next(), f.low)
	case hexValue:
		return appendHex(dst, r.next(), f.low)
	case agentValue:
		return append(dst, agents[r.often(len(agents))]...)
	case clockValue:
		return appendClock(dst, r)
	case couponValue:
		return appendHex(append(dst, "CP-"...), mix(uint64(r.often(coupons))), 6)
	case hostValue:
		return appendInt(append(dst, "ip-10-2-"...), r.often(hosts))
	case ipValue:
		return appendIP(dst, r.below(1<<16))
	case latencyValue:
		return appendInt(dst, latency(r))
	case mailValue:
		return append(appendHex(append(dst, 'm'), mix(uint64(r.often(users))), 7), "@example.jp"...)
	case orderValue:
		return appendDigits(append(dst, '2'), r.next(), 9)
	case pathValue:
		return appendPath(dst, r)
	case percentValue:
		return append(appendDigits(append(appendInt(dst, r.below(100)), '.'), r.next(), 1), '%')
	case queryValue:
		return appendWords(dst, r, r.between(1, 3))
	case skuValue:
		return appendSKU(dst, r)
	case userValue:
		return appendUser(dst, r.often(users))
	case yenValue:
		return appendYen(dst, r)
	}
	return appendWord(dst, r, f.words)
}

func appendInt(dst []byte, v int) []byte { return strconv.AppendInt(dst, int64(v), 10) }

func appendWord(dst []byte, r *random, from []string) []byte {
	return append(dst, from[r.often(len(from))]...)
}

func appendYen(dst []byte, r *random) []byte {
	return appendInt(dst, r.between(3, 3000)*r.between(1, 9)*10)
}

func appendClock(dst []byte, r *random) []byte {
	for i, below := range [3]int{24, 60, 60} {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = appendTwo(dst, r.below(below))
	}
	return dst
}

// appendSKU fills in a product; its letters follow from its number.
func appendSKU(dst []byte, r *random) []byte {
	product := r.often(products)
	dst = append(dst, "ABCDEFGHJKLMNPRS"[product&15], "KLMNPRSTUVWXYZAB"[product>>4&15], '-')
	dst = appendInt(dst, 10_000+product)
	return append(dst, '-', "SML"[product%3])
}
