package contract_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The names and values that expressions of the cases may use.
var (
	someNames  = map[string]string{"#owner": "AssignedTo", "#odd": "a.b c", "#num": "num"}
	someValues = attributes{
		":w1": text("w1"), ":w2": text("w2"), ":word": text("x"), ":end": text("SHARD_END"), ":empty": text(""),
		":one": num("1"), ":ten": num("10"), ":nine": num("9.0"), ":frac": num("0.25"), ":large": num("99999999999999999999999999999999999990"),
		":set": set("y", "x"), ":true": boolean(true), ":list": list(num("1.0"), text("z")), ":map": document(attributes{"k": num("1e0")}),
		":bin": binary([]byte{1, 2}), ":null": null(true),
	}
)

// used are the placeholders that occur in the expressions: unused ones are refused.
func used[V any](all map[string]V, expressions ...string) map[string]V {
	found := map[string]V{}
	for k, v := range all {
		if strings.Contains(strings.Join(expressions, " "), k) {
			found[k] = v
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// optional is nil for an expression that is not there.
func optional(expression string) *string {
	if expression == "" {
		return nil
	}
	return &expression
}

func conditionCases() (cases []dynamodbCase) {
	for _, e := range []struct {
		condition string
		holds     bool
	}{
		{"attribute_exists(AssignedTo)", true},
		{"attribute_not_exists(AssignedTo)", false},
		{"attribute_not_exists(ClaimRequest)", true},
		{"attribute_exists(#odd)", true},
		{"AssignedTo = :w1", true},
		{":w1 = AssignedTo", true},
		{"#owner = :w2", false},
		{"#owner <> :w2", true},
		{"absent = :w1", false},
		{"absent <> :w1", true},
		{"absent < :one", false},
		{"NOT absent < :one", true},
		{"num < :ten", true}, // as numbers: "9" is greater than "10" as text
		{"num <= :nine", true},
		{"num >= :nine", true},
		{"num = :nine", true},
		{"num > :nine", false},
		{":ten > num", true},
		{":ten <= num", false},
		{"num = :w1", false},
		{"num < :w1", false},
		{"AssignedTo < :w2", true},
		{"AssignedTo > :empty", true},
		{"bin >= :bin", true},
		{"members = :set", true},
		{"yes = :true", true},
		{"elems = :list", true},
		{"m = :map", true},
		{"nil = :null", true},
		{"nil <> :null", false},
		{"AssignedTo = :w1 AND num = :one OR attribute_exists(m)", true},
		{"AssignedTo = :w1 AND (num = :one OR attribute_exists(absent))", false},
		{"NOT AssignedTo = :w2 and not (num = :one)", true},
		{"NOT NOT AssignedTo = :w1", true},
		{"(AssignedTo = :w1) AND (num = :nine)", true},
		{"((AssignedTo = :w1) AND (num = :nine))", true},
		{"((AssignedTo = :w1) AND num = :nine) OR absent = :one", true},
		{"attribute_exists ( AssignedTo )", true},
		// As vmware-go-kcl-v2 writes its claim, without a space before AND.
		{"ShardID <> :w1 AND attribute_not_exists(ClaimRequest)AND AssignedTo = :w1 AND Checkpoint <> :end AND attribute_not_exists(ParentShardId)", true},
	} {
		outcome := " holds"
		if !e.holds {
			outcome = " fails"
		}
		cases = append(cases, dynamodbCase{e.condition + outcome, func(c *check, d dynamo) { d.judgesCondition(c, e.condition, e.holds) }})
	}
	for condition, holds := range map[string]bool{"attribute_not_exists(ShardID)": true, "attribute_exists(ShardID)": false} {
		cases = append(cases, dynamodbCase{"an absent item has no attributes: " + condition, func(c *check, d dynamo) {
			_, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: key(c.Name()), ConditionExpression: &condition})
			if holds {
				c.Must("delete item", err)
				return
			}
			c.Code("delete item", err, "ConditionalCheckFailedException")
		}})
	}
	return cases
}

func (d dynamo) judgesCondition(c *check, condition string, holds bool) {
	id := c.Name()
	stored := item(id, attributes{
		"AssignedTo": text("w1"), "a.b c": text("x"), "num": num("9"), "Checkpoint": text("49590"), "members": set("x", "y"), "yes": boolean(true),
		"elems": list(num("1"), text("z")), "m": document(attributes{"k": num("1")}), "bin": binary([]byte{1, 2}), "nil": null(true),
	})
	d.put(c, stored)
	_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: key(id), ConditionExpression: &condition,
		ExpressionAttributeNames: used(someNames, condition), ExpressionAttributeValues: used(someValues, condition)})
	if holds {
		c.Must("put item", err)
		d.holds(c, id, key(id))
		return
	}
	c.Code("put item", err, "ConditionalCheckFailedException")
	d.holds(c, id, stored)
}

func updateCases() (cases []dynamodbCase) {
	for _, u := range []struct {
		name   string
		update string
		want   attributes // nil: the attribute is absent
	}{
		{"sets several attributes", "SET AssignedTo = :w2, fresh = :one", attributes{"AssignedTo": text("w2"), "fresh": num("1")}},
		{"counts up", "SET num = num + :one", attributes{"num": num("10")}},
		{"counts down with decimals", "SET num = num - :frac", attributes{"num": num("8.75")}},
		{"counts what may be absent", "SET absent = if_not_exists(absent, :one) + :one", attributes{"absent": num("2")}},
		{"keeps what exists", "SET num = if_not_exists(num, :ten), absent = if_not_exists(absent, :ten)", attributes{"absent": num("10")}},
		{"copies an attribute as it was before the update", "SET num = :one, fresh = num", attributes{"num": num("1"), "fresh": num("9")}},
		{"swaps two attributes", "SET num = AssignedTo, AssignedTo = num", attributes{"num": text("w1"), "AssignedTo": num("9")}},
		{"removes what is there and what is not", "REMOVE AssignedTo, absent", attributes{"AssignedTo": nil}},
		{"sets and removes, keywords in any case", "set num = :one remove #owner", attributes{"num": num("1"), "AssignedTo": nil}},
		{"removes before it sets", "REMOVE #owner SET num=:one", attributes{"num": num("1"), "AssignedTo": nil}},
		{"writes an odd name", "SET #odd = :w1", attributes{"a.b c": text("w1")}},
		{"sets every type", "SET a = :set, b = :true, c = :list, d = :map, e = :bin, f = :null, g = :empty", attributes{"a": set("x", "y"), "b": boolean(true),
			"c": list(num("1"), text("z")), "d": document(attributes{"k": num("1")}), "e": binary([]byte{1, 2}), "f": null(true), "g": text("")}},
		{"keeps large numbers exact", "SET num = :large + :one", attributes{"num": num("99999999999999999999999999999999999991")}},
	} {
		cases = append(cases, dynamodbCase{"an update " + u.name, func(c *check, d dynamo) {
			id := c.Name()
			want := item(id, attributes{"AssignedTo": text("w1"), "num": num("9")})
			d.put(c, want)
			for name, v := range u.want {
				want[name] = v
				if v == nil {
					delete(want, name)
				}
			}
			out, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id), UpdateExpression: &u.update, ReturnValues: types.ReturnValueAllNew,
				ExpressionAttributeNames: used(someNames, u.update), ExpressionAttributeValues: used(someValues, u.update)})
			c.Must("update item", err)
			equalItems(c, "answer", out.Attributes, want)
			d.holds(c, id, want)
		}})
	}
	return cases
}

func wrongExpressionCases() (cases []dynamodbCase) {
	for _, e := range []struct{ name, condition, update string }{
		{"an empty condition", " ", ""},
		{"an unknown function", "begins_where(word, :word)", ""},
		{"a function in other case", "ATTRIBUTE_EXISTS(word)", ""},
		{"a reserved word", "Counter = :one", ""},
		{"an undefined name", "#zz = :one", ""},
		{"an undefined value", "num = :zz", ""},
		{"redundant parentheses", "((num = :one))", ""},
		{"a missing parenthesis", "(num = :one", ""},
		{"something behind the end", "num = :one num", ""},
		{"an ordering of sets", "num < :set", ""},
		{"an ordering of truths", "num < :true", ""},
		{"a character of no language", "num = :one ; x", ""},
		{"a bare number", "num = 1", ""},
		{"a bare word in quotes", "num = 'x'", ""},
		{"an expression over 4 KB", strings.Repeat("num = :one OR ", 300) + "num = :one", ""},
		{"an empty update", "", " "},
		{"the key set", "", "SET ShardID = :word"},
		{"the key removed", "", "REMOVE ShardID"},
		{"a path twice", "", "SET num = :one REMOVE num"},
		{"a clause twice", "", "SET num = :one SET word = :word"},
		{"an absent operand", "", "SET word = absent + :one"},
		{"an absent source", "", "SET word = absent"},
		{"adding to a word", "", "SET word = word + :one"},
		{"three operands", "", "SET num = num + :one + :one"},
		{"no clause", "", "num = :one"},
		{"an end too early", "", "SET num ="},
		{"a comma at the end", "", "SET num = :one,"},
		{"a sum of 39 digits", "", "SET num = :large + :frac"},
	} {
		cases = append(cases, dynamodbCase{"there is no expression with " + e.name, func(c *check, d dynamo) {
			id := c.Name()
			stored := item(id, attributes{"num": num("1"), "word": text("x")})
			d.put(c, stored)
			_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id), ConditionExpression: optional(e.condition), UpdateExpression: optional(e.update),
				ExpressionAttributeNames: used(someNames, e.condition, e.update), ExpressionAttributeValues: used(someValues, e.condition, e.update)})
			c.Code("update item", err, "ValidationException")
			d.holds(c, id, stored)
		}})
	}
	return append(cases, wrongPlaceholderCases()...)
}

func wrongPlaceholderCases() (cases []dynamodbCase) {
	wrong := map[string]dynamodb.PutItemInput{
		"an unused value":         {ConditionExpression: aws.String("num = :one"), ExpressionAttributeValues: attributes{":one": num("1"), ":unused": num("1")}},
		"an unused name":          {ConditionExpression: aws.String("attribute_exists(num)"), ExpressionAttributeNames: map[string]string{"#unused": "num"}},
		"values but no use":       {ExpressionAttributeValues: attributes{":one": num("1")}},
		"names but no use":        {ExpressionAttributeNames: map[string]string{"#num": "num"}},
		"no values at all":        {ConditionExpression: aws.String("attribute_exists(num)"), ExpressionAttributeValues: attributes{}},
		"no names at all":         {ConditionExpression: aws.String("attribute_exists(num)"), ExpressionAttributeNames: map[string]string{}},
		"a value without colon":   {ConditionExpression: aws.String("num = :one"), ExpressionAttributeValues: attributes{"one": num("1")}},
		"a name without a hash":   {ConditionExpression: aws.String("attribute_exists(num)"), ExpressionAttributeNames: map[string]string{"num": "num"}},
		"a value that is wrong":   {ConditionExpression: aws.String("num = :one"), ExpressionAttributeValues: attributes{":one": num("one")}},
		"a value in an empty set": {ConditionExpression: aws.String("num = :set"), ExpressionAttributeValues: attributes{":set": set()}},
	}
	for _, name := range sorted(wrong) {
		cases = append(cases, dynamodbCase{"there is no request with " + name, func(c *check, d dynamo) {
			id := c.Name()
			in := wrong[name]
			in.TableName, in.Item = d.table, key(id)
			_, err := d.PutItem(c.Context(), &in)
			c.Code("put item", err, "ValidationException")
			d.holds(c, id, nil)
		}})
	}
	return cases
}
