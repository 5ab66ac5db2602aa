package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/consumers/lease"
	"tributary/stream"
)

// What a reset does to the records between two positions.
const (
	EffectAgain   = "again"   // they are delivered again, in the new generation
	EffectSkip    = "skip"    // they are never delivered
	EffectNone    = "none"    // there are none
	EffectUnknown = "unknown" // the stream did not tell; Note says why
)

// ResetPlan is what a reset would do, shard by shard, parents before children.
type ResetPlan struct {
	Group      string      `json:"group"`
	Stream     string      `json:"stream"`
	To         string      `json:"to"`                // as it was asked for
	ToTime     time.Time   `json:"to_time,omitzero"`  // what latest or a time means
	Generation uint64      `json:"generation"`        // of the shards that are reset
	Shards     []ResetStep `json:"shards"`            // those that were asked for
	Waiting    []string    `json:"waiting,omitempty"` // not reset, but wait for a parent that is

	group *groupAt
	start lease.Start
}

// ResetStep is one shard of a plan.
type ResetStep struct {
	Shard      stream.ShardID        `json:"shard"`
	Skip       string                `json:"skip,omitempty"` // why it stays as it is; "" = it is reset
	Generation uint64                `json:"generation"`     // today's
	Checkpoint stream.SequenceNumber `json:"checkpoint,omitempty"`
	Pending    *PendingView          `json:"pending"`
	Effect     string                `json:"effect,omitempty"`
	// From and Until are the arrival times between which records are delivered again
	// or skipped. A zero Until means the tip, or the end of a closed shard.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Note  string    `json:"note,omitempty"`

	shard   stream.Shard
	item    lease.Item
	reset   lease.Reset
	current stream.Position
}

// Steps counts the shards that are reset.
func (p *ResetPlan) Steps() (n int) {
	for _, s := range p.Shards {
		if s.Skip == "" {
			n++
		}
	}
	return n
}

// PlanReset says what a reset of the shards named, or of all that the stream
// lists, would do. It changes nothing.
//
// The shards of one reset get one generation, above every one they had: so
// children start from the maps their parents make in it. A shard that is at the
// target already, reset and not read since, stays as it is; so a reset that
// was cut off half-way is finished by asking for it again.
func (a *Admin) PlanReset(ctx context.Context, group string, to Target, only []stream.ShardID) (*ResetPlan, error) {
	g, err := a.open(ctx, group)
	if err != nil {
		return nil, err
	}
	if !g.known {
		return nil, refuse("group %s never started here, its tables name no stream: start it once", group)
	}
	shards, problem := a.shardsOf(ctx, g)
	if problem != "" {
		return nil, refuse("group %s cannot be reset: %s", group, problem)
	}
	p := &ResetPlan{Group: group, Stream: g.ref.String(), To: to.text, group: g, start: to.start}
	if to.latest {
		now, err := stream.Clock(ctx, a.kinesis, g.ref)
		if err != nil {
			return nil, err
		}
		p.start = lease.Start{From: lease.StartTimestamp, Time: now}
	}
	p.ToTime = p.start.Time
	if p.start.From == lease.StartSequence && len(only) != 1 {
		return nil, refuse("a sequence number belongs to one shard: name it with --shard")
	}
	if err := p.choose(shards, only, to.latest); err != nil {
		return nil, err
	}
	if err := a.foresee(ctx, p, shards); err != nil {
		return nil, err
	}
	p.number()
	return p, nil
}

// choose makes a step for each shard that was asked for.
func (p *ResetPlan) choose(shards []stream.Shard, only []stream.ShardID, latest bool) error {
	listed, _ := kinship(shards)
	for _, id := range only {
		if !listed[id] {
			return refuse("stream %s has no shard %s", p.Stream, id)
		}
	}
	named := func(id stream.ShardID) bool { return len(only) == 0 || slices.Contains(only, id) }
	for _, shard := range shards {
		item, ok := p.group.items[shard.ID]
		if !ok {
			item = lease.Item{Shard: shard.ID}
		}
		if !named(shard.ID) {
			reread := func(id stream.ShardID) bool {
				return named(id) && !(latest && p.group.items[id].Checkpoint == lease.ShardEnd)
			}
			if item.Checkpoint != lease.ShardEnd && slices.ContainsFunc(parentsOf(shard, listed), reread) {
				p.Waiting = append(p.Waiting, string(shard.ID))
			}
			continue
		}
		step := ResetStep{Shard: shard.ID, Generation: item.Generation, Checkpoint: item.Checkpoint, shard: shard, item: item}
		if i := item.Pending; i != nil {
			step.Pending = &PendingView{First: i.First, Last: i.Last, Generation: i.Generation, Plan: i.Plan}
		}
		if latest && item.Checkpoint == lease.ShardEnd {
			step.Skip = "finished, nothing to skip"
		}
		p.Shards = append(p.Shards, step)
	}
	// Shards are numbered in the order in which they came into being.
	slices.SortFunc(p.Shards, func(a, b ResetStep) int { return cmp.Compare(a.Shard, b.Shard) })
	return nil
}

// foresee compares today's position of each shard with the target.
func (a *Admin) foresee(ctx context.Context, p *ResetPlan, shards []stream.Shard) error {
	listed, _ := kinship(shards)
	target, _ := p.start.Position()
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(around)
	for n := range p.Shards {
		s := &p.Shards[n]
		eg.Go(func() (err error) {
			if s.reset, err = p.group.reset(ctx, s.Shard); err != nil {
				return fmt.Errorf("look at %s: %w", s.Shard, err)
			}
			s.Generation = max(s.Generation, s.reset.Generation)
			if s.Skip != "" {
				return nil
			}
			if s.there(p.start) {
				s.Skip = "at the target already, and not read since"
				return nil
			}
			s.current = p.group.position(s.shard, s.reset, listed)
			return a.compare(ctx, p.group, s, target)
		})
	}
	return eg.Wait()
}

// there reports that a shard was reset to start and nobody has gone on since.
func (s *ResetStep) there(start lease.Start) bool {
	return s.reset.Generation > 0 && s.reset.Start.Equal(start) && s.item.Owner == "" && s.item.Checkpoint == "" && s.item.Pending == nil &&
		(s.item.Generation == s.reset.Generation || !s.item.Counted && s.item.Timeout == "")
}

// begun reports that the first half of a reset to start was written.
func (s *ResetStep) begun(start lease.Start) bool {
	return s.reset.Start.Equal(start) && s.reset.Generation > s.item.Generation
}

// number gives the generation.
func (p *ResetPlan) number() {
	for _, s := range p.Shards {
		switch {
		case s.Skip != "" && !s.there(p.start):
		case s.Skip != "" || s.begun(p.start):
			p.Generation = max(p.Generation, s.reset.Generation)
		default:
			p.Generation = max(p.Generation, s.Generation+1)
			for _, parent := range s.shard.Parents {
				p.Generation = max(p.Generation, p.group.items[parent].Generation)
			}
		}
	}
}

// compare says which records lie between today's position and the target.
func (a *Admin) compare(ctx context.Context, g *groupAt, s *ResetStep, target stream.Position) error {
	to, err := stream.Peek(ctx, a.kinesis, g.ref, s.Shard, target)
	if err != nil {
		if stream.IsPermanent(err) {
			return refuse("%s has no position %s: %v", s.Shard, target, err)
		}
		s.Effect, s.Note = EffectUnknown, err.Error()
		return nil
	}
	at := stream.Sight{End: true}
	if s.item.Checkpoint != lease.ShardEnd {
		if at, err = stream.Peek(ctx, a.kinesis, g.ref, s.Shard, s.current); err != nil {
			s.Effect, s.Note = EffectUnknown, fmt.Sprintf("today's position is not known to the stream: %v", err)
			return nil
		}
	}
	switch {
	case to.Next == at.Next:
		s.Effect = EffectNone
	case at.Next == "" || to.Next != "" && to.Next.Compare(at.Next) < 0:
		s.Effect, s.From, s.Until = EffectAgain, to.Arrival, at.Arrival
	default:
		s.Effect, s.From, s.Until = EffectSkip, at.Arrival, to.Arrival
	}
	if s.Pending != nil {
		s.Note = "what is pending is given up; rows of it that were written stay, in their generation"
	}
	return nil
}

// Living names the workers that hold leases of the group and renew them. It looks
// until each of them has either written, as seen from here, or was silent for as
// long as its lease lasts: no clocks are compared.
func (a *Admin) Living(ctx context.Context, group string) ([]string, error) {
	g, err := a.open(ctx, group)
	if err != nil {
		return nil, err
	}
	first := g.items
	var watch lease.Watch
	for {
		items, err := again(ctx, func() ([]lease.Item, error) { return g.table.List(ctx) })
		if err != nil {
			return nil, fmt.Errorf("look at group %s: %w", group, err)
		}
		now := time.Now()
		watch.Observe(items, now)
		var living []string
		undecided := false
		for _, i := range items {
			if i.Owner == "" {
				continue
			}
			if moved(first[i.Shard], i) && !slices.Contains(living, i.Owner) {
				living = append(living, i.Owner)
			}
			undecided = undecided || !watch.Free(i, a.cfg.LeaseDuration, now)
		}
		if len(living) > 0 || !undecided {
			slices.Sort(living)
			return living, nil
		}
		if err := sleep(ctx, a.cfg.LeaseDuration/10); err != nil {
			return nil, err
		}
	}
}

func moved(a, b lease.Item) bool {
	return a.Owner != b.Owner || a.Counter != b.Counter || a.Timeout != b.Timeout
}

// Reset does what the plan says, parents first. Without force a shard that moved
// since the plan was made ends it, refused: a worker lives. With force the shard is
// taken from its holder, whose next write is refused: what it flushes until then
// belongs to the generation before.
//
// After an error, or a crash, some shards are reset and the others are not; the
// same reset planned anew finishes it.
func (a *Admin) Reset(ctx context.Context, p *ResetPlan, force bool) error {
	for n := range p.Shards {
		if s := &p.Shards[n]; s.Skip == "" {
			if err := a.resetShard(ctx, p, s, force); err != nil {
				return err
			}
		}
	}
	return nil
}

// wrests bounds how often a forced reset tries to write between two writes of a
// living worker.
const wrests = 20

func (a *Admin) resetShard(ctx context.Context, p *ResetPlan, s *ResetStep, force bool) error {
	table, generation := p.group.table, p.Generation
	for try := 0; ; try++ {
		item, err := table.Find(ctx, s.Shard)
		if err == nil && try > 0 && item.Generation == generation && item.Owner == "" && item.Checkpoint == "" && item.Pending == nil {
			return nil // by the try before, whose answer was lost
		}
		if err == nil && !force && moved(s.item, item) {
			return refuse("%s was written by %s meanwhile: a worker of the group lives; stop it, or use --force", s.Shard, cmp.Or(item.Owner, "somebody"))
		}
		if err == nil {
			// A worker that took the shard between the two halves of a reset has ranges in
			// that generation.
			generation = max(generation, item.Generation+1)
			err = table.Apply(ctx, item, lease.Reset{Generation: generation, Start: p.start})
		}
		switch {
		case err == nil:
			return nil
		case stream.IsPermanent(err) || try >= wrests || ctx.Err() != nil:
			return fmt.Errorf("reset group %s: %w", p.Group, err)
		case errors.Is(err, lease.ErrLost):
			reset, err := p.group.reset(ctx, s.Shard)
			if err == nil && !(reset.Start.Equal(p.start) && reset.Generation == generation) {
				generation = max(generation, reset.Generation+1)
			}
		}
		if err := sleep(ctx, backoff(min(try, 3))); err != nil {
			return err
		}
	}
}
