package consumers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/consumers/lease"
	"tributary/stream"
)

// States that only a look from outside shows. A shard that is held has the state
// its holder reported at its last renewal.
const (
	StateNew     State = "new"     // its lease was not created yet
	StateWaiting State = "waiting" // for its parents to be finished
	StateFree    State = "free"    // nobody holds it
	StateHeld    State = "held"    // and its holder reports nothing
	StateSilent  State = "silent"  // its holder has not renewed in time
	StateExpired State = "expired" // left the stream before it was read to its end
)

// GroupView is a group at one moment.
type GroupView struct {
	Group         string      `json:"group"`
	At            time.Time   `json:"at"`
	Foreign       bool        `json:"foreign"` // another library's, which never started here
	Stream        string      `json:"stream"`  // ARN, or what the configuration says
	StreamCreated time.Time   `json:"stream_created,omitzero"`
	Start         string      `json:"start,omitempty"` // of its first start
	StartTime     time.Time   `json:"start_time,omitzero"`
	RangeBytes    int64       `json:"range_bytes,omitempty"`
	Totals        GroupTotals `json:"totals"`
	Problems      []string    `json:"problems"` // of the whole group
	Shards        []ShardView `json:"shards"`   // sorted
}

// GroupTotals sum up the shards.
type GroupTotals struct {
	Shards   int           `json:"shards"`
	States   map[State]int `json:"states"`
	Workers  int           `json:"workers"` // that hold shards and renew
	Pending  int           `json:"pending"`
	Gaps     int           `json:"gaps"`     // shards with one
	Problems int           `json:"problems"` // shards with one
	// MaxLagMS is the largest known lag, null if there is none.
	MaxLagMS *int64         `json:"max_lag_ms"`
	MaxLagOf stream.ShardID `json:"max_lag_of,omitempty"`
}

// ShardView is one shard of a group.
type ShardView struct {
	Shard      stream.ShardID        `json:"shard"`
	State      State                 `json:"state"`
	Since      time.Time             `json:"since,omitzero"` // of the state, as reported
	Owner      string                `json:"owner,omitempty"`
	Claim      string                `json:"claim,omitempty"` // the worker that asks for it
	Checkpoint stream.SequenceNumber `json:"checkpoint,omitempty"`
	Pending    *PendingView          `json:"pending"`
	Generation uint64                `json:"generation"`
	Gap        *GapView              `json:"gap"` // the latest; stays until a reset
	// LagMS is how long ago the oldest record arrived that no checkpoint covers; null
	// if it is not known.
	LagMS    *int64           `json:"lag_ms"`
	Closed   bool             `json:"closed"` // takes no more records
	Parents  []stream.ShardID `json:"parents"`
	Children []stream.ShardID `json:"children"`
	Problem  string           `json:"problem,omitempty"`
}

// PendingView is a range that was written down and not checkpointed yet.
type PendingView struct {
	First      stream.SequenceNumber `json:"first"`
	Last       stream.SequenceNumber `json:"last"`
	Generation uint64                `json:"generation"`
	Plan       string                `json:"plan"` // hash
}

// GapView is a pending range of which records had left the stream before it was
// replayed.
type GapView struct {
	First stream.SequenceNumber `json:"first"`
	Last  stream.SequenceNumber `json:"last"`
	Found stream.SequenceNumber `json:"found,omitempty"` // the first record that was left, if any was
	At    time.Time             `json:"at"`
}

// Describe looks at a group: its tables once, and once at each shard for its lag,
// at most eight at a time. What cannot be learned is a problem in the view; only
// tables that cannot be read are an error.
func (a *Admin) Describe(ctx context.Context, group string) (GroupView, error) {
	g, err := a.open(ctx, group)
	if err != nil {
		return GroupView{}, err
	}
	v := GroupView{
		Group: group, At: time.Now().UTC().Truncate(time.Millisecond), Foreign: g.kind == lease.Foreign, Stream: g.ref.String(), Problems: []string{},
		StreamCreated: g.stored.StreamCreated, Start: g.stored.Start, StartTime: g.stored.StartTime, RangeBytes: g.stored.RangeBytes,
	}
	shards, problem := a.shardsOf(ctx, g)
	if problem != "" {
		v.Problems = append(v.Problems, problem)
	}
	if v.Shards, err = a.views(ctx, g, shards, problem == ""); err != nil {
		return GroupView{}, err
	}
	v.sum()
	return v, nil
}

// shardsOf lists the stream's shards, unless it is not the stream the group knows:
// then the positions mean nothing there.
func (a *Admin) shardsOf(ctx context.Context, g *groupAt) ([]stream.Shard, string) {
	d, err := stream.Describe(ctx, a.kinesis, g.ref)
	if err != nil {
		return nil, fmt.Sprintf("the stream cannot be looked at: %v", err)
	}
	if g.known && !sameCreation(g.stored, d) {
		return nil, fmt.Sprintf("stream %s was created at %s, the checkpoints are of one created at %s", d.Name, d.Created.Format(time.RFC3339), g.stored.StreamCreated.Format(time.RFC3339))
	}
	shards, err := stream.ListShards(ctx, a.kinesis, g.ref)
	if err != nil {
		return nil, fmt.Sprintf("the stream cannot be looked at: %v", err)
	}
	return shards, ""
}

// views joins what the stream lists and what the table holds.
func (a *Admin) views(ctx context.Context, g *groupAt, shards []stream.Shard, complete bool) ([]ShardView, error) {
	listed, children := kinship(shards)
	views := make([]ShardView, len(shards), len(shards)+len(g.items))
	eg, asking := errgroup.WithContext(ctx)
	eg.SetLimit(around)
	for n, shard := range shards {
		eg.Go(func() error {
			reset, err := g.reset(asking, shard.ID)
			if err != nil {
				return fmt.Errorf("look at %s: %w", shard.ID, err)
			}
			v := g.view(shard.ID, reset)
			v.Closed, v.Parents, v.Children = shard.Closed, append(v.Parents, shard.Parents...), append(v.Children, children[shard.ID]...)
			g.refine(&v, shard, listed)
			a.measure(asking, &v, g, g.position(shard, reset, listed), shard.ID)
			views[n] = v
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	for id, item := range g.items {
		if listed[id] {
			continue
		}
		reset, err := g.reset(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", id, err)
		}
		v := g.view(id, reset)
		if complete && item.Checkpoint != lease.ShardEnd {
			v.State, v.Problem = StateExpired, "left the stream before it was read to its end"
		}
		views = append(views, v)
	}
	slices.SortFunc(views, func(a, b ShardView) int { return strings.Compare(string(a.Shard), string(b.Shard)) })
	return views, nil
}

func kinship(shards []stream.Shard) (listed map[stream.ShardID]bool, children map[stream.ShardID][]stream.ShardID) {
	listed, children = make(map[stream.ShardID]bool, len(shards)), make(map[stream.ShardID][]stream.ShardID)
	for _, s := range shards {
		listed[s.ID] = true
		for _, p := range s.Parents {
			children[p] = append(children[p], s.ID)
		}
	}
	return listed, children
}

// view is what the table says of a shard.
func (g *groupAt) view(id stream.ShardID, reset lease.Reset) ShardView {
	i := g.items[id]
	v := ShardView{
		Shard: id, Owner: i.Owner, Claim: i.Claim, Checkpoint: i.Checkpoint, Generation: max(i.Generation, reset.Generation),
		Parents: []stream.ShardID{}, Children: []stream.ShardID{},
	}
	if p := i.Pending; p != nil {
		v.Pending = &PendingView{First: p.First, Last: p.Last, Generation: p.Generation, Plan: p.Plan}
	}
	if g := i.Gap; g != nil {
		v.Gap = &GapView{First: g.First, Last: g.Last, Found: g.Found, At: g.At}
	}
	switch {
	case i.Checkpoint == lease.ShardEnd:
		v.State, v.Owner = StateFinished, ""
	case i.Owner == "":
		v.State = StateFree
	case i.Report == nil:
		v.State = StateHeld
	default:
		v.State, v.Since, v.Problem = State(i.Report.State), i.Report.Since, i.Report.Error
	}
	if i.Owner != "" && v.State != StateFinished && isSilent(i, time.Now()) {
		v.Problem = strings.TrimSuffix(fmt.Sprintf("its lease ran out at %s, and nobody took it; last report: %s %s", i.Timeout, v.State, v.Problem), " ")
		v.State, v.Since = StateSilent, time.Time{}
	}
	return v
}

// refine tells why a shard without holder has none.
func (g *groupAt) refine(v *ShardView, shard stream.Shard, listed map[stream.ShardID]bool) {
	if v.State != StateFree {
		return
	}
	if _, known := g.items[shard.ID]; !known {
		v.State = StateNew
	}
	for _, p := range parentsOf(shard, listed) {
		if g.items[p].Checkpoint != lease.ShardEnd {
			v.State = StateWaiting
		}
	}
}

// measure asks the stream how far a shard's position lies behind the tip.
func (a *Admin) measure(ctx context.Context, v *ShardView, g *groupAt, at stream.Position, shard stream.ShardID) {
	if v.State == StateFinished {
		return
	}
	s, err := stream.Peek(ctx, a.kinesis, g.ref, shard, at)
	if err != nil {
		if v.Problem == "" {
			v.Problem = fmt.Sprintf("lag not known: %v", err)
		}
		return
	}
	ms := max(0, s.Behind).Milliseconds()
	v.LagMS = &ms
}

func (v *GroupView) sum() {
	workers := make(map[string]bool)
	v.Totals = GroupTotals{Shards: len(v.Shards), States: make(map[State]int)}
	for i, s := range v.Shards {
		v.Totals.States[s.State]++
		if s.Owner != "" && s.State != StateSilent {
			workers[s.Owner] = true
		}
		if s.Pending != nil {
			v.Totals.Pending++
		}
		if s.Gap != nil {
			v.Totals.Gaps++
		}
		if s.Problem != "" {
			v.Totals.Problems++
		}
		if s.LagMS != nil && (v.Totals.MaxLagMS == nil || *s.LagMS > *v.Totals.MaxLagMS) {
			v.Totals.MaxLagMS, v.Totals.MaxLagOf = v.Shards[i].LagMS, s.Shard
		}
	}
	v.Totals.Workers = len(workers)
}
