package lease

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A condition names the attributes that must still be as they were seen.
type condition []string

var (
	// ownerAndCounter guards the writes of a holder. Others' claims change neither.
	ownerAndCounter = condition{attrOwner, attrCounter}
	// unmoved guards an acquisition and a claim. The timeout is there for items of
	// the other library, which have no counter: it moves with each renewal.
	unmoved = condition{attrOwner, attrCounter, attrTimeout}
	// unclaimed guards a claim against a faster one.
	unclaimed = condition{attrOwner, attrCounter, attrTimeout, attrClaim}
)

// update writes the difference between two sights of an item, and only that:
// attributes of others stay.
func (t *Table) update(ctx context.Context, seen, want Item, cond condition) (Item, error) {
	ctx, cancel := t.attempt(ctx, opUpdate)
	defer cancel()
	in := updateInput(seen, want, cond)
	in.TableName = t.leases()
	out, err := t.api.UpdateItem(ctx, in, once)
	if err != nil {
		return Item{}, err
	}
	return decode(out.Attributes)
}

func updateInput(seen, want Item, cond condition) *dynamodb.UpdateItemInput {
	e := expression{names: map[string]string{}, values: attributes{}}
	from, to := encode(seen), encode(want)
	// The condition speaks of what was stored: an empty owner is written by the
	// other library where we write none.
	var checks, sets, removes []string
	for _, name := range cond {
		if v, ok := from[name]; ok {
			checks = append(checks, e.name(name)+" = "+e.value(v))
		} else {
			checks = append(checks, e.absent(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if name != attrShard && !reflect.DeepEqual(from[name], to[name]) {
			sets = append(sets, e.name(name)+" = "+e.value(to[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if _, ok := to[name]; !ok {
			removes = append(removes, e.name(name))
		}
	}
	var update string
	if len(sets) > 0 {
		update = "SET " + strings.Join(sets, ", ")
	}
	if len(removes) > 0 {
		update = strings.TrimSpace(update + " REMOVE " + strings.Join(removes, ", "))
	}
	return &dynamodb.UpdateItemInput{
		Key:                       attributes{attrShard: text(string(seen.Shard))},
		UpdateExpression:          &update,
		ConditionExpression:       aws.String(strings.Join(checks, " AND ")),
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
		ReturnValues:              types.ReturnValueAllNew,
	}
}

// expression gives every attribute a placeholder: "Counter" is a reserved word
// of DynamoDB, and the list of those grows.
type expression struct {
	names  map[string]string
	values attributes
}

func (e expression) name(attribute string) string {
	e.names["#"+attribute] = attribute
	return "#" + attribute
}

func (e expression) value(v types.AttributeValue) string {
	key := ":v" + strconv.Itoa(len(e.values))
	e.values[key] = v
	return key
}

// absent accepts an empty owner or claim as none.
func (e expression) absent(attribute string) string {
	missing := "attribute_not_exists(" + e.name(attribute) + ")"
	if attribute != attrOwner && attribute != attrClaim {
		return missing
	}
	return "(" + missing + " OR " + e.name(attribute) + " = " + e.value(text("")) + ")"
}
