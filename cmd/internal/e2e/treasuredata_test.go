package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"tributary/deploy/local/fault"
)

// importTroubles are what Treasure Data does in a storm: answers are lost behind the
// commit, commits come when nobody waits for them any more, bursts of 503 and 429.
var importTroubles = []fault.Rule{
	{Service: "td", Operation: "ImportWithID", Action: fault.LoseResponse, Every: 2},
	{Service: "td", Operation: "ImportWithID", Action: fault.DelayCommit, Every: 3, Delay: 1500 * time.Millisecond},
	{Service: "td", Action: fault.Error, Every: 2, Status: http.StatusServiceUnavailable},
	{Service: "td", Action: fault.Throttle, Every: 2},
}

// TestImportersDieAndEachLineIsOneRow runs for longer as part of "make chaos".
func TestImportersDieAndEachLineIsOneRow(t *testing.T) {
	t.Parallel()
	schedule := draw(t, 12*second, func(d time.Duration) Plan {
		p := losses("treasuredata", 4*second)(d)
		p.Storms = Storms{Quiet: Span{second / 2, 2 * second}, For: Span{second, 3 * second}, Rules: importTroubles}
		return p
	})
	s := NewSystem(t)
	s.Add(s.Endpoints("--limits", "true", "--shards", "8"))
	sent, lanes := NewLedger(), Lanes{Seed: schedule.Seed, Count: 64, Rate: *rate, Line: shortLine}
	stop := s.feedLanes(lanes, sent)
	for i := range 3 {
		s.Add(s.TreasureDataWorker(fmt.Sprintf("treasuredata-%d", i+1),
			"--set", fmt.Sprintf("treasuredata.group.lease_duration=%v", leaseDuration),
			"--set", fmt.Sprintf("treasuredata.group.attempt_timeout=%v", leaseDuration/5),
			"--set", "treasuredata.group.reader.attempt_timeout=1s", "--set", "treasuredata.attempt_timeout=1s",
			"--set", "treasuredata.group.policy.max_age=500ms", "--set", "treasuredata.body_bytes=64KiB"))
	}
	if err := s.Play(t.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	stop()
	fed := time.Now()
	imports := NewImports(filepath.Join(s.DataDir(), "td"))
	expect(t, imports, sent, 3*patience)
	t.Logf("all are rows %v after the last line, in %d imports", time.Since(fed).Round(time.Second), imports.Bodies())
	s.Report()
}
