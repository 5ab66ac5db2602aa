package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"golang.org/x/sync/errgroup"

	"tributary/consumers"
	"tributary/sinks/lake"
	"tributary/stream"
)

// ErrRefused marks what a person has to change.
var ErrRefused = errors.New("refused")

type refusal struct{ reason string }

func (r refusal) Error() string        { return r.reason }
func (r refusal) Is(target error) bool { return target == ErrRefused }

func refuse(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }

// Replay is one replay and what it needs.
type Replay struct {
	Job
	Archive Archive
	Kinesis *kinesis.Client
	Ref     stream.Ref
	Admin   *consumers.Admin
	// Lake reads the lake, which group LakeTable (of lease tables) fills. Nil: there is
	// none.
	Lake      *lake.Prover
	LakeTable string
	// Dest is the destination with the other target.
	Dest consumers.Destination
	// NewGroup makes the group that delivers what arrived at since or later.
	NewGroup func(since time.Time) (*consumers.Group, error)
	Log      *slog.Logger

	progress progress
}

// Outlook is what a replay would do, or what is left of it.
type Outlook struct {
	Plan
	Name    string  `json:"name"`
	Resumed bool    `json:"resumed"` // it was begun before
	Done    bool    `json:"done"`    // all of it is delivered
	Shards  int     `json:"shards"`  // of the stream; 0: nothing comes from it
	Lake    *Counts `json:"lake"`    // null: nothing comes from it
	// LakeBegins is when the lake's first record arrived, if that is after From.
	LakeBegins time.Time `json:"lake_begins,omitzero"`
	// Gaps is what the lake does not hold of its part.
	Gaps []string `json:"gaps"`
	// Shared are other replays into the same target of some of that time: it is there
	// twice.
	Shared []Plan `json:"shared"`

	units []unit
}

// margin is how much younger than the retention records must be to be read from the
// stream: reading takes a while, and the oldest go first.
const margin = time.Hour

// Look says what the replay would do. It changes nothing.
func (r *Replay) Look(ctx context.Context) (*Outlook, error) {
	o := &Outlook{Name: r.Name(), Gaps: []string{}, Shared: []Plan{}}
	plan, begun, err := r.Archive.plan(ctx, r.Name())
	if err != nil {
		return nil, err
	}
	if begun && (plan.Group != r.Group || plan.Into != r.Into || !plan.From.Equal(r.From) || !plan.To.Equal(r.To)) {
		return nil, refuse("replay %s is another one, of group %s into %s from %s to %s: change a time by a second", r.Name(), plan.Group, plan.Into, stamp(plan.From), stamp(plan.To))
	}
	o.Plan, o.Resumed = Plan{Format: formatVersion, Job: r.Job, Plan: r.Dest.Plan}, begun
	if begun {
		o.Plan = plan
		if o.Done, err = r.marked(ctx, "done"); err != nil || o.Done {
			return o, err
		}
	}
	shared, err := r.Archive.into(ctx, r.Job)
	if err != nil {
		return nil, err
	}
	o.Shared = append(o.Shared, shared...)
	s, err := r.survey(ctx)
	if err != nil {
		return nil, err
	}
	if begun {
		err = r.recheck(ctx, s, plan)
	} else {
		o.Seam, err = r.seam(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	if o.Seam.Before(r.To) {
		o.Shards = len(s.shards)
	}
	if o.Seam.After(r.From) {
		return o, r.lookIntoLake(ctx, o)
	}
	return o, nil
}

func (r *Replay) lookIntoLake(ctx context.Context, o *Outlook) error {
	h, err := r.held(ctx, o.Seam)
	if err != nil {
		return err
	}
	o.Lake, o.LakeBegins, o.units = &h.counts, h.begins, h.units
	o.Gaps = append(o.Gaps, h.gaps...)
	return nil
}

// held is what the lake holds of what arrived before until.
func (r *Replay) held(ctx context.Context, until time.Time) (*holding, error) {
	h := &holding{from: r.From}
	if r.Lake == nil {
		return h, nil
	}
	err := r.Lake.Ranges(ctx, r.From, until, func(w lake.Written) error {
		if !strings.HasPrefix(string(w.Shard), lakeShard) { // a replay's into the lake itself
			h.add(w)
		}
		return nil
	})
	if len(h.shard) > 0 {
		h.end()
	}
	return h, err
}

// survey is what the stream holds.
type survey struct {
	now, created time.Time
	retention    time.Duration
	shards       []stream.Shard
	oldest       map[stream.ShardID]stream.Sight
	lake         *holding // of all the time
}

func (r *Replay) survey(ctx context.Context) (*survey, error) {
	d, err := stream.Describe(ctx, r.Kinesis, r.Ref)
	if err != nil {
		return nil, err
	}
	s := &survey{created: d.Created, retention: d.Retention, oldest: map[stream.ShardID]stream.Sight{}}
	if s.now, err = stream.Clock(ctx, r.Kinesis, r.Ref); err != nil {
		return nil, err
	}
	if s.shards, err = stream.ListShards(ctx, r.Kinesis, r.Ref); err != nil {
		return nil, err
	}
	sights := make([]stream.Sight, len(s.shards))
	g, looking := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, shard := range s.shards {
		g.Go(func() (err error) {
			sights[i], err = stream.Peek(looking, r.Kinesis, r.Ref, shard.ID, stream.TrimHorizon())
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, shard := range s.shards {
		s.oldest[shard.ID] = sights[i]
	}
	s.lake, err = r.held(ctx, r.To)
	return s, err
}

// horizon is when the latest record of the replay's time had arrived that the stream
// has let go, as far as anybody can know: by its retention, and by what the lake holds
// of records that the stream does not begin with any more. Zero: none.
func (s *survey) horizon(from time.Time) (at time.Time) {
	later := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	if s.retention > 0 {
		if kept := s.now.Add(min(margin, s.retention/4) - s.retention); from.Before(kept) && s.created.Before(kept) {
			later(kept)
		}
	}
	for _, u := range s.lake.units {
		first, listed := s.oldest[u.Shard]
		switch {
		case !listed || first.Next == "":
			later(u.ArrivalLast)
		case u.First.Compare(first.Next) < 0 && first.Arrival.After(from):
			later(first.Arrival)
		}
	}
	return at
}

// seam chooses it: From if the stream holds all, else what the lake holds comes from
// there.
func (r *Replay) seam(ctx context.Context, s *survey) (time.Time, error) {
	horizon := s.horizon(r.From)
	if horizon.Before(r.From) {
		return r.From, nil
	}
	first := horizon.Truncate(time.Millisecond).Add(time.Millisecond)
	if first.After(r.To) {
		first = r.To
	}
	if r.Lake == nil {
		return first, refuse("the stream holds what arrived since %s, and no lake is configured (lake.bucket): begin there with --from %s", stamp(first), stamp(first))
	}
	complete, err := r.completeUntil(ctx, s.now)
	if err != nil {
		return first, err
	}
	if len(s.lake.units) == 0 {
		return first, refuse("the stream holds what arrived since %s, and the lake has no range of the time before: begin there with --from %s", stamp(first), stamp(first))
	}
	if complete.Before(first) {
		return first, refuse("the stream holds what arrived since %s, and the lake all that arrived before %s, nothing in between: start \"consume lake\", and the same command later goes further", stamp(first), stamp(complete))
	}
	// As late as can be: rows of the lake were told from what producers sent twice with
	// all that came before in mind.
	if complete.Before(r.To) {
		return complete.Truncate(time.Millisecond), nil
	}
	return r.To, nil
}

// completeUntil is the time of which the lake holds everything that arrived before.
func (r *Replay) completeUntil(ctx context.Context, now time.Time) (time.Time, error) {
	v, err := r.Admin.Describe(ctx, r.LakeTable)
	if errors.Is(err, consumers.ErrRefused) {
		return time.Time{}, refuse("what the stream does not hold any more has to come from the lake, and nobody knows what it lacks: %v", err)
	}
	if err != nil {
		return time.Time{}, err
	}
	if len(v.Problems) > 0 {
		return time.Time{}, refuse("group %s: %s", r.LakeTable, v.Problems[0])
	}
	at := now // by the service's clock, in whole seconds
	for _, s := range v.Shards {
		switch {
		case s.State == consumers.StateFinished || s.State == consumers.StateExpired:
		case s.LagMS == nil:
			return time.Time{}, refuse("how far the lake's group is in %s is not known: %s", s.Shard, s.Problem)
		case *s.LagMS > 0:
			// A second, as the two clocks may differ by some of one.
			if t := v.At.Add(-time.Duration(*s.LagMS)*time.Millisecond - time.Second); t.Before(at) {
				at = t
			}
		}
	}
	return at, nil
}

// recheck makes sure that what is left of the stream's part is still there.
func (r *Replay) recheck(ctx context.Context, s *survey, p Plan) error {
	if done, err := r.marked(ctx, "stream"); err != nil || done || !p.Seam.Before(p.To) {
		return err
	}
	checkpoints := map[stream.ShardID]consumers.ShardView{}
	if there, err := r.Admin.Exists(ctx, r.Name()); err != nil {
		return err
	} else if there {
		v, err := r.Admin.Describe(ctx, r.Name())
		if err != nil {
			return err
		}
		for _, shard := range v.Shards {
			checkpoints[shard.Shard] = shard
		}
	}
	for _, u := range s.lake.units {
		first, listed := s.oldest[u.Shard]
		at := checkpoints[u.Shard]
		read := at.State == consumers.StateFinished || at.Checkpoint != "" && u.Last.Compare(at.Checkpoint) <= 0
		kept := listed && first.Next != "" && (first.Next.Compare(u.First) <= 0 || first.Next.Compare(at.Checkpoint) <= 0 && at.Checkpoint != "" || !first.Arrival.After(p.Seam))
		if read || kept || u.ArrivalLast.Before(p.Seam) {
			continue
		}
		return refuse("the stream has let go meanwhile of records of %s that the replay had still to read (they arrived until %s): delete group %s and what it wrote, and replay into another target",
			u.Shard, stamp(u.ArrivalLast), r.Name())
	}
	return nil
}

func (r *Replay) key(part string) string { return folder + r.Name() + "/" + part + ".json" }

// marked tells whether a part is delivered.
func (r *Replay) marked(ctx context.Context, part string) (bool, error) {
	var m mark
	return r.Archive.read(ctx, r.key(part), &m)
}

func (r *Replay) mark(ctx context.Context, part string, m mark) error {
	m.At = time.Now().UTC()
	_, err := r.Archive.create(ctx, r.key(part), m)
	return err
}
