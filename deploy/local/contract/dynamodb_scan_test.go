package contract_test

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

var scanCases = []dynamodbCase{
	{"a scan of an empty table has no items and no next page", func(c *check, d dynamo) {
		own := d.newTable(c, tableInput(new(c.Name())))
		c.Equal("scan", own.scan(c, dynamodb.ScanInput{}).summary(), "0 items of 0")
	}},
	{"a scan gives each item once, in pages of at most 1 MB or Limit", func(c *check, d dynamo) {
		own := d.newTable(c, tableInput(new(c.Name())))
		own.fill(c, 25, 100<<10)
		for _, s := range []struct {
			name  string
			in    dynamodb.ScanInput
			pages int // at least
			width int
		}{
			{"whole items", dynamodb.ScanInput{}, 3, 4},
			{"consistently", dynamodb.ScanInput{ConsistentRead: aws.Bool(true)}, 3, 4},
			{"a projection makes no page longer", dynamodb.ScanInput{ProjectionExpression: aws.String("ShardID,#a"), ExpressionAttributeNames: map[string]string{"#a": "AssignedTo"}}, 3, 2},
			{"a Limit of 4", dynamodb.ScanInput{Limit: aws.Int32(4), ConsistentRead: aws.Bool(true)}, 7, 4},
			{"a Limit of 1", dynamodb.ScanInput{Limit: aws.Int32(1)}, 25, 4},
		} {
			got := own.scan(c, s.in)
			c.Equal(s.name, got.summary(), "25 items of 25")
			if got.pages < s.pages {
				c.Errorf("%s: %d pages, want %d or more", s.name, got.pages, s.pages)
			}
			for id, i := range got.items {
				c.Equal(s.name+": attributes of "+id, len(i), s.width)
			}
		}
	}},
	{"a filter leaves items out of a page, which were scanned all the same", func(c *check, d dynamo) {
		own := d.newTable(c, tableInput(new(c.Name())))
		own.fill(c, 12, 10)
		below := func(limit string) scanned {
			return own.scan(c, dynamodb.ScanInput{Limit: aws.Int32(5), ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("ShardID"),
				FilterExpression:         aws.String("#n < :limit AND attribute_exists(AssignedTo)"),
				ExpressionAttributeNames: map[string]string{"#n": "number"}, ExpressionAttributeValues: attributes{":limit": num(limit)}})
		}
		got := below("4")
		c.Equal("scan", got.summary(), "4 items of 12")
		for i := range 4 {
			equalItems(c, "item", got.items[shardID(i)], key(shardID(i)))
		}
		c.Equal("scan of none", below("0").summary(), "0 items of 12")
	}},
	{"a scan goes on behind a key that was deleted meanwhile", func(c *check, d dynamo) {
		own := d.newTable(c, tableInput(new(c.Name())))
		own.fill(c, 10, 10)
		first, err := own.Scan(c.Context(), &dynamodb.ScanInput{TableName: own.table, Limit: aws.Int32(3), ConsistentRead: aws.Bool(true)})
		c.Must("scan", err)
		_, err = own.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: own.table, Key: first.LastEvaluatedKey})
		c.Must("delete item", err)
		rest := own.scan(c, dynamodb.ScanInput{ExclusiveStartKey: first.LastEvaluatedKey, ConsistentRead: aws.Bool(true)})
		c.Equal("items that follow", len(rest.items), 7)
		for _, i := range first.Items {
			if _, twice := rest.items[words(i[keyName])]; twice {
				c.Errorf("%s came twice", words(i[keyName]))
			}
		}
	}},
	{"a scan without its filter's value is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{FilterExpression: aws.String("a = :a")})
	}},
	{"a scan with a filter that is none is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{FilterExpression: aws.String("a ="), ExpressionAttributeValues: attributes{":a": text("")}})
	}},
	{"a scan with an unused name is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{ProjectionExpression: aws.String("a"), ExpressionAttributeNames: map[string]string{"#unused": "num"}})
	}},
	{"a scan with an unused value is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{FilterExpression: aws.String("a = :a"), ExpressionAttributeValues: attributes{":a": text(""), ":unused": text("")}})
	}},
	{"a scan with a Limit of nothing is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{Limit: aws.Int32(0)})
	}},
	{"a scan from a key of another shape is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{ExclusiveStartKey: attributes{"other": text("a")}})
	}},
	{"a scan that projects a path twice is refused", func(c *check, d dynamo) {
		d.refusesScan(c, dynamodb.ScanInput{ProjectionExpression: aws.String("a, b, a")})
	}},
}

func (d dynamo) refusesScan(c *check, in dynamodb.ScanInput) {
	in.TableName = d.table
	_, err := d.Scan(c.Context(), &in)
	c.Code("scan", err, "ValidationException")
}

func (d dynamo) fill(c *check, n, pad int) {
	for i := range n {
		d.put(c, item(shardID(i), attributes{"number": num(fmt.Sprint(i)), "pad": text(strings.Repeat("x", pad)), "AssignedTo": text("w")}))
	}
}

// scanned is what all pages of a scan gave.
type scanned struct {
	items   map[string]attributes
	pages   int
	scanned int
}

// summary is what every service must give alike; how many pages it takes is up to the service.
func (s scanned) summary() string { return fmt.Sprintf("%d items of %d", len(s.items), s.scanned) }

// scan reads all pages. An item that comes twice is a fault.
func (d dynamo) scan(c *check, in dynamodb.ScanInput) scanned {
	got := scanned{items: map[string]attributes{}}
	in.TableName = d.table
	for p := dynamodb.NewScanPaginator(d.Client, &in); p.HasMorePages(); {
		page, err := p.NextPage(c.Context())
		c.Must("scan", err)
		c.Equal("count of a page", page.Count, len(page.Items))
		if in.Limit != nil && page.ScannedCount > *in.Limit {
			c.Errorf("a page scanned %d, the Limit is %d", page.ScannedCount, *in.Limit)
		}
		got.pages++
		got.scanned += int(page.ScannedCount)
		for _, i := range page.Items {
			id := words(i[keyName])
			if _, twice := got.items[id]; twice {
				c.Errorf("%s came twice", id)
			}
			got.items[id] = i
		}
	}
	return got
}
