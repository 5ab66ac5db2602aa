package dynamodb_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"tributary/deploy/local/dynamodb"
	"tributary/deploy/local/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is a service on a port, with a client that does not retry unless told.

type endpoint struct {
	*sdk.Client
	t       *testing.T
	dir     string
	faults  *fault.Set
	service *dynamodb.Service
	server  *httptest.Server
}

func start(t *testing.T, dir string) *endpoint {
	t.Helper()
	e := &endpoint{t: t, dir: dir, faults: &fault.Set{}}
	service, err := dynamodb.Open(dir, e.faults)
	if err != nil {
		t.Fatal(err)
	}
	e.service = service
	e.server = httptest.NewServer(service)
	transport := &http.Transport{}
	e.Client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(e.server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:  &http.Client{Transport: plainBodies{transport}},
	})
	t.Cleanup(func() { e.stop(); transport.CloseIdleConnections() })
	return e
}

// plainBodies hides a request body's WriteTo. The SDK closes the body as soon as

// the answer's header is there; in smithy-go v1.28.8 WriteTo of a closed body

// returns io.EOF as an error, where Read returns it as the end. If the transport

// looks for the body's end only then, it takes that for a failed write and cuts

// the connection in the middle of the answer.

type plainBodies struct{ http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}

func (e *endpoint) stop() {
	e.server.Close()
	if err := e.service.Close(); err != nil {
		e.t.Error(err)
	}
}

const table = "leases"

func (e *endpoint) create(name string) {
	e.t.Helper()
	_, err := e.CreateTable(e.t.Context(), &sdk.CreateTableInput{
		TableName:            aws.String(name),
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("ShardID"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("ShardID"), KeyType: types.KeyTypeHash}},
		BillingMode:          types.BillingModePayPerRequest,
	})
	if err != nil {
		e.t.Fatal(err)
	}
}

func withTable(t *testing.T) *endpoint {
	e := start(t, t.TempDir())
	e.create(table)
	return e
}

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func n(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }

type attributes = map[string]types.AttributeValue

func key(id string) attributes { return attributes{"ShardID": s(id)} }

func (e *endpoint) put(item attributes) {
	e.t.Helper()
	if _, err := e.PutItem(e.t.Context(), &sdk.PutItemInput{TableName: aws.String(table), Item: item}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *endpoint) get(id string) attributes {
	e.t.Helper()
	out, err := e.GetItem(e.t.Context(), &sdk.GetItemInput{TableName: aws.String(table), Key: key(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		e.t.Fatal(err)
	}
	return out.Item
}

// text is the S or N of an attribute, "" when there is none.

func text(a types.AttributeValue) string {
	switch v := a.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

// code is the service's error code, "" for no error.

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return "not an API error: " + err.Error()
	}
	return ""
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("error code is %q (%v), want %q", got, err, want)
	}
}

func TestTablesLiveFromCreationToDeletion(t *testing.T) {
	e := withTable(t)
	ctx := t.Context()
	if err := sdk.NewTableExistsWaiter(e.Client).Wait(ctx, &sdk.DescribeTableInput{TableName: aws.String(table)}, time.Second); err != nil {
		t.Fatal(err)
	}
	e.put(key("a"))
	d, err := e.DescribeTable(ctx, &sdk.DescribeTableInput{TableName: aws.String(table)})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Table; aws.ToInt64(got.ItemCount) != 1 || aws.ToString(got.KeySchema[0].AttributeName) != "ShardID" ||
		got.BillingModeSummary.BillingMode != types.BillingModePayPerRequest || time.Since(aws.ToTime(got.CreationDateTime)) > time.Minute {
		t.Errorf("description is %+v", got)
	}
	e.create("other")
	_, err = e.CreateTable(ctx, &sdk.CreateTableInput{
		TableName:             aws.String(table),
		AttributeDefinitions:  []types.AttributeDefinition{{AttributeName: aws.String("ShardID"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:             []types.KeySchemaElement{{AttributeName: aws.String("ShardID"), KeyType: types.KeyTypeHash}},
		ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(10), WriteCapacityUnits: aws.Int64(10)},
	})
	wantCode(t, err, "ResourceInUseException")
	var names []string
	for pages := sdk.NewListTablesPaginator(e.Client, &sdk.ListTablesInput{Limit: aws.Int32(1)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, page.TableNames...)
	}
	if fmt.Sprint(names) != "[leases other]" {
		t.Errorf("tables are %v", names)
	}
	if _, err := e.DeleteTable(ctx, &sdk.DeleteTableInput{TableName: aws.String(table)}); err != nil {
		t.Fatal(err)
	}
	_, err = e.DescribeTable(ctx, &sdk.DescribeTableInput{TableName: aws.String(table)})
	wantCode(t, err, "ResourceNotFoundException")
	e.create(table)
	if got := e.get("a"); got != nil {
		t.Errorf("the recreated table holds %v of the deleted one", got)
	}
}

func TestEveryTypeComesBackAsItWasPut(t *testing.T) {
	e := withTable(t)
	item := attributes{
		"ShardID": s("shardId-000000000000"),
		"empty":   s(""),
		"number":  n("12345678901234567890.5"),
		"bytes":   &types.AttributeValueMemberB{Value: []byte{0, 255, '\n'}},
		"yes":     &types.AttributeValueMemberBOOL{Value: true},
		"no":      &types.AttributeValueMemberBOOL{Value: false},
		"nothing": &types.AttributeValueMemberNULL{Value: true},
		"set":     &types.AttributeValueMemberSS{Value: []string{"b", "a"}},
		"list":    &types.AttributeValueMemberL{Value: []types.AttributeValue{s("x"), n("-1")}},
		"map":     &types.AttributeValueMemberM{Value: attributes{"<&>": s("é\u0001")}},
		"none":    &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
	}
	e.put(item)
	check := func() {
		t.Helper()
		got := e.get("shardId-000000000000")
		if len(got) != len(item) {
			t.Fatalf("got %d attributes, want %d", len(got), len(item))
		}
		for name, want := range item {
			if show(got[name]) != show(want) {
				t.Errorf("%s is %s, want %s", name, show(got[name]), show(want))
			}
		}
	}
	check()
	e.stop()
	e2 := start(t, e.dir)
	e.Client = e2.Client
	check()
}

// show prints a value with everything in it.

func show(a types.AttributeValue) string {
	switch v := a.(type) {
	case *types.AttributeValueMemberL:
		var parts []string
		for _, x := range v.Value {
			parts = append(parts, show(x))
		}
		return "L" + fmt.Sprint(parts)
	case *types.AttributeValueMemberM:
		out := map[string]string{}
		for k, x := range v.Value {
			out[k] = show(x)
		}
		return fmt.Sprintf("M%q", out)
	}
	return fmt.Sprintf("%T%+v", a, a)
}

func TestOneWriterWinsEachRaceForALease(t *testing.T) {
	e := withTable(t)
	for round := range 10 {
		id := fmt.Sprintf("shardId-%012d", round)
		e.put(attributes{"ShardID": s(id), "counter": n("7")})
		var wins sync.Map
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				me := fmt.Sprintf("worker-%d", worker)
				_, err := e.UpdateItem(t.Context(), &sdk.UpdateItemInput{
					TableName: aws.String(table), Key: key(id),
					UpdateExpression:          aws.String("SET AssignedTo = :me, #c = #c + :one"),
					ConditionExpression:       aws.String("attribute_not_exists(AssignedTo) AND #c = :seen"),
					ExpressionAttributeNames:  map[string]string{"#c": "counter"},
					ExpressionAttributeValues: attributes{":me": s(me), ":one": n("1"), ":seen": n("7")},
				})
				switch code(err) {
				case "":
					wins.Store(me, true)
				case "ConditionalCheckFailedException":
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var winners []string
		wins.Range(func(k, _ any) bool { winners = append(winners, k.(string)); return true })
		got := e.get(id)
		if len(winners) != 1 || text(got["AssignedTo"]) != winners[0] || text(got["counter"]) != "8" {
			t.Errorf("round %d: winners %v, item %s", round, winners, show(&types.AttributeValueMemberM{Value: got}))
		}
	}
}

func TestAFailedConditionCanReturnTheOldItem(t *testing.T) {
	e := withTable(t)
	e.put(attributes{"ShardID": s("a"), "AssignedTo": s("w1")})
	in := sdk.PutItemInput{
		TableName: aws.String(table), Item: key("a"), ConditionExpression: aws.String("attribute_not_exists(ShardID)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	_, err := e.PutItem(t.Context(), &in)
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) || text(failed.Item["AssignedTo"]) != "w1" {
		t.Errorf("error is %v with item %v", err, failed)
	}
	in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureNone
	_, err = e.PutItem(t.Context(), &in)
	if !errors.As(err, &failed) || len(failed.Item) != 0 {
		t.Errorf("error is %v with item %v, want none", err, failed.Item)
	}
}

func TestWritesReturnTheValuesAskedFor(t *testing.T) {
	e := withTable(t)
	ctx := t.Context()
	put, err := e.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String(table), Item: attributes{"ShardID": s("a"), "v": n("1")}, ReturnValues: types.ReturnValueAllOld})
	if err != nil || len(put.Attributes) != 0 {
		t.Errorf("first put: %v, %v", put, err)
	}
	set := func(returns types.ReturnValue) attributes {
		t.Helper()
		out, err := e.UpdateItem(ctx, &sdk.UpdateItemInput{TableName: aws.String(table), Key: key("a"), ReturnValues: returns,
			UpdateExpression: aws.String("SET v = v + :one"), ExpressionAttributeValues: attributes{":one": n("1")}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Attributes
	}
	if got := set(types.ReturnValueAllOld); text(got["v"]) != "1" {
		t.Errorf("ALL_OLD gives %v", got)
	}
	if got := set(types.ReturnValueAllNew); text(got["v"]) != "3" || text(got["ShardID"]) != "a" {
		t.Errorf("ALL_NEW gives %v", got)
	}
	if got := set(types.ReturnValueNone); len(got) != 0 {
		t.Errorf("NONE gives %v", got)
	}
	del, err := e.DeleteItem(ctx, &sdk.DeleteItemInput{TableName: aws.String(table), Key: key("a"), ReturnValues: types.ReturnValueAllOld})
	if err != nil || text(del.Attributes["v"]) != "4" {
		t.Errorf("delete: %v, %v", del, err)
	}
	if e.get("a") != nil {
		t.Error("the deleted item is still there")
	}
}

func TestAnItemOver400KBIsRefused(t *testing.T) {
	e := withTable(t)
	fits := attributes{"ShardID": s("a"), "v": s(strings.Repeat("\x01", 400<<10-len("ShardID")-len("a")-len("v")))}
	e.put(fits)
	_, err := e.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String(table), Item: attributes{"ShardID": s("ab"), "v": fits["v"]}})
	wantCode(t, err, "ValidationException")
	_, err = e.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: aws.String(table), Key: key("a"),
		UpdateExpression: aws.String("SET w = :w"), ExpressionAttributeValues: attributes{":w": s("")}})
	wantCode(t, err, "ValidationException")
	e.stop()
	again := start(t, e.dir)
	if got := again.get("a"); text(got["v"]) != text(fits["v"]) {
		t.Errorf("the largest item came back with %d bytes", len(text(got["v"])))
	}
}

func TestScanPagesByLimitAndBySize(t *testing.T) {
	e := withTable(t)
	want := map[string]bool{}
	for i := range 25 {
		id := fmt.Sprintf("shardId-%012d", i)
		want[id] = true
		e.put(attributes{"ShardID": s(id), "pad": s(strings.Repeat("x", 100<<10)), "AssignedTo": s("w")})
	}
	scan := func(in sdk.ScanInput) (ids map[string]bool, pages int) {
		t.Helper()
		ids = map[string]bool{}
		in.TableName = aws.String(table)
		for p := sdk.NewScanPaginator(e.Client, &in); p.HasMorePages(); pages++ {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page.Items {
				if ids[text(i["ShardID"])] {
					t.Errorf("%s came twice", text(i["ShardID"]))
				}
				ids[text(i["ShardID"])] = true
				if in.ProjectionExpression != nil && len(i) != 2 {
					t.Errorf("projection gave %d attributes", len(i))
				}
			}
		}
		return ids, pages
	}
	for _, c := range []struct {
		name  string
		in    sdk.ScanInput
		pages int
	}{
		{"1 MB ends a page", sdk.ScanInput{}, 3},
		{"a projection does not make pages longer", sdk.ScanInput{ProjectionExpression: aws.String("ShardID,#a"), ExpressionAttributeNames: map[string]string{"#a": "AssignedTo"}}, 3},
		{"Limit ends a page", sdk.ScanInput{Limit: aws.Int32(4), ConsistentRead: aws.Bool(true)}, 7},
		{"a last full page is followed by an empty one", sdk.ScanInput{Limit: aws.Int32(5)}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, pages := scan(c.in)
			if len(ids) != len(want) || pages != c.pages {
				t.Errorf("%d items in %d pages, want %d in %d", len(ids), pages, len(want), c.pages)
			}
		})
	}
	t.Run("a scan goes on behind a key that was deleted meanwhile", func(t *testing.T) {
		first, err := e.Scan(t.Context(), &sdk.ScanInput{TableName: aws.String(table), Limit: aws.Int32(3)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String(table), Key: first.LastEvaluatedKey}); err != nil {
			t.Fatal(err)
		}
		if ids, _ := scan(sdk.ScanInput{ExclusiveStartKey: first.LastEvaluatedKey}); len(ids) != len(want)-3 {
			t.Errorf("%d items follow, want %d", len(ids), len(want)-3)
		}
	})
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
