package dynamodb_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

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

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// The service may do so, and a reader that takes a full page for a sign of more must find out here.
func TestAFullLastPageIsFollowedByAnEmptyOne(t *testing.T) {
	e := withTable(t)
	for i := range 4 {
		e.put(key(fmt.Sprint(i)))
	}
	var pages []int
	for p := sdk.NewScanPaginator(e.Client, &sdk.ScanInput{TableName: aws.String(table), Limit: aws.Int32(2)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, len(page.Items))
	}
	if fmt.Sprint(pages) != "[2 2 0]" {
		t.Errorf("pages have %v items", pages)
	}
}
