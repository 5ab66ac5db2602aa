package lease_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers/lease"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

func TestOfManyWorkersOneTakesALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		tables := make([]*lease.Table, 10)
		for i := range tables {
			tables[i] = e.table(t, fmt.Sprintf("worker-%d", i))
		}
		must(t, tables[0].Create(t.Context(), shard0, "", 0))
		seen := item(t, tables[0])
		var wg sync.WaitGroup
		results := make([]error, len(tables))
		for i, table := range tables {
			wg.Go(func() { _, results[i] = table.Acquire(t.Context(), seen) })
		}
		wg.Wait()
		won := 0
		for i, err := range results {
			switch {
			case err == nil:
				won++
				if owner := item(t, tables[0]).Owner; owner != tables[i].Worker() {
					t.Errorf("%s won, but the owner is %s", tables[i].Worker(), owner)
				}
			case !errors.Is(err, lease.ErrLost):
				t.Errorf("loser got %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d workers won", won)
		}
	})
}

// zombie returns a lease whose worker slept through its end, and the one of the
// worker that took over and checkpointed at 200.
func zombie(t *testing.T, e endpoint) (old, current *lease.Lease) {
	old = acquire(t, e.table(t, "zombie"))
	must(t, old.Checkpoint(t.Context(), "100"))
	wait(11 * time.Second)
	current = acquire(t, e.table(t, "heir"))
	must(t, current.Checkpoint(t.Context(), "200"))
	return old, current
}

func TestAZombieCannotWrite(t *testing.T) {
	pending := lease.Pending{First: "101", Last: "150", Plan: "p"}
	writes := map[string]func(*lease.Lease) error{
		"renew":      func(l *lease.Lease) error { return l.Renew(background) },
		"prepare":    func(l *lease.Lease) error { return l.Prepare(background, pending) },
		"checkpoint": func(l *lease.Lease) error { return l.Checkpoint(background, "300") },
		"end":        func(l *lease.Lease) error { return l.Checkpoint(background, lease.ShardEnd) },
		"mark gap":   func(l *lease.Lease) error { return l.MarkGap(background, lease.Gap{First: "101", Last: "150"}) },
		"release":    func(l *lease.Lease) error { return l.Release(background, true) },
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				old, current := zombie(t, e)
				if old.Valid() {
					t.Error("the zombie thinks it holds the lease")
				}
				if err := write(old); !errors.Is(err, lease.ErrLost) {
					t.Errorf("error %v", err)
				}
				if got := item(t, e.table(t, "observer")); got.Owner != "heir" || got.Checkpoint != "200" || got.Pending != nil {
					t.Errorf("item %+v", got)
				}
				must(t, current.Checkpoint(t.Context(), "201"))
			})
		})
	}
}

// A worker that was robbed before its own clock said so finds out at its next
// write: the table decides, not the clock.
func TestARobbedWorkerLearnsItAtItsNextWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		robbed := acquire(t, e.table(t, "robbed"))
		acquire(t, e.table(t, "thief"))
		if !robbed.Valid() {
			t.Fatal("the lease ran out")
		}
		if err := robbed.Checkpoint(t.Context(), "1"); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error %v", err)
		}
		if robbed.Valid() {
			t.Error("still valid after the loss is known")
		}
		if got := item(t, e.table(t, "observer")); got.Owner != "thief" || got.Checkpoint != "" {
			t.Errorf("item %+v", got)
		}
	})
}

func TestWritesSurviveFaults(t *testing.T) {
	faults := map[string]fault.Rule{
		"every second answer is lost":         {Action: "lose_response", Every: 2},
		"every third call fails":              {Action: "error", Every: 3},
		"every third call is throttled":       {Action: "throttle", Every: 3},
		"every third commit comes 3 s late":   {Action: "delay_commit", Every: 3, Delay: 3 * time.Second},
		"every second commit comes 3 s late":  {Action: "delay_commit", Every: 2, Delay: 3 * time.Second, Operation: "UpdateItem"},
		"every third call hangs for a minute": {Action: "delay", Every: 3, Delay: time.Minute},
	}
	for name, rule := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				l := acquire(t, table)
				e.rules(t, rule)
				for n := 1; n <= 20; n++ {
					p := lease.Pending{First: seq(10*n - 9), Last: seq(10 * n), Plan: "plan"}
					must(t, l.Prepare(t.Context(), p))
					must(t, l.Renew(t.Context()))
					must(t, l.Checkpoint(t.Context(), p.Last))
					if n%7 == 0 {
						wait(time.Second)
					}
				}
				wait(2 * time.Minute) // whatever was delayed lands now
				e.rules(t)
				got := item(t, table)
				if got.Checkpoint != "200" || got.Pending != nil || got.Owner != "w" {
					t.Errorf("item %+v", got)
				}
				if want := uint64(1 + 3*20); got.Counter != want {
					t.Errorf("counter %d after %d writes: some write landed twice", got.Counter, want)
				}
			})
		})
	}
}

func seq(n int) stream.SequenceNumber { return stream.SequenceNumber(fmt.Sprint(n)) }

// All of a worker's writes hang in the network until long after its lease: it must
// give up in time, and what arrives later must not touch its heir's item.
func TestCommitsDelayedPastTheLeaseChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		old := acquire(t, e.table(t, "slow"))
		until := old.Until()
		e.rules(t, fault.Rule{Action: "delay_commit", Every: 1, Delay: 30 * time.Second, Operation: "UpdateItem"})
		if err := old.Checkpoint(t.Context(), "100"); !errors.Is(err, lease.ErrLost) {
			t.Fatalf("error %v", err)
		}
		if late := time.Since(until); late > 0 {
			t.Errorf("gave up %v after the lease had run out", late)
		}
		e.rules(t)
		wait(time.Until(until))
		heir := acquire(t, e.table(t, "heir"))
		must(t, heir.Checkpoint(t.Context(), "50"))
		wait(time.Minute) // the delayed writes land
		if got := item(t, e.table(t, "observer")); got.Checkpoint != "50" || got.Owner != "heir" || got.Counter != 3 {
			t.Errorf("item %+v", got)
		}
	})
}

func TestALeaseThatCannotBeRenewedIsLostInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		l := acquire(t, e.table(t, "w"))
		began := time.Now()
		e.rules(t, fault.Rule{Action: "throttle", Every: 1})
		if err := l.Renew(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(began); d < 9*time.Second || d > 10*time.Second {
			t.Errorf("lost after %v of a lease of 10s", d)
		}
	})
}

func TestEveryWriteRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		l := acquire(t, e.table(t, "w"))
		for n := range 10 {
			wait(9 * time.Second)
			must(t, l.Checkpoint(t.Context(), seq(n)))
		}
	})
}

// What counts is when the write was sent that landed; of one whose outcome was not
// known, the first that may have.
func TestALeaseLastsFromTheWriteThatLanded(t *testing.T) {
	for name, c := range map[string]struct {
		rule fault.Rule
		late time.Duration // at the most, counted from before the first attempt
	}{
		"throttled for long, and then written": {fault.Rule{Operation: "UpdateItem", Action: "throttle", Count: 8}, 10 * time.Second},
		"written at once, the answer lost":     {fault.Rule{Operation: "UpdateItem", Action: "lose_response", Count: 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				must(t, table.Create(t.Context(), shard0, "", 0))
				seen := item(t, table)
				for _, write := range []string{"acquire", "renew"} {
					e.rules(t, c.rule)
					began := time.Now()
					l, err := table.Acquire(t.Context(), seen)
					must(t, err)
					if write == "renew" {
						e.rules(t, c.rule)
						began = time.Now()
						must(t, l.Renew(t.Context()))
					}
					if left := time.Until(l.Until()); c.late > 0 && left < 9990*time.Millisecond {
						t.Errorf("%s: lasts for %v", write, left)
					}
					if late := l.Until().Sub(began) - 10*time.Second; late > c.late {
						t.Errorf("%s: lasts %v longer than it should", write, late)
					}
					must(t, l.Release(t.Context(), true))
					seen = item(t, table)
				}
			})
		})
	}
}

func TestCheckpointsKeepTheirOrder(t *testing.T) {
	for name, c := range map[string]struct {
		writes  []stream.SequenceNumber
		refused bool
	}{
		"forward as numbers, not as strings": {[]stream.SequenceNumber{"9", "10", "100"}, false},
		"the same again":                     {[]stream.SequenceNumber{"9", "9"}, false},
		"the end is last":                    {[]stream.SequenceNumber{"9", lease.ShardEnd, lease.ShardEnd}, false},
		"backwards":                          {[]stream.SequenceNumber{"10", "9"}, true},
		"behind the end":                     {[]stream.SequenceNumber{lease.ShardEnd, "10"}, true},
		"a word":                             {[]stream.SequenceNumber{"TRIM_HORIZON"}, true},
		"nothing":                            {[]stream.SequenceNumber{""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := newEndpoint(t).table(t, "w")
				l := acquire(t, table)
				last := len(c.writes) - 1
				for _, s := range c.writes[:last] {
					must(t, l.Checkpoint(t.Context(), s))
				}
				before := item(t, table).Checkpoint
				err := l.Checkpoint(t.Context(), c.writes[last])
				if c.refused != (err != nil) {
					t.Fatalf("error %v", err)
				}
				want := c.writes[last]
				if c.refused {
					want = before
					must(t, l.Renew(t.Context())) // a refusal costs nothing
				}
				if got := item(t, table).Checkpoint; got != want {
					t.Errorf("checkpoint %q, want %q", got, want)
				}
			})
		})
	}
}

func TestOneRangeIsPendingAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newEndpoint(t).table(t, "w")
		l := acquire(t, table)
		p := lease.Pending{First: "1", Last: "5", Generation: 2, Plan: "abc"}
		must(t, l.Prepare(t.Context(), p))
		must(t, l.Prepare(t.Context(), p))
		if err := l.Prepare(t.Context(), lease.Pending{First: "1", Last: "6", Plan: "abc"}); err == nil || errors.Is(err, lease.ErrLost) {
			t.Errorf("a second range: %v", err)
		}
		if got := item(t, table).Pending; got == nil || *got != p {
			t.Errorf("pending %+v", got)
		}
		must(t, l.Checkpoint(t.Context(), "5"))
		if got := item(t, table); got.Pending != nil || got.Checkpoint != "5" {
			t.Errorf("item %+v", got)
		}
	})
}

func TestAClaimSurvivesTheOwnersWritesAndEndsWithTheHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		claimer, table := e.table(t, "claimer"), e.table(t, "owner")
		l := acquire(t, table)
		must(t, claimer.Claim(t.Context(), item(t, claimer)))
		must(t, l.Checkpoint(t.Context(), "1")) // not disturbed by the claim
		if !l.Claimed() || item(t, table).Claim != "claimer" {
			t.Error("the owner's write erased the claim")
		}
		if err := e.table(t, "third").Claim(t.Context(), item(t, table)); !errors.Is(err, lease.ErrLost) {
			t.Errorf("claimed twice: %v", err)
		}
		must(t, l.Release(t.Context(), true))
		if err := l.Renew(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("renewed after release: %v", err)
		}
		taken := acquire(t, claimer)
		if got := item(t, table); got.Owner != "claimer" || got.Claim != "" || got.Checkpoint != "1" || taken.Claimed() {
			t.Errorf("item %+v", got)
		}
	})
}

func TestTheFasterClaimWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		l := acquire(t, e.table(t, "owner"))
		a, b := e.table(t, "a"), e.table(t, "b")
		seen := item(t, a)
		must(t, a.Claim(t.Context(), seen))
		if err := b.Claim(t.Context(), seen); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error %v", err)
		}
		must(t, l.Renew(t.Context()))
		if err := a.Claim(t.Context(), seen); !errors.Is(err, lease.ErrLost) {
			t.Errorf("claim from an old sight: %v", err)
		}
		if got := item(t, a).Claim; got != "a" {
			t.Errorf("claim of %q", got)
		}
	})
}

// vmware-go-kcl-v2 writes whole items without condition. Our owner must notice,
// and what that library does not know must not be lost with it.
func TestAForeignWriteEndsTheLeaseAndKeepsTheGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		must(t, table.Create(t.Context(), shard0, "", 3))
		l := acquire(t, table)
		put(t, e, map[string]types.AttributeValue{
			"ShardID": s(string(shard0)), "AssignedTo": s("vmware"), "Checkpoint": s("77"),
			"LeaseTimeout": s("2026-11-22T15:44:05.14446784Z"),
		})
		if err := l.Checkpoint(t.Context(), "80"); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error %v", err)
		}
		seen := item(t, table)
		if seen.Counted || seen.Owner != "vmware" || seen.Checkpoint != "77" {
			t.Fatalf("item %+v", seen)
		}
		again, err := table.Acquire(t.Context(), seen)
		must(t, err)
		must(t, again.Checkpoint(t.Context(), "80"))
		if got := item(t, table); got.Generation != 3 || got.Checkpoint != "80" || got.Owner != "w" {
			t.Errorf("item %+v", got)
		}
	})
}

func TestAttributesOfOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		put(t, e, map[string]types.AttributeValue{"ShardID": s(string(shard0)), "AssignedTo": s(""), "Note": s("mine")})
		l := acquire(t, table)
		must(t, l.Checkpoint(t.Context(), "5"))
		must(t, l.Release(t.Context(), true))
		if got := raw(t, e, "leases", "ShardID", string(shard0)); got["Note"] == nil || got["AssignedTo"] != nil {
			t.Errorf("item %v", got)
		}
	})
}

func TestWhatCannotBeUnderstoodIsRefused(t *testing.T) {
	for name, change := range map[string]map[string]types.AttributeValue{
		"an item of a later version":   {"Version": n("2")},
		"a counter that is text":       {"Counter": s("1")},
		"a checkpoint that is a word":  {"Checkpoint": s("TRIM_HORIZON")},
		"a pending range without plan": {"Pending": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"First": s("1"), "Last": s("2")}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				change["ShardID"] = s(string(shard0))
				put(t, e, change)
				if items, err := table.List(t.Context()); err == nil {
					t.Errorf("read as %+v", items)
				}
			})
		})
	}
}

func TestWatchJudgesByItsOwnSights(t *testing.T) {
	owned := lease.Item{Shard: shard0, Owner: "w", Counter: 1, Timeout: "2000-01-01T00:00:10Z"}
	renewed := owned
	renewed.Counter++
	foreign := owned
	foreign.Timeout = "1990-01-01T00:00:00Z" // long past, by a wall clock nobody asks
	long := owned
	long.Duration = time.Minute
	free := lease.Item{Shard: shard0, Timeout: "2000-01-01T00:00:10Z"}
	for name, c := range map[string]struct {
		first, second lease.Item
		between       time.Duration
		free          bool
	}{
		"an item without owner is free at once":           {free, free, 0, true},
		"unchanged for less than the duration":            {owned, owned, 9 * time.Second, false},
		"unchanged for the duration":                      {owned, owned, 10 * time.Second, true},
		"renewed in between":                              {owned, renewed, 10 * time.Second, false},
		"another library's timeout moved":                 {owned, foreign, 10 * time.Second, false},
		"an expired wall-clock text proves nothing":       {foreign, foreign, time.Second, false},
		"the owner's own duration counts if it is longer": {long, long, 59 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			var w lease.Watch
			now := time.Now()
			w.Observe([]lease.Item{c.first}, now)
			now = now.Add(c.between)
			w.Observe([]lease.Item{c.second}, now)
			if got := w.Free(c.second, 10*time.Second, now); got != c.free {
				t.Errorf("free = %v", got)
			}
		})
	}
}

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }

func put(t *testing.T, e endpoint, a map[string]types.AttributeValue) {
	t.Helper()
	_, err := e.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("leases"), Item: a})
	must(t, err)
}

func putState(t *testing.T, e endpoint, a map[string]types.AttributeValue) {
	t.Helper()
	_, err := e.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("leases-state"), Item: a})
	must(t, err)
}

func (e endpoint) create(t *testing.T, table, key string) {
	t.Helper()
	_, err := e.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS}},
	})
	must(t, err)
}

func raw(t *testing.T, e endpoint, table, key, value string) map[string]types.AttributeValue {
	t.Helper()
	out, err := e.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: map[string]types.AttributeValue{key: s(value)}})
	must(t, err)
	return out.Item
}

func all(t *testing.T, e endpoint, table string) []map[string]types.AttributeValue {
	t.Helper()
	out, err := e.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	must(t, err)
	return out.Items
}
