package contract_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// numbers come back with leading and trailing zeros trimmed.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
func numberCases() (cases []dynamodbCase) {
	for _, n := range []struct{ sentence, put, want string }{
		{"a whole number", "42", "42"},
		{"leading zeros are trimmed", "007", "7"},
		{"trailing zeros are trimmed", "1.500", "1.5"},
		{"nothing but zeros is zero", "-0.00", "0"},
		{"no digit before the point", ".5", "0.5"},
		{"an exponent is written out", "1E3", "1000"},
		{"a negative exponent is written out", "-12e-3", "-0.012"},
		{"38 digits stay exact", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"},
		{"38 digits behind the point stay exact", "0.12345678901234567890123456789012345678", "0.12345678901234567890123456789012345678"},
		{"the largest number", "9.9999999999999999999999999999999999999E+125", strings.Repeat("9", 38) + strings.Repeat("0", 88)},
		{"the smallest number", "1E-130", "0." + strings.Repeat("0", 129) + "1"},
	} {
		cases = append(cases, dynamodbCase{"number: " + n.sentence, func(c *check, d dynamo) {
			id := c.Name()
			d.put(c, item(id, attributes{"n": num(n.put), "in": list(document(attributes{"n": num(n.put)}))}))
			d.holds(c, id, item(id, attributes{"n": num(n.want), "in": list(document(attributes{"n": num(n.want)}))}))
		}})
	}
	return cases
}

// wrongValues are refused by PutItem.
func wrongValueCases() (cases []dynamodbCase) {
	levels := func(n int) types.AttributeValue {
		v := text("x")
		for range n {
			v = list(v)
		}
		return v
	}
	values := map[string]types.AttributeValue{
		"a word for a number":      num("seven"),
		"no digits for a number":   num(""),
		"39 significant digits":    num("1" + strings.Repeat("0", 37) + "1"),
		"a number too large":       num("1E126"),
		"a number too small":       num("1E-131"),
		"a number of infinite":     num("Infinity"),
		"an empty set":             set(),
		"a set with a word twice":  set("a", "a"),
		"a null that is false":     &types.AttributeValueMemberNULL{Value: false},
		"33 levels":                levels(32),
		"a bad number in a map":    document(attributes{"x": num("-")}),
		"a bad number in a list":   list(num("1e")),
		"an empty set in a map":    document(attributes{"x": set()}),
		"a number with a space":    num(" 1"),
		"a number of hexadecimals": num("0x1"),
	}
	for _, name := range sorted(values) {
		cases = append(cases, dynamodbCase{"there is no item with " + name, func(c *check, d dynamo) {
			id := c.Name()
			c.Code("put item", d.tryPut(c, item(id, attributes{"v": values[name]})), "ValidationException")
			d.holds(c, id, nil)
		}})
	}
	return append(cases, dynamodbCase{"an item of 32 levels, its last words included, is held", func(c *check, d dynamo) {
		id := c.Name()
		want := item(id, attributes{"v": levels(31)})
		d.put(c, want)
		d.holds(c, id, want)
	}})
}

// wrongKeys are refused by every operation that takes one.
func wrongKeyCases() (cases []dynamodbCase) {
	keys := map[string]attributes{
		"no key":                {"x": text("a")},
		"nothing":               {},
		"an empty key":          {keyName: text("")},
		"a key of another type": {keyName: num("1")},
		"a key over 2 KB":       key(strings.Repeat("x", 2049)),
		"a key in other case":   {"shardid": text("a")},
	}
	for _, name := range sorted(keys) {
		cases = append(cases, dynamodbCase{"there is no call with " + name, func(c *check, d dynamo) {
			k := keys[name]
			c.Code("put item", d.tryPut(c, k), "ValidationException")
			_, err := d.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: d.table, Key: k})
			c.Code("get item", err, "ValidationException")
			_, err = d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: k})
			c.Code("update item", err, "ValidationException")
			_, err = d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: k})
			c.Code("delete item", err, "ValidationException")
		}})
	}
	return append(cases, dynamodbCase{"there is no key with another attribute beside it", func(c *check, d dynamo) {
		_, err := d.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: d.table, Key: item("a", attributes{"more": text("b")}), ConsistentRead: aws.Bool(true)})
		c.Code("get item", err, "ValidationException")
	}})
}
