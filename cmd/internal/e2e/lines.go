package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"tributary/schema"
)

// began is the time of line 0: near the arrival, as with real lines.
var began = time.Now().UTC()

// Line returns line n, the same bytes at every call, and the kind it must land
// as. The number stands in it as "#n#". The mix: of twenty lines one is an audit
// line of 40 KB, four are audit lines of about 1 KB, three are no JSON (some not
// even UTF-8), the rest are app lines.
func Line(n int) (line string, kind schema.Kind) {
	rnd := rand.New(rand.NewPCG(uint64(n), 7))
	at := began.Add(time.Duration(n) * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	switch n % 20 {
	case 0:
		return fmt.Sprintf(`{"@timestamp":%q,"marker":"AUDIT","seq":"#%d#","path":"/orders/%d","response":%q}`, at, n, n, text(rnd, 40_000)), schema.KindAudit
	case 3, 7, 11, 15:
		return fmt.Sprintf(`{"@timestamp":%q,"level":"INFO","marker":"AUDIT","seq":"#%d#","status":%d,"request":%q}`, at, n, 200+rnd.IntN(300), text(rnd, 900)), schema.KindAudit
	case 5:
		return fmt.Sprintf("plain #%d# text \xff\xfe of %s", n, text(rnd, 60)), schema.KindRaw
	case 9, 13:
		return fmt.Sprintf("Exception in thread main #%d#: %s", n, text(rnd, 120)), schema.KindRaw
	}
	return fmt.Sprintf(`{"@timestamp":%q,"level":%q,"logger":"shop.%s","seq":"#%d#","message":%q}`,
		at, []string{"INFO", "WARN", "ERROR"}[rnd.IntN(3)], words[rnd.IntN(len(words))], n, text(rnd, 300)), schema.KindApp
}

var words = strings.Fields("order cart payment stock user session 注文 配送 retry timeout cache item page search price coupon mail queue worker thread")

// text is about n bytes of words and numbers, some of them Japanese, so that 16
// KiB pieces end inside characters.
func text(rnd *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s %d ", words[rnd.IntN(len(words))], rnd.Uint32())
	}
	return b.String()
}

// Number finds the number in a line; -1 if there is none.
func Number(line string) int {
	i := strings.IndexByte(line, '#')
	if i < 0 {
		return -1
	}
	n := -1
	if _, err := fmt.Sscanf(line[i:], "#%d#", &n); err != nil {
		return -1
	}
	return n
}
