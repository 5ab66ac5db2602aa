package kinesis

import (
	"fmt"
	"slices"
	"time"
)

const (
	resizesPerSecond = 10 // "TPS over 10 will trigger the LimitExceededException"
	// "Scale more than ten times per rolling 24-hour period per stream" is what cannot be done.
	resizesPerPeriod = 10
	resizePeriod     = 24 * time.Hour
)

type updateShardCountInput struct {
	streamRef
	ScalingType      string
	TargetShardCount *int
}

type updateShardCountOutput struct {
	StreamName        string
	StreamARN         string
	CurrentShardCount int
	TargetShardCount  int
}

func (in updateShardCountInput) validate() error {
	if in.ScalingType != "UNIFORM_SCALING" {
		return validation("ScalingType %q: want UNIFORM_SCALING", in.ScalingType)
	}
	if in.TargetShardCount == nil || *in.TargetShardCount < 1 {
		return validation("TargetShardCount: want 1 or more")
	}
	return nil
}

// updateShardCount writes down where the stream is to go; the calls that follow bring it there, see resizeOn.
func (c *call) updateShardCount(in updateShardCountInput) (updateShardCountOutput, error) {
	if err := in.validate(); err != nil {
		return updateShardCountOutput{}, err
	}
	st, unlock, err := c.resharding("UpdateShardCount", resizesPerSecond, in.streamRef)
	if err != nil {
		return updateShardCountOutput{}, err
	}
	defer unlock()
	out := updateShardCountOutput{st.meta.Name, arn(st.meta.Name), st.open(), *in.TargetShardCount}
	if err := st.resize(out.CurrentShardCount, out.TargetShardCount, c.now); err != nil {
		return updateShardCountOutput{}, err
	}
	return out, nil
}

func (st *stream) resize(open, target int, now time.Time) error {
	counts := fmt.Sprintf("Current open shard count: %d, Target shard count: %d", open, target)
	recent := slices.DeleteFunc(slices.Clone(st.meta.ResizedMS), func(ms int64) bool { return ms <= now.Add(-resizePeriod).UnixMilli() })
	switch {
	case target > maxShards:
		return limitExceeded("Target shard count or number of open shards cannot be greater than %d. %s", maxShards, counts)
	case target > 2*open:
		return limitExceeded("UpdateShardCount cannot scale up over double your current open shard count. %s", counts)
	case 2*target < open:
		return limitExceeded("UpdateShardCount cannot scale down below half your current open shard count. %s", counts)
	case len(recent) >= resizesPerPeriod:
		return limitExceeded("UpdateShardCount was called %d times for stream %s in the last %s, more is not allowed.", len(recent), st.meta.Name, resizePeriod)
	}
	before := st.meta.ResizedMS
	st.meta.TargetShards, st.meta.ResizedMS = target, append(recent, now.UnixMilli())
	if err := st.save(); err != nil {
		st.meta.TargetShards, st.meta.ResizedMS = 0, before
		return err
	}
	st.stepAt.Store(now.Add(st.opts.ReshardStep).UnixMilli())
	return nil
}

// resizeOn does the next step of a resize if it is due: at most one, in the goroutine of whichever call comes then. Nobody can see a
// stream without calling, so nobody sees one whose resize has stopped, and the first call after a crash goes on with it. A step that
// fails is tried again when the next one would be due.
func (st *stream) resizeOn(now time.Time) {
	if due := st.stepAt.Load(); due == 0 || now.UnixMilli() < due {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if due := st.stepAt.Load(); st.usable() != nil || due == 0 || now.UnixMilli() < due {
		return
	}
	st.stepAt.Store(now.Add(st.opts.ReshardStep).UnixMilli())
	if err := st.step(now); err != nil {
		st.opts.Log.Error("a step of a resize failed", "stream", st.meta.Name, "target", st.meta.TargetShards, "err", err)
	}
}

// step brings the open shards one split or merge nearer to equal parts of the hash space, or finds that they are equal. All splits come
// first, as many merges as are then left over follow. Other updates are done by then.
func (st *stream) step(now time.Time) error {
	if st.updating {
		st.updating = false
		st.stepAt.Store(0)
		return nil
	}
	open := slices.DeleteFunc(slices.Clone(st.shards), func(sh *shard) bool { return sh.meta.closed() })
	slices.SortFunc(open, func(a, b *shard) int { return a.meta.From.compare(b.meta.From) })
	target := st.meta.TargetShards
	part := 1 // the first bound not below the shard's range
	for _, sh := range open {
		for part < target && divide(part, target).compare(sh.meta.From) <= 0 {
			part++
		}
		if part < target && divide(part, target).compare(sh.meta.To) <= 0 {
			return st.split(sh, divide(part, target), now)
		}
	}
	part = 1
	for i, sh := range open[1:] {
		for part < target && divide(part, target).compare(sh.meta.From) < 0 {
			part++
		}
		if part == target || divide(part, target) != sh.meta.From {
			return st.merge(open[i], sh, now)
		}
	}
	st.meta.TargetShards = 0
	if err := st.save(); err != nil {
		st.meta.TargetShards = target
		return err
	}
	st.stepAt.Store(0)
	return nil
}
