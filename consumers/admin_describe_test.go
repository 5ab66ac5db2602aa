package consumers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers"
	"tributary/stream"
)

// One shard's sink refuses for good: another process sees which one, and why.
func TestDescribeShowsAParkedShardAndItsReason(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.lake.refuse = func(r stream.Range) error {
		if r.Shard == "shardId-000000000001" {
			return stream.Permanent(errors.New("the bucket says no"))
		}
		return nil
	}
	cfg := testConfig("a")
	cfg.Policy.ParkedRetry = time.Hour
	a := s.start(cfg)
	s.send(16)
	var v consumers.GroupView
	s.eventually("the shard is parked", func() bool {
		var err error
		v, err = s.admin().Describe(t.Context(), "lake")
		return err == nil && v.Totals.States[consumers.StateParked] == 1 && v.Totals.States[consumers.StateReading] == 1
	})
	parked := v.Shards[1]
	if parked.Shard != "shardId-000000000001" || !strings.Contains(parked.Problem, "the bucket says no") || parked.Owner != "a" ||
		parked.Pending == nil || parked.LagMS == nil || *parked.LagMS <= 0 || parked.Since.IsZero() || time.Since(parked.Since) > time.Minute {
		t.Errorf("shard %+v", parked)
	}
	if v.Totals.Problems != 1 || v.Totals.Workers != 1 || v.Totals.Pending != 1 || v.Totals.MaxLagOf != parked.Shard {
		t.Errorf("totals %+v", v.Totals)
	}
	if healthy := v.Shards[0]; healthy.Problem != "" || healthy.State != consumers.StateReading {
		t.Errorf("shard %+v", healthy)
	}
	lines, err := s.admin().List(t.Context(), false)
	if err != nil || len(lines) != 1 || lines[0].Group != "lake" || lines[0].Held != 2 || lines[0].Workers != 1 || lines[0].Pending != 1 || !strings.HasSuffix(lines[0].Stream, "/"+streamName) {
		t.Errorf("list %+v, %v", lines, err)
	}
	a.cut()
	s.eventually("its worker is silent", func() bool {
		v, err = s.admin().Describe(t.Context(), "lake")
		return err == nil && v.Totals.States[consumers.StateSilent] == 2 && v.Totals.Workers == 0
	})
	if problem := v.Shards[1].Problem; !strings.Contains(problem, "the bucket says no") {
		t.Errorf("problem %q", problem)
	}
}

// A newer program wrote the tables of one group: the list shows the others.
func TestAGroupThatCannotBeReadHidesNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.wave(4)
	s.deliver(testConfig("a"), s.delivered)
	api := dynamodb.NewFromConfig(s.server.AWS)
	for name, key := range map[string]string{"newer": "ShardID", "newer-state": "Key"} {
		_, err := api.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &name, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := api.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("newer"), Item: map[string]types.AttributeValue{
		"ShardID": &types.AttributeValueMemberS{Value: "shardId-000000000000"}, "Version": &types.AttributeValueMemberN{Value: "99"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := s.admin().List(t.Context(), false)
	if err != nil || len(lines) != 2 || lines[0].Group != "lake" || lines[0].Problem != "" || lines[0].Shards != 1 ||
		lines[1].Group != "newer" || !strings.Contains(lines[1].Problem, "version 99") {
		t.Errorf("list %+v, %v", lines, err)
	}
	called, off := context.WithCancel(t.Context())
	off()
	if lines, err := s.admin().List(called, false); err == nil {
		t.Errorf("a list that was called off: %+v", lines)
	}
}

func TestDescribeShowsAFamilyOfShards(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.wave(8)
	s.deliver(testConfig("a"), s.delivered)
	s.split("shardId-000000000000")
	got := func() string {
		v, err := s.admin().Describe(t.Context(), "lake")
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, sh := range v.Shards {
			lag := "none"
			if sh.LagMS != nil {
				lag = fmt.Sprint(*sh.LagMS > 0)
			}
			all = append(all, fmt.Sprintf("%s %s closed %t behind %s, %d parents, %d children", sh.Shard[18:], sh.State, sh.Closed, lag, len(sh.Parents), len(sh.Children)))
		}
		return strings.Join(all, "; ")
	}
	if g, w := got(), "00 free closed true behind false, 0 parents, 2 children; 01 waiting closed false behind false, 1 parents, 0 children; 02 waiting closed false behind false, 1 parents, 0 children"; g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	s.wave(8)
	s.deliver(testConfig("b"), s.delivered)
	s.wave(8)
	time.Sleep(5 * time.Millisecond)
	if g, w := got(), "00 finished closed true behind none, 0 parents, 2 children; 01 free closed false behind true, 1 parents, 0 children; 02 free closed false behind true, 1 parents, 0 children"; g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// What --json prints is read by programs: names stay, and nothing is a bare null
// but what is documented so.
func TestTheNamesInJSONStay(t *testing.T) {
	lag := int64(5)
	v := consumers.GroupView{Problems: []string{}, Shards: []consumers.ShardView{{
		Shard: "s", State: consumers.StateFree, LagMS: &lag, Parents: []stream.ShardID{}, Children: []stream.ShardID{}, Pending: &consumers.PendingView{}, Gap: &consumers.GapView{Found: "1"},
		Since: time.Unix(0, 0), Owner: "w", Claim: "c", Checkpoint: "1", Problem: "p",
	}}}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"group", "at", "foreign", "stream", "totals", "shards", "problems", "states", "workers", "pending", "max_lag_ms",
		"shard", "state", "since", "owner", "claim", "checkpoint", "first", "last", "generation", "plan", "lag_ms", "closed", "parents", "children", "problem", "gap", "gaps", "found",
	} {
		if !strings.Contains(string(data), `"`+name+`":`) {
			t.Errorf("%s is not in %s", name, data)
		}
	}
}
