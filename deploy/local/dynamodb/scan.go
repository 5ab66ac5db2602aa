package dynamodb

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"

	"tributary/deploy/local/fault"
)

// maxPage is what one Scan reads at most, before projection, in bytes.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
const maxPage = 1 << 20

type scanInput struct {
	TableName                 string
	Limit                     *int
	ExclusiveStartKey         item
	ConsistentRead            bool
	FilterExpression          *string
	ProjectionExpression      *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]attribute
	Select                    string
	ReturnConsumedCapacity    string
}

type scanOutput struct {
	Items            []item
	Count            int
	ScannedCount     int
	LastEvaluatedKey item `json:",omitempty"`
}

// query is what a Scan wants of each item.
type query struct {
	filter     condition // nil: all items
	attributes []string  // nil: all attributes
}

func (in scanInput) parse() (q query, err error) {
	ph, err := newPlaceholders(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return q, err
	}
	if q.attributes, err = projection(in.ProjectionExpression, ph); err != nil {
		return q, err
	}
	if in.FilterExpression != nil {
		if q.filter, err = parseCondition("FilterExpression", *in.FilterExpression, ph); err != nil {
			return q, err
		}
	}
	return q, ph.allUsed()
}

func (s *Service) scan(in scanInput) (out scanOutput, err error) {
	if in.Limit != nil && *in.Limit < 1 {
		return out, validation("1 validation error detected: Value at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	if err := none("ReturnConsumedCapacity", in.ReturnConsumedCapacity); err != nil {
		return out, err
	}
	if err := oneOf("Select", in.Select, "", "ALL_ATTRIBUTES", "SPECIFIC_ATTRIBUTES"); err != nil {
		return out, err
	}
	q, err := in.parse()
	if err != nil {
		return out, err
	}
	if in.Select != "" && (in.Select == "SPECIFIC_ATTRIBUTES") != (q.attributes != nil) {
		return out, validation("Select " + in.Select + " does not go with the ProjectionExpression given")
	}
	stale := !in.ConsistentRead && s.faults.Strikes(fault.Stale, serviceName, "Scan")
	err = s.with(in.TableName, func(t *table) error {
		out, err = t.page(in, t.view(stale), q)
		return err
	})
	return out, err
}

// view is the items as a read sees them.
func (t *table) view(stale bool) map[string]item {
	if !stale {
		return t.items
	}
	old := maps.Clone(t.items)
	for key, before := range t.recent.before {
		if before.item == nil {
			delete(old, key)
			continue
		}
		old[key] = before.item
	}
	return old
}

// page answers the items behind ExclusiveStartKey, as many as fit. Like the
// service it says LastEvaluatedKey whenever it stopped at a bound, even if
// nothing follows, and an item that the filter leaves out counts for the bounds.
// An item put meanwhile is seen if its place is still ahead.
func (t *table) page(in scanInput, items map[string]item, q query) (out scanOutput, err error) {
	keys := slices.SortedFunc(maps.Keys(items), byPlace)
	start := 0
	if in.ExclusiveStartKey != nil {
		after, err := t.exactKey(in.ExclusiveStartKey)
		if err != nil {
			return out, err
		}
		var found bool
		start, found = slices.BinarySearchFunc(keys, after, byPlace)
		if found {
			start++
		}
	}
	var bytes int64
	out.Items = []item{}
	for _, key := range keys[start:] {
		wanted, err := q.wants(items[key])
		if err != nil {
			return out, err
		}
		if wanted {
			out.Items = append(out.Items, items[key].project(q.attributes))
		}
		out.ScannedCount++
		bytes += items[key].size()
		if in.Limit != nil && out.ScannedCount == *in.Limit || bytes >= maxPage {
			out.LastEvaluatedKey = item{t.Key: items[key][t.Key]}
			break
		}
	}
	out.Count = len(out.Items)
	return out, nil
}

func (q query) wants(i item) (bool, error) {
	if q.filter == nil {
		return true, nil
	}
	return q.filter.holds(i)
}

// byPlace orders keys by a hash: the service's order is no order of the keys
// either, and whoever relies on one is to find out here.
func byPlace(a, b string) int {
	return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
}

func place(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return h.Sum64()
}
