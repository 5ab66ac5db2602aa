package lease

import (
	"context"
	"fmt"

	"tributary/stream"
)

// Forget removes a shard that was read to its end and is not needed any more: its
// generation, its item, its final snapshot. It reports false, and leaves what is
// left, when the item is not as it was seen: somebody has reset the shard.
//
// The generation goes before the item and only as it was seen: a reset raises the
// generation first, and so is noticed whatever it has done by then. The snapshot
// goes last: after a crash in between no item leads to it, and Sweep removes it.
func (t *Table) Forget(ctx context.Context, seen Item) (bool, error) {
	if seen.Checkpoint != ShardEnd || seen.Owner != "" {
		return false, fmt.Errorf("forget %s: it is not a free lease of a finished shard", seen.Shard)
	}
	forgotten, err := t.forget(ctx, seen)
	if err != nil {
		return false, fmt.Errorf("forget %s: %w", seen.Shard, err)
	}
	return forgotten, nil
}

func (t *Table) forget(ctx context.Context, seen Item) (bool, error) {
	reset, err := t.Reset(ctx, seen.Shard)
	current := reset.Generation
	if err != nil || current > seen.Generation {
		return false, err
	}
	if current > 0 {
		gone, err := t.remove(ctx, generationKey(seen.Shard), attributes{attrGeneration: number(current)})
		if err != nil || gone == nil {
			return false, err
		}
	}
	row := encode(seen)
	only := attributes{attrOwner: nil, attrCheckpoint: row[attrCheckpoint], attrCounter: row[attrCounter]}
	gone, err := t.removeFrom(ctx, t.leases(), attributes{attrShard: text(string(seen.Shard))}, only)
	if err != nil || gone == nil {
		return false, err
	}
	return true, t.DropSnapshot(ctx, Place{Shard: seen.Shard, Generation: seen.Generation, Sequence: ShardEnd})
}

func generationKey(shard stream.ShardID) string { return "shard/" + string(shard) }
