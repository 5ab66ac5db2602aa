package lease_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers/lease"
	"tributary/deploy/local/fault"
)

// finished leaves a shard that was read to its end, with its generation and map.
func finished(t *testing.T, table *lease.Table) lease.Place {
	t.Helper()
	must(t, table.Create(t.Context(), shard0, "", 2))
	l := acquire(t, table)
	must(t, l.Checkpoint(t.Context(), "100"))
	place := lease.Place{Shard: shard0, Generation: 2, Sequence: lease.ShardEnd}
	must(t, table.PutSnapshot(t.Context(), place, noise(400_000))) // in two chunks
	must(t, l.Checkpoint(t.Context(), lease.ShardEnd))
	must(t, l.Release(t.Context(), true))
	return place
}

// Whatever call of a Forget is its last, the next one and a Sweep leave nothing.
func TestForgetCanDieAnywhere(t *testing.T) {
	for dies := 1; dies <= 6; dies++ {
		synctest.Test(t, func(t *testing.T) {
			e := newEndpoint(t)
			table := e.table(t, "w")
			finished(t, table)
			seen := item(t, table)
			e.rules(t, fault.Rule{Operation: "DeleteItem", Action: "error", Every: dies})
			_, err := table.Forget(t.Context(), seen)
			e.rules(t)
			if items, _ := table.List(t.Context()); len(items) == 1 { // it is still to be done
				if gone, err := table.Forget(t.Context(), items[0]); !gone || err != nil {
					t.Errorf("dies at %d: again: %v, %v", dies, gone, err)
				}
			}
			if err != nil {
				if _, err := table.Sweep(t.Context(), nil, ""); err != nil {
					t.Error(err)
				}
			}
			for _, key := range keysOf(t, e) {
				t.Errorf("dies at %d: %s is left", dies, key)
			}
			if items, err := table.List(t.Context()); len(items) > 0 || err != nil {
				t.Errorf("dies at %d: items %v, error %v", dies, items, err)
			}
		})
	}
}

func TestForgetLeavesWhatIsNotAsItWasSeen(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *lease.Table){
		"somebody holds it": func(t *testing.T, table *lease.Table) { acquire(t, table) },
		"it was held since": func(t *testing.T, table *lease.Table) { must(t, acquire(t, table).Release(t.Context(), true)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				place := finished(t, table)
				seen := item(t, table)
				change(t, table)
				if gone, err := table.Forget(t.Context(), seen); gone || err != nil {
					t.Errorf("gone %v, error %v", gone, err)
				}
				if _, ok, err := table.Snapshot(t.Context(), place); !ok || err != nil {
					t.Errorf("map: %v, %v", ok, err)
				}
				item(t, table)
			})
		})
	}
	t.Run("it is not finished", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			table := newEndpoint(t).table(t, "w")
			must(t, acquire(t, table).Release(t.Context(), true))
			if _, err := table.Forget(t.Context(), item(t, table)); err == nil {
				t.Error("no error")
			}
		})
	})
}

func keysOf(t *testing.T, e endpoint) (keys []string) {
	t.Helper()
	for _, a := range all(t, e, "leases-state") {
		keys = append(keys, a["Key"].(*types.AttributeValueMemberS).Value)
	}
	return keys
}

func TestPlansThatNobodyUsesGoAfterAMonth(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		plans := map[string]string{}
		for _, name := range []string{"mine", "pending", "used", "dead"} {
			hash, err := table.PutPlan(t.Context(), name)
			must(t, err)
			plans[name] = hash
		}
		l := acquire(t, table)
		must(t, l.Prepare(t.Context(), lease.Pending{First: "1", Last: "2", Plan: plans["pending"]}))
		dropped := 0
		for range 40 {
			_, err := table.PutPlan(t.Context(), "used") // its worker says so once a day
			must(t, err)
			swept, err := table.Sweep(t.Context(), nil, plans["mine"])
			must(t, err)
			dropped += swept.Plans
			wait(day)
		}
		if dropped != 1 {
			t.Errorf("%d plans dropped", dropped)
		}
		for name, hash := range plans {
			if _, err := table.Plan(t.Context(), hash); (err == nil) == (name == "dead") {
				t.Errorf("plan %s: %v", name, err)
			}
		}
		// Back in use, it is back in the table.
		_, err := table.PutPlan(t.Context(), "dead")
		must(t, err)
		if _, err := table.Plan(t.Context(), plans["dead"]); err != nil {
			t.Error(err)
		}
	})
}

// An eventually consistent look may show what was; what is then done about it is
// refused by the table, and the lease is not harmed.
func TestAnOldSightHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table, thief := e.table(t, "w"), e.table(t, "thief")
		l := acquire(t, table)
		must(t, l.Checkpoint(t.Context(), "1"))
		e.rules(t, fault.Rule{Operation: "Scan", Action: fault.Stale})
		seen, err := thief.Glance(t.Context())
		must(t, err)
		if len(seen) != 1 || seen[0].Checkpoint == "1" {
			t.Fatalf("the sight is not old: %+v", seen)
		}
		if _, err := thief.Acquire(t.Context(), seen[0]); err == nil {
			t.Error("acquired by an old sight")
		}
		if err := thief.Claim(t.Context(), seen[0]); err == nil {
			t.Error("claimed by an old sight")
		}
		must(t, l.Checkpoint(t.Context(), "2"))
	})
}

func TestAClaimCanBeWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		a, b := e.table(t, "a"), e.table(t, "b")
		l := acquire(t, e.table(t, "owner"))
		must(t, a.Claim(t.Context(), item(t, a)))
		must(t, b.Withdraw(t.Context(), shard0)) // not its own: stays
		if got := item(t, a).Claim; got != "a" {
			t.Errorf("claim of %q", got)
		}
		must(t, a.Withdraw(t.Context(), shard0))
		must(t, a.Withdraw(t.Context(), shard0))
		must(t, l.Checkpoint(t.Context(), "1"))
		if got := item(t, a); got.Claim != "" || got.Owner != "owner" {
			t.Errorf("item %+v", got)
		}
	})
}

func TestThrottledWritesCauseNoReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		reg := prometheus.NewRegistry()
		cfg := lease.DefaultConfig()
		cfg.Table, cfg.Worker = "leases", "w"
		table, err := lease.New(e, cfg, reg, slog.New(slog.DiscardHandler))
		must(t, err)
		must(t, table.Init(t.Context()))
		l := acquire(t, table)
		gets := requests(t, reg, "get")
		e.rules(t, fault.Rule{Operation: "UpdateItem", Action: "throttle", Count: 5})
		must(t, l.Renew(t.Context()))
		if n := requests(t, reg, "get") - gets; n > 0 {
			t.Errorf("%v reads", n)
		}
		if n := requests(t, reg, "update"); n != 7 {
			t.Errorf("%v writes: one to acquire, five throttled, one to renew", n)
		}
	})
}

func requests(t *testing.T, reg *prometheus.Registry, operation string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tributary_lease_requests_total" && m.GetLabel()[0].GetValue() == operation {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no series for %s", operation)
	return 0
}

func TestWatchKnowsClaimsAndDepartures(t *testing.T) {
	var w lease.Watch
	now := time.Now()
	owned := func(owner, claim string, counter uint64) lease.Item {
		return lease.Item{Shard: shard0, Owner: owner, Claim: claim, Counter: counter}
	}
	see := func(i lease.Item) { now = now.Add(time.Second); w.Observe([]lease.Item{i}, now) }
	see(owned("a", "", 1))
	see(owned("a", "b", 1))
	see(owned("a", "b", 2)) // renewed: the claim grows old all the same
	if d := w.Claimed(owned("a", "b", 2), now); d != time.Second {
		t.Errorf("claimed for %v", d)
	}
	see(owned("", "b", 3))
	if w.Leaving("a") {
		t.Error("a hands over as it was asked to, it does not leave")
	}
	see(owned("b", "", 4))
	see(owned("", "", 5))
	if !w.Leaving("b") {
		t.Error("b gave up what nobody asked for")
	}
	see(owned("b", "", 6))
	if w.Leaving("b") {
		t.Error("b is back")
	}
	see(lease.Item{Shard: shard0, Checkpoint: lease.ShardEnd, Counter: 7})
	if w.Leaving("b") {
		t.Error("b came to the end of a shard, it does not leave")
	}
}
