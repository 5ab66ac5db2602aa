package lease_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers/lease"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

var update = flag.Bool("update", false, "write the golden files that are missing; those that are there are frozen")

func group() lease.Group {
	return lease.Group{
		StreamARN:     "arn:aws:kinesis:us-east-1:000000000000:stream/logs",
		StreamCreated: time.Date(2026, 11, 22, 15, 44, 5, 144000000, time.UTC),
		RangeBytes:    256 << 20, DedupEntries: 65536, Start: "latest",
		StartTime: time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC),
		Closed:    []stream.ShardID{"shardId-000000000000", "shardId-000000000001"},
	}
}

// Every item that lasts, as the table holds it. A change of one of these files is
// a change of the format: it needs a new version and a reader of the old one.
func TestGoldenItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "host-1-cafe")
		must(t, table.Create(t.Context(), shard0, "shardId-000000000009", 2))
		golden(t, "lease_new", raw(t, e, "leases", "ShardID", string(shard0)))
		l, err := table.Acquire(t.Context(), item(t, table))
		must(t, err)
		must(t, l.Checkpoint(t.Context(), "90"))
		must(t, l.Checkpoint(t.Context(), "100"))
		must(t, l.Prepare(t.Context(), lease.Pending{First: "101", Last: "149", Generation: 2, Plan: "0a1b"}))
		must(t, e.table(t, "host-2-f00d").Claim(t.Context(), item(t, table)))
		golden(t, "lease_full", raw(t, e, "leases", "ShardID", string(shard0)))
		must(t, l.Checkpoint(t.Context(), lease.ShardEnd))
		must(t, l.Release(t.Context(), true))
		golden(t, "lease_finished", raw(t, e, "leases", "ShardID", string(shard0)))
		golden(t, "generation", raw(t, e, "leases-state", "Key", "shard/"+string(shard0)))

		must(t, table.Apply(t.Context(), item(t, table), toNoon(3)))
		golden(t, "reset", raw(t, e, "leases-state", "Key", "shard/"+string(shard0)))
		l, err = table.Acquire(t.Context(), item(t, table))
		must(t, err)
		l.Report(lease.Report{State: "parked", Since: noon, Error: "no right"})
		must(t, l.Renew(t.Context()))
		golden(t, "lease_reported", raw(t, e, "leases", "ShardID", string(shard0)))
		must(t, l.MarkGap(t.Context(), lease.Gap{First: "101", Last: "149", Found: "120", At: noon}))
		golden(t, "lease_gap", raw(t, e, "leases", "ShardID", string(shard0)))

		_, err = table.OpenGroup(t.Context(), group())
		must(t, err)
		golden(t, "group", raw(t, e, "leases-state", "Key", "group"))
		hash, err := table.PutPlan(t.Context(), `{"version":1}`)
		must(t, err)
		golden(t, "plan", raw(t, e, "leases-state", "Key", "plan/"+hash))
		must(t, table.PutSnapshot(t.Context(), lease.Place{Shard: shard0, Generation: 2, Sequence: "100"}, []byte("map")))
		golden(t, "snapshot", raw(t, e, "leases-state", "Key", "map/"+string(shard0)+"/2/100"))
	})
}

func TestGoldenLeaseIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		put(t, e, readGolden(t, "lease_full"))
		want := lease.Item{
			Shard: shard0, Owner: "host-1-cafe", Timeout: "2000-01-01T00:00:10.4Z", Checkpoint: "100", Previous: "90",
			Parent: "shardId-000000000009", Claim: "host-2-f00d", Counted: true, Counter: 4, Duration: 10 * time.Second, Generation: 2,
			Pending: &lease.Pending{First: "101", Last: "149", Generation: 2, Plan: "0a1b"},
		}
		if got := item(t, table); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestGoldenResetAndReportAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		put(t, e, readGolden(t, "lease_reported"))
		putState(t, e, readGolden(t, "reset"))
		if got := item(t, table).Report; got == nil || *got != (lease.Report{State: "parked", Since: noon, Error: "no right"}) {
			t.Errorf("report %+v", got)
		}
		if got, err := table.Reset(t.Context(), shard0); err != nil || got != toNoon(3) {
			t.Errorf("reset %+v, %v", got, err)
		}
		put(t, e, readGolden(t, "lease_gap"))
		if got := item(t, table).Gap; got == nil || *got != (lease.Gap{First: "101", Last: "149", Found: "120", At: noon}) {
			t.Errorf("gap %+v", got)
		}
		putState(t, e, readGolden(t, "generation"))
		if got, err := table.Reset(t.Context(), shard0); err != nil || got != (lease.Reset{Generation: 2}) {
			t.Errorf("reset %+v, %v", got, err)
		}
	})
}

func golden(t *testing.T, name string, a map[string]types.AttributeValue) {
	t.Helper()
	data, err := json.MarshalIndent(plain(t, a), "", "  ")
	must(t, err)
	data = append(data, '\n')
	path := filepath.Join("testdata", name+".json")
	if _, missing := os.Stat(path); *update && missing != nil {
		must(t, os.WriteFile(path, data, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(data, want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, data, want)
	}
}

// plain is DynamoDB's own JSON.
func plain(t *testing.T, a map[string]types.AttributeValue) map[string]any {
	m := make(map[string]any)
	for name, v := range a {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			m[name] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			m[name] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberB:
			m[name] = map[string]any{"B": base64.StdEncoding.EncodeToString(v.Value)}
		case *types.AttributeValueMemberM:
			m[name] = map[string]any{"M": plain(t, v.Value)}
		default:
			t.Fatalf("attribute %s of type %T", name, v)
		}
	}
	return m
}

func readGolden(t *testing.T, name string) map[string]types.AttributeValue {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	must(t, err)
	var m map[string]map[string]any
	must(t, json.Unmarshal(data, &m))
	return typed(m)
}

func typed(m map[string]map[string]any) map[string]types.AttributeValue {
	a := make(map[string]types.AttributeValue)
	for name, v := range m {
		switch {
		case v["S"] != nil:
			a[name] = s(v["S"].(string))
		case v["N"] != nil:
			a[name] = n(v["N"].(string))
		case v["M"] != nil:
			child := make(map[string]map[string]any)
			for k, c := range v["M"].(map[string]any) {
				child[k] = c.(map[string]any)
			}
			a[name] = &types.AttributeValueMemberM{Value: typed(child)}
		}
	}
	return a
}

func TestTheFirstStartOfAGroupIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		if _, known, err := table.ReadGroup(t.Context()); known || err != nil {
			t.Fatalf("known %v, error %v", known, err)
		}
		_, err := table.OpenGroup(t.Context(), group())
		must(t, err)
		other := group()
		other.RangeBytes, other.Start = 1, "trim_horizon"
		got, err := e.table(t, "other").OpenGroup(t.Context(), other)
		must(t, err)
		if !reflect.DeepEqual(got, group()) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPlansAreKeptByHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newEndpoint(t).table(t, "w")
		long := strings.Repeat("p", lease.MaxPlanBytes)
		for _, plan := range []string{"", "a", long} {
			hash, err := table.PutPlan(t.Context(), plan)
			must(t, err)
			_, err = table.PutPlan(t.Context(), plan)
			must(t, err)
			if got, err := table.Plan(t.Context(), hash); got != plan || err != nil {
				t.Errorf("plan of %d bytes: %v", len(plan), err)
			}
		}
		if _, err := table.PutPlan(t.Context(), long+"p"); !stream.IsPermanent(err) {
			t.Errorf("too long: %v", err)
		}
		if _, err := table.Plan(t.Context(), "none"); !stream.IsPermanent(err) {
			t.Errorf("unknown: %v", err)
		}
	})
}

func noise(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

func TestSnapshotsOfAnySizeComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newEndpoint(t).table(t, "w")
		for i, size := range []int{0, 1, 350_000, 350_001, 1_000_000} {
			place := lease.Place{Shard: shard0, Sequence: seq(i)}
			if _, ok, err := table.Snapshot(t.Context(), place); ok || err != nil {
				t.Errorf("found %v before it was put, error %v", ok, err)
			}
			data := noise(size)
			must(t, table.PutSnapshot(t.Context(), place, data))
			got, ok, err := table.Snapshot(t.Context(), place)
			if !ok || err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes: found %v, %d bytes, error %v", size, ok, len(got), err)
			}
			must(t, table.DropSnapshot(t.Context(), place))
			if _, ok, _ := table.Snapshot(t.Context(), place); ok {
				t.Errorf("%d bytes: there after the drop", size)
			}
		}
	})
}

// A worker dies after the first chunk, its heir stores another map for the same
// place: nothing of the first may be found in it.
func TestAnIncompleteSnapshotIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		place := lease.Place{Shard: shard0, Sequence: "7"}
		e.rules(t, fault.Rule{Operation: "PutItem", Action: "error", Every: 2})
		if err := table.PutSnapshot(t.Context(), place, noise(800_000)); err == nil {
			t.Fatal("stored in spite of the fault")
		}
		e.rules(t)
		if _, ok, err := table.Snapshot(t.Context(), place); ok || err != nil {
			t.Errorf("found %v, error %v", ok, err)
		}
		other := noise(900_000)[100:]
		must(t, table.PutSnapshot(t.Context(), place, other))
		if got, _, err := table.Snapshot(t.Context(), place); err != nil || !bytes.Equal(got, other) {
			t.Errorf("%d bytes, error %v", len(got), err)
		}
		// The place is taken now: whoever comes later does not change it.
		must(t, table.PutSnapshot(t.Context(), place, []byte("late")))
		if got, _, _ := table.Snapshot(t.Context(), place); !bytes.Equal(got, other) {
			t.Error("a stored map was overwritten")
		}
	})
}

func TestSweepLeavesWhatACheckpointNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		l := acquire(t, table)
		must(t, l.Checkpoint(t.Context(), "100"))
		_, err := table.OpenGroup(t.Context(), group())
		must(t, err)
		keep := []lease.Place{
			{Shard: shard0, Sequence: "99", Generation: 1}, // reset since the list was read
			{Shard: shard0, Sequence: "100"}, {Shard: shard0, Sequence: "101"}, {Shard: shard0, Sequence: lease.ShardEnd},
			{Shard: "shardId-000000000007", Sequence: "1"}, // of a lease unknown at the time of the list
		}
		stale := []lease.Place{
			{Shard: shard0, Sequence: "9"}, {Shard: shard0, Sequence: "99"},
			{Shard: "shardId-000000000008", Sequence: lease.ShardEnd}, // its item is gone
		}
		for _, place := range append(keep, stale...) {
			must(t, table.PutSnapshot(t.Context(), place, noise(400_000)))
		}
		items, err := table.List(t.Context())
		must(t, err)
		must(t, table.Create(t.Context(), "shardId-000000000007", "", 0))
		if swept, err := table.Sweep(t.Context(), items, ""); swept.Maps != 9 || err != nil {
			t.Errorf("swept %+v, error %v", swept, err)
		}
		for _, place := range keep {
			if _, ok, err := table.Snapshot(t.Context(), place); !ok || err != nil {
				t.Errorf("%+v: found %v, error %v", place, ok, err)
			}
		}
		for _, place := range stale {
			if _, ok, _ := table.Snapshot(t.Context(), place); ok {
				t.Errorf("%+v is still there", place)
			}
		}
		if _, known, err := table.ReadGroup(t.Context()); !known || err != nil {
			t.Errorf("group: %v, %v", known, err)
		}
	})
}

func TestListReadsEveryPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		padding := strings.Repeat("x", 300_000) // a page of a scan ends after 1 MB
		for i := range 8 {
			put(t, e, map[string]types.AttributeValue{"ShardID": s(string(shard0) + seqText(i)), "Padding": s(padding)})
		}
		put(t, e, map[string]types.AttributeValue{"ShardID": s("#leader"), "Counter": s("of another tool")})
		items, err := table.List(t.Context())
		if err != nil || len(items) != 8 {
			t.Errorf("%d items, error %v", len(items), err)
		}
	})
}

func seqText(i int) string { return string(seq(i)) }

func TestATableOfSomethingElseIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		hash, name := "leaseKey", "leases"
		_, err := e.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &name, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &hash, AttributeType: types.ScalarAttributeTypeS}},
		})
		must(t, err)
		cfg := lease.DefaultConfig()
		cfg.Table = name
		table, err := newTable(e, cfg)
		must(t, err)
		if err := table.Init(t.Context()); !stream.IsPermanent(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestValidateNamesEveryFault(t *testing.T) {
	err := lease.Config{Table: "x", Duration: time.Millisecond, AttemptTimeout: time.Second}.Validate()
	for _, key := range []string{"table", "worker", "duration", "attempt_timeout"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named in %v", key, err)
		}
	}
	if err := lease.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if errors.Is(err, lease.ErrLost) {
		t.Error("a fault of the configuration is no lost lease")
	}
}
