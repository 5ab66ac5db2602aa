package rate_test

import (
	"testing"
	"time"

	"tributary/deploy/local/rate"
)

func TestABucketHoldsASecondsWorth(t *testing.T) {
	at := time.UnixMilli(1_795_000_000_000)
	b := rate.Bucket{Rate: 10}
	if !b.Takes(100, at) {
		t.Fatal("a full bucket refuses what is larger than itself")
	}
	b.Take(100)
	if b.Takes(1, at.Add(9*time.Second)) {
		t.Error("it takes while it is in debt")
	}
	if !b.Takes(1, at.Add(9100*time.Millisecond)) {
		t.Error("it refuses when the debt is paid")
	}
}

func TestCallsAreCountedByOperation(t *testing.T) {
	at := time.UnixMilli(1_795_000_000_000)
	calls := rate.NewCalls()
	if !calls.Take("a", 1, at) || calls.Take("a", 1, at) || !calls.Take("b", 1, at) || !calls.Take("a", 1, at.Add(time.Second)) {
		t.Error("want one call a second of each operation")
	}
	for range 2 {
		if !(*rate.Calls)(nil).Take("a", 1, at) {
			t.Error("nil limits nothing")
		}
	}
}
