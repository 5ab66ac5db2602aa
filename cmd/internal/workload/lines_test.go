package workload_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"tributary/cmd/internal/workload"
	"tributary/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var base = time.Date(2026, 11, 22, 9, 30, 0, 123_000_000, time.UTC)

func newLines(seed uint64) *workload.Lines { return workload.NewLines(seed, base, time.Millisecond) }

func lineOf(l *workload.Lines, n int64) string {
	b, _ := l.Append(nil, n)
	return string(b)
}

func TestALineIsTheSameFromEveryGoroutine(t *testing.T) {
	shared := newLines(7)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			own, buf := newLines(7), []byte(nil)
			for n := range int64(500) {
				if buf, _ = shared.Append(buf[:0], n); string(buf) != lineOf(own, n) {
					t.Errorf("line %d differs", n)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestSeedAndNumberDecideALine(t *testing.T) {
	seen := make(map[string]bool)
	for _, seed := range []uint64{0, 1, 2, math.MaxUint64} {
		for n := range int64(300) {
			line := lineOf(newLines(seed), n)
			mark := strings.Index(line, "#")
			rest := line[mark+strings.Index(line[mark+1:], "#")+2:]
			if seen[rest] {
				t.Fatalf("line %d of seed %d has the text of another one", n, seed)
			}
			seen[rest] = true
		}
	}
}

// Figures of one version compare with those of another only while the lines are the
// same. Whoever changes them on purpose changes this digest.
func TestTheLinesAreStillTheSame(t *testing.T) {
	const want = "d9362d208f927e8730fafa7d4c92c4503540dcde92baed73caeb8b0801db9186"
	digest := sha256.New()
	for _, l := range []*workload.Lines{newLines(1), newLines(1).Sized(500), newLines(1).Sized(4096)} {
		for n := range int64(1000) {
			digest.Write([]byte(lineOf(l, n)))
		}
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != want {
		t.Errorf("the digest of the lines is %s", got)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	b, _ := newLines(7).Append([]byte("before"), 12)
	if string(b) != "before"+lineOf(newLines(7), 12) {
		t.Fatal(string(b))
	}
}

func TestEveryLineTellsItsNumber(t *testing.T) {
	for _, seed := range []uint64{0, 7, math.MaxUint64} {
		l := newLines(seed)
		for _, l := range []*workload.Lines{l, l.Sized(500), l.Sized(40_960)} {
			for n := range int64(150) {
				line := []byte(lineOf(l, n))
				for _, part := range [][]byte{line, line[:min(len(line), 100)]} {
					if s, got, ok := workload.Number(part); !ok || got != n || s != seed {
						t.Fatalf("Number(%.100s) is %x, %d, %v", part, s, got, ok)
					}
				}
			}
		}
	}
}

func TestWhatIsNoMarkHasNoNumber(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                        "",
		"no mark":                        `{"message":"hello"}`,
		"an end without a beginning":     "7.1#",
		"a beginning without an end":     "#7.1",
		"no seed":                        "#.1#",
		"no number":                      "#7.#",
		"no point":                       "#71#",
		"a seed of more than 64 bits":    "#11111111111111111.1#",
		"a number that does not fit":     "#7.9223372036854775808#",
		"a number beyond any that fits":  "#7.99999999999999999999999#",
		"capital digits, which we never": "#A.1#",
		"a sign":                         "#7.-1#",
	} {
		t.Run(name, func(t *testing.T) {
			if seed, n, ok := workload.Number([]byte(text)); ok {
				t.Fatalf("found %d, %d", seed, n)
			}
		})
	}
	if seed, n, ok := workload.Number([]byte("##7#7.9223372036854775807#x")); !ok || seed != 7 || n != math.MaxInt64 {
		t.Fatal("a mark behind other signs is not found", seed, n, ok)
	}
}

func FuzzNumber(f *testing.F) {
	f.Add([]byte("#7.1#"))
	f.Add([]byte("##ffffffffffffffff.9223372036854775807#"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, n, ok := workload.Number(b); ok && n < 0 {
			t.Fatalf("number %d", n)
		}
	})
}

func TestTheDefaultRulesSeeWhatIsSaid(t *testing.T) {
	rules, err := schema.DefaultRules().Compile()
	if err != nil {
		t.Fatal(err)
	}
	l := newLines(3)
	var origin schema.Origin
	var seen [8]int
	for n := range int64(10_000) {
		line, kind := l.Append(nil, n)
		at := base.Add(time.Duration(n) * time.Millisecond)
		verdict := rules.Classify(line, &origin, 1, at.UnixNano())
		if verdict.Kind != kind {
			t.Fatalf("line %d is %v, said to be %v: %s", n, verdict.Kind, kind, line)
		}
		if kind != schema.KindRaw && (verdict.Service != workload.Service(n) || verdict.Time != at.UnixNano()) {
			t.Fatalf("line %d is of %s at %d: %s", n, verdict.Service, verdict.Time, line)
		}
		if kind != schema.KindRaw && !json.Valid(line) {
			t.Fatalf("line %d is no JSON: %s", n, line)
		}
		seen[kind]++
	}
	if seen[schema.KindApp] < 7700 || seen[schema.KindAudit] < 1450 || seen[schema.KindRaw] < 340 {
		t.Fatalf("of 10,000 lines %d app, %d audit, %d raw", seen[schema.KindApp], seen[schema.KindAudit], seen[schema.KindRaw])
	}
}

// shape is what a line says about itself.
type shape struct {
	Level, Service, Type, Method                 string
	Logger                                       string `json:"logger_name"`
	Stack                                        string `json:"stack_trace"`
	User                                         string `json:"userId"`
	Trace                                        string `json:"traceId"`
	Request                                      string `json:"request_body"`
	Response                                     string `json:"response_body"`
	SQL                                          string
	Status                                       int
	Duration                                     int `json:"duration_ms"`
	Path, Agent, IP, Session, Thread, Tenant, ID string
}

func TestLinesLookLikeThoseOfAShop(t *testing.T) {
	const all = 12_000
	l := newLines(11)
	distinct := map[string]map[string]int{"service": {}, "logger": {}, "user": {}, "trace": {}, "level": {}}
	count := map[string]int{}
	appBytes, auditBytes := 0, 0
	for n := range int64(all) {
		line, kind := l.Append(nil, n)
		if kind == schema.KindRaw {
			continue
		}
		var s shape
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		distinct["service"][s.Service]++
		distinct["user"][s.User]++
		distinct["trace"][s.Trace]++
		if kind == schema.KindApp {
			distinct["logger"][s.Logger]++
			distinct["level"][s.Level]++
			appBytes += len(line)
			if s.Stack != "" {
				count["stack"]++
			}
			continue
		}
		auditBytes += len(line)
		count["audit"]++
		count[s.Type]++
		if len(line) > 16<<10 {
			count["long"]++
		}
		for _, body := range []string{s.Request, s.Response} {
			if body != "" && !json.Valid([]byte(body)) {
				t.Fatalf("line %d has a body that is no JSON: %s", n, body)
			}
		}
	}
	apps := 0
	for _, lines := range distinct["level"] {
		apps += lines
	}
	for _, c := range []struct {
		what      string
		got       float64
		low, high float64
	}{
		{"services", float64(len(distinct["service"])), 12, 12},
		{"loggers", float64(len(distinct["logger"])), 40, 40},
		{"users", float64(len(distinct["user"])), 1000, 5000},
		{"lines of a trace", all * 0.96 / float64(len(distinct["trace"])), 3, 5},
		{"share of errors", float64(distinct["level"]["ERROR"]) / float64(apps), 0.015, 0.025},
		{"share of warnings", float64(distinct["level"]["WARN"]) / float64(apps), 0.04, 0.06},
		{"share with a stack trace", float64(count["stack"]) / float64(apps), 0.007, 0.013},
		{"bytes of an app line", float64(appBytes) / float64(apps), 450, 550},
		{"bytes of an audit line", float64(auditBytes) / float64(count["audit"]), 2200, 3400},
		{"share of audit lines over 16 KiB", float64(count["long"]) / float64(count["audit"]), 0.012, 0.028},
		{"share of slow queries", float64(count["slow_query"]) / float64(count["audit"]), 0.04, 0.06},
	} {
		if !(c.got >= c.low && c.got <= c.high) {
			t.Errorf("%s: %.4g, want %v to %v", c.what, c.got, c.low, c.high)
		}
	}
}

func TestSizedLinesHaveTheirSize(t *testing.T) {
	for _, size := range []int{workload.MinSize, 501, 777, 2047, 2048, 2100, 4096, 40_960} {
		for _, seed := range []uint64{1, math.MaxUint64} {
			l := newLines(seed).Sized(size)
			want := schema.KindApp
			if size >= 2048 {
				want = schema.KindAudit
			}
			for i := range int64(min(1000, 1_500_000/size)) {
				n := i
				if i%3 == 0 {
					n = 1_000_000_000_000 + i
				}
				line, kind := l.Append(nil, n)
				if len(line) != size || kind != want || !json.Valid(line) {
					t.Fatalf("line %d of seed %x is %v of %d bytes, want %v of %d: %s", n, seed, kind, len(line), want, size, line)
				}
			}
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	l := newLines(5)
	for name, l := range map[string]*workload.Lines{"as they come": l, "500 bytes": l.Sized(500), "40 KB": l.Sized(40_960)} {
		buf, n := make([]byte, 0, 1<<20), int64(0)
		if allocs := testing.AllocsPerRun(300, func() { buf, _ = l.Append(buf[:0], n); n++ }); allocs != 0 {
			t.Errorf("%s: %v allocations per line", name, allocs)
		}
	}
}

// packed is how many bytes zstd makes of lines [first, first+count), each with its
// newline, and of how many.
func packed(t *testing.T, level zstd.EncoderLevel, l *workload.Lines, ranges ...[2]int64) (bytes, of int) {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var b []byte
	for _, r := range ranges {
		for n := r[0]; n < r[0]+r[1]; n++ {
			b, _ = l.Append(b, n)
			b = append(b, '\n')
		}
	}
	return len(enc.EncodeAll(b, nil)), len(b)
}

// Measured on logs of real services, zstd at its fastest: 3 lines of 500 bytes
// 2.2×, 10 lines 3×, 100 lines 4.2×, 2,000 lines 5×; audit lines 5× by the
// megabyte.
func TestLinesCompressAsThoseOfRealServices(t *testing.T) {
	l := newLines(21)
	for _, c := range []struct {
		name      string
		lines     *workload.Lines
		per       int64 // block
		low, high float64
	}{
		{"as they come, 2,000 at once", l, 2000, 4.5, 5.5},
		{"500 bytes, 3 at once", l.Sized(500), 3, 1.8, 2.4},
		{"500 bytes, 10 at once", l.Sized(500), 10, 2.5, 3.2},
		{"500 bytes, 100 at once", l.Sized(500), 100, 3.9, 4.5},
		{"500 bytes, 2,000 at once", l.Sized(500), 2000, 4.7, 5.6},
		{"4 KB, a megabyte at once", l.Sized(4096), 256, 4.5, 5.5},
		{"40 KB, a megabyte at once", l.Sized(40_960), 26, 4.5, 5.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			small, plain := 0, 0
			for block := range max(2, min(50, 200/c.per)) {
				s, p := packed(t, zstd.SpeedFastest, c.lines, [2]int64{block * 100_000, c.per})
				small, plain = small+s, plain+p
			}
			ratio := float64(plain) / float64(small)
			t.Logf("%.2f to 1", ratio)
			if ratio < c.low || ratio > c.high {
				t.Errorf("want %v to %v", c.low, c.high)
			}
		})
	}
}

func TestARangeOfLinesSaysNothingAboutAnother(t *testing.T) {
	const count = 1200
	l := newLines(22)
	first, second := [2]int64{0, count}, [2]int64{5_000_000, count}
	a, _ := packed(t, zstd.SpeedDefault, l, first)
	b, _ := packed(t, zstd.SpeedDefault, l, second)
	both, _ := packed(t, zstd.SpeedDefault, l, first, second)
	// The words and templates of the second range are known from the first: 1 %.
	if saved := 1 - float64(both)/float64(a+b); saved > 0.03 {
		t.Errorf("together %.1f %% smaller than apart", 100*saved)
	}
	if twice, _ := packed(t, zstd.SpeedDefault, l, first, first); float64(twice) > 0.7*float64(a+a) {
		t.Errorf("the same range twice takes %d bytes, once %d: this test would not see repetition", twice, a)
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, size := range map[string]int{"500B": 500, "4KB": 4096, "40KB": 40_960} {
		b.Run(name, func(b *testing.B) {
			l, buf := newLines(7).Sized(size), []byte(nil)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for n := range int64(b.N) {
				buf, _ = l.Append(buf[:0], n)
			}
		})
	}
}
