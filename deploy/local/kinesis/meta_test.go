package kinesis

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestMetadataIsTheOneOnDisk(t *testing.T) {
	meta := streamMeta{
		Version: metaVersion, Name: "logs", CreatedMS: 1_795_000_000_123, RetentionHours: 48, FloorMS: 1_794_913_600_123, MaxRecordKiB: 1024, NextShard: 2,
		Shards: []shardMeta{
			{ID: shardID(0), To: maxHashKey, Start: 1, End: 9, OpenedMS: 1_795_000_000_123, ClosedMS: 1_795_000_000_456},
			{ID: shardID(1), Parent: shardID(0), AdjacentParent: "x", From: hashKey{0, 1}, To: hashKey{1, 0}, Start: 10, OpenedMS: 1_795_000_000_456},
		},
	}
	dir := t.TempDir()
	if err := meta.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "stream_v1.json"))
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
