package lease_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers/lease"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 500_000_000, time.UTC)

func toNoon(generation uint64) lease.Reset {
	return lease.Reset{Generation: generation, Start: lease.Start{From: lease.StartTimestamp, Time: noon}}
}

// worn is an item that has all a reset clears, with a map at its checkpoint.
func worn(t *testing.T, e endpoint) (*lease.Table, *lease.Lease) {
	t.Helper()
	table := e.table(t, "w")
	must(t, table.Create(t.Context(), shard0, "shardId-000000000009", 2))
	l := acquire(t, table)
	l.Report(lease.Report{State: "parked", Since: noon, Error: "no right"})
	must(t, table.PutSnapshot(t.Context(), lease.Place{Shard: shard0, Generation: 2, Sequence: "100"}, []byte("map")))
	must(t, l.Checkpoint(t.Context(), "90"))
	must(t, l.Checkpoint(t.Context(), "100"))
	must(t, l.Prepare(t.Context(), lease.Pending{First: "101", Last: "149", Generation: 2, Plan: "0a1b"}))
	must(t, e.table(t, "other").Claim(t.Context(), item(t, table)))
	return table, l
}

func TestAResetShardBeginsAnewWhereItIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		start lease.Start
		want  stream.Position
	}{
		"at its oldest record":     {lease.Start{From: lease.StartTrimHorizon}, stream.TrimHorizon()},
		"at a time":                {lease.Start{From: lease.StartTimestamp, Time: noon}, stream.AtTime(noon)},
		"at a record":              {lease.Start{From: lease.StartSequence, Sequence: "77"}, stream.At("77")},
		"where its group does too": {lease.Start{}, stream.Position{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table, holder := worn(t, e)
				to := lease.Reset{Generation: 5, Start: c.start}
				must(t, table.Apply(t.Context(), item(t, table), to))
				got := item(t, table)
				got.Timeout, got.Counter, got.Duration = "", 0, 0
				want := lease.Item{Shard: shard0, Parent: "shardId-000000000009", Counted: true, Generation: 5}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("item %+v", got)
				}
				if _, there, err := table.Snapshot(t.Context(), lease.Place{Shard: shard0, Generation: 2, Sequence: "100"}); there || err != nil {
					t.Errorf("the old map is there: %t, %v", there, err)
				}
				if err := holder.Checkpoint(t.Context(), "149"); !errors.Is(err, lease.ErrLost) {
					t.Errorf("the holder still writes: %v", err)
				}
				next := acquire(t, table)
				if at, told := next.Start().Position(); at != c.want || told != (c.start.From != "") {
					t.Errorf("begins at %s (%t)", at, told)
				}
				if i := next.Item(); i.Generation != 5 || i.Checkpoint != "" || i.Pending != nil {
					t.Errorf("item %+v", i)
				}
			})
		})
	}
}

func TestAShardThatNobodyHasSeenIsResetBeforeItIsCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		absent, err := table.Find(t.Context(), shard0)
		must(t, err)
		must(t, table.Apply(t.Context(), absent, toNoon(3)))
		if items, err := table.List(t.Context()); err != nil || len(items) != 0 {
			t.Fatalf("items %+v, %v", items, err)
		}
		must(t, table.Create(t.Context(), shard0, "", 1))
		l, err := table.Acquire(t.Context(), item(t, table))
		must(t, err)
		if at, _ := l.Start().Position(); at != stream.AtTime(noon) || l.Item().Generation != 3 {
			t.Errorf("begins at %s in generation %d", at, l.Item().Generation)
		}
	})
}

func TestAResetOfAnItemThatMovedIsRefused(t *testing.T) {
	for name, move := range map[string]func(t *testing.T, e endpoint, l *lease.Lease){
		"by a renewal":    func(t *testing.T, _ endpoint, l *lease.Lease) { must(t, l.Renew(t.Context())) },
		"by a checkpoint": func(t *testing.T, _ endpoint, l *lease.Lease) { must(t, l.Checkpoint(t.Context(), "149")) },
		"by a release":    func(t *testing.T, _ endpoint, l *lease.Lease) { must(t, l.Release(t.Context(), true)) },
		"by another library": func(t *testing.T, e endpoint, _ *lease.Lease) {
			put(t, e, map[string]types.AttributeValue{"ShardID": s(string(shard0)), "Checkpoint": s("149")})
		},
		"to a later generation": func(t *testing.T, e endpoint, _ *lease.Lease) {
			table := e.table(t, "other")
			must(t, table.Apply(t.Context(), item(t, table), toNoon(3)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table, l := worn(t, e)
				seen := item(t, table)
				move(t, e, l)
				before := raw(t, e, "leases", "ShardID", string(shard0))
				if err := table.Apply(t.Context(), seen, lease.Reset{Generation: 3, Start: lease.Start{From: lease.StartTrimHorizon}}); !errors.Is(err, lease.ErrLost) {
					t.Errorf("error %v", err)
				}
				if after := raw(t, e, "leases", "ShardID", string(shard0)); !reflect.DeepEqual(before, after) {
					t.Errorf("before %v, after %v", before, after)
				}
			})
		})
	}
}

func TestAGenerationInWhichRangesMayHaveBeenDeliveredIsNotGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table, _ := worn(t, e)
		if err := table.Apply(t.Context(), item(t, table), toNoon(2)); !errors.Is(err, lease.ErrLost) {
			t.Errorf("error %v", err)
		}
	})
}

// The process dies between the two halves. Either the reset is repeated, or a
// worker comes first and goes on where the shard stood, in the new generation.
func TestAResetCutInHalf(t *testing.T) {
	half := func(t *testing.T) (endpoint, *lease.Table) {
		e := newEndpoint(t)
		table, l := worn(t, e)
		must(t, l.Release(t.Context(), true))
		must(t, e.table(t, "other").Withdraw(t.Context(), shard0))
		e.rules(t, fault.Rule{Operation: "UpdateItem", Action: "error"})
		if err := table.Apply(t.Context(), item(t, table), toNoon(3)); err == nil {
			t.Fatal("applied")
		}
		e.rules(t)
		return e, table
	}
	t.Run("is finished by the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, table := half(t)
			must(t, table.Apply(t.Context(), item(t, table), toNoon(3)))
			if got := item(t, table); got.Generation != 3 || got.Checkpoint != "" || got.Pending != nil {
				t.Errorf("item %+v", got)
			}
		})
	})
	t.Run("loses nothing to a worker that comes first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, table := half(t)
			l, err := table.Acquire(t.Context(), item(t, table))
			must(t, err)
			if i := l.Item(); i.Generation != 3 || i.Checkpoint != "100" || i.Pending == nil || i.Pending.Generation != 2 {
				t.Errorf("item %+v", i)
			}
			if err := table.Apply(t.Context(), item(t, table), toNoon(3)); !errors.Is(err, lease.ErrLost) {
				t.Errorf("the same generation again: %v", err)
			}
			must(t, table.Apply(t.Context(), item(t, table), toNoon(4)))
			if got := item(t, table); got.Generation != 4 || got.Checkpoint != "" || got.Owner != "" {
				t.Errorf("item %+v", got)
			}
		})
	})
}

func TestAResetWhoseAnswersAreLostIsRepeatedWithoutHarm(t *testing.T) {
	for _, every := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			e := newEndpoint(t)
			table, _ := worn(t, e)
			seen := item(t, table)
			e.rules(t, fault.Rule{Operation: "PutItem", Action: "lose_response", Every: every, Count: 2}, fault.Rule{Operation: "UpdateItem", Action: "lose_response", Every: every, Count: 2})
			for tries := 0; ; tries++ {
				err := table.Apply(t.Context(), seen, toNoon(3))
				if err == nil {
					break
				}
				if tries == 5 || errors.Is(err, lease.ErrLost) {
					t.Fatal(err)
				}
			}
			if got := item(t, table); got.Generation != 3 || got.Counter != seen.Counter+1 || got.Checkpoint != "" {
				t.Errorf("item %+v", got)
			}
		})
	}
}

func TestAResetThatCannotBeUnderstoodKeepsEverybodyAway(t *testing.T) {
	for name, change := range map[string]map[string]types.AttributeValue{
		"of a later version":    {"Version": n("3"), "Generation": n("3")},
		"to an unknown start":   {"Version": n("2"), "Generation": n("3"), "Start": s("tomorrow")},
		"to no time":            {"Version": n("2"), "Generation": n("3"), "Start": s("timestamp")},
		"to a broken time":      {"Version": n("2"), "Generation": n("3"), "Start": s("timestamp"), "StartTime": s("noon")},
		"to no sequence number": {"Version": n("2"), "Generation": n("3"), "Start": s("sequence"), "StartSequence": s("first")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				must(t, table.Create(t.Context(), shard0, "", 0))
				change["Key"] = s("shard/" + string(shard0))
				putState(t, e, change)
				if _, err := table.Acquire(t.Context(), item(t, table)); err == nil || errors.Is(err, lease.ErrLost) {
					t.Errorf("error %v", err)
				}
				if got := item(t, table); got.Owner != "" {
					t.Errorf("item %+v", got)
				}
			})
		})
	}
}

func TestWhatAHolderReportsIsSeenAtItsNextWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		l := acquire(t, table)
		long := strings.Repeat("ä", 300)
		l.Report(lease.Report{State: "parked", Since: noon, Error: "\xff" + long})
		if got := item(t, table).Report; got != nil {
			t.Errorf("written at once: %+v", got)
		}
		must(t, l.Renew(t.Context()))
		got := item(t, table).Report
		if got == nil || got.State != "parked" || !got.Since.Equal(noon) || len(got.Error) > 400 || len(got.Error) < 390 || !utf8.ValidString(got.Error) {
			t.Fatalf("report %+v", got)
		}
		l.Report(lease.Report{State: "reading", Since: noon.Add(time.Second)})
		must(t, l.Checkpoint(t.Context(), "5"))
		if got := item(t, table).Report; got == nil || *got != (lease.Report{State: "reading", Since: noon.Add(time.Second)}) {
			t.Errorf("report %+v", got)
		}
		must(t, l.Release(t.Context(), true))
		if got := item(t, table).Report; got != nil {
			t.Errorf("a free lease reports %+v", got)
		}
	})
}

func TestABrokenReportIsNone(t *testing.T) {
	for name, broken := range map[string]types.AttributeValue{
		"a text":        s("parked"),
		"no state":      &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"Since": s("2026-11-22T12:00:00Z")}},
		"no time":       &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"State": s("parked"), "Since": s("noon")}},
		"a wrong error": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"State": s("parked"), "Since": s("2026-11-22T12:00:00Z"), "Error": n("5")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				put(t, e, map[string]types.AttributeValue{"ShardID": s(string(shard0)), "Report": broken})
				if got := item(t, table).Report; got != nil {
					t.Errorf("report %+v", got)
				}
				l := acquire(t, table)
				l.Report(lease.Report{State: "reading", Since: noon})
				must(t, l.Checkpoint(t.Context(), "5"))
				if got := item(t, table); got.Report == nil || got.Checkpoint != "5" {
					t.Errorf("item %+v", got)
				}
			})
		})
	}
}

func TestAGapStandsInTheItemUntilAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		table := e.table(t, "w")
		l := acquire(t, table)
		gap := lease.Gap{First: "101", Last: "149", Found: "120", At: noon}
		must(t, l.MarkGap(t.Context(), gap))
		counter := item(t, table).Counter
		again := gap
		again.At = noon.Add(time.Hour)
		must(t, l.MarkGap(t.Context(), again))
		if got := item(t, table); got.Counter != counter || got.Gap == nil || *got.Gap != gap {
			t.Errorf("marked twice: %+v", got)
		}
		must(t, l.Checkpoint(t.Context(), "149"))
		must(t, l.Release(t.Context(), true))
		l = acquire(t, e.table(t, "heir"))
		must(t, l.Checkpoint(t.Context(), "160"))
		if got := item(t, table).Gap; got == nil || *got != gap {
			t.Errorf("after another worker's checkpoint: %+v", got)
		}
		must(t, l.Release(t.Context(), true))
		must(t, table.Apply(t.Context(), item(t, table), toNoon(1)))
		if got := item(t, table).Gap; got != nil {
			t.Errorf("after a reset: %+v", got)
		}
	})
}

func TestABrokenGapIsNone(t *testing.T) {
	for name, broken := range map[string]types.AttributeValue{
		"a text":   s("101"),
		"no range": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"At": s("2026-11-22T12:00:00Z")}},
		"no time":  &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"First": s("101"), "Last": s("149")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(t)
				table := e.table(t, "w")
				put(t, e, map[string]types.AttributeValue{"ShardID": s(string(shard0)), "Gap": broken})
				l := acquire(t, table)
				must(t, l.Checkpoint(t.Context(), "5"))
				if got := item(t, table); got.Gap != nil || got.Checkpoint != "5" {
					t.Errorf("item %+v", got)
				}
			})
		})
	}
}

func TestTablesAreKnownByTheirKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		for name, key := range map[string]string{"ours": "ShardID", "ours-state": "Key", "legacy": "ShardID", "alien": "Id", "lonely-state": "Id", "odd": "ShardID", "odd-state": "Id"} {
			e.create(t, name, key)
		}
		twins, others, err := lease.Names(t.Context(), e)
		must(t, err)
		if !reflect.DeepEqual(twins, []string{"odd", "ours"}) || !reflect.DeepEqual(others, []string{"alien", "legacy", "lonely-state"}) {
			t.Errorf("%v and %v", twins, others)
		}
		for name, want := range map[string]lease.Kind{"ours": lease.Ours, "legacy": lease.Foreign, "odd": lease.Foreign, "alien": lease.Alien, "nothing": lease.Missing} {
			cfg := lease.DefaultConfig()
			cfg.Table = name
			table, err := newTable(e, cfg)
			must(t, err)
			if got, err := table.Kind(t.Context()); err != nil || got != want {
				t.Errorf("%s is %d, %v", name, got, err)
			}
		}
	})
}
