package formats

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFreeze makes a version directory from what today's writers write. It is
// made beside its place and moved there whole.
func TestFreeze(t *testing.T) {
	if *freeze == "" {
		t.Skip("only with -freeze")
	}
	if !regexp.MustCompile(`^v[1-9][0-9]*$`).MatchString(*freeze) {
		t.Fatalf("-freeze is %q, want v1, v2 …", *freeze)
	}
	dir := filepath.Join("testdata", *freeze)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is there: what a version wrote does not change any more", dir)
	}
	temp, err := os.MkdirTemp(".", "freeze-")
	must(t, err)
	defer os.RemoveAll(temp)
	must(t, os.Chmod(temp, 0o755))
	freezeRecords(t, temp)
	freezeSpool(t, temp)
	freezeData(t, temp)
	save(t, []byte(shape(t)), temp, "shape.txt")
	if !t.Failed() {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.Rename(temp, dir))
	}
}

func save(t *testing.T, content []byte, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, content, 0o644))
}

func freezeSpool(t *testing.T, dir string) {
	archive, epochs := spoolLife(t)
	save(t, archive, dir, "spool.tgz")
	got, _ := emptied(t, archive, epochs)
	save(t, pretty(t, got), dir, "published.json")
}

func freezeData(t *testing.T, dir string) {
	archive := life(t)
	save(t, archive, dir, "data.tgz")
	var first string
	var objects, taken []stored
	overData(t, archive, func(t *testing.T, s *site) {
		save(t, pretty(t, s.allItems(t)), dir, "tables.json")
		objects = s.bucket(t, "")
		items, err := s.table(t, "lake").List(t.Context())
		must(t, err)
		save(t, pretty(t, inWords(items)), dir, "leases.json")
		for _, i := range items {
			if i.Pending != nil {
				first = string(i.Checkpoint)
			}
		}
	})
	save(t, pretty(t, read(t, objects)), dir, "lake.json")
	for file, there := range map[string]bool{"resumed.json": true, "resumed_all.json": false} {
		added, _ := resume(t, archive, there)
		save(t, pretty(t, resumedOf(read(t, added))), dir, file)
	}
	foreign := []byte(strings.ReplaceAll(vmware, "CHECKPOINT", first))
	save(t, foreign, dir, "vmware.json")
	overData(t, archive, func(t *testing.T, s *site) { taken = takeOver(t, s, foreign) })
	save(t, pretty(t, identities(read(t, taken))), dir, "taken.json")
}

// vmware is a lease table as that library leaves it: all texts, times in UTC
// without trailing zeros, an owner that is empty after a checkpoint without one.
const vmware = `[
 {"ShardID": {"S": "shardId-000000000000"}, "Checkpoint": {"S": "SHARD_END"}, "LeaseTimeout": {"S": "2000-01-01T00:00:20.14446784Z"}},
 {"ShardID": {"S": "shardId-000000000001"}, "AssignedTo": {"S": "ip-10-0-0-1:9f3c"}, "Checkpoint": {"S": "CHECKPOINT"}, "LeaseTimeout": {"S": "2000-01-01T00:00:35.5Z"}, "ParentShardId": {"S": "shardId-000000000000"}},
 {"ShardID": {"S": "shardId-000000000002"}, "AssignedTo": {"S": ""}, "Checkpoint": {"S": ""}, "ClaimRequest": {"S": "ip-10-0-0-2:77aa"}, "LeaseTimeout": {"S": "2000-01-01T00:00:35Z"}, "ParentShardId": {"S": "shardId-000000000000"}}
]
`
