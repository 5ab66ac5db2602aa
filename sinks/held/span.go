package held

import (
	"fmt"

	"tributary/stream"
)

// Span is what was appended to a sink since its last flush. One goroutine uses it.
type Span struct {
	Shard       stream.ShardID
	Taken       int64 // records, those without an event included
	First, Last stream.SequenceNumber
}

// Check refuses a record that cannot be the next one of the shard.
func (p *Span) Check(b stream.Batch) error {
	if b.Shard != p.Shard {
		return fmt.Errorf("append: a record of %s came to the sink of %s", b.Shard, p.Shard)
	}
	if p.Taken > 0 && b.Sequence.Compare(p.Last) <= 0 {
		return fmt.Errorf("append: record %s came after %s", b.Sequence, p.Last)
	}
	return nil
}

// Extend takes a record that Check has let pass.
func (p *Span) Extend(b stream.Batch) {
	if p.Taken == 0 {
		p.First = b.Sequence
	}
	p.Taken++
	p.Last = b.Sequence
}

// Within refuses a range that does not cover what was taken: its rows would come
// again with the next range, under another name.
func (p *Span) Within(all stream.Range) error {
	if all.Shard != p.Shard {
		return fmt.Errorf("a range of %s came to the sink of %s", all.Shard, p.Shard)
	}
	if all.First == "" || all.First.Compare(all.Last) > 0 {
		return fmt.Errorf("range %q to %q holds nothing", all.First, all.Last)
	}
	if p.Taken > 0 && (p.First.Compare(all.First) < 0 || p.Last.Compare(all.Last) > 0) {
		return fmt.Errorf("records %s to %s do not lie within the range %s to %s", p.First, p.Last, all.First, all.Last)
	}
	return nil
}
