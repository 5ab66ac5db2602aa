package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ledger notes which lines were begun and which of them were acked. Safe for
// concurrent use.
type Ledger struct {
	mu    sync.Mutex
	acked map[int]bool // a line that was begun is in it, true when it was acked
	count int
}

// NewLedger is empty.
func NewLedger() *Ledger { return &Ledger{acked: make(map[int]bool)} }

// Begin notes that line n may from now on arrive.
func (l *Ledger) Begin(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[n] = false
}

// Ack notes that line n must arrive.
func (l *Ledger) Ack(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[n] = true
	l.count++
}

// Excuse takes an ack back: line n may arrive, and need not.
func (l *Ledger) Excuse(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked[n] {
		l.acked[n] = false
		l.count--
	}
}

// Acked is how many lines were acked.
func (l *Ledger) Acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// String tells how many lines were acked and begun.
func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d of %d lines acked", l.count, len(l.acked))
}

// destination is where lines end up.
type destination interface {
	// Refresh looks for what has come since the last call.
	Refresh() error
	// Counts tells how often each line arrived, byte for byte and in its kind, as of
	// the last Refresh.
	Counts() map[int]int
	// Faults are the rows that are no line as it was sent.
	Faults() []string
	// Where tells of each arrival of the given lines, for a person to read.
	Where(numbers []int) ([]string, error)
}

// Verdict is what a ledger says about a destination.
type Verdict struct {
	Missing   []int    // acked, and not there
	Doubled   []int    // there more than once
	Strangers []int    // there, and never begun
	Faults    []string // rows that are no line as it was sent
	Lines     int      // different lines that are there
}

// Judge compares what arrived with what was sent.
func (l *Ledger) Judge(d destination) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := d.Counts()
	v := Verdict{Lines: len(counts), Faults: d.Faults()}
	for n, acked := range l.acked {
		if acked && counts[n] == 0 {
			v.Missing = append(v.Missing, n)
		}
	}
	for n, count := range counts {
		if count > 1 {
			v.Doubled = append(v.Doubled, n)
		}
		if _, begun := l.acked[n]; !begun {
			v.Strangers = append(v.Strangers, n)
		}
	}
	slices.Sort(v.Missing)
	slices.Sort(v.Doubled)
	slices.Sort(v.Strangers)
	return v
}

// EachOnce reports whether every acked line is there once, as it was sent, and
// nothing else is.
func (v Verdict) EachOnce() bool {
	return len(v.Missing)+len(v.Doubled)+len(v.Strangers)+len(v.Faults) == 0
}

// String names the first of each kind of fault.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines are there", v.Lines)
	for _, f := range []struct {
		what    string
		numbers []int
	}{{"missing", v.Missing}, {"doubled", v.Doubled}, {"never sent", v.Strangers}} {
		if len(f.numbers) > 0 {
			fmt.Fprintf(&b, "; %d %s: %v", len(f.numbers), f.what, f.numbers[:min(len(f.numbers), 20)])
		}
	}
	if len(v.Faults) > 0 {
		fmt.Fprintf(&b, "; %d wrong rows:\n%s", len(v.Faults), strings.Join(v.Faults[:min(len(v.Faults), 5)], "\n"))
	}
	return b.String()
}

// await looks at d until every acked line is there or the time is over, and judges
// then.
func (l *Ledger) await(d destination, within time.Duration) (Verdict, error) {
	for deadline := time.Now().Add(within); ; <-time.After(lookEvery) {
		if err := d.Refresh(); err != nil {
			return Verdict{}, err
		}
		late := time.Now().After(deadline)
		if !late && len(d.Counts()) < l.Acked() {
			continue // spares a comparison
		}
		if v := l.Judge(d); len(v.Missing) == 0 || late {
			return v, nil
		}
	}
}

// lookEvery is the wait between two looks at another process's work.
const lookEvery = 200 * time.Millisecond
