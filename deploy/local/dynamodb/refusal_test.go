package dynamodb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/deploy/local/fault"
)

func TestFaults(t *testing.T) {
	e := withTable(t)
	rule := func(r fault.Rule) {
		t.Helper()
		r.Service = "dynamodb"
		if err := e.faults.Replace([]fault.Rule{r}); err != nil {
			t.Fatal(err)
		}
	}
	try := func(ctx context.Context, id string) error {
		_, err := e.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String(table), Item: key(id), ConditionExpression: aws.String("attribute_not_exists(ShardID)")})
		return err
	}
	t.Run("a throttled write is not done", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutItem", Action: fault.Throttle})
		wantCode(t, try(t.Context(), "throttled"), "ProvisionedThroughputExceededException")
		if e.get("throttled") != nil {
			t.Error("it was done")
		}
	})
	t.Run("a failed write is not done", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutItem", Action: fault.Error})
		wantCode(t, try(t.Context(), "failed"), "InternalFailure")
		if e.get("failed") != nil {
			t.Error("it was done")
		}
	})
	t.Run("a write whose answer is lost is done", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutItem", Action: fault.LoseResponse})
		if err := try(t.Context(), "lost"); err == nil {
			t.Error("the client saw an answer")
		}
		if e.get("lost") == nil {
			t.Error("it was not done")
		}
	})
	t.Run("a delayed write comes after its client gave up and meets what came before", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutItem", Action: fault.DelayCommit, Delay: time.Minute, Count: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := try(ctx, "late"); err == nil {
			t.Error("the client saw an answer")
		}
		if e.get("late") != nil {
			t.Error("it was done before its delay")
		}
		if err := e.faults.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCode(t, try(t.Context(), "late"), "ConditionalCheckFailedException")
	})
	t.Run("a stale read answers from before the last write, a consistent one does not", func(t *testing.T) {
		rule(fault.Rule{Action: fault.Stale})
		e.put(attributes{"ShardID": s("st"), "v": n("1")})
		e.put(attributes{"ShardID": s("st"), "v": n("2")})
		out, err := e.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String(table), Key: key("st")})
		if err != nil || text(out.Item["v"]) != "1" {
			t.Errorf("stale read: %v, %v", out, err)
		}
		if got := e.get("st"); text(got["v"]) != "2" {
			t.Errorf("consistent read: %v", got)
		}
		e.put(key("fresh"))
		scan, err := e.Scan(t.Context(), &sdk.ScanInput{TableName: aws.String(table)})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range scan.Items {
			if id := text(i["ShardID"]); id == "fresh" || id == "st" && text(i["v"]) != "1" {
				t.Errorf("stale scan shows %s", show(&types.AttributeValueMemberM{Value: i}))
			}
		}
	})
}

func TestUnknownOperationsAndParametersAreRefusedByName(t *testing.T) {
	e := withTable(t)
	ctx := t.Context()
	_, err := e.Query(ctx, &sdk.QueryInput{TableName: aws.String(table), KeyConditionExpression: aws.String("ShardID = :a"), ExpressionAttributeValues: attributes{":a": s("a")}})
	wantCode(t, err, "UnknownOperationException")
	for name, call := range map[string]func() error{
		"Expected": func() error {
			_, err := e.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String(table), Item: key("a"), Expected: map[string]types.ExpectedAttributeValue{"a": {Exists: aws.Bool(false)}}})
			return err
		},
		"ReturnConsumedCapacity": func() error {
			_, err := e.GetItem(ctx, &sdk.GetItemInput{TableName: aws.String(table), Key: key("a"), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
			return err
		},
		"NS": func() error {
			_, err := e.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String(table), Item: attributes{"ShardID": s("a"), "x": &types.AttributeValueMemberNS{Value: []string{"1"}}}})
			return err
		},
		"BS": func() error {
			sets := []types.AttributeValue{&types.AttributeValueMemberBS{Value: [][]byte{{1}}}}
			_, err := e.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String(table), Item: attributes{"ShardID": s("a"), "x": &types.AttributeValueMemberL{Value: sets}}})
			return err
		},
		"UPDATED_NEW": func() error {
			_, err := e.UpdateItem(ctx, &sdk.UpdateItemInput{TableName: aws.String(table), Key: key("a"), ReturnValues: types.ReturnValueUpdatedNew})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			wantCode(t, err, "ValidationException")
			if err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name %s: %v", name, err)
			}
		})
	}
	if e.get("a") != nil {
		t.Error("a refused call wrote")
	}
}
