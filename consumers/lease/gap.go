package lease

import (
	"context"
	"time"

	"tributary/stream"
)

// Gap is a pending range that the stream no longer held as a whole when it was
// replayed: records of it may be missing for good. It stands in the item until the
// next gap or a reset. It is for people to see: nothing is ever decided by it, and
// one that cannot be read counts as none.
type Gap struct {
	First, Last stream.SequenceNumber // of the range
	Found       stream.SequenceNumber // the first record of it that was left; "" = none
	At          time.Time             // to the millisecond
}

// MarkGap writes the gap down. One that is there already is not written again.
func (l *Lease) MarkGap(ctx context.Context, g Gap) error {
	if have := l.Item().Gap; have != nil && have.First == g.First && have.Last == g.Last && have.Found == g.Found {
		return nil
	}
	return l.change(ctx, "mark gap", func(i *Item) error {
		i.Gap = &g
		return nil
	})
}

// encodeGap gives the attribute of a gap.
func encodeGap(g Gap) attributes {
	a := attributes{"First": text(string(g.First)), "Last": text(string(g.Last)), "At": text(millis(g.At).Format(time.RFC3339Nano))}
	if g.Found != "" {
		a["Found"] = text(string(g.Found))
	}
	return a
}

// decodeGap returns nil for what is no gap.
func decodeGap(a attributes) *Gap {
	all := row{a: a}
	r, ok := all.child(attrGap)
	if !ok {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, r.text("At"))
	g := Gap{
		First: stream.SequenceNumber(r.text("First")), Last: stream.SequenceNumber(r.text("Last")),
		Found: stream.SequenceNumber(r.text("Found")), At: at,
	}
	if err != nil || r.err != nil || !isSequence(g.First) || !isSequence(g.Last) {
		return nil
	}
	return &g
}
