package main

import (
	"strings"
	"testing"

	"tributary/stream"
)

func TestTheJudgeSeesWhatIsWrong(t *testing.T) {
	one, other := laneName{number: 1}, laneName{number: 2}
	for name, c := range map[string]struct {
		spots   []spot
		wrong   string // empty: nothing is
		copies  int
		most    int64
		swapped int64
	}{
		"each line once, two containers":                {spots: []spot{{0, one, "9", 0}, {1, one, "9", 1}, {2, one, "10", 0}, {3, one, "10", 1}}, most: 1},
		"another container is ahead":                    {spots: []spot{{1, one, "1", 0}, {3, one, "1", 1}, {0, one, "2", 0}, {2, one, "2", 1}}, most: 1},
		"a record twice":                                {spots: []spot{{0, one, "1", 0}, {1, one, "1", 1}, {2, one, "2", 0}, {3, one, "2", 1}, {0, one, "3", 0}, {1, one, "3", 1}}, copies: 2, most: 2},
		"a line three times":                            {spots: []spot{{0, one, "1", 0}, {1, one, "1", 1}, {2, one, "2", 0}, {3, one, "2", 1}, {3, one, "3", 0}, {3, one, "4", 0}}, copies: 2, most: 3},
		"a line is missing":                             {spots: []spot{{0, one, "1", 0}, {1, one, "1", 1}, {2, one, "2", 0}}, wrong: "of 4 lines 1 are missing"},
		"a line is overtaken":                           {spots: []spot{{2, one, "1", 0}, {0, one, "2", 0}, {1, one, "2", 1}, {3, one, "2", 2}}, wrong: "line 0 stands behind line 2"},
		"overtaken within a record":                     {spots: []spot{{0, one, "1", 0}, {3, one, "1", 1}, {1, one, "1", 2}, {2, one, "1", 3}}, wrong: "line 1 stands behind line 3"},
		"overtaken in another lane":                     {spots: []spot{{2, other, "1", 0}, {0, one, "2", 0}, {1, one, "2", 1}, {3, one, "2", 2}}, most: 1, swapped: 1},
		"overtaken in its lane, and another is between": {spots: []spot{{2, one, "1", 0}, {1, one, "2", 0}, {3, other, "3", 0}, {0, one, "4", 0}}, wrong: "line 0 stands behind line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			j := judging{order: JudgeOrder{Lines: 4}}
			for i := range c.spots { // shards are read beside each other
				j.spots = append(j.spots, c.spots[len(c.spots)-1-i])
			}
			first, most, err := j.firsts()
			var swapped int64
			if err == nil {
				swapped, err = inOrder(first, 2)
			}
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || most != c.most || len(j.spots)-len(first) != c.copies || swapped != c.swapped {
				t.Errorf("got %v, at most %d copies, %d too many, %d swapped", err, most, len(j.spots)-len(first), swapped)
			}
		})
	}
}

func TestARecordOfForeignLinesIsNoVerdict(t *testing.T) {
	j := judging{order: JudgeOrder{Lines: 4, Seed: 1}, lanes: make(map[stream.SequenceNumber]laneName)}
	for _, line := range []string{"hello", `{"seq":"#2.1#"}`, `{"seq":"#1.4#"}`} {
		if _, err := j.number([]byte(line)); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}
