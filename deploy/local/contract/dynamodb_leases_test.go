package contract_test

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// leaseCases are whole sequences as consumers/lease makes them, every attribute behind a placeholder.
var leaseCases = []dynamodbCase{
	{"a lease is created, taken, renewed, lost and ended", func(c *check, d dynamo) {
		id := c.Name()
		created := item(id, attributes{"Counter": num("0"), "ParentShardId": text("shardId-000000000000")})
		_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: created,
			ConditionExpression: aws.String("attribute_not_exists(#key)"), ExpressionAttributeNames: map[string]string{"#key": keyName}})
		c.Must("create", err)
		free := attributes{"AssignedTo": nil, "Counter": num("0"), "LeaseTimeout": nil}
		taken := attributes{"AssignedTo": text("w1"), "Counter": num("1"), "LeaseTimeout": text("2026-11-22T20:00:00Z")}
		d.change(c, id, free, taken, "")
		d.change(c, id, free, attributes{"AssignedTo": text("w2")}, "ConditionalCheckFailedException")

		mine := attributes{"AssignedTo": text("w1"), "Counter": num("1")}
		d.change(c, id, mine, attributes{"Counter": num("2"), "Checkpoint": text("495"), "pending": binary([]byte{1})}, "")
		d.change(c, id, mine, attributes{"Checkpoint": text("1")}, "ConditionalCheckFailedException")

		// Another worker claims it, and takes it when it was not renewed.
		unmoved := attributes{"AssignedTo": text("w1"), "Counter": num("2"), "LeaseTimeout": text("2026-11-22T20:00:00Z"), "ClaimRequest": nil}
		d.change(c, id, unmoved, attributes{"ClaimRequest": text("w2")}, "")
		d.change(c, id, unmoved, attributes{"ClaimRequest": text("w3")}, "ConditionalCheckFailedException")
		delete(unmoved, "ClaimRequest")
		d.change(c, id, unmoved, attributes{"AssignedTo": text("w2"), "Counter": num("3"), "ClaimRequest": nil}, "")
		d.change(c, id, attributes{"AssignedTo": text("w1"), "Counter": num("2")}, attributes{"Counter": num("3")}, "ConditionalCheckFailedException")

		d.change(c, id, attributes{"AssignedTo": text("w2"), "Counter": num("3")}, attributes{"AssignedTo": nil, "LeaseTimeout": nil, "pending": nil, "Checkpoint": text("SHARD_END")}, "")
		d.holds(c, id, item(id, attributes{"Counter": num("3"), "ParentShardId": text("shardId-000000000000"), "Checkpoint": text("SHARD_END")}))
	}},
	{"an empty owner is as good as none", func(c *check, d dynamo) {
		id := c.Name()
		d.put(c, item(id, attributes{"AssignedTo": text(""), "Checkpoint": text("")}))
		d.change(c, id, attributes{"AssignedTo": nil, "ClaimRequest": nil}, attributes{"AssignedTo": text("w1")}, "")
		d.holds(c, id, item(id, attributes{"AssignedTo": text("w1"), "Checkpoint": text("")}))
	}},
	{"what another tool wrote beside stays through an update and goes with a put", func(c *check, d dynamo) {
		id := c.Name()
		d.put(c, item(id, attributes{"foreign": document(attributes{"x": num("1")}), "AssignedTo": text("w1")}))
		d.change(c, id, attributes{"AssignedTo": text("w1")}, attributes{"AssignedTo": text("w2")}, "")
		d.holds(c, id, item(id, attributes{"foreign": document(attributes{"x": num("1")}), "AssignedTo": text("w2")}))
		d.put(c, item(id, attributes{"AssignedTo": text("w3")}))
		d.holds(c, id, item(id, attributes{"AssignedTo": text("w3")}))
	}},
}

// change writes want if seen still stands, in the shapes of consumers/lease: an attribute that is nil in seen must be absent, or empty
// where that means the same; one that is nil in want is removed. code is that of the expected refusal, "" for none.
func (d dynamo) change(c *check, id string, seen, want attributes, code string) {
	names, values := map[string]string{}, attributes{}
	name := func(attribute string) string {
		names["#"+attribute] = attribute
		return "#" + attribute
	}
	value := func(v types.AttributeValue) string {
		at := ":v" + strconv.Itoa(len(values))
		values[at] = v
		return at
	}
	var checks, sets, removes []string
	for _, a := range sorted(seen) {
		check := name(a) + " = "
		if seen[a] == nil {
			check = "(attribute_not_exists(" + name(a) + ") OR " + check + value(text("")) + ")"
		} else {
			check += value(seen[a])
		}
		checks = append(checks, check)
	}
	for _, a := range sorted(want) {
		if want[a] == nil {
			removes = append(removes, name(a))
		} else {
			sets = append(sets, name(a)+" = "+value(want[a]))
		}
	}
	update := "SET " + strings.Join(sets, ", ")
	if len(removes) > 0 {
		update += " REMOVE " + strings.Join(removes, ", ")
	}
	out, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id), UpdateExpression: &update,
		ConditionExpression: aws.String(strings.Join(checks, " AND ")), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValues: types.ReturnValueAllNew})
	if code != "" {
		c.Code(update, err, code)
		return
	}
	c.Must(update, err)
	for a, v := range want {
		if (v == nil) != (out.Attributes[a] == nil) || v != nil && show(v) != show(out.Attributes[a]) {
			c.Errorf("%s: %s is %s", update, a, show(out.Attributes[a]))
		}
	}
}
