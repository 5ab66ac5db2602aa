package lease

import (
	"context"
	"fmt"
	"time"

	"tributary/stream"
)

// Acquire takes the lease of an item that is free or that Watch found expired. Of
// several workers that saw the same item one succeeds, the others get ErrLost.
// The claim, whoever made it, ends with it. An item that still has an owner was left
// without a Release: it is unsettled from then on.
func (t *Table) Acquire(ctx context.Context, seen Item) (*Lease, error) {
	reset, err := t.Reset(ctx, seen.Shard)
	if err != nil {
		return nil, fmt.Errorf("acquire lease %s: %w", seen.Shard, err)
	}
	began := time.Now()
	want := seen
	want.Unsettled = seen.Unsettled || seen.Owner != ""
	want.Owner, want.Claim, want.Report = t.cfg.Worker, "", nil
	want.Generation = max(seen.Generation, reset.Generation)
	t.stamp(&want, began)
	bounded, cancel := context.WithDeadline(ctx, began.Add(t.cfg.Duration))
	defer cancel()
	got, sent, err := t.replace(bounded, seen, want, unmoved)
	if err != nil {
		return nil, fmt.Errorf("acquire lease %s: %w", seen.Shard, err)
	}
	return &Lease{table: t, start: reset.Start, write: make(chan struct{}, 1), item: got, until: sent.Add(t.cfg.Duration)}, nil
}

// Claim asks the owner to finish what it reads and hand over. It does not touch
// the counter: the owner's next write must not fail for it. ErrLost means that
// the item has moved since it was seen, or is claimed already.
func (t *Table) Claim(ctx context.Context, seen Item) error {
	if seen.Claim != "" {
		return fmt.Errorf("claim lease %s: %w: claimed by %s", seen.Shard, ErrLost, seen.Claim)
	}
	want := seen
	want.Claim = t.cfg.Worker
	_, err := t.update(ctx, seen, want, unclaimed)
	if isConditionFailed(err) {
		err = ErrLost
	}
	if err != nil {
		return fmt.Errorf("claim lease %s: %w", seen.Shard, err)
	}
	return nil
}

// Withdraw takes back this worker's claim of a shard, if it stands.
func (t *Table) Withdraw(ctx context.Context, shard stream.ShardID) error {
	_, err := t.update(ctx, Item{Shard: shard, Claim: t.cfg.Worker}, Item{Shard: shard}, condition{attrClaim})
	if err != nil && !isConditionFailed(err) {
		return fmt.Errorf("withdraw claim of %s: %w", shard, err)
	}
	return nil
}
