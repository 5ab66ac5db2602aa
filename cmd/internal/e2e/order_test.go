package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/cmd/internal/cluster"
	"tributary/stream"
)

func TestTheLakeSeesALineThatWasOvertaken(t *testing.T) {
	lanes := Lanes{Count: 10}
	for name, c := range map[string]struct {
		places []place
		says   string // "" is all well
	}{
		"in order, over a split": {[]place{{1, "a", "9", 0}, {11, "a", "9", 1}, {21, "b", "10", 0}}, ""},
		"read in another order":  {[]place{{21, "b", "10", 0}, {11, "a", "9", 1}, {1, "a", "9", 0}}, ""},
		"lanes know no order":    {[]place{{2, "a", "9", 0}, {1, "a", "10", 0}}, ""},
		"a later record first":   {[]place{{11, "a", "9", 0}, {1, "a", "10", 0}}, "lane 1: line 1 (10 of a) stands behind line 11 (9 of a)"},
		"a later event first":    {[]place{{11, "a", "9", 0}, {1, "a", "9", 1}}, "lane 1: line 1"},
		"doubled":                {[]place{{1, "a", "9", 0}, {1, "b", "10", 0}}, "lane 1: line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			lake := &Lake{places: c.places}
			expectFault(t, lake.Overtaken(lanes.Of), c.says)
		})
	}
}

func TestTheLakeSeesRangesThatDoNotFollowOneAnother(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	child := types.Shard{ShardId: aws.String("c"), ParentShardId: aws.String("a"), AdjacentParentShardId: aws.String("b")}
	for name, c := range map[string]struct {
		ranges Ranges
		says   string
	}{
		"a chain": {Ranges{"a": {{First: "5", Last: "9", ended: at(1)}, {After: "9", First: "12", Last: "12", ended: at(2)}}}, ""},
		"a gap":   {Ranges{"a": {{First: "5", Last: "9", ended: at(1)}, {After: "10", First: "12", Last: "12", ended: at(2)}}}, "does not go on"},
		"an overlap": {Ranges{"a": {{First: "5", Last: "9", ended: at(1)}, {After: "", First: "7", Last: "12", ended: at(2)}}},
			"does not go on"},
		"the later one finished first": {Ranges{"a": {{First: "5", Last: "9", ended: at(3)}, {After: "9", First: "12", Last: "12", ended: at(2)}}}, "finished before"},
		"a beginning that is lost":     {Ranges{"a": {{After: "3", First: "5", Last: "9", ended: at(1)}}}, "does not go on"},
		"truncated":                    {Ranges{"a": {{First: "5", Last: "9", Truncated: true}}}, "no whole range"},
		"a child after its parents": {Ranges{"a": {{First: "5", Last: "9", ended: at(1)}}, "b": {{First: "6", Last: "8", ended: at(2)}}, "c": {{First: "20", Last: "30", ended: at(3)}}},
			""},
		"a child before one of its parents": {Ranges{"a": {{First: "5", Last: "9", ended: at(1)}}, "b": {{First: "6", Last: "8", ended: at(4)}}, "c": {{First: "20", Last: "30", ended: at(3)}}},
			"of a child"},
	} {
		t.Run(name, func(t *testing.T) {
			for shard, spans := range c.ranges {
				for i := range spans {
					spans[i].Shard = shard
				}
			}
			expectFault(t, c.ranges.Unchained([]types.Shard{child}), c.says)
		})
	}
}

func expectFault(t *testing.T, faults []string, says string) {
	t.Helper()
	if says == "" && len(faults) > 0 || says != "" && (len(faults) != 1 || !strings.Contains(faults[0], says)) {
		t.Errorf("got %q, want %q", faults, says)
	}
}

func TestARefereeSeesWhatMustNotBe(t *testing.T) {
	held := func(checkpoint stream.SequenceNumber, counter int) sight {
		return sight{owner: "vm-7-x", counter: counter, checkpoint: checkpoint, generation: "0"}
	}
	type look = map[string]sight
	for name, c := range map[string]struct {
		looks []look
		says  string
	}{
		"checkpoints go on": {[]look{{"a": held("", 1)}, {"a": held("9", 2)}, {"a": held("10", 3)}, {"a": held(shardEnd, 4)}}, ""},
		"one goes back":     {[]look{{"a": held("10", 1)}, {"a": held("9", 2)}}, "went back"},
		"one is erased":     {[]look{{"a": held("10", 1)}, {"a": held("", 2)}}, "went back"},
		"an end is undone":  {[]look{{"a": held(shardEnd, 1)}, {"a": held("10", 2)}}, "went back"},
		"a counter goes back": {[]look{{"a": held("9", 2)}, {"a": held("10", 1)}},
			"went back"},
		"a child after its parent":                    {[]look{{"a": held(shardEnd, 1)}, {"a": held(shardEnd, 1), "b": held("", 1)}, {}}, ""},
		"a child read later than its parent":          {[]look{{"a": held("9", 1), "b": held("", 1)}, {"a": held(shardEnd, 2), "b": held("", 2)}, {}}, ""},
		"a child before its parent":                   {[]look{{"a": held("9", 1), "b": held("", 1)}, {"a": held("10", 2)}}, "its parent a was at"},
		"a free child whose parent is not at its end": {[]look{{"a": held("9", 1), "b": {}}, {"a": held("10", 2)}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReferee(&System{Cluster: &cluster.Cluster{}})
			r.parents["b"] = []string{"a"}
			for i, seen := range c.looks {
				r.take(seen, time.Unix(int64(i), 0))
			}
			expectFault(t, r.Faults(), c.says)
		})
	}
}

func TestARefereeKnowsHowLongAShardWaited(t *testing.T) {
	r := NewReferee(&System{Cluster: &cluster.Cluster{}})
	for second, owner := range []string{"vm-7-x", "vm-7-x", "", "vm-8-y", "vm-9-z"} {
		r.take(map[string]sight{"a": {owner: owner}, "b": {owner: "vm-8-y"}}, time.Unix(int64(second), 0))
	}
	at := time.Unix(1, 5e8)
	if took := r.Failovers(7, at); !slices.Equal(took, []time.Duration{1500 * time.Millisecond}) {
		t.Errorf("7 was followed after %v", took)
	}
	if took := r.Failovers(8, at); len(took) != 0 {
		t.Errorf("8 did not hold a then, and keeps b: %v", took)
	}
	if held := fmt.Sprint(r.Held(8), r.Held(9), r.Held(7)); held != "[b] [a] []" {
		t.Errorf("8, 9 and 7 hold %s", held)
	}
}
