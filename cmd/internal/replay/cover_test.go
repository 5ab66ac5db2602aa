package replay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/sinks/lake"
	"tributary/stream"
)

// span makes a range of records from first to last, each of which arrived in the second
// of its number.
func span(generation uint64, after, first, last int) lake.Written {
	at := func(n int) time.Time { return time.Unix(int64(n), 0).UTC() }
	number := func(n int) stream.SequenceNumber {
		if n == 0 {
			return ""
		}
		return stream.SequenceNumber(fmt.Sprint(n))
	}
	return lake.Written{
		Range:        stream.Range{Shard: "shardId-000000000000", Generation: generation, After: number(after), First: number(first), Last: number(last)},
		ArrivalFirst: at(first), ArrivalLast: at(last), Rows: int64(last - first + 1), Objects: 1,
	}
}

func truncated(r lake.Written) lake.Written {
	r.Truncated = true
	return r
}

func TestTheRangesOfAShardMakeUpItsRecordsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		ranges []lake.Written
		want   string // units: generation, first, last and what is above
		gaps   int
		begins int64
	}{
		"one behind the other, the first of before": {
			ranges: []lake.Written{span(0, 80, 90, 95), span(0, 95, 98, 120), span(0, 120, 121, 150)},
			want:   "0:98-120>95 0:121-150>120",
		},
		"the lake begins within": {
			ranges: []lake.Written{span(0, 0, 110, 120), span(0, 120, 121, 150)},
			want:   "0:110-120> 0:121-150>120", begins: 110,
		},
		"a reset delivered all of it again, in other ranges": {
			ranges: []lake.Written{span(0, 0, 95, 120), span(1, 0, 95, 130), span(0, 120, 121, 150), span(1, 130, 131, 170)},
			want:   "0:95-120> 0:121-150>120 1:131-170>150",
		},
		"a generation that ends in the middle of another's range": {
			ranges: []lake.Written{span(0, 0, 95, 120), span(2, 0, 110, 140), span(2, 140, 141, 150)},
			want:   "0:95-120> 2:110-140>120 2:141-150>140",
		},
		"a later generation that lies within": {
			ranges: []lake.Written{span(0, 0, 95, 150), span(1, 0, 100, 120)},
			want:   "0:95-150>",
		},
		"a range is missing": {
			ranges: []lake.Written{span(0, 0, 95, 110), span(0, 120, 121, 150)},
			want:   "0:95-110> 0:121-150>110", gaps: 1,
		},
		"the first ones are missing": {
			ranges: []lake.Written{span(0, 120, 121, 150)},
			want:   "0:121-150>", gaps: 1, begins: 121,
		},
		"a reset passed over some": {
			ranges: []lake.Written{span(0, 0, 95, 110), span(1, 0, 130, 150)},
			want:   "0:95-110> 1:130-150>110", gaps: 1,
		},
		"the stream had forgotten some of a range": {
			ranges: []lake.Written{span(0, 0, 95, 110), truncated(span(0, 110, 111, 150))},
			want:   "0:95-110> 0:111-150>110", gaps: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := &holding{from: time.Unix(100, 0)}
			for _, r := range c.ranges {
				h.add(r)
			}
			h.end()
			var got []string
			for _, u := range h.units {
				got = append(got, fmt.Sprintf("%d:%s-%s>%s", u.Generation, u.First, u.Last, u.above))
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("units %q, want %q", text, c.want)
			}
			if len(h.gaps) != c.gaps {
				t.Errorf("gaps %q, want %d", h.gaps, c.gaps)
			}
			if begins := h.begins; begins.IsZero() != (c.begins == 0) || !begins.IsZero() && begins.Unix() != c.begins {
				t.Errorf("begins at %v, want %d", begins, c.begins)
			}
		})
	}
}

func TestTheHorizonIsWhereTheStreamLacksSome(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0).UTC() }
	const day = 24 * 3600
	for name, c := range map[string]struct {
		survey survey
		from   time.Time
		want   time.Time
	}{
		"all is younger than the retention, and there": {
			survey{now: at(2 * day), retention: day * time.Second, shards: nil, lake: &holding{}}, at(2*day - 1000), time.Time{},
		},
		"it is older than the retention will be in an hour": {
			survey{now: at(2 * day), retention: day * time.Second, lake: &holding{}}, at(day + 1000), at(day + 3600),
		},
		"the stream was made after that": {
			survey{now: at(2 * day), created: at(2*day - 100), retention: day * time.Second, lake: &holding{}}, at(day), time.Time{},
		},
		"a shard begins behind a range of the lake": {
			survey{now: at(1000), retention: day * time.Second, oldest: map[stream.ShardID]stream.Sight{"shardId-000000000000": {Next: "130", Arrival: at(130)}},
				lake: &holding{units: []unit{{Written: span(0, 0, 100, 120)}}}}, at(100), at(130),
		},
		"a shard begins before the time": {
			survey{now: at(1000), retention: day * time.Second, oldest: map[stream.ShardID]stream.Sight{"shardId-000000000000": {Next: "110", Arrival: at(110)}},
				lake: &holding{units: []unit{{Written: span(0, 0, 100, 120)}}}}, at(115), time.Time{},
		},
		"a shard is empty that was not": {
			survey{now: at(1000), retention: day * time.Second, oldest: map[stream.ShardID]stream.Sight{"shardId-000000000000": {End: true}},
				lake: &holding{units: []unit{{Written: span(0, 0, 100, 120)}}}}, at(100), at(120),
		},
		"a shard has left": {
			survey{now: at(1000), retention: day * time.Second, lake: &holding{units: []unit{{Written: span(0, 0, 100, 120)}}}}, at(100), at(120),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.survey.horizon(c.from); !got.Equal(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestANameFollowsFromGroupTimesAndTarget(t *testing.T) {
	job := Job{Group: "tributary-lake", Kind: "lake", Into: "again", From: time.Unix(100, 0), To: time.Unix(200, 0)}
	same := job
	same.From = job.From.In(time.FixedZone("east", 3600))
	if job.Name() != same.Name() || !strings.HasPrefix(job.Name(), "tributary-lake-replay-") || len(job.Name()) != len("tributary-lake-replay-")+8 {
		t.Errorf("%s and %s", job.Name(), same.Name())
	}
	if !IsName(job.Name()) || IsName("tributary-lake") {
		t.Error("names of replays are not told from others")
	}
	names := []string{job.Name()}
	for _, change := range []func(*Job){func(j *Job) { j.Group = "x" }, func(j *Job) { j.Into = "x" }, func(j *Job) { j.From = time.Unix(101, 0) }, func(j *Job) { j.To = time.Unix(201, 0) }} {
		other := job
		change(&other)
		names = append(names, other.Name())
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != 5 {
		t.Errorf("names %q", names)
	}
}
