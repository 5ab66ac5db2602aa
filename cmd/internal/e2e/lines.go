package e2e

import (
	"time"

	"tributary/cmd/internal/workload"
	"tributary/schema"
)

// The lines of these tests: as a shop writes them, but with many more that Docker
// cuts, some of them into pieces that are all full. Their times are near their
// arrival, as with real lines.
var (
	mixed = workload.NewLines(lineSeed, time.Now(), time.Millisecond)
	long  = mixed.Sized(40_000)
	exact = mixed.Sized(2 * pieceBytes)
)

const lineSeed = 3

// Line returns line n, the same bytes at every call, and the kind it must land as.
func Line(n int) (line string, kind schema.Kind) {
	of := mixed
	switch n % 20 {
	case 0:
		of = long
	case 10:
		of = exact
	}
	b, kind := of.Append(nil, int64(n))
	return string(b), kind
}

// Number finds the number in a line; -1 if it is none of ours.
func Number(line string) int {
	seed, n, ok := workload.Number([]byte(line[:min(len(line), markWithin)]))
	if !ok || seed != lineSeed {
		return -1
	}
	return int(n)
}

// markWithin is where the number stands.
const markWithin = 100
