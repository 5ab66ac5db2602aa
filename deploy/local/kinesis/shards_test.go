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

func TestHashRangesCoverTheSpaceWithoutGapOrOverlap(t *testing.T) {
	w := open(t)
	w.create(7)
	w.split(shard0)
	next := number("0")
	// Open shards only, in the order of their ranges: the halves of shard 0, then 1 to 6.
	listed := w.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
	ordered := append(listed[6:], listed[:6]...)
	for _, s := range ordered {
		if number(*s.HashKeyRange.StartingHashKey).Cmp(next) != 0 {
			t.Errorf("shard %s starts at %s, want %s", *s.ShardId, *s.HashKeyRange.StartingHashKey, next)
		}
		next = number(*s.HashKeyRange.EndingHashKey)
		next.Add(next, number("1"))
	}
	if next.String() != "340282366920938463463374607431768211456" {
		t.Errorf("the last range ends before %s", next)
	}
}

func TestASplitShardIsReadToItsEndAndNamesItsChildren(t *testing.T) {
	w := open(t)
	w.create(1)
	for i := range 5 {
		w.put(fmt.Sprint(i), fmt.Sprint(i))
	}
	early := w.iterator(shard0, horizon)
	w.split(shard0)
	for i := range 6 {
		w.put(fmt.Sprint(i), fmt.Sprint("child ", i))
	}

	first := w.get(early, 3)
	if len(first.Records) != 3 || first.NextShardIterator == nil || first.ChildShards != nil {
		t.Fatalf("first part of a closed shard: %d records, next %v, children %v", len(first.Records), first.NextShardIterator, first.ChildShards)
	}
	rest := w.get(first.NextShardIterator, 3)
	if len(rest.Records) != 2 || rest.NextShardIterator != nil || len(rest.ChildShards) != 2 || *rest.MillisBehindLatest != 0 {
		t.Fatalf("last part of a closed shard: %d records, next %v, children %v", len(rest.Records), rest.NextShardIterator, rest.ChildShards)
	}
	for i, child := range rest.ChildShards {
		if *child.ShardId != []string{shard1, shard2}[i] || child.ParentShards[0] != shard0 || len(child.ParentShards) != 1 {
			t.Errorf("child %d: %+v", i, child)
		}
	}
	if got := len(w.read(shard1, horizon)) + len(w.read(shard2, horizon)); got != 6 {
		t.Errorf("the children hold %d records, want 6", got)
	}
	end := w.get(w.iterator(shard0, client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}), 0)
	if end.NextShardIterator != nil || len(end.ChildShards) != 2 {
		t.Errorf("LATEST of a closed shard: %+v", end)
	}
	parent := w.shards(nil)[0]
	if parent.SequenceNumberRange.EndingSequenceNumber == nil {
		t.Error("the closed shard has no EndingSequenceNumber")
	}
	for _, child := range w.shards(nil)[1:] {
		if number(*child.SequenceNumberRange.StartingSequenceNumber).Cmp(number(*parent.SequenceNumberRange.EndingSequenceNumber)) <= 0 {
			t.Errorf("child %s starts before its parent ends", *child.ShardId)
		}
		if *child.ParentShardId != shard0 || child.AdjacentParentShardId != nil {
			t.Errorf("child %+v", child)
		}
	}
	w.reopen()
	if got := w.read(shard0, horizon); len(got) != 5 {
		t.Errorf("after a restart the closed shard holds %d records, want 5", len(got))
	}
}

func TestSplitShardRefusesWhatCannotBeSplit(t *testing.T) {
	w := open(t)
	w.create(2)
	split := func(shard, at string) error {
		_, err := w.SplitShard(t.Context(), &client.SplitShardInput{StreamName: name, ShardToSplit: &shard, NewStartingHashKey: &at})
		return err
	}
	wantCode(t, split("shardId-000000000009", "5"), "ResourceNotFoundException")
	wantCode(t, split(shard0, "0"), "InvalidArgumentException")
	wantCode(t, split(shard0, "340282366920938463463374607431768211455"), "InvalidArgumentException")
	wantCode(t, split(shard0, "one"), "InvalidArgumentException")
	if err := split(shard0, "1"); err != nil {
		t.Error(err)
	}
	wantCode(t, split(shard0, "5"), "InvalidArgumentException")
	wantCode(t, split(shard2, "1"), "InvalidArgumentException") // [0, 0] has no middle
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
		"no filter lists all":              {nil, []string{"0", "1", "2", "3", "4"}},
		"FROM_TRIM_HORIZON lists all":      {kind(types.ShardFilterTypeFromTrimHorizon), []string{"0", "1", "2", "3", "4"}},
		"AT_TRIM_HORIZON":                  {kind(types.ShardFilterTypeAtTrimHorizon), []string{"0"}},
		"AT_LATEST lists the open ones":    {kind(types.ShardFilterTypeAtLatest), []string{"2", "3", "4"}},
		"AFTER_SHARD_ID":                   {&types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String(shard2)}, []string{"3", "4"}},
		"AT_TIMESTAMP before the stream":   {at(types.ShardFilterTypeAtTimestamp, -time.Hour), []string{"0"}},
		"AT_TIMESTAMP between the splits":  {at(types.ShardFilterTypeAtTimestamp, 90*time.Minute), []string{"1", "2"}},
		"AT_TIMESTAMP at a split":          {at(types.ShardFilterTypeAtTimestamp, time.Hour), []string{"1", "2"}},
		"FROM_TIMESTAMP between the split": {at(types.ShardFilterTypeFromTimestamp, 90*time.Minute), []string{"1", "2", "3", "4"}},
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

	for name, wrong := range map[string]*types.ShardFilter{
		"AFTER_SHARD_ID without shard":  kind(types.ShardFilterTypeAfterShardId),
		"AT_TIMESTAMP without time":     kind(types.ShardFilterTypeAtTimestamp),
		"AT_LATEST with a time":         at(types.ShardFilterTypeAtLatest, 0),
		"FROM_TRIM_HORIZON with shard":  {Type: types.ShardFilterTypeFromTrimHorizon, ShardId: aws.String(shard0)},
		"AFTER_SHARD_ID with also time": {Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String(shard0), Timestamp: &start},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.ListShards(t.Context(), &client.ListShardsInput{StreamName: aws.String("logs"), ShardFilter: wrong})
			wantCode(t, err, "InvalidArgumentException")
		})
	}
}

func TestListShardsPagesByToken(t *testing.T) {
	w := open(t)
	w.create(7)
	w.split(shard0)
	in := &client.ListShardsInput{StreamName: name, MaxResults: aws.Int32(3), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}}
	var got []string
	var token *string
	for {
		out, err := w.ListShards(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ids(out.Shards)...)
		if token = out.NextToken; token == nil {
			break
		}
		in = &client.ListShardsInput{NextToken: token, MaxResults: aws.Int32(2)}
	}
	equal(t, "pages keep the filter", got, []string{"1", "2", "3", "4", "5", "6", "7", "8"})

	out, err := w.ListShards(t.Context(), &client.ListShardsInput{StreamName: name, MaxResults: aws.Int32(2), ExclusiveStartShardId: aws.String(shard3)})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "behind shard 3", ids(out.Shards), []string{"4", "5"})
	token = out.NextToken
	for name, in := range map[string]*client.ListShardsInput{
		"a token with the name":        {NextToken: token, StreamName: name},
		"a token with a creation time": {NextToken: token, StreamCreationTimestamp: aws.Time(w.clock.now())},
		"a token with a start":         {NextToken: token, ExclusiveStartShardId: aws.String(shard0)},
		"a token with a filter":        {NextToken: token, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}},
		"a token of nobody":            {NextToken: aws.String("bm9ib2R5")},
		"an iterator as a token":       {NextToken: w.iterator(shard0, horizon)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.ListShards(t.Context(), in)
			wantCode(t, err, "InvalidArgumentException")
		})
	}
	w.clock.advance(300 * time.Second)
	if _, err := w.ListShards(t.Context(), &client.ListShardsInput{NextToken: token}); err != nil {
		t.Errorf("a token of 300 s: %v", err)
	}
	w.clock.advance(time.Second)
	_, err = w.ListShards(t.Context(), &client.ListShardsInput{NextToken: token})
	wantCode(t, err, "ExpiredNextTokenException")
}
