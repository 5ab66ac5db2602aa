package contract_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

var itemCases = []dynamodbCase{
	{"every type comes back as it was put", func(c *check, d dynamo) {
		id := c.Name()
		want := item(id, attributes{
			"word": text("é\u0001\u2028<&>\"\\"), "no word": text(""), "bytes": binary([]byte{0, 255, '\n'}), "no bytes": binary([]byte{}),
			"number": num("12345678901234567890.5"), "yes": boolean(true), "no": boolean(false), "nothing": null(true),
			"set": set("b", "a"), "list": list(text("x"), num("-1"), list()), "map": document(attributes{"<&>": text("é"), "x": null(true)}),
			"no map": document(attributes{}), "Counter": num("1"), "a.b c#:": text("an odd name"),
		})
		d.put(c, want)
		d.holds(c, id, want)
	}},
	{"a put replaces the whole item", func(c *check, d dynamo) {
		id := c.Name()
		d.put(c, item(id, attributes{"a": text("1"), "b": text("2")}))
		d.put(c, item(id, attributes{"b": text("3")}))
		d.holds(c, id, item(id, attributes{"b": text("3")}))
	}},
	{"an absent item is no error", func(c *check, d dynamo) {
		id := c.Name()
		d.holds(c, id, nil)
		out, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: key(id), ReturnValues: types.ReturnValueAllOld})
		c.Must("delete item", err)
		equalItems(c, "old item", out.Attributes, nil)
	}},
	{"a reader gets the attributes of its projection", func(c *check, d dynamo) {
		id := c.Name()
		d.put(c, item(id, attributes{"a": text("1"), "b": text("2"), "Counter": num("3")}))
		out, err := d.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: d.table, Key: key(id), ConsistentRead: aws.Bool(true),
			ProjectionExpression: aws.String("a, #c, absent"), ExpressionAttributeNames: map[string]string{"#c": "Counter"}})
		c.Must("get item", err)
		equalItems(c, "projection", out.Item, attributes{"a": text("1"), "Counter": num("3")})
	}},
	{"PutItem returns the old item when asked", func(c *check, d dynamo) {
		id := c.Name()
		put := func(returns types.ReturnValue, i, want attributes) {
			out, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: i, ReturnValues: returns})
			c.Must("put item", err)
			equalItems(c, "answer", out.Attributes, want)
		}
		one := item(id, attributes{"v": num("1")})
		put(types.ReturnValueAllOld, one, nil)
		put(types.ReturnValueAllOld, key(id), one)
		put(types.ReturnValueNone, one, nil)
		put("", one, nil)
	}},
	{"UpdateItem returns the old or the new item when asked", func(c *check, d dynamo) {
		id := c.Name()
		update := func(returns types.ReturnValue, want attributes) {
			out, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id), ReturnValues: returns,
				UpdateExpression: aws.String("SET v = if_not_exists(v, :none) + :one"), ExpressionAttributeValues: attributes{":one": num("1"), ":none": num("0")}})
			c.Must("update item", err)
			equalItems(c, "answer", out.Attributes, want)
		}
		update(types.ReturnValueAllOld, nil)
		update(types.ReturnValueAllNew, item(id, attributes{"v": num("2")}))
		update(types.ReturnValueAllOld, item(id, attributes{"v": num("2")}))
		update(types.ReturnValueNone, nil)
		update("", nil)
		update(types.ReturnValueAllNew, item(id, attributes{"v": num("6")}))
	}},
	{"DeleteItem returns the old item when asked", func(c *check, d dynamo) {
		id := c.Name()
		want := item(id, attributes{"v": num("1")})
		d.put(c, want)
		out, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: key(id), ReturnValues: types.ReturnValueAllOld})
		c.Must("delete item", err)
		equalItems(c, "old item", out.Attributes, want)
		d.holds(c, id, nil)
	}},
	{"PutItem does not return a new item", func(c *check, d dynamo) {
		_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: key(c.Name()), ReturnValues: types.ReturnValueAllNew})
		c.Code("put item", err, "ValidationException")
	}},
	{"DeleteItem does not return a new item", func(c *check, d dynamo) {
		_, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: key(c.Name()), ReturnValues: types.ReturnValueAllNew})
		c.Code("delete item", err, "ValidationException")
	}},
	{"an update of an absent item creates it", func(c *check, d dynamo) {
		id := c.Name()
		_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id)})
		c.Must("update item", err)
		d.holds(c, id, key(id))
	}},
	{"an update that is refused creates nothing", func(c *check, d dynamo) {
		id := c.Name()
		_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id), UpdateExpression: aws.String("SET a = :a"),
			ConditionExpression: aws.String("attribute_exists(ShardID)"), ExpressionAttributeValues: attributes{":a": text("x")}})
		c.Code("update item", err, "ConditionalCheckFailedException")
		d.holds(c, id, nil)
	}},
	{"an item of 400 KB is held", func(c *check, d dynamo) {
		id := c.Name()
		room := 400<<10 - len(keyName) - len(id) - len("text") - len("bytes")
		want := item(id, attributes{"bytes": binary(bytes.Repeat([]byte{0xff}, room/2)), "text": text(strings.Repeat("\x01", room-room/2))})
		d.put(c, want)
		d.holds(c, id, want)
	}},
	{"an item of 400 KB and one byte is refused", func(c *check, d dynamo) {
		id := c.Name()
		room := 400<<10 - len(keyName) - len(id) - len("v")
		want := item(id, attributes{"v": text(strings.Repeat("x", room))})
		d.put(c, want)
		c.Code("put item", d.tryPut(c, item(id, attributes{"v": text(strings.Repeat("x", room+1))})), "ValidationException")
		_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id),
			UpdateExpression: aws.String("SET w = :w"), ExpressionAttributeValues: attributes{":w": text("")}})
		c.Code("update item", err, "ValidationException")
		d.holds(c, id, want)
	}},
	{"a key of 2048 bytes is held", func(c *check, d dynamo) {
		id := c.Name()
		id += strings.Repeat("k", 2048-len(id))
		d.put(c, key(id))
		d.holds(c, id, key(id))
	}},
}

var raceCases = []dynamodbCase{
	{"one of sixteen workers wins each race for a lease", func(c *check, d dynamo) {
		for range 10 {
			id := c.Name()
			d.put(c, item(id, attributes{"Counter": num("7")}))
			winners := contend(c, 16, func(worker int) error {
				_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id),
					UpdateExpression:          aws.String("SET AssignedTo = :me, #c = :next"),
					ConditionExpression:       aws.String("(attribute_not_exists(AssignedTo) OR AssignedTo = :nobody) AND #c = :seen"),
					ExpressionAttributeNames:  map[string]string{"#c": "Counter"},
					ExpressionAttributeValues: attributes{":me": num(fmt.Sprint(worker)), ":nobody": text(""), ":seen": num("7"), ":next": num("8")},
				})
				return err
			}, "ConditionalCheckFailedException")
			if len(winners) != 1 {
				c.Fatalf("winners: %v", winners)
			}
			d.holds(c, id, item(id, attributes{"Counter": num("8"), "AssignedTo": num(fmt.Sprint(winners[0]))}))
		}
	}},
	{"one of sixteen workers creates an item", func(c *check, d dynamo) {
		id := c.Name()
		winners := contend(c, 16, func(worker int) error {
			_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: item(id, attributes{"worker": num(fmt.Sprint(worker))}),
				ConditionExpression: aws.String("attribute_not_exists(ShardID)")})
			return err
		}, "ConditionalCheckFailedException")
		if len(winners) != 1 {
			c.Fatalf("winners: %v", winners)
		}
		d.holds(c, id, item(id, attributes{"worker": num(fmt.Sprint(winners[0]))}))
	}},
	{"one of sixteen workers deletes an item", func(c *check, d dynamo) {
		id := c.Name()
		d.put(c, key(id))
		winners := contend(c, 16, func(int) error {
			_, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: key(id), ConditionExpression: aws.String("attribute_exists(ShardID)")})
			return err
		}, "ConditionalCheckFailedException")
		c.Equal("number of winners", len(winners), 1)
		d.holds(c, id, nil)
	}},
	{"sixteen workers count up without losing one", func(c *check, d dynamo) {
		id := c.Name()
		contend(c, 16, func(int) error {
			_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id),
				UpdateExpression: aws.String("SET v = if_not_exists(v, :none) + :one"), ExpressionAttributeValues: attributes{":one": num("1"), ":none": num("0")}})
			return err
		})
		d.holds(c, id, item(id, attributes{"v": num("16")}))
	}},
}

// failedConditionCases: who asks for it gets the item that stood in the way.
func failedConditionCases() (cases []dynamodbCase) {
	type returns = types.ReturnValuesOnConditionCheckFailure
	condition := aws.String("attribute_not_exists(ShardID)")
	calls := map[string]func(*check, dynamo, string, returns) error{
		"PutItem": func(c *check, d dynamo, id string, r returns) error {
			_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: key(id), ConditionExpression: condition, ReturnValuesOnConditionCheckFailure: r})
			return err
		},
		"UpdateItem": func(c *check, d dynamo, id string, r returns) error {
			_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: d.table, Key: key(id), ConditionExpression: condition, ReturnValuesOnConditionCheckFailure: r})
			return err
		},
		"DeleteItem": func(c *check, d dynamo, id string, r returns) error {
			_, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: d.table, Key: key(id), ConditionExpression: condition, ReturnValuesOnConditionCheckFailure: r})
			return err
		},
	}
	for _, operation := range sorted(calls) {
		prove := func(asked returns) func(*check, dynamo) {
			return func(c *check, d dynamo) {
				id := c.Name()
				stored := item(id, attributes{"AssignedTo": text("w1")})
				d.put(c, stored)
				var failed *types.ConditionalCheckFailedException
				if err := calls[operation](c, d, id, asked); !errors.As(err, &failed) {
					c.Fatalf("want a ConditionalCheckFailedException, got %v", err)
				}
				want := stored
				if asked != types.ReturnValuesOnConditionCheckFailureAllOld {
					want = nil
				}
				equalItems(c, "item in the error", failed.Item, want)
				d.holds(c, id, stored)
			}
		}
		cases = append(cases,
			dynamodbCase{"a failed condition of " + operation + " gives the item when asked", prove(types.ReturnValuesOnConditionCheckFailureAllOld)},
			dynamodbCase{"a failed condition of " + operation + " gives nothing unless asked", prove("")})
	}
	return cases
}
