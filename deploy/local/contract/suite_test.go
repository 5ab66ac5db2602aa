package contract_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A testCase is one sentence about a service and what proves it, over the service's client C.
type testCase[C any] struct {
	says  string
	prove func(*check, C)
}

// A suite is all that is asked of one service, and who is asked.
type suite[C any] struct {
	service string
	client  func(*testing.T, aws.Config) C // what it makes goes with the test, before the server ends
	servers []server
	cases   []testCase[C]
}

// sentences are the cases' sentences. A sentence that stands twice could not be told from itself in the table of differences.
func (s suite[C]) sentences() []string {
	var all []string
	for _, c := range s.cases {
		all = append(all, c.says)
	}
	return all
}

func (s suite[C]) run(t *testing.T) {
	for _, srv := range s.servers {
		t.Run(srv.name, func(t *testing.T) {
			cfg := srv.start(t)
			tally := summary.row(s.service, srv.name)
			client := s.client(t, cfg)
			for _, c := range s.cases {
				t.Run(c.says, func(t *testing.T) {
					t.Parallel()
					judge(t, srv, lookUp(s.service, srv.name, c.says), tally, func(ck *check) { c.prove(ck, client) })
				})
			}
		})
	}
}

// judge runs one case and holds its outcome against the table of differences.
func judge(t *testing.T, srv server, d *difference, tally *tally, prove func(*check)) {
	if d != nil && d.norun {
		tally.add(&tally.skipped)
		t.Skipf("%s: %s\n%s says %q", srv.name, d.does, d.url, d.docs)
	}
	faults := newCheck(t.Context(), srv.patience).run(prove)
	wrong := d.holdsAgainst(faults)
	switch {
	case wrong != "":
		tally.add(&tally.failed)
		t.Error(wrong)
	case d != nil:
		tally.add(&tally.differ)
		t.Logf("differs as expected: %s\n%s", d.does, strings.Join(faults, "\n"))
	default:
		tally.add(&tally.passed)
	}
}

// holdsAgainst says what is wrong when a case ends with faults and d, nil for none, is its entry in the table; nothing when all is as it
// should be.
func (d *difference) holdsAgainst(faults []string) string {
	found := strings.Join(faults, "\n")
	switch {
	case d == nil:
		return found
	case len(faults) == 0:
		return fmt.Sprintf("%s does what the documentation says: take this case out of the table of differences (%s)", d.server, d.does)
	case !strings.Contains(found, d.shows):
		return fmt.Sprintf("%s differs, but not as the table of differences says: want %q in\n%s", d.server, d.shows, found)
	}
	return ""
}

// A tally counts how the cases of one service ended on one server.
type tally struct {
	service, server string

	mu                              sync.Mutex
	passed, differ, skipped, failed int
}

func (y *tally) add(n *int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	*n++
}

// tallies are the rows of the summary, in the order of the run.
type tallies struct {
	mu   sync.Mutex
	rows []*tally
}

var summary tallies

func (s *tallies) row(service, server string) *tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	y := &tally{service: service, server: server}
	s.rows = append(s.rows, y)
	return y
}

func (s *tallies) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rows) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %-14s %6s %14s %8s %8s %7s\n", "service", "server", "cases", "as documented", "differs", "not run", "failed")
	for _, y := range s.rows {
		fmt.Fprintf(&b, "%-10s %-14s %6d %14d %8d %8d %7d\n", y.service, y.server, y.passed+y.differ+y.skipped+y.failed, y.passed, y.differ, y.skipped, y.failed)
	}
	return b.String()
}

// localPatience is how long a case may take where nothing is far away.
const localPatience = time.Minute
