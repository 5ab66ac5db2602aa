package formats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers"
	"tributary/deploy/local"
	"tributary/stream"
	"tributary/stream/spool"
)

// set writes one attribute of an item.
func (s *site) set(t *testing.T, table, key, value, attribute string, v types.AttributeValue) {
	t.Helper()
	_, err := s.tables.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{key: text(value)},
		UpdateExpression:          aws.String("SET #a = :v"),
		ExpressionAttributeNames:  map[string]string{"#a": attribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":v": v},
	})
	must(t, err)
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

var laterVersion = &types.AttributeValueMemberN{Value: "99"}

// A group that a later version writes for: an older worker does not start, and
// leaves everything as it is.
func TestAGroupOfALaterVersionIsRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		for what, change := range map[string]func(t *testing.T, s *site){
			"the group":   func(t *testing.T, s *site) { s.set(t, "lake-state", "Key", "group", "Version", laterVersion) },
			"some leases": func(t *testing.T, s *site) { s.set(t, "lake", "ShardID", firstShard, "Version", laterVersion) },
		} {
			t.Run(what, func(t *testing.T) {
				overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
					change(t, s)
					before := pretty(t, s.allItems(t))
					g := s.group(groupConfig("lake", "worker-2"), "later", "AUDIT")
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := g.Run(ctx)
					if !stream.IsPermanent(err) || !strings.Contains(err.Error(), "it has version 99, this program reads version") {
						t.Errorf("error %v", err)
					}
					if after := pretty(t, s.allItems(t)); !bytes.Equal(before, after) {
						t.Errorf("before\n%s\nafter\n%s", before, after)
					}
				})
			})
		}
	})
}

// A pending range, or a map, that an older worker cannot follow stops that shard:
// the others go on, and nothing of the shard is written or passed over.
func TestAShardOfALaterVersionWaitsForIt(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		for what, change := range map[string]func(t *testing.T, s *site, plan, mapKey string){
			"the plan's item": func(t *testing.T, s *site, plan, _ string) {
				s.set(t, "lake-state", "Key", "plan/"+plan, "Version", laterVersion)
			},
			"the map's item": func(t *testing.T, s *site, _, mapKey string) {
				s.set(t, "lake-state", "Key", mapKey, "Version", laterVersion)
			},
			"the map": func(t *testing.T, s *site, _, mapKey string) {
				s.set(t, "lake-state", "Key", mapKey, "Data", &types.AttributeValueMemberB{Value: []byte("TRMK\x63 of a later version")})
			},
			"the plan": func(t *testing.T, s *site, _, _ string) {
				plan := `{"format":99}`
				sum := sha256.Sum256([]byte(plan))
				hash := hex.EncodeToString(sum[:])
				s.set(t, "lake-state", "Key", "plan/"+hash, "Text", text(plan))
				s.set(t, "lake-state", "Key", "plan/"+hash, "Version", &types.AttributeValueMemberN{Value: "1"})
				pending := s.pending(t)
				pending["Plan"] = text(hash)
				s.set(t, "lake", "ShardID", "shardId-000000000001", "Pending", &types.AttributeValueMemberM{Value: pending})
			},
		} {
			t.Run(what, func(t *testing.T) {
				overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
					items, err := s.table(t, "lake").List(t.Context())
					must(t, err)
					for _, i := range items {
						if i.Pending != nil {
							change(t, s, i.Pending.Plan, "map/"+string(i.Shard)+"/2/"+string(i.Checkpoint))
						}
					}
					before := len(s.bucket(t, ""))
					w := s.start(groupConfig("lake", "worker-2"), "later", "AUDIT")
					time.Sleep(time.Minute)
					for _, shard := range w.Status() {
						want := map[stream.ShardID]consumers.State{
							firstShard: consumers.StateFinished, "shardId-000000000001": consumers.StateParked, "shardId-000000000002": consumers.StateReading,
						}[shard.Shard]
						if shard.State != want {
							t.Errorf("%s is %s, want %s: %+v", shard.Shard, shard.State, want, shard)
						}
					}
					w.stop()
					if after := len(s.bucket(t, "")); after != before {
						t.Errorf("%d objects before, %d after", before, after)
					}
					if s.pending(t) == nil {
						t.Error("the pending range was passed over")
					}
				})
			})
		}
	})
}

// pending is the pending range of the one shard that has one.
func (s *site) pending(t *testing.T) map[string]types.AttributeValue {
	t.Helper()
	got, err := s.tables.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("lake"), Key: map[string]types.AttributeValue{"ShardID": text("shardId-000000000001")}, ConsistentRead: aws.Bool(true),
	})
	must(t, err)
	m, ok := got.Item["Pending"].(*types.AttributeValueMemberM)
	if !ok {
		return nil
	}
	return m.Value
}

func TestADataDirectoryOfALaterVersionIsRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		for file, change := range map[string][2]string{
			"kinesis/stream-logs/stream.json":                                   {`"version": 1`, `"version": 99`},
			"kinesis/stream-logs/shardId-000000000000/00000000000000000001.seg": {"kinseg\x00\x01", "kinseg\x00\x63"},
			"dynamodb/tables/lake/journal":                                      {"journal 1\n", "journal 9\n"},
		} {
			t.Run(file, func(t *testing.T) {
				copied := unpack(t, readFile(t, dir, "data.tgz"))
				path := filepath.Join(copied, file)
				content := readFile(t, path)
				changed := bytes.Replace(content, []byte(change[0]), []byte(change[1]), 1)
				if bytes.Equal(content, changed) {
					t.Fatalf("%s holds no %q", file, change[0])
				}
				must(t, os.WriteFile(path, changed, 0o644))
				before := tree(t, copied)
				cfg := local.DefaultConfig()
				cfg.Dir = copied
				e, err := local.Open(cfg, slog.New(slog.DiscardHandler))
				if err == nil {
					_ = e.Close()
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), "version") {
					t.Errorf("error %v", err)
				}
				if after := tree(t, copied); !bytes.Equal(before, after) {
					t.Errorf("before\n%s\nafter\n%s", before, after)
				}
			})
		}
	})
}

// Attributes and items that a later version adds without a new version number are
// not this one's: it works, and they are there afterwards.
func TestWhatALaterVersionAddsIsLeftAlone(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
			s.set(t, "lake", "ShardID", "shardId-000000000001", "Later", text("an attribute"))
			s.set(t, "lake", "ShardID", "#later", "Later", text("an item that is no shard's"))
			s.set(t, "lake-state", "Key", "later/thing", "Version", laterVersion)
			s.set(t, "lake-state", "Key", "group", "Later", text("an attribute"))
			w := s.start(groupConfig("lake", "worker-2"), "later", "AUDIT")
			time.Sleep(time.Minute)
			w.stop()
			if s.pending(t) != nil {
				t.Error("the group did not go on")
			}
			after := string(pretty(t, s.allItems(t)))
			for _, added := range []string{`"an attribute"`, `"an item that is no shard's"`, `"later/thing"`} {
				if !strings.Contains(after, added) {
					t.Errorf("%s is gone: %s", added, after)
				}
			}
			if n := strings.Count(after, `"an attribute"`); n != 2 {
				t.Errorf("%d of 2 attributes are left", n)
			}
		})
	})
}

// Entries of a later forwarder have sound checksums and types that this one does
// not know. They go out as they are, marked, in their place; a cursor state that is
// not understood holds nobody up.
func TestEntriesOfALaterForwarderAreKept(t *testing.T) {
	dir := t.TempDir()
	s, err := spool.Open(spoolConfig(dir), nil, slog.New(slog.DiscardHandler))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	lane, err := s.OpenLane(ctx, "key")
	must(t, err)
	must(t, s.Append(ctx, []spool.Request{{Entries: []spool.Entry{
		{Lane: lane, Payload: []byte("done")}, {Lane: lane, Payload: []byte("\x63 an entry of a later version")},
	}}}))
	must(t, s.Mark(lane, []byte("\x64 a mark of a later version")))
	first, err := s.Next(ctx)
	must(t, err)
	must(t, s.SetCursor(first.After, []byte("\x63 a state of a later version")))
	cancel()
	must(t, <-done)

	f := startStation(t, dir, forwarderConfig(), nil)
	f.until("the later version's entries", func() bool { return len(f.out.all()) == 2 })
	for i, want := range []string{"\x63 an entry of a later version", "\x64 a mark of a later version"} {
		got := f.out.all()[i]
		if got.Line != want || !got.Incomplete || got.Kind != "raw" || got.Key != "key" || got.Offset != uint64(2+i)*spool.OffsetStride {
			t.Errorf("published %+v", got)
		}
	}
	f.stop()
}

// During an upgrade an older worker finds a newer one's items in the table.
func TestAWorkerKeepsItsShardsWhenALaterVersionComes(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		overData(t, readFile(t, dir, "data.tgz"), func(t *testing.T, s *site) {
			w := s.start(groupConfig("lake", "worker-2"), "later", "AUDIT")
			time.Sleep(time.Minute)
			before := len(s.bucket(t, "later/_ranges/"))
			s.set(t, "lake", "ShardID", firstShard, "Version", laterVersion)
			time.Sleep(time.Minute)
			s.put(t, lowHash, lines(1, 100, "during the upgrade"))
			s.put(t, highHash, lines(2, 100, "during the upgrade"))
			time.Sleep(time.Minute)
			if after := len(s.bucket(t, "later/_ranges/")); after != before+2 {
				t.Errorf("%d ranges before, %d after", before, after)
			}
			w.stop()
		})
	})
}
