package kinesis_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func segments(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestShardFilters(t *testing.T) {
	w := open(t)
	w.create(1)
	start := w.clock.now()
	w.clock.advance(time.Hour)
	w.split(shard0) // 1, 2 at +1h
	w.clock.advance(time.Hour)
	w.split(shard1) // 3, 4 at +2h
	w.clock.advance(time.Hour)
	at := func(kind types.ShardFilterType, d time.Duration) *types.ShardFilter {
		return &types.ShardFilter{Type: kind, Timestamp: aws.Time(start.Add(d))}
	}
	kind := func(k types.ShardFilterType) *types.ShardFilter { return &types.ShardFilter{Type: k} }
	tests := map[string]struct {
		filter *types.ShardFilter
		want   []string
	}{
		"AT_TIMESTAMP before the stream":    {at(types.ShardFilterTypeAtTimestamp, -time.Hour), []string{"0"}},
		"AT_TIMESTAMP between the splits":   {at(types.ShardFilterTypeAtTimestamp, 90*time.Minute), []string{"1", "2"}},
		"AT_TIMESTAMP at a split":           {at(types.ShardFilterTypeAtTimestamp, time.Hour), []string{"0", "1", "2"}},
		"AT_TIMESTAMP just after a split":   {at(types.ShardFilterTypeAtTimestamp, time.Hour+time.Millisecond), []string{"1", "2"}},
		"FROM_TIMESTAMP at a split":         {at(types.ShardFilterTypeFromTimestamp, time.Hour), []string{"0", "1", "2", "3", "4"}},
		"FROM_TIMESTAMP just after a split": {at(types.ShardFilterTypeFromTimestamp, time.Hour+time.Millisecond), []string{"1", "2", "3", "4"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { equal(t, "shards", ids(w.shards(test.filter)), test.want) })
	}

	// 25 h after the first split, shard 0 has expired and shards 1 and 2 were open at the horizon.
	w.clock.advance(22*time.Hour + 30*time.Minute)
	equal(t, "all after shard 0 expired", ids(w.shards(nil)), []string{"1", "2", "3", "4"})
	equal(t, "AT_TRIM_HORIZON then", ids(w.shards(kind(types.ShardFilterTypeAtTrimHorizon))), []string{"1", "2"})
	_, err := w.GetShardIterator(t.Context(), &client.GetShardIteratorInput{StreamName: name, ShardId: aws.String(shard0), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	wantCode(t, err, "ResourceNotFoundException")
	w.reopen()
	equal(t, "all after a restart", ids(w.shards(nil)), []string{"1", "2", "3", "4"})
}

func TestATokenOfListShardsLivesFiveMinutes(t *testing.T) {
	w := open(t)
	w.create(3)
	out, err := w.ListShards(t.Context(), &client.ListShardsInput{StreamName: name, MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	token := out.NextToken
	for name, in := range map[string]*client.ListShardsInput{
		"a token with a filter":  {NextToken: token, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}},
		"an iterator as a token": {NextToken: w.iterator(shard0, horizon)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.ListShards(t.Context(), in)
			wantCode(t, err, "InvalidArgumentException")
		})
	}
	w.reopen()
	w.clock.advance(300 * time.Second)
	if _, err := w.ListShards(t.Context(), &client.ListShardsInput{NextToken: token}); err != nil {
		t.Errorf("a token of 300 s: %v", err)
	}
	w.clock.advance(time.Second)
	_, err = w.ListShards(t.Context(), &client.ListShardsInput{NextToken: token})
	wantCode(t, err, "ExpiredNextTokenException")
}

func TestAClosedShardSurvivesARestart(t *testing.T) {
	w := open(t)
	w.create(1)
	for i := range 5 {
		w.put("k", fmt.Sprint(i))
	}
	w.split(shard0)
	w.reopen()
	equal(t, "records of the closed shard", w.read(shard0, horizon), []string{"0", "1", "2", "3", "4"})
	end := w.get(w.iterator(shard0, client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}), 0)
	if end.NextShardIterator != nil || len(end.ChildShards) != 2 {
		t.Errorf("end of the closed shard: %+v", end)
	}
}
