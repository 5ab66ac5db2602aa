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
	TableName                string
	Limit                    *int
	ExclusiveStartKey        item
	ConsistentRead           bool
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
	Select                   string
	ReturnConsumedCapacity   string
}

type scanOutput struct {
	Items            []item
	Count            int
	ScannedCount     int
	LastEvaluatedKey item `json:",omitempty"`
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
	attributes, err := projection(in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return out, err
	}
	if in.Select != "" && (in.Select == "SPECIFIC_ATTRIBUTES") != (attributes != nil) {
		return out, validation("Select " + in.Select + " does not go with the ProjectionExpression given")
	}
	stale := !in.ConsistentRead && s.faults.Strikes(fault.Stale, serviceName, "Scan")
	err = s.with(in.TableName, func(t *table) error {
		out, err = t.page(in, t.view(stale), attributes)
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
// nothing follows. An item put meanwhile is seen if its place is still ahead.
func (t *table) page(in scanInput, items map[string]item, attributes []string) (out scanOutput, err error) {
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
		out.Items = append(out.Items, items[key].project(attributes))
		bytes += items[key].size()
		if in.Limit != nil && len(out.Items) == *in.Limit || bytes >= maxPage {
			out.LastEvaluatedKey = item{t.Key: items[key][t.Key]}
			break
		}
	}
	out.Count, out.ScannedCount = len(out.Items), len(out.Items)
	return out, nil
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
