package lease_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers/lease"
)

// vmware makes the requests of a vmware-go-kcl-v2 worker (commit f6e79f1, read in
// clientlibrary/checkpoint): whole items by PutItem, its conditions letter by
// letter, its way of reading, which panics on any attribute that is not a string.
type vmware struct {
	endpoint
	t      *testing.T
	worker string

	// Its memory of the shard.
	owner, checkpoint, parent string
	timeout                   time.Time
}

var (
	errNotAcquired = errors.New("lease not acquired")
	errNoSequence  = errors.New("no checkpoint")
	errClaimed     = errors.New("claimed by another")
)

const vmwareLease, vmwareClaim = 10 * time.Second, 120 * time.Second

// attribute reads as that library does: unchecked.
func attribute(a map[string]types.AttributeValue, name string) (string, bool) {
	v, ok := a[name]
	if !ok {
		return "", false
	}
	return v.(*types.AttributeValueMemberS).Value, true
}

func (v *vmware) read() map[string]types.AttributeValue {
	return raw(v.t, v.endpoint, "leases", "ShardID", string(shard0))
}

func (v *vmware) put(a map[string]types.AttributeValue, condition string, values map[string]types.AttributeValue) error {
	in := &dynamodb.PutItemInput{TableName: aws.String("leases"), Item: a}
	if condition != "" {
		in.ConditionExpression = &condition
	}
	if len(values) > 0 {
		in.ExpressionAttributeValues = values
	}
	_, err := v.PutItem(context.Background(), in)
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return errNotAcquired
	}
	return err
}

// getLease acquires and renews.
func (v *vmware) getLease() error {
	now, current := time.Now().UTC(), v.read()
	assigned, owned := attribute(current, "AssignedTo")
	until, timed := attribute(current, "LeaseTimeout")
	claim, claimed := attribute(current, "ClaimRequest")
	claimOver := !v.timeout.IsZero() && v.timeout.Before(now.Add(-vmwareClaim))
	if claimed && claim != "" && claim != v.worker && !claimOver {
		return errClaimed
	}
	condition, values := "attribute_not_exists(AssignedTo)", map[string]types.AttributeValue{}
	if owned && timed {
		at, err := time.Parse(time.RFC3339Nano, until)
		must(v.t, err)
		if now.Before(at) && assigned != v.worker && !claimOver {
			return errNotAcquired
		}
		condition = "ShardID = :id AND AssignedTo = :assigned_to AND LeaseTimeout = :lease_timeout"
		values = map[string]types.AttributeValue{":id": s(string(shard0)), ":assigned_to": s(assigned), ":lease_timeout": s(until)}
	}
	if claim == v.worker && !claimOver {
		condition += " AND ClaimRequest = :claim_request"
		values[":claim_request"] = s(claim)
	}
	next := now.Add(vmwareLease)
	item := map[string]types.AttributeValue{"ShardID": s(string(shard0)), "AssignedTo": s(v.worker), "LeaseTimeout": s(next.Format(time.RFC3339Nano))}
	v.optional(item)
	if err := v.put(item, condition, values); err != nil {
		return err
	}
	v.owner, v.timeout = v.worker, next
	return nil
}

func (v *vmware) optional(item map[string]types.AttributeValue) {
	if v.parent != "" {
		item["ParentShardId"] = s(v.parent)
	}
	if v.checkpoint != "" {
		item["Checkpoint"] = s(v.checkpoint)
	}
}

func (v *vmware) checkpointSequence(sequence string) error {
	v.checkpoint = sequence
	item := map[string]types.AttributeValue{
		"ShardID": s(string(shard0)), "AssignedTo": s(v.owner), "LeaseTimeout": s(v.timeout.UTC().Format(time.RFC3339Nano)),
	}
	v.optional(item)
	return v.put(item, "", nil)
}

func (v *vmware) fetchCheckpoint() error {
	current := v.read()
	sequence, ok := attribute(current, "Checkpoint")
	if !ok {
		return errNoSequence
	}
	v.checkpoint = sequence
	if owner, ok := attribute(current, "AssignedTo"); ok {
		v.owner = owner
	}
	if until, ok := attribute(current, "LeaseTimeout"); ok {
		at, err := time.Parse(time.RFC3339Nano, until)
		must(v.t, err)
		v.timeout = at
	}
	return nil
}

func (v *vmware) removeLeaseOwner() error {
	_, err := v.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
		TableName:                 aws.String("leases"),
		Key:                       map[string]types.AttributeValue{"ShardID": s(string(shard0))},
		UpdateExpression:          aws.String("remove AssignedTo"),
		ConditionExpression:       aws.String("AssignedTo = :assigned_to"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":assigned_to": s(v.worker)},
	})
	return err
}

func (v *vmware) claimShard() error {
	if err := v.fetchCheckpoint(); err != nil && !errors.Is(err, errNoSequence) {
		return err
	}
	until := v.timeout.UTC().Format(time.RFC3339Nano)
	item := map[string]types.AttributeValue{
		"ShardID": s(string(shard0)), "LeaseTimeout": s(until), "Checkpoint": s(v.checkpoint), "ClaimRequest": s(v.worker),
	}
	values := map[string]types.AttributeValue{":id": s(string(shard0)), ":lease_timeout": s(until)}
	condition := "ShardID = :id AND LeaseTimeout = :lease_timeout AND attribute_not_exists(ClaimRequest)"
	if v.owner == "" {
		condition += " AND attribute_not_exists(AssignedTo)"
	} else {
		condition += "AND AssignedTo = :assigned_to"
		values[":assigned_to"], item["AssignedTo"] = s(v.owner), s(v.owner)
	}
	switch v.checkpoint {
	case "":
		condition += " AND attribute_not_exists(Checkpoint)"
	case "SHARD_END":
		condition += " AND Checkpoint <> :checkpoint"
		values[":checkpoint"] = s("SHARD_END")
	default:
		condition += " AND Checkpoint = :checkpoint"
		values[":checkpoint"] = s(v.checkpoint)
	}
	if v.parent == "" {
		condition += " AND attribute_not_exists(ParentShardId)"
	} else {
		condition += " AND ParentShardId = :parent_shard"
		values[":parent_shard"], item["ParentShardId"] = s(v.parent), s(v.parent)
	}
	return v.put(item, condition, values)
}

// syncLeases is its scan for workers: items that lack one of the three are skipped.
func (v *vmware) syncLeases() map[string]string {
	out, err := v.Scan(context.Background(), &dynamodb.ScanInput{TableName: aws.String("leases"), ProjectionExpression: aws.String("ShardID,AssignedTo,Checkpoint")})
	must(v.t, err)
	owners := map[string]string{}
	for _, a := range out.Items {
		shard, ok1 := attribute(a, "ShardID")
		owner, ok2 := attribute(a, "AssignedTo")
		if _, ok3 := attribute(a, "Checkpoint"); ok1 && ok2 && ok3 {
			owners[shard] = owner
		}
	}
	return owners
}

// wantStrings fails unless an item is what that library can read. An empty
// checkpoint is its own way of saying that there is none.
func wantStrings(t *testing.T, a map[string]types.AttributeValue) {
	t.Helper()
	for _, name := range []string{"ShardID", "AssignedTo", "LeaseTimeout", "Checkpoint", "ParentShardId", "ClaimRequest"} {
		if v, ok := a[name]; ok {
			if text, ok := v.(*types.AttributeValueMemberS); !ok || text.Value == "" && name != "Checkpoint" {
				t.Errorf("%s is %#v", name, v)
			}
		}
	}
	if until, ok := attribute(a, "LeaseTimeout"); ok {
		at, err := time.Parse(time.RFC3339Nano, until)
		if err != nil || at.UTC().Format(time.RFC3339Nano) != until || !strings.HasSuffix(until, "Z") {
			t.Errorf("LeaseTimeout %q does not come back as it is, error %v", until, err)
		}
	}
}

// Items as that library leaves them are taken over in place: each as it stands,
// with the position it stands at.
func TestItemsOfTheOtherLibraryAreTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		make       func(*vmware)
		checkpoint string
		parent     string
		wait       bool // until the owner's silence is long enough
	}{
		"vmware_fresh": {func(v *vmware) { must(v.t, v.getLease()) }, "", "", true},
		"vmware_owned": {func(v *vmware) {
			v.parent = "shardId-000000000009"
			must(v.t, v.getLease())
			must(v.t, v.checkpointSequence("49590338271490256608559692538361571095921575989136588898"))
		}, "49590338271490256608559692538361571095921575989136588898", "shardId-000000000009", true},
		"vmware_released": {func(v *vmware) {
			must(v.t, v.getLease())
			must(v.t, v.checkpointSequence("100"))
			must(v.t, v.removeLeaseOwner())
		}, "100", "", false},
		"vmware_finished": {func(v *vmware) {
			must(v.t, v.getLease())
			must(v.t, v.checkpointSequence("SHARD_END"))
			must(v.t, v.removeLeaseOwner())
		}, "SHARD_END", "", false},
		"vmware_claimed": {func(v *vmware) {
			must(v.t, v.getLease())
			must(v.t, v.checkpointSequence("100"))
			must(v.t, (&vmware{endpoint: v.endpoint, t: v.t, worker: "thief"}).claimShard())
		}, "100", "", true},
		"vmware_claimed_before_a_checkpoint": {func(v *vmware) {
			must(v.t, v.getLease())
			must(v.t, v.removeLeaseOwner())
			thief := &vmware{endpoint: v.endpoint, t: v.t, worker: "thief", timeout: v.timeout}
			must(v.t, thief.claimShard()) // leaves Checkpoint = ""
		}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(144467840 * time.Nanosecond) // a time with digits to be trimmed
				e := newEndpoint(t)
				table := e.table(t, "ours")
				c.make(&vmware{endpoint: e, t: t, worker: "theirs"})
				golden(t, name, raw(t, e, "leases", "ShardID", string(shard0)))

				var watch lease.Watch
				seen := item(t, table)
				watch.Observe([]lease.Item{seen}, time.Now())
				if free := watch.Free(seen, table.Duration(), time.Now()); free == c.wait {
					t.Errorf("free at once: %v", free)
				}
				wait(table.Duration())
				if !watch.Free(seen, table.Duration(), time.Now()) {
					t.Error("not free when its owner was silent for the lease")
				}
				l, err := table.Acquire(t.Context(), seen)
				must(t, err)
				if got := l.Item(); string(got.Checkpoint) != c.checkpoint || string(got.Parent) != c.parent || got.Owner != "ours" || got.Claim != "" {
					t.Errorf("taken over as %+v", got)
				}
				must(t, l.Renew(t.Context()))
				wantStrings(t, raw(t, e, "leases", "ShardID", string(shard0)))
			})
		})
	}
}

// And back: whatever we leave, that library reads, takes, renews, checkpoints,
// claims and releases.
func TestItemsOfOursAreTakenBack(t *testing.T) {
	pending := lease.Pending{First: "101", Last: "150", Plan: "plan"}
	for name, c := range map[string]struct {
		leave      func(*testing.T, *lease.Table)
		checkpoint string
	}{
		"created and never read": {func(t *testing.T, table *lease.Table) {
			must(t, table.Create(t.Context(), shard0, "", 0))
		}, ""},
		"released": {func(t *testing.T, table *lease.Table) {
			l := acquire(t, table)
			must(t, l.Checkpoint(t.Context(), "100"))
			must(t, l.Release(t.Context(), true))
		}, "100"},
		"dead with a range pending": {func(t *testing.T, table *lease.Table) {
			l := acquire(t, table)
			must(t, l.Checkpoint(t.Context(), "100"))
			must(t, l.Prepare(t.Context(), pending))
			wait(11 * time.Second)
		}, "100"},
		"finished": {func(t *testing.T, table *lease.Table) {
			l := acquire(t, table)
			must(t, l.Checkpoint(t.Context(), lease.ShardEnd))
			must(t, l.Release(t.Context(), true))
		}, "SHARD_END"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "ours")
				c.leave(t, table)
				wantStrings(t, raw(t, e, "leases", "ShardID", string(shard0)))

				theirs := &vmware{endpoint: e, t: t, worker: "theirs"}
				if err := theirs.fetchCheckpoint(); (err != nil) != (c.checkpoint == "") || theirs.checkpoint != c.checkpoint {
					t.Fatalf("read checkpoint %q, error %v", theirs.checkpoint, err)
				}
				theirs.owner = ""
				must(t, theirs.getLease())
				wait(2500 * time.Millisecond)
				must(t, theirs.getLease())
				if c.checkpoint == "SHARD_END" {
					return
				}
				must(t, theirs.checkpointSequence("200"))
				if got := theirs.syncLeases()[string(shard0)]; got != "theirs" {
					t.Errorf("its scan sees owner %q", got)
				}
				thief := &vmware{endpoint: e, t: t, worker: "thief"}
				must(t, thief.claimShard())
				if err := theirs.getLease(); !errors.Is(err, errClaimed) {
					t.Errorf("renewed in spite of the claim: %v", err)
				}
				must(t, theirs.removeLeaseOwner())
				must(t, thief.getLease())
				must(t, thief.checkpointSequence("300"))
				must(t, thief.removeLeaseOwner())

				again, err := table.Acquire(t.Context(), item(t, table)) // and once more
				must(t, err)
				if got := again.Item(); got.Checkpoint != "300" || got.Pending != nil {
					t.Errorf("taken over as %+v", got)
				}
			})
		})
	}
}

// Beside a live lease of ours that library keeps away, and its claim makes us hand
// over, with the position, and without losing the claim on the way.
func TestTheOtherLibraryRespectsALeaseOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "ours")
		l := acquire(t, table)
		must(t, l.Checkpoint(t.Context(), "100"))
		theirs := &vmware{endpoint: e, t: t, worker: "theirs"}
		if err := theirs.getLease(); !errors.Is(err, errNotAcquired) {
			t.Errorf("took a lease that is held: %v", err)
		}
		must(t, theirs.claimShard())
		// Its PutItem of the whole item took our counter with it: we cannot know what
		// else, so the lease is lost and delivery goes on at least once.
		if err := l.Checkpoint(t.Context(), "150"); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error %v", err)
		}
		if got, _ := attribute(theirs.read(), "ClaimRequest"); got != "theirs" {
			t.Errorf("claim of %q", got)
		}
		wait(11 * time.Second)
		must(t, theirs.getLease())
		if theirs.checkpoint != "100" {
			t.Errorf("goes on at %q", theirs.checkpoint)
		}
	})
}

// What its PutItem erases and must not be lost lies in the state table.
func TestWhatTheOtherLibraryErasesIsKeptElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "ours")
		_, err := table.OpenGroup(t.Context(), group())
		must(t, err)
		plan, err := table.PutPlan(t.Context(), "plan")
		must(t, err)
		must(t, table.Create(t.Context(), shard0, "", 4))
		l := acquire(t, table)
		place := lease.Place{Shard: shard0, Generation: 4, Sequence: "100"}
		must(t, table.PutSnapshot(t.Context(), place, []byte("map")))
		must(t, l.Checkpoint(t.Context(), "100"))
		must(t, l.Prepare(t.Context(), lease.Pending{First: "101", Last: "150", Generation: 4, Plan: plan}))
		must(t, l.Release(t.Context(), true))

		theirs := &vmware{endpoint: e, t: t, worker: "theirs"}
		must(t, theirs.fetchCheckpoint())
		must(t, theirs.getLease())
		must(t, theirs.removeLeaseOwner())
		left := theirs.read()
		for name := range left {
			if name != "ShardID" && name != "Checkpoint" && name != "LeaseTimeout" {
				t.Errorf("%s survived, this test shows nothing", name)
			}
		}
		again, err := table.Acquire(t.Context(), item(t, table))
		must(t, err)
		if got := again.Item(); got.Generation != 4 || got.Checkpoint != "100" {
			t.Errorf("taken over as %+v", got)
		}
		if data, ok, err := table.Snapshot(t.Context(), place); !ok || string(data) != "map" || err != nil {
			t.Errorf("map: %v, %v", ok, err)
		}
		if text, err := table.Plan(t.Context(), plan); text != "plan" || err != nil {
			t.Errorf("plan: %v", err)
		}
		if g, known, err := table.ReadGroup(t.Context()); !known || g.RangeBytes != group().RangeBytes || err != nil {
			t.Errorf("group: %v, %v", known, err)
		}
	})
}
