package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/cmd/internal/cluster"
)

// Logs counts the lines that lie in log groups. What was read once may have got
// company before it, so each Refresh reads everything.
type Logs struct {
	cluster *cluster.Cluster
	line    func(n int) string

	mu      sync.Mutex
	counts  map[int]int    // number → events, of groups other than for errors
	errors  map[int]int    // number → events, of groups for errors
	equal   map[string]int // events of each text that is sent many times over
	streams int
	faults  []string
}

// NewLogs looks into the groups below /tributary/ for lines as line makes them.
func NewLogs(c *cluster.Cluster, line func(n int) string) *Logs {
	return &Logs{cluster: c, line: line}
}

// Counts is how many events each line has, as of the last Refresh.
func (l *Logs) Counts() map[int]int { return l.counts }

// Errors is the same of the groups that hold errors apart.
func (l *Logs) Errors() map[int]int { return l.errors }

// Equal tells how often each text is there that was sent many times over.
func (l *Logs) Equal() map[string]int { return l.equal }

// Streams is how many log streams there are.
func (l *Logs) Streams() int { return l.streams }

// Faults are the events that are no line as it was sent.
func (l *Logs) Faults() []string { return l.faults }

// Where knows nothing that Counts does not.
func (l *Logs) Where([]int) ([]string, error) { return nil, nil }

// Refresh reads all log streams.
func (l *Logs) Refresh() (err error) {
	l.counts, l.errors, l.equal, l.faults = map[int]int{}, map[int]int{}, map[string]int{}, nil
	l.streams, err = l.cluster.EachLogPage(context.Background(), l.count)
	return err
}

// equalPrefix begins the lines that are equal on purpose.
const equalPrefix = "equal "

func (l *Logs) count(group, stream string, events []types.OutputLogEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.counts
	if strings.HasSuffix(group, "/errors") {
		counts = l.errors
	}
	for _, e := range events {
		if strings.HasPrefix(*e.Message, equalPrefix) {
			l.equal[*e.Message]++
			continue
		}
		n := Number(*e.Message)
		if n < 0 || l.line(n) != *e.Message {
			l.faults = append(l.faults, fmt.Sprintf("%s %s has what is not line %d as it was sent: %.80q", group, stream, n, *e.Message))
			continue
		}
		counts[n]++
	}
	return nil
}
