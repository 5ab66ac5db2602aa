package docker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pieceBytes is the buffer of Docker's copier: a line that fills it goes out in pieces.
const pieceBytes = 16 << 10

var began = time.Now().UTC()

// line returns line n, the same bytes at every call. Of twenty lines one is an audit
// line of 40 KB, one an audit line of exactly two pieces, four are audit lines of
// about 1 KB, three are no JSON (one not even UTF-8), the rest are app lines.
func line(n int) string {
	rnd := rand.New(rand.NewPCG(uint64(n), 11))
	at := began.Add(time.Duration(n) * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	switch n % 20 {
	case 3:
		return fmt.Sprintf(`{"@timestamp":%q,"marker":"AUDIT","seq":%d,"response":%q}`, at, n, text(rnd, 40_000))
	case 13:
		s := fmt.Sprintf(`{"@timestamp":%q,"marker":"AUDIT","seq":%d,"body":"`, at, n)
		return s + strings.Repeat("x", 2*pieceBytes-len(s)-2) + `"}`
	case 1, 6, 11, 16:
		return fmt.Sprintf(`{"@timestamp":%q,"level":"INFO","marker":"AUDIT","seq":%d,"request":%q}`, at, n, text(rnd, 900))
	case 8:
		return fmt.Sprintf("plain %d \xff\xfe %s", n, text(rnd, 60))
	case 4, 18:
		return fmt.Sprintf("Exception in thread main %d: %s", n, text(rnd, 120))
	}
	return fmt.Sprintf(`{"@timestamp":%q,"level":"WARN","logger":"shop.%s","seq":%d,"message":%q}`, at, words[rnd.IntN(len(words))], n, text(rnd, 300))
}

// lines are n of them, from first on.
func lines(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = line(first + i)
	}
	return out
}

var words = strings.Fields("order cart payment stock user session 注文 配送 retry timeout cache item page search price coupon")

// text is about n bytes, some of them Japanese, so that pieces end inside characters.
func text(rnd *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s %d ", words[rnd.IntN(len(words))], rnd.Uint32())
	}
	return b.String()
}

// pieces is how many messages Docker makes of a line that ends with a newline.
func pieces(line string) int { return len(line)/pieceBytes + 1 }

// consistsOf reports whether part is some pieces of whole, in their order and each
// at most once, and how many they are. The last piece of a line that fills its
// pieces is empty: whether it came along part does not tell, hence least and most.
func consistsOf(part, whole string) (least, most int, ok bool) {
	empty := len(whole)%pieceBytes == 0
	for len(whole) > 0 && part != "" {
		piece := whole[:min(len(whole), pieceBytes)]
		whole = whole[len(piece):]
		if strings.HasPrefix(part, piece) {
			part = part[len(piece):]
			least++
		}
	}
	most = least
	if empty {
		most, least = most+1, max(least, 1)
	}
	return least, most, part == "" && most > 0
}

// writeScript writes what a container prints on one of its streams, ten lines a file.
func writeScript(dir string, all []string, tail string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("prepare lines: %w", err)
	}
	const perFile = 10
	for i := 0; i < len(all); i += perFile {
		text := strings.Join(all[i:min(len(all), i+perFile)], "\n") + "\n"
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d", i)), []byte(text), 0o644); err != nil {
			return fmt.Errorf("prepare lines: %w", err)
		}
	}
	if tail != "" {
		if err := os.WriteFile(filepath.Join(dir, "tail"), []byte(tail), 0o644); err != nil {
			return fmt.Errorf("prepare lines: %w", err)
		}
	}
	return nil
}
