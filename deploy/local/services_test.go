package local_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	tables "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	streams "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
)

const name = "logs"

func fill(t *testing.T, srv *localtest.Server) {
	t.Helper()
	_, err := kinesis.NewFromConfig(srv.AWS).CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(name), ShardCount: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = kinesis.NewFromConfig(srv.AWS).PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String(name), PartitionKey: aws.String("k"), Data: []byte("record")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = dynamodb.NewFromConfig(srv.AWS).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: tables.BillingModePayPerRequest,
		KeySchema:            []tables.KeySchemaElement{{AttributeName: aws.String("ShardID"), KeyType: tables.KeyTypeHash}},
		AttributeDefinitions: []tables.AttributeDefinition{{AttributeName: aws.String("ShardID"), AttributeType: tables.ScalarAttributeTypeS}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = dynamodb.NewFromConfig(srv.AWS).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: item("item")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s3.NewFromConfig(srv.AWS).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	_, err = s3.NewFromConfig(srv.AWS).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String("a/b=c.txt"), Body: strings.NewReader("object")})
	if err != nil {
		t.Fatal(err)
	}
}

// fillLogs is apart from fill: a directory without logs stays as older versions know it.
func fillLogs(t *testing.T, srv *localtest.Server) *cloudwatchlogs.Client {
	t.Helper()
	groups := cloudwatchlogs.NewFromConfig(srv.AWS)
	if _, err := groups.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	if _, err := groups.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(name), LogStreamName: aws.String("shard")}); err != nil {
		t.Fatal(err)
	}
	out, err := groups.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String(name), LogStreamName: aws.String("shard"),
		LogEvents: []logtypes.InputLogEvent{{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("event")}}})
	if err != nil || out.RejectedLogEventsInfo != nil {
		t.Fatal(out, err)
	}
	return groups
}

func TestLogsShareThePortAndSurviveARestart(t *testing.T) {
	srv := localtest.Start(t, localtest.WithLogsVisibilityDelay(time.Millisecond))
	fill(t, srv)
	if _, err := os.Stat(filepath.Join(srv.Config.Dir, "logs")); !os.IsNotExist(err) {
		t.Errorf("the directory of logs that nobody uses: %v", err)
	}
	groups := fillLogs(t, srv)
	srv.Restart()
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String(name), LogStreamName: aws.String("shard")}
	out, err := groups.GetLogEvents(t.Context(), in)
	if err != nil || len(out.Events) != 1 || *out.Events[0].Message != "event" {
		t.Errorf("events: %+v, %v", out, err)
	}
}

func item(id string) map[string]tables.AttributeValue {
	return map[string]tables.AttributeValue{"ShardID": &tables.AttributeValueMemberS{Value: id}}
}

func TestServicesShareOnePortAndSurviveARestart(t *testing.T) {
	srv := localtest.Start(t)
	fill(t, srv)
	srv.Restart()

	stream := kinesis.NewFromConfig(srv.AWS)
	it, err := stream.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: aws.String(name),
		ShardId: aws.String("shardId-000000000000"), ShardIteratorType: streams.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	records, err := stream.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	if err != nil || len(records.Records) != 1 || string(records.Records[0].Data) != "record" {
		t.Errorf("records: %v, %v", records, err)
	}
	got, err := dynamodb.NewFromConfig(srv.AWS).GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(name), Key: item("item"), ConsistentRead: aws.Bool(true)})
	if err != nil || len(got.Item) != 1 {
		t.Errorf("item: %v, %v", got, err)
	}
	object, err := s3.NewFromConfig(srv.AWS).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String("a/b=c.txt")})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if body, err := io.ReadAll(object.Body); err != nil || string(body) != "object" {
		t.Errorf("object: %q, %v", body, err)
	}
	if file, err := os.ReadFile(filepath.Join(srv.Config.Dir, "s3", name, "a", "b=c.txt")); err != nil || string(file) != "object" {
		t.Errorf("the object as a plain file: %q, %v", file, err)
	}
}

func TestAFaultRuleReachesTheServiceItNames(t *testing.T) {
	srv := localtest.Start(t)
	fill(t, srv)
	calls := map[string]func() error{
		"kinesis": func() error {
			_, err := kinesis.NewFromConfig(srv.AWS).ListStreams(t.Context(), nil)
			return err
		},
		"dynamodb": func() error {
			_, err := dynamodb.NewFromConfig(srv.AWS).GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(name), Key: item("item")})
			return err
		},
		"s3": func() error {
			_, err := s3.NewFromConfig(srv.AWS).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("a/b=c.txt")})
			return err
		},
	}
	srv.AWS.RetryMaxAttempts = 1
	fillLogs(t, srv)
	calls["logs"] = func() error {
		_, err := cloudwatchlogs.NewFromConfig(srv.AWS).DescribeLogGroups(t.Context(), nil)
		return err
	}
	for service, call := range calls {
		if err := srv.Faults.Replace([]fault.Rule{{Service: service, Action: fault.Throttle, Count: 1}}); err != nil {
			t.Fatal(err)
		}
		for other, callOther := range calls {
			if err := callOther(); (err != nil) != (other == service) {
				t.Errorf("rule for %s, call of %s: %v", service, other, err)
			}
		}
		if err := call(); err != nil {
			t.Errorf("%s after the rule's one hit: %v", service, err)
		}
	}
}

// Stop comes while a commit is held back: it happens at once, into stores that are still open.
func TestADelayedCommitHappensBeforeTheStoresClose(t *testing.T) {
	srv := localtest.Start(t)
	fill(t, srv)
	if err := srv.Faults.Replace([]fault.Rule{{Service: "kinesis", Operation: "PutRecord", Action: fault.DelayCommit, Delay: time.Minute, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = kinesis.NewFromConfig(srv.AWS, func(o *kinesis.Options) { o.RetryMaxAttempts = 1 }).PutRecord(t.Context(),
			&kinesis.PutRecordInput{StreamName: aws.String(name), PartitionKey: aws.String("k"), Data: []byte("late")})
	}()
	for srv.Faults.Rules()[0].Hits == 0 {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	srv.Restart()
	<-ended
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the restart waited %s", took)
	}
	stream := kinesis.NewFromConfig(srv.AWS)
	it, err := stream.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: aws.String(name),
		ShardId: aws.String("shardId-000000000000"), ShardIteratorType: streams.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	records, err := stream.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	if err != nil || len(records.Records) != 2 || string(records.Records[1].Data) != "late" {
		t.Errorf("records: %+v, %v", records, err)
	}
}
