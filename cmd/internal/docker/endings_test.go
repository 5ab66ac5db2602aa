package docker

import (
	"strings"
	"testing"
	"time"
)

func TestAContainerThatEndsWithoutANewlineKeepsItsLastWords(t *testing.T) {
	w := need(t)
	for name, tail := range map[string]string{
		"ends without a newline, short line": "java.lang.OutOfMemoryError 77: Java heap space",
		"ends without a newline, 40 KB line": line(3),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := w.printAndJudge(t, name, false, container{stdout: lines(100, 50), tail: tail, opts: []string{subSecond}})
			if m.complete != 50 || m.incomplete != 1 {
				t.Errorf("%d complete and %d incomplete rows, want 50 and 1", m.complete, m.incomplete)
			}
		})
	}
}

func TestAContainerKilledInTheMiddleOfALine(t *testing.T) {
	w := need(t)
	t.Parallel()
	f := w.startForwarder(t)
	// The tail is the line's first half; the container stays until it is killed.
	half := line(3)[:30_000]
	c := container{name: "c-" + f.name, stdout: lines(200, 50), tail: half, stay: time.Hour, opts: []string{subSecond}}
	if err := w.run(t.Context(), t.TempDir(), f.Forward, c); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the lines to arrive", 30*time.Second, func() bool {
		m, err := f.Metrics()
		return err == nil && m.Sum("tributary_forwarder_lines_total") == 50
	})
	if _, err := w.docker(t.Context(), "kill", c.name); err != nil {
		t.Fatal(err)
	}
	w.wait(t, c.name, time.Minute)
	r := w.settle(t, f)
	rows := w.lake.of(c.name)
	m := judge(t, rows, c, &r)
	m.what = "killed in the middle of a line"
	w.table.add(m)
	if m.complete != 50 || m.incomplete != 1 {
		t.Errorf("%d complete and %d incomplete rows, want 50 and 1", m.complete, m.incomplete)
	}
	for _, row := range rows {
		if row.Incomplete && row.Line != half {
			t.Errorf("of %d bytes printed before the kill the row has %d", len(half), len(row.Line))
		}
	}
}

// TestLinesAreKeptByteForByte prints what a line must survive.
func TestLinesAreKeptByteForByte(t *testing.T) {
	w := need(t)
	t.Parallel()
	odd := []string{
		"",
		"one byte short of a piece " + strings.Repeat("x", pieceBytes-1-26),
		"exactly one piece " + strings.Repeat("x", pieceBytes-18),
		"one byte more than a piece " + strings.Repeat("x", pieceBytes+1-27),
		"exactly three pieces " + strings.Repeat("x", 3*pieceBytes-21),
		"windows\r",
		"\ttabs and  blanks  ",
		"nul \x00 bell \a escape \x1b[31mred\x1b[0m",
		"not UTF-8 \xff\xfe\x80",
		"a character cut by the piece's end " + strings.Repeat("x", pieceBytes-35-1) + "配送",
		`{"unfinished": "json`,
		`{"level":"INFO","message":"` + strings.Repeat("配", 100_000) + `"}`,
	}
	w.printAndJudge(t, "odd lines", false, container{stdout: odd, opts: []string{subSecond}}).lossless(t)
}

func TestTimesHaveNanosecondsWhenAskedFor(t *testing.T) {
	w := need(t)
	for name, test := range map[string]struct {
		opts   []string
		within bool // the second
	}{
		"time in seconds":            {nil, false},
		"time below the second":      {[]string{subSecond}, true},
		"time below the second, ack": {[]string{subSecond, "fluentd-request-ack=true"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := w.startForwarder(t)
			c := container{name: "c-" + f.name, opts: test.opts}
			for _, n := range []string{"one", "two", "three", "four"} {
				c.stdout = append(c.stdout, "no JSON, no time of its own: "+n)
			}
			if err := w.run(t.Context(), t.TempDir(), f.Forward, c); err != nil {
				t.Fatal(err)
			}
			w.wait(t, c.name, time.Minute)
			w.settle(t, f)
			for _, row := range w.lake.of(c.name) {
				if (row.Time.Nanosecond() != 0) != test.within {
					t.Errorf("%q has the time %v", row.Line, row.Time)
				}
			}
		})
	}
}
