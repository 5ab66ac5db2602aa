package e2e

import (
	"slices"
	"strings"
	"testing"
)

// heap is a destination made up.
type heap struct {
	counts map[int]int
	faults []string
}

func (h heap) Refresh() error                { return nil }
func (h heap) Counts() map[int]int           { return h.counts }
func (h heap) Faults() []string              { return h.faults }
func (h heap) Where([]int) ([]string, error) { return nil, nil }

func TestALedgerSeesWhatIsWrong(t *testing.T) {
	l := NewLedger()
	for n := 1; n <= 3; n++ {
		l.Begin(n)
	}
	l.Ack(1)
	l.Ack(2) // 3 was begun, and never acked
	for name, c := range map[string]struct {
		there heap
		want  Verdict
		says  string
	}{
		"each acked line once":              {heap{counts: map[int]int{1: 1, 2: 1}}, Verdict{Lines: 2}, "2 lines are there"},
		"a line that was not acked arrives": {heap{counts: map[int]int{1: 1, 2: 1, 3: 1}}, Verdict{Lines: 3}, "3 lines are there"},
		"an acked line is missing":          {heap{counts: map[int]int{1: 1}}, Verdict{Lines: 1, Missing: []int{2}}, "1 missing: [2]"},
		"an acked line is doubled":          {heap{counts: map[int]int{1: 2, 2: 1}}, Verdict{Lines: 2, Doubled: []int{1}}, "1 doubled: [1]"},
		"one never acked is doubled":        {heap{counts: map[int]int{1: 1, 2: 1, 3: 2}}, Verdict{Lines: 3, Doubled: []int{3}}, "1 doubled: [3]"},
		"a line that nobody sent":           {heap{counts: map[int]int{1: 1, 2: 1, 9: 1}}, Verdict{Lines: 3, Strangers: []int{9}}, "1 never sent: [9]"},
		"a row that is no line":             {heap{counts: map[int]int{1: 1, 2: 1}, faults: []string{"torn"}}, Verdict{Lines: 2, Faults: []string{"torn"}}, "1 wrong rows:\ntorn"},
	} {
		t.Run(name, func(t *testing.T) {
			v := l.Judge(c.there)
			if v.Lines != c.want.Lines || !slices.Equal(v.Missing, c.want.Missing) || !slices.Equal(v.Doubled, c.want.Doubled) ||
				!slices.Equal(v.Strangers, c.want.Strangers) || !slices.Equal(v.Faults, c.want.Faults) || !strings.Contains(v.String(), c.says) {
				t.Errorf("got %v", v)
			}
			if sound := len(c.want.Missing)+len(c.want.Doubled)+len(c.want.Strangers)+len(c.want.Faults) == 0; v.EachOnce() != sound {
				t.Errorf("each once: %v", v.EachOnce())
			}
		})
	}
}
