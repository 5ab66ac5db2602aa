package contract_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnEntryOfTheTableHasToFailAsItSays(t *testing.T) {
	entry := &difference{server: "s", does: "answers 500", shows: "StatusCode: 500"}
	tests := map[string]struct {
		entry  *difference
		faults []string
		says   string // empty: all is as it should be
	}{
		"no entry and no fault":         {nil, nil, ""},
		"no entry and a fault":          {nil, []string{"got 400"}, "got 400"},
		"an entry and its fault":        {entry, []string{"first", "StatusCode: 500, sorry"}, ""},
		"an entry and another fault":    {entry, []string{"StatusCode: 400"}, "not as the table"},
		"an entry that is out of date":  {entry, nil, "take this case out"},
		"a server that is not there":    {entry, []string{"connection refused"}, "not as the table"},
		"all faults without an entry":   {nil, []string{"one", "two"}, "one\ntwo"},
		"an entry among several faults": {entry, []string{"one", "StatusCode: 500", "two"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := test.entry.holdsAgainst(test.faults)
			if (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
				t.Errorf("got %q, want %q", got, test.says)
			}
		})
	}
}

func TestACaseEndsAtItsFirstFatalFaultAndIsCleanedUp(t *testing.T) {
	var undone []string
	faults := newCheck(t.Context(), time.Minute).run(func(c *check) {
		c.Cleanup(func(context.Context) { undone = append(undone, "first") })
		c.Cleanup(func(context.Context) { undone = append(undone, "second") })
		c.Errorf("a fault")
		c.Fatalf("the end")
		c.Errorf("behind the end")
	})
	if got := strings.Join(faults, ", "); got != "a fault, the end" {
		t.Errorf("found %s", got)
	}
	if got := strings.Join(undone, ", "); got != "second, first" {
		t.Errorf("undone: %s", got)
	}
}

func TestAPanicIsAFault(t *testing.T) {
	undone := false
	faults := newCheck(t.Context(), time.Minute).run(func(c *check) {
		c.Cleanup(func(context.Context) { undone = true })
		var missing *string
		_ = *missing
	})
	if len(faults) != 1 || !strings.Contains(faults[0], "nil pointer") || !undone {
		t.Errorf("found %v, cleaned up: %t", faults, undone)
	}
}

func TestACaseHasItsTimeAndCleaningUpHasTimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after error
		faults := newCheck(t.Context(), time.Minute).run(func(c *check) {
			c.Cleanup(func(ctx context.Context) { after = ctx.Err() })
			c.Sleep(time.Hour)
		})
		if len(faults) != 1 || !strings.Contains(faults[0], "time is over") || after != nil {
			t.Errorf("found %v; cleaning up: %v", faults, after)
		}
	})
}
