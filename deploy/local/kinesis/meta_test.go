package kinesis

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestMetadataIsTheOneOnDisk(t *testing.T) {
	meta := streamMeta{
		Version: 1, Name: "logs", CreatedMS: 1_795_000_000_123, RetentionHours: 48, FloorMS: 1_794_913_600_123, MaxRecordKiB: 1024, NextShard: 2,
		Shards: []shardMeta{
			{ID: shardID(0), To: maxHashKey, Start: 1, End: 9, OpenedMS: 1_795_000_000_123, ClosedMS: 1_795_000_000_456},
			{ID: shardID(1), Parent: shardID(0), AdjacentParent: "x", From: hashKey{0, 1}, To: hashKey{1, 0}, Start: 10, OpenedMS: 1_795_000_000_456},
		},
	}
	resizing, consumed, lowered := meta, meta, meta
	lowered.LargestRecordKiB = 3072
	resizing.Version, consumed.Version = 2, 2
	resizing.TargetShards, resizing.ResizedMS = 4, []int64{1_795_000_000_400, 1_795_000_000_500}
	consumed.ConsumerMS = 1_795_000_000_789
	consumed.Consumers = []consumerMeta{{"lake", 1_795_000_000_600}, {"realtime", 1_795_000_000_788}}
	t.Run("with registered consumers", func(t *testing.T) { onDisk(t, consumed, "stream_v2_consumers.json") })
	t.Run("as it was first", func(t *testing.T) { onDisk(t, meta, "stream_v1.json") })
	t.Run("with larger records from before", func(t *testing.T) { onDisk(t, lowered, "stream_v1_lowered.json") })
	t.Run("while a resize is under way", func(t *testing.T) { onDisk(t, resizing, "stream_v2_resizing.json") })
}

func onDisk(t *testing.T, meta streamMeta, file string) {
	t.Helper()
	dir := t.TempDir()
	if err := meta.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(golden) {
		t.Errorf("the format of stream metadata has changed:\n%s", got)
	}
	if again, err := loadMeta(dir); err != nil || !reflect.DeepEqual(again, meta) {
		t.Errorf("read back %+v, %v", again, err)
	}
}
