package lease

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/stream"
)

// ShardEnd is the checkpoint of a closed shard that was read to its end.
const ShardEnd stream.SequenceNumber = "SHARD_END"

// version is that of all items of both tables.
const version = 1

// The attributes of a shard item. The first six are vmware-go-kcl-v2's and always
// of type S: any other type panics a worker of that library.
const (
	attrShard      = "ShardID"
	attrOwner      = "AssignedTo"
	attrTimeout    = "LeaseTimeout"
	attrCheckpoint = "Checkpoint"
	attrParent     = "ParentShardId"
	attrClaim      = "ClaimRequest"
	attrVersion    = "Version"
	attrCounter    = "Counter"
	attrMillis     = "LeaseMillis"
	attrGeneration = "Generation"
	attrPrevious   = "PreviousCheckpoint"
	attrPending    = "Pending"
	attrReport     = "Report"
	attrGap        = "Gap"
	attrUnsettled  = "Unsettled"
)

// Pending is a range about to be flushed, and the plan it is flushed by.
type Pending struct {
	First, Last stream.SequenceNumber
	Generation  uint64
	Plan        string // hash, see PutPlan
}

// Item is one shard's row.
type Item struct {
	Shard stream.ShardID
	Owner string // "" = free
	// Timeout is vmware's wall-clock expiry, RFC3339Nano in UTC. It is written for
	// that library and compared as text; it never decides anything here.
	Timeout    string
	Checkpoint stream.SequenceNumber // "" = none yet
	Parent     stream.ShardID
	Claim      string // the worker that asks the owner to hand over
	// Counted is false for items of another library, which have no counter.
	Counted    bool
	Counter    uint64
	Duration   time.Duration // the owner's, in milliseconds
	Generation uint64
	// Previous is the checkpoint before this one. Its snapshot is to be dropped by
	// whoever holds the lease: a crash between checkpoint and drop forgets nothing.
	Previous stream.SequenceNumber
	Pending  *Pending
	Report   *Report // of the holder, for others to see; nil = none
	Gap      *Gap    // the latest; nil = none
	// Unsettled: a holder may have delivered more than the checkpoint says. Of a group
	// with two phases the pending range says so better.
	Unsettled bool
}

type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n uint64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(n, 10)}
}

// encode gives the row of an item. Empty values are absent attributes.
func encode(i Item) attributes {
	a := attributes{attrShard: text(string(i.Shard))}
	texts := map[string]string{
		attrOwner:      i.Owner,
		attrTimeout:    i.Timeout,
		attrCheckpoint: string(i.Checkpoint),
		attrParent:     string(i.Parent),
		attrClaim:      i.Claim,
		attrPrevious:   string(i.Previous),
	}
	for name, value := range texts {
		if value != "" {
			a[name] = text(value)
		}
	}
	if i.Counted {
		a[attrVersion] = number(version)
		a[attrCounter] = number(i.Counter)
	}
	if i.Duration > 0 {
		a[attrMillis] = number(uint64(i.Duration.Milliseconds()))
	}
	if i.Generation > 0 {
		a[attrGeneration] = number(i.Generation)
	}
	if p := i.Pending; p != nil {
		a[attrPending] = &types.AttributeValueMemberM{Value: attributes{
			"First": text(string(p.First)), "Last": text(string(p.Last)),
			"Generation": number(p.Generation), "Plan": text(p.Plan),
		}}
	}
	if i.Report != nil {
		a[attrReport] = &types.AttributeValueMemberM{Value: encodeReport(*i.Report)}
	}
	if i.Unsettled {
		a[attrUnsettled] = number(1)
	}
	if i.Gap != nil {
		a[attrGap] = &types.AttributeValueMemberM{Value: encodeGap(*i.Gap)}
	}
	return a
}

// decode reads a row and refuses what it does not understand: guessing at a
// position loses or doubles events.
func decode(a attributes) (Item, error) {
	r := row{a: a}
	if err := r.known(0); err != nil { // another library's items have none
		return Item{}, fmt.Errorf("lease item: %w", err)
	}
	i := Item{
		Shard:      stream.ShardID(r.text(attrShard)),
		Owner:      r.text(attrOwner),
		Timeout:    r.text(attrTimeout),
		Checkpoint: stream.SequenceNumber(r.text(attrCheckpoint)),
		Parent:     stream.ShardID(r.text(attrParent)),
		Claim:      r.text(attrClaim),
		Counter:    r.number(attrCounter),
		Duration:   time.Duration(min(r.number(attrMillis), 1<<32)) * time.Millisecond,
		Generation: r.number(attrGeneration),
		Previous:   stream.SequenceNumber(r.text(attrPrevious)),
	}
	_, i.Counted = a[attrCounter]
	_, i.Unsettled = a[attrUnsettled]
	i.Report, i.Gap = decodeReport(a), decodeGap(a)
	if m, ok := r.child(attrPending); ok {
		i.Pending = &Pending{
			First:      stream.SequenceNumber(m.text("First")),
			Last:       stream.SequenceNumber(m.text("Last")),
			Generation: m.number("Generation"),
			Plan:       m.text("Plan"),
		}
		if m.err == nil && (!isSequence(i.Pending.First) || !isSequence(i.Pending.Last) || i.Pending.Plan == "") {
			m.err = fmt.Errorf("attribute %s: a range or plan is missing", attrPending)
		}
		r.err = first(r.err, m.err)
	}
	if r.err == nil && i.Shard == "" {
		r.err = fmt.Errorf("attribute %s is missing", attrShard)
	}
	for name, s := range map[string]stream.SequenceNumber{attrCheckpoint: i.Checkpoint, attrPrevious: i.Previous} {
		if r.err == nil && s != "" && s != ShardEnd && !isSequence(s) {
			r.err = fmt.Errorf("attribute %s: %q is no sequence number", name, s)
		}
	}
	if r.err != nil {
		return Item{}, fmt.Errorf("lease item %q: %w", i.Shard, r.err)
	}
	return i, nil
}

func isSequence(s stream.SequenceNumber) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// row reads typed attributes and remembers the first fault.
type row struct {
	a   attributes
	err error
}

// known refuses an item of a later version. Attributes may be added to a version:
// writes leave alone what they do not know. A changed meaning raises the version,
// and no retry makes this program understand it.
func (r *row) known(least uint64) error { return r.within(least, version) }

func (r *row) within(least, most uint64) error {
	if v := r.number(attrVersion); r.err == nil && (v < least || v > most) {
		return stream.Permanent(fmt.Errorf("it has version %d, this program reads version %d: a newer one wrote it, use that", v, most))
	}
	return r.err
}

func (r *row) text(name string) string {
	switch v := r.a[name].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		r.err = first(r.err, fmt.Errorf("attribute %s is not a string", name))
	}
	return ""
}

func (r *row) number(name string) uint64 {
	switch v := r.a[name].(type) {
	case nil:
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseUint(v.Value, 10, 64)
		if err != nil {
			r.err = first(r.err, fmt.Errorf("attribute %s: %w", name, err))
		}
		return n
	default:
		r.err = first(r.err, fmt.Errorf("attribute %s is not a number", name))
	}
	return 0
}

func (r *row) bytes(name string) []byte {
	switch v := r.a[name].(type) {
	case nil:
	case *types.AttributeValueMemberB:
		return v.Value
	default:
		r.err = first(r.err, fmt.Errorf("attribute %s is not binary", name))
	}
	return nil
}

func (r *row) child(name string) (*row, bool) {
	switch v := r.a[name].(type) {
	case nil:
	case *types.AttributeValueMemberM:
		return &row{a: v.Value}, true
	default:
		r.err = first(r.err, fmt.Errorf("attribute %s is not a map", name))
	}
	return nil, false
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// same reports whether two items agree in all but the claim, which others write
// while the owner writes the rest.
func same(a, b Item) bool {
	a.Claim, b.Claim = "", ""
	return reflect.DeepEqual(encode(a), encode(b))
}
