package formats

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/consumers"
	"tributary/consumers/lease"
)

// overData runs a test over a copy of a version's data directory, an hour after
// it was left.
func overData(t *testing.T, archive []byte, test func(t *testing.T, s *site)) {
	t.Helper()
	dir := unpack(t, archive)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		s := openSite(t, dir)
		defer s.close()
		test(t, s)
	})
}

// tables are all items that a life leaves behind.
func (s *site) allItems(t *testing.T) map[string]any {
	t.Helper()
	return map[string]any{
		"lake": s.items(t, "lake", "ShardID"), "lake-state": s.items(t, "lake-state", "Key"), "wide-state": s.items(t, "wide-state", "Key"),
	}
}

func TestAnOldDataDirectoryHoldsWhatItHeld(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		var objects []stored
		overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
			expect(t, s.allItems(t), dir, "tables.json")
			objects = s.bucket(t, "")
		})
		expect(t, read(t, objects), dir, "lake.json")
	})
}

func TestOldItemsAreUnderstood(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
			table := s.table(t, "lake")
			items, err := table.List(t.Context())
			must(t, err)
			expect(t, inWords(items), dir, "leases.json")
			group, ok, err := table.ReadGroup(t.Context())
			if err != nil || !ok || group.RangeBytes == 0 || group.DedupEntries == 0 || group.StreamARN == "" {
				t.Errorf("group %+v, %t, %v", group, ok, err)
			}
			for _, i := range items {
				if i.Pending == nil {
					continue
				}
				if plan, err := table.Plan(t.Context(), i.Pending.Plan); err != nil || !strings.Contains(plan, "AUDIT-ONCE") {
					t.Errorf("plan %q, %v", plan, err)
				}
			}
			data, ok, err := s.table(t, "wide").Snapshot(t.Context(), widePlace)
			if err != nil || !ok || !bytes.Equal(data, wideMap()) {
				t.Errorf("map in several items: %d bytes, %t, %v", len(data), ok, err)
			}
		})
	})
}

// inWords tells what version 1 says of leases, sorted by shard.
func inWords(items []lease.Item) (words []string) {
	for _, i := range items {
		text := fmt.Sprintf("%s: parent %q, owner %q until %q for %s, counter %d (%t), claim %q, generation %d, checkpoint %q after %q",
			i.Shard, i.Parent, i.Owner, i.Timeout, i.Duration, i.Counter, i.Counted, i.Claim, i.Generation, i.Checkpoint, i.Previous)
		if p := i.Pending; p != nil {
			text += fmt.Sprintf(", pending %s to %s of generation %d by plan %s", p.First, p.Last, p.Generation, p.Plan)
		}
		words = append(words, text)
	}
	slices.Sort(words)
	return words
}

// manifest is what every version's range manifests tell.
type manifest struct {
	Format             int
	Shard, First, Last string
	Truncated          bool
	Rows               int64
	Objects            []struct {
		Key, SHA256 string
		Rows, Bytes int64
	}
}

func readManifest(t *testing.T, o stored) (m manifest) {
	t.Helper()
	must(t, json.Unmarshal(o.content, &m))
	return m
}

func TestOldManifestsNameOldObjects(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		var all []stored
		overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) { all = s.bucket(t, "") })
		objects, manifests := map[string]stored{}, 0
		for _, o := range read(t, all) {
			objects[o.Key] = o
		}
		for _, o := range objects {
			if !strings.Contains(o.Key, "/_ranges/") {
				continue
			}
			manifests++
			m := readManifest(t, o)
			total := int64(0)
			for _, named := range m.Objects {
				there := objects[named.Key]
				sum := sha256.Sum256(there.content)
				if int64(len(there.Rows)) != named.Rows || int64(len(there.content)) != named.Bytes || hex.EncodeToString(sum[:]) != named.SHA256 {
					t.Errorf("%s is not as %s says: %+v", named.Key, o.Key, named)
				}
				total += named.Rows
			}
			if total != m.Rows || m.Shard == "" || m.First == "" || m.Last == "" {
				t.Errorf("manifest %s: %+v", o.Key, m)
			}
		}
		if manifests < 3 {
			t.Errorf("%d manifests", manifests)
		}
	})
}

// resume lets a group of today go on where the dead worker stopped, with a lake
// below another prefix and other rules. It returns what that added, and what then
// is there.
func resume(t *testing.T, archive []byte, pendingObjects bool) (added, all []stored) {
	t.Helper()
	overData(t, archive, func(t *testing.T, s *site) {
		if !pendingObjects {
			s.forgetPending(t)
		}
		before := map[string][]byte{}
		for _, o := range s.bucket(t, "") {
			before[o.Key] = o.content
		}
		w := s.start(groupConfig("lake", "worker-2"), "later", "AUDIT")
		time.Sleep(time.Minute)
		for _, shard := range w.Status() {
			if shard.State != consumers.StateReading && shard.State != consumers.StateFinished {
				t.Errorf("shard %+v", shard)
			}
		}
		w.stop()
		all = s.bucket(t, "")
		for _, o := range all {
			if old, was := before[o.Key]; !was {
				added = append(added, o)
			} else if !bytes.Equal(old, o.content) {
				t.Errorf("%s was overwritten", o.Key)
			}
		}
	})
	return added, all
}

// resumed is what of that has to be the same in every version: the replay's rows
// and names, and which other rows there are.
type resumed struct {
	Replayed []string // keys below the old prefix
	Rows     []row    // replayed and read on
}

func resumedOf(added []stored) (r resumed) {
	r.Rows = identities(added)
	for _, o := range added {
		if !strings.HasPrefix(o.Key, "later/") {
			r.Replayed = append(r.Replayed, o.Key)
		}
	}
	return r
}

// The dead worker had written the pending range's objects, but no manifest. Then
// once more without those objects, as when it had died before: the plan in the
// table, not today's, says what is an audit line and where it goes.
func TestAGroupGoesOnWhereAnOldOneDied(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		for file, objectsThere := range map[string]bool{"resumed.json": true, "resumed_all.json": false} {
			t.Run(file, func(t *testing.T) {
				added, all := resume(t, readFile(t, dir, "data.tgz"), objectsThere)
				expect(t, resumedOf(read(t, added)), dir, file)
				eachOnce(t, read(t, all))
			})
		}
	})
}

// forgetPending deletes the objects of the pending range.
func (s *site) forgetPending(t *testing.T) {
	t.Helper()
	items, err := s.table(t, "lake").List(t.Context())
	must(t, err)
	deleted := 0
	for _, i := range items {
		for _, o := range s.bucket(t, "lake/") {
			if i.Pending != nil && o.Metadata["tributary-first"] == string(i.Pending.First) {
				_, err := s.objects.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucketName), Key: &o.Key})
				must(t, err)
				deleted++
			}
		}
	}
	if deleted == 0 {
		t.Fatal("the pending range has no object")
	}
}

func eachOnce(t *testing.T, objects []stored) {
	t.Helper()
	seen := map[row]bool{}
	for _, r := range identities(objects) {
		r.Kind = ""
		if seen[r] {
			t.Errorf("row %+v is there twice", r)
		}
		seen[r] = true
	}
}

// A table of vmware-go-kcl-v2: a finished parent, a shard whose worker was killed,
// and one that was claimed and never checkpointed.
func TestATableOfAnotherLibraryIsTakenOver(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		var taken []stored
		overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
			taken = takeOver(t, s, readFile(t, dir, "vmware.json"))
		})
		expect(t, identities(read(t, taken)), dir, "taken.json")
	})
}

// takeOver runs a group over a table with the given items and returns its lake.
func takeOver(t *testing.T, s *site, items []byte) []stored {
	t.Helper()
	must(t, s.table(t, "legacy").Init(t.Context()))
	for _, item := range typed(t, items) {
		_, err := s.tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("legacy"), Item: item})
		must(t, err)
	}
	w := s.start(groupConfig("legacy", "worker-1"), "legacy", "AUDIT")
	time.Sleep(time.Minute)
	w.stop()
	return s.bucket(t, "legacy/")
}
