package kinesis_test

import (
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// open are the open shards by their hash ranges, which must cover the whole space once.
func (w *world) open() []types.Shard {
	w.t.Helper()
	all := w.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
	slices.SortFunc(all, func(a, b types.Shard) int {
		return number(*a.HashKeyRange.StartingHashKey).Cmp(number(*b.HashKeyRange.StartingHashKey))
	})
	next := new(big.Int)
	for _, s := range all {
		if number(*s.HashKeyRange.StartingHashKey).Cmp(next) != 0 {
			w.t.Fatalf("shard %s begins at %s, want %s", *s.ShardId, *s.HashKeyRange.StartingHashKey, next)
		}
		next.Add(number(*s.HashKeyRange.EndingHashKey), big.NewInt(1))
	}
	if next.Cmp(new(big.Int).Lsh(big.NewInt(1), 128)) != 0 {
		w.t.Fatalf("the last open shard ends at %s", next)
	}
	return all
}

// uniform fails unless the open shards are those of a new stream of n shards.
func (w *world) uniform(n int) {
	w.t.Helper()
	all := w.open()
	if len(all) != n {
		w.t.Fatalf("%d open shards, want %d", len(all), n)
	}
	width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(n)))
	for i, s := range all {
		if want := new(big.Int).Mul(width, big.NewInt(int64(i))); number(*s.HashKeyRange.StartingHashKey).Cmp(want) != 0 {
			w.t.Errorf("part %d of %d begins at %s, want %s", i, n, *s.HashKeyRange.StartingHashKey, want)
		}
	}
}

func TestAResizeMakesEqualShardsInTheFewestSteps(t *testing.T) {
	// Each split adds a bound of the hash space, each merge takes one away.
	tests := map[string]struct{ from, to, splits, merges int }{
		"double":                 {4, 8, 4, 0},
		"half":                   {8, 4, 0, 4},
		"half of an odd count":   {3, 2, 1, 2},
		"half as many again":     {2, 3, 2, 1},
		"a quarter more":         {4, 5, 4, 3},
		"one to two":             {1, 2, 1, 0},
		"two to one":             {2, 1, 0, 1},
		"as many as there are":   {3, 3, 0, 0},
		"two odd counts":         {5, 7, 6, 4},
		"a common bound remains": {6, 9, 6, 3},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			w := open(t)
			w.create(int32(test.from))
			out, err := w.UpdateShardCount(t.Context(), &client.UpdateShardCountInput{StreamName: name, TargetShardCount: aws.Int32(int32(test.to)), ScalingType: types.ScalingTypeUniformScaling})
			if err != nil || *out.CurrentShardCount != int32(test.from) || *out.TargetShardCount != int32(test.to) || *out.StreamName != "logs" {
				t.Fatalf("got %+v, %v", out, err)
			}
			if got := w.describe(); got.StreamStatus != types.StreamStatusUpdating || *got.OpenShardCount != int32(test.from) {
				t.Errorf("right after the call: %s with %d shards", got.StreamStatus, *got.OpenShardCount)
			}
			if steps, want := w.untilActive(), test.splits+test.merges+1; steps != want { // the last one finds nothing to do
				t.Errorf("%d steps, want %d", steps, want)
			}
			w.uniform(test.to)
			if got, want := len(w.shards(nil)), test.from+2*test.splits+test.merges; got != want {
				t.Errorf("%d shards were made, want %d", got, want)
			}
		})
	}
}

func TestAResizeMakesUnequalShardsEqual(t *testing.T) {
	w := open(t)
	w.create(2)
	w.split(shard0)
	if err := w.resize(3); err != nil { // as many as there are: a quarter, a quarter and a half before
		t.Fatal(err)
	}
	w.untilActive()
	w.uniform(3)
}

func TestAResizeGoesOnAfterARestartAtAnyStep(t *testing.T) {
	for stop := range 12 {
		w := open(t)
		w.create(5)
		w.put("k", "before")
		if err := w.resize(7); err != nil {
			t.Fatal(err)
		}
		for range stop {
			w.clock.advance(20 * time.Millisecond)
			w.describe()
		}
		before := w.describe().StreamStatus
		w.reopen()
		if stop < 11 && before != types.StreamStatusUpdating {
			t.Errorf("after %d steps the stream is %s", stop, before)
		}
		w.put("k", "after")
		w.untilActive()
		w.uniform(7)
		if got := len(w.shards(nil)); got != 5+2*6+4 {
			t.Errorf("stopped after %d steps: %d shards were made, want 21", stop, got)
		}
		var data []string
		for _, s := range w.shards(nil) {
			data = append(data, w.read(*s.ShardId, horizon)...)
		}
		equal(t, "records", data, []string{"before", "after"})
	}
}

func TestAStreamThatIsResizedServesAllButChanges(t *testing.T) {
	w := open(t)
	w.create(2)
	if err := w.resize(4); err != nil {
		t.Fatal(err)
	}
	w.put("k", "x")
	wantCode(t, w.merge(shard0, shard1), "ResourceInUseException")
	wantCode(t, w.splitAt(shard0, "5"), "ResourceInUseException")
	wantCode(t, w.resize(2), "ResourceInUseException")
	_, err := w.IncreaseStreamRetentionPeriod(t.Context(), &client.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(48)})
	wantCode(t, err, "ResourceInUseException")
	listed, err := w.ListStreams(t.Context(), &client.ListStreamsInput{})
	if err != nil || listed.StreamSummaries[0].StreamStatus != types.StreamStatusUpdating {
		t.Errorf("listed as %+v, %v", listed, err)
	}
	if _, err := w.DeleteStream(t.Context(), &client.DeleteStreamInput{StreamName: name}); err != nil {
		t.Error(err)
	}
}

func TestAStreamIsResizedTenTimesInTwentyFourHours(t *testing.T) {
	w := open(t)
	w.create(1)
	for i := range 10 {
		if err := w.resize(int32(2 - i%2)); err != nil {
			t.Fatal(err)
		}
		w.untilActive()
		w.clock.advance(time.Hour)
	}
	wantCode(t, w.resize(2), "LimitExceededException")
	w.reopen()
	wantCode(t, w.resize(2), "LimitExceededException")
	w.clock.advance(14 * time.Hour) // since the first one: 24 hours
	if err := w.resize(2); err != nil {
		t.Fatal(err)
	}
	w.untilActive()
	wantCode(t, w.resize(1), "LimitExceededException")
}

// The numbers of each writer are in order when each shard is read behind its parents.
func TestOrderHoldsOverResizesAndMerges(t *testing.T) {
	w := open(t)
	w.create(4)
	const writers, rounds = 8, 60
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range rounds {
				w.put(fmt.Sprint("writer ", i), fmt.Sprintf("%d %d", i, n))
			}
		})
	}
	wg.Go(func() {
		for _, target := range []int32{7, 4, 2, 3} {
			if err := w.resize(target); err != nil {
				t.Error(err)
				return
			}
			w.untilActive()
		}
	})
	wg.Wait()
	next := make([]int, writers)
	seen := map[string]bool{"": true}
	for _, s := range w.shards(nil) {
		if !seen[aws.ToString(s.ParentShardId)] || !seen[aws.ToString(s.AdjacentParentShardId)] {
			t.Fatalf("shard %s is listed before a parent", *s.ShardId)
		}
		seen[*s.ShardId] = true
		for _, data := range w.read(*s.ShardId, horizon) {
			var i, n int
			if _, err := fmt.Sscan(data, &i, &n); err != nil || n != next[i] {
				t.Fatalf("shard %s, writer %d: got %d, want %d (%v)", *s.ShardId, i, n, next[i], err)
			}
			next[i]++
		}
	}
	for i, n := range next {
		if n != rounds {
			t.Errorf("writer %d: %d records, want %d", i, n, rounds)
		}
	}
}
