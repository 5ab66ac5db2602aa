package contract_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

type dynamodbCase = testCase[dynamo]

var dynamodbSuite = suite[dynamo]{
	service: "DynamoDB",
	client:  newDynamo,
	servers: []server{localServer, dynalite, awsServer},
	cases: slices.Concat(tableCases, wrongTableCases(), unknownTableCases(), itemCases, raceCases, failedConditionCases(), numberCases(), wrongValueCases(),
		wrongKeyCases(), conditionCases(), updateCases(), wrongExpressionCases(), leaseCases, scanCases),
}

func TestDynamoDB(t *testing.T) { dynamodbSuite.run(t) }

// dynamo is a client and a table with the HASH key ShardID. The cases of one server share a table, because making one takes some ten
// seconds on AWS: each case writes under keys of its own and may leave them behind.
type dynamo struct {
	*dynamodb.Client
	table *string
}

func newDynamo(t *testing.T, cfg aws.Config) dynamo {
	d := dynamo{dynamodb.NewFromConfig(cfg), new((&check{}).Name())}
	if _, err := d.CreateTable(t.Context(), tableInput(d.table)); err != nil {
		t.Fatalf("create table: %v", err)
	}
	t.Cleanup(func() { // the test's own context has ended by now
		ctx, cancel := context.WithTimeout(context.Background(), cleanupPatience)
		defer cancel()
		if _, err := d.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: d.table}); err != nil {
			t.Errorf("delete table: %v", err)
		}
	})
	if err := d.untilActive(t.Context()); err != nil {
		t.Fatalf("wait for table: %v", err)
	}
	return d
}

const tablePatience = 3 * time.Minute

func (d dynamo) untilActive(ctx context.Context) error {
	waiter := dynamodb.NewTableExistsWaiter(d.Client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 20 * time.Millisecond })
	return waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: d.table}, tablePatience)
}

func tableInput(name *string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            name,
		BillingMode:          types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(keyName), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(keyName), AttributeType: types.ScalarAttributeTypeS}},
	}
}

// newTable makes the table that in says, which need not name it, and waits until it can be used. It is deleted when the case ends.
func (d dynamo) newTable(c *check, in *dynamodb.CreateTableInput) dynamo {
	own := dynamo{d.Client, in.TableName}
	_, err := d.CreateTable(c.Context(), in)
	c.Must("create table", err)
	c.Cleanup(func(ctx context.Context) { // what fails here has failed in the case, or the table is gone
		_, _ = d.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: own.table})
	})
	c.Must("wait for table", own.untilActive(c.Context()))
	return own
}

// drop deletes the table and waits until it is gone.
func (d dynamo) drop(c *check) {
	_, err := d.DeleteTable(c.Context(), &dynamodb.DeleteTableInput{TableName: d.table})
	c.Must("delete table", err)
	waiter := dynamodb.NewTableNotExistsWaiter(d.Client, func(o *dynamodb.TableNotExistsWaiterOptions) { o.MinDelay = 20 * time.Millisecond })
	c.Must("wait for the table's end", waiter.Wait(c.Context(), &dynamodb.DescribeTableInput{TableName: d.table}, tablePatience))
}

func (d dynamo) describe(c *check) *types.TableDescription {
	out, err := d.DescribeTable(c.Context(), &dynamodb.DescribeTableInput{TableName: d.table})
	c.Must("describe table", err)
	return out.Table
}

const keyName = "ShardID"

type attributes = map[string]types.AttributeValue

func text(v string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: v} }
func num(v string) types.AttributeValue    { return &types.AttributeValueMemberN{Value: v} }
func binary(v []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: v} }
func boolean(v bool) types.AttributeValue  { return &types.AttributeValueMemberBOOL{Value: v} }
func null(v bool) types.AttributeValue     { return &types.AttributeValueMemberNULL{Value: v} }
func set(v ...string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: v} }
func list(v ...types.AttributeValue) types.AttributeValue {
	return &types.AttributeValueMemberL{Value: v}
}
func document(v attributes) types.AttributeValue { return &types.AttributeValueMemberM{Value: v} }

func key(id string) attributes { return attributes{keyName: text(id)} }

// item is an item under id with the attributes given.
func item(id string, more attributes) attributes {
	i := key(id)
	maps.Copy(i, more)
	return i
}

// put stores an item, or ends the case.
func (d dynamo) put(c *check, i attributes) { c.Must("put item", d.tryPut(c, i)) }

func (d dynamo) tryPut(c *check, i attributes) error {
	_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: d.table, Item: i})
	return err
}

// holds notes a fault unless the stored item is want; nil wants none.
func (d dynamo) holds(c *check, id string, want attributes) {
	out, err := d.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: d.table, Key: key(id), ConsistentRead: aws.Bool(true)})
	c.Must("get item", err)
	equalItems(c, "stored item", out.Item, want)
}

// equalItems takes no item and one without attributes for the same.
func equalItems(c *check, what string, got, want attributes) {
	c.Equal(what, show(document(got)), show(document(want)))
}

// show prints a value with all that is in it; sets are sorted, because they have no order.
func show(a types.AttributeValue) string {
	switch v := a.(type) {
	case *types.AttributeValueMemberL:
		var parts []string
		for _, e := range v.Value {
			parts = append(parts, show(e))
		}
		return "L[" + strings.Join(parts, " ") + "]"
	case *types.AttributeValueMemberM:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v.Value)) {
			parts = append(parts, fmt.Sprintf("%q:%s", name, show(v.Value[name])))
		}
		return "M{" + strings.Join(parts, " ") + "}"
	case *types.AttributeValueMemberSS:
		return fmt.Sprintf("SS%q", slices.Sorted(slices.Values(v.Value)))
	case *types.AttributeValueMemberS:
		return fmt.Sprintf("S(%d)%.80q", len(v.Value), v.Value)
	case *types.AttributeValueMemberN:
		return "N" + v.Value
	case *types.AttributeValueMemberB:
		return fmt.Sprintf("B(%d)%.80x", len(v.Value), v.Value)
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprintf("BOOL %t", v.Value)
	case *types.AttributeValueMemberNULL:
		return fmt.Sprintf("NULL %t", v.Value)
	}
	return fmt.Sprintf("%T", a)
}

// words is the text of a text, "" of all else.
func words(a types.AttributeValue) string {
	if s, ok := a.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// contend has n workers work at once and says who succeeded. Whoever does not must be refused with one of the codes.
func contend(c *check, n int, work func(worker int) error, codes ...string) (winners []int) {
	errs := make([]error, n)
	var workers sync.WaitGroup
	for worker := range n {
		workers.Go(func() { errs[worker] = work(worker) })
	}
	workers.Wait()
	for worker, err := range errs {
		var refusal smithy.APIError
		switch {
		case err == nil:
			winners = append(winners, worker)
		case !errors.As(err, &refusal) || !slices.Contains(codes, refusal.ErrorCode()):
			c.Errorf("worker %d: got %v, want one of %v", worker, err, codes)
		}
	}
	return winners
}

// sorted are the keys of a table of cases: the sentences are to stand in one order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
