package docker

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"tributary/cmd/internal/rows"
)

// measured is one line of the table: what a container printed and what became of it.
type measured struct {
	what       string
	opts       []string
	printed    int // lines
	received   int // lines after rejoining, as the forwarder counted; -1 if one of its lives has taken the count along
	rows       int
	complete   int
	incomplete int
	doubled    int
	split      int // lines that came as several incomplete rows
	note       string
}

// report gathers the table.
type report struct {
	mu   sync.Mutex
	rows []measured
}

func (r *report) add(m measured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, m)
}

func (r *report) print(w io.Writer, version string) {
	fmt.Fprintf(w, "\nWhat Docker %s hands over, and what becomes of it:\n\n", version)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tdriver options\tprinted\treceived\trows\tof these incomplete\tlines not complete\t")
	slices.SortFunc(r.rows, func(a, b measured) int { return strings.Compare(a.what, b.what) })
	for _, m := range r.rows {
		got := "-"
		if m.received >= 0 {
			got = strconv.Itoa(m.received)
		}
		lost := strconv.Itoa(m.printed - m.complete)
		if m.split > 0 {
			lost += fmt.Sprintf(", %d in several rows", m.split)
		}
		if m.note != "" {
			lost += ", " + m.note
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%d\t%d\t%s\t\n", m.what, options(m.opts), m.printed, got, m.rows, m.incomplete, lost)
	}
	_ = tw.Flush()
}

// judge compares what c has printed with its rows. r is nil when the forwarder's
// counters do not cover all of it. Whatever Docker does, a row is a printed line,
// byte for byte and once, or is marked incomplete and made of a line's pieces; and
// every piece the forwarder has counted is in a row.
func judge(t *testing.T, found []rows.Row, c container, r *received) measured {
	t.Helper()
	m := measured{opts: c.opts, printed: len(c.printed()), received: -1, rows: len(found)}
	left := make(map[string]int)
	for _, l := range c.printed() {
		left[l]++
	}
	fragments := make(map[string]int)
	var least, most int // pieces that the rows are made of
	for _, row := range found {
		low, high, known := pieces(row.Line), pieces(row.Line), true
		switch {
		case row.Incomplete:
			m.incomplete++
			known = false
			for _, l := range c.printed() {
				if low, high, known = consistsOf(row.Line, l); known {
					if fragments[l]++; fragments[l] == 2 {
						m.split++
					}
					break
				}
			}
		case left[row.Line] > 0:
			left[row.Line]--
			m.complete++
		default:
			_, known = left[row.Line]
			m.doubled++
		}
		if !known {
			t.Errorf("%s: a row is no line that was printed (%d bytes, incomplete %v): %.80q", c.name, len(row.Line), row.Incomplete, row.Line)
		}
		least, most = least+low, most+high
	}
	if m.doubled > 0 {
		t.Errorf("%s: %d lines are doubled", c.name, m.doubled)
	}
	if r != nil {
		m.received = r.lines
		if r.lines != len(found) || r.pieces < least || r.pieces > most {
			t.Errorf("%s: the forwarder has received %d pieces and made %d lines of them, the lake has %d to %d pieces in %d rows", c.name, r.pieces, r.lines, least, most, len(found))
		}
	}
	return m
}

// lossless demands that every line printed is a row.
func (m measured) lossless(t *testing.T) {
	t.Helper()
	if m.complete != m.printed || m.incomplete > 0 {
		t.Errorf("of %d lines printed %d are rows, and %d are incomplete", m.printed, m.complete, m.incomplete)
	}
}
