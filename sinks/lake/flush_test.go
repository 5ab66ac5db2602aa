package lake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/stream"
)

var update = flag.Bool("update", false, "write the golden files that are missing; those that are there are frozen")

// golden compares text with a file that stands for a format that lasts.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if _, missing := os.Stat(path); *update && missing != nil {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s changed; got\n%s", name, got)
	}
}

// smallTraffic touches two hours, two kinds, a late event and a reject.
func smallTraffic() []stream.Batch {
	first := record(1,
		event(schema.KindApp, noon.Add(-time.Minute), "condor", `{"level":"INFO","message":"first"}`),
		event(schema.KindApp, noon.Add(time.Minute), "condor", `{"level":"INFO","message":"second"}`),
		event(schema.KindRaw, noon.Add(time.Minute), "albatross", "plain"),
	)
	second := record(2, event(schema.KindRaw, noon.AddDate(-1, 0, 0), "albatross", "from a clock that stands still"))
	second.Rejects = []schema.Reject{{Index: 1, Reason: "unknown format", Data: []byte("?")}}
	return []stream.Batch{first, second}
}

func TestNamesAndManifestAreAsTheFormatSays(t *testing.T) {
	cfg := config()
	cfg.Columns.Promote = []string{"tenant"}
	golden(t, "plan_v2.json", newLake(t, cfg, newBucket()).Plan()+"\n")
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			plan, err := os.ReadFile(filepath.Join("testdata", "plan_"+version+".json"))
			if err != nil {
				t.Fatal(err)
			}
			b := newBucket()
			l := newLake(t, config(), b)
			known := record(3) // nothing new was in it
			known.Duplicates = 7
			traffic := append(smallTraffic(), known)
			r := rangeOf(1, 3)
			for range 2 {
				s, err := l.Open(t.Context(), shard, strings.TrimSpace(string(plan)))
				if err != nil {
					t.Fatal(err)
				}
				appendAll(t, s, traffic)
				if err := s.Flush(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				r.Generation, r.After = 2, sequence(0)
			}
			golden(t, "names.txt", strings.Join(b.keys(), "\n")+"\n")
			for _, key := range b.keys() {
				switch {
				case strings.HasSuffix(key, ".g2.json"):
					golden(t, "manifest_"+version+"_generation_2.json", withoutEncoding(string(b.content(key))))
				case strings.HasSuffix(key, ".json"):
					golden(t, "manifest_"+version+".json", withoutEncoding(string(b.content(key))))
				case strings.HasSuffix(key, ".parquet"):
					goldenObject(t, version, key, b)
				}
			}
		})
	}
}

// goldenObject compares an object's columns; version 2 has other ones for each kind.
func goldenObject(t *testing.T, version, key string, b *bucket) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(b.content(key)), int64(len(b.content(key))))
	if err != nil {
		t.Fatal(err)
	}
	name := "schema_v1.txt"
	if version != "v1" {
		_, kind, _ := strings.Cut(key, "kind=")
		kind, _, _ = strings.Cut(kind, "/")
		name = "schema_" + version + "_" + kind + ".txt"
	}
	golden(t, name, f.Schema().String()+"\n")
	m := b.objects["logs/"+key].metadata
	m["tributary-sha256"] = strconv.Itoa(len(m["tributary-sha256"])) + " digits"
	if strings.Contains(key, "kind=raw") && strings.HasSuffix(key, ".g2.parquet") {
		golden(t, "metadata_"+version+".txt", fmt.Sprintf("%q\n", m))
	}
}

// withoutEncoding hides what a new version of the compression may change.
func withoutEncoding(manifest string) string {
	manifest = regexp.MustCompile(`"bytes": \d+`).ReplaceAllString(manifest, `"bytes": 0`)
	return regexp.MustCompile(`"sha256": "[0-9a-f]{64}"`).ReplaceAllString(manifest, `"sha256": "64 digits"`)
}

func TestManifestListsWhatIsThere(t *testing.T) {
	b := newBucket()
	batches := traffic(3_000)
	if err := flushAll(t.Context(), t, newLake(t, config(), b), batches, rangeOf(1, 30)); err != nil {
		t.Fatal(err)
	}
	keys := b.keys()
	var m struct {
		Rows    int
		Objects []struct {
			Key    string
			Rows   int
			Bytes  int
			SHA256 string
		}
	}
	if err := json.Unmarshal(b.content(keys[0]), &m); err != nil {
		t.Fatal(err)
	}
	if m.Rows != 3_000 || len(m.Objects) != len(keys)-1 {
		t.Fatalf("%d rows in %d objects, %d are there", m.Rows, len(m.Objects), len(keys)-1)
	}
	for _, o := range m.Objects {
		content := b.content(o.Key)
		if o.Bytes != len(content) || o.SHA256 != fmt.Sprintf("%x", sha256.Sum256(content)) || o.Rows != len(readObject(t, o.Key, content)) {
			t.Errorf("%+v is not what is there", o)
		}
	}
}

func TestSameEventsAndPlanGiveSameBytes(t *testing.T) {
	one, two := newBucket(), newBucket()
	for _, b := range []*bucket{one, two} {
		batches := traffic(2_000)
		if err := flushAll(t.Context(), t, newLake(t, config(), b), batches, rangeOf(1, len(batches))); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(one.keys(), two.keys()) {
		t.Fatalf("names differ: %q and %q", one.keys(), two.keys())
	}
	for _, k := range one.keys() {
		if string(one.content(k)) != string(two.content(k)) {
			t.Errorf("%s differs", k)
		}
	}
}

func TestFlush(t *testing.T) {
	r := rangeOf(1, 3)
	puts := func(b *bucket) int {
		return len(slices.DeleteFunc(slices.Clone(b.calls), func(c string) bool { return !strings.HasPrefix(c, "PUT ") }))
	}

	t.Run("called again with the same range does nothing new", func(t *testing.T) {
		b := newBucket()
		s := open(t, newLake(t, config(), b))
		appendAll(t, s, smallTraffic())
		for range 2 {
			if err := s.Flush(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if puts(b) != 4 {
			t.Errorf("%d PUTs for 3 objects and a manifest", puts(b))
		}
	})
	t.Run("by another worker of what is done adds nothing", func(t *testing.T) {
		b := newBucket()
		l := newLake(t, config(), b)
		if err := flushAll(t.Context(), t, l, smallTraffic(), r); err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(b.objects)
		if err := flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r); err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(before, b.objects, func(x, y blob) bool { return string(x.content) == string(y.content) }) {
			t.Error("the objects changed")
		}
	})
	t.Run("by a worker with other page sizes accepts what is there", func(t *testing.T) {
		b := newBucket()
		batches, r := traffic(2_000), rangeOf(1, 20)
		if err := flushAll(t.Context(), t, newLake(t, config(), b), batches, r); err != nil {
			t.Fatal(err)
		}
		cfg := config()
		cfg.PageBytes = 64 << 10
		small := newLake(t, cfg, b)
		if small.Plan() != newLake(t, config(), b).Plan() {
			t.Error("page sizes are in the plan")
		}
		if err := flushAll(t.Context(), t, small, batches, r); err != nil {
			t.Fatal(err)
		}
		compareRows(t, readLake(t, b), batches)
	})
	t.Run("of a range without events writes only the manifest", func(t *testing.T) {
		b := newBucket()
		if err := open(t, newLake(t, config(), b)).Flush(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if keys := b.keys(); len(keys) != 1 || !strings.Contains(keys[0], "_ranges") {
			t.Errorf("wrote %q", keys)
		}
	})
	t.Run("writes the manifest after the last object", func(t *testing.T) {
		b := newBucket()
		if err := flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r); err != nil {
			t.Fatal(err)
		}
		for i, c := range b.calls {
			if strings.Contains(c, "_ranges") != (i == len(b.calls)-1) {
				t.Errorf("call %d of %d is %s", i+1, len(b.calls), c)
			}
		}
	})
	t.Run("refuses a range that does not hold what was appended", func(t *testing.T) {
		b := newBucket()
		for _, r := range []stream.Range{rangeOf(2, 3), rangeOf(1, 1), {Shard: "shardId-000000000009", First: sequence(1), Last: sequence(3)}, {Shard: shard}} {
			if err := flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r); err == nil {
				t.Errorf("range %+v was flushed", r)
			}
		}
		if len(b.calls) != 0 {
			t.Errorf("S3 was asked: %q", b.calls)
		}
	})
	t.Run("frees what it held, and a dropped sink leaves nothing", func(t *testing.T) {
		b := newBucket()
		s := open(t, newLake(t, config(), b))
		appendAll(t, s, smallTraffic())
		if s.Size() < 4*96 {
			t.Errorf("size %d for four events", s.Size())
		}
		if len(b.calls) != 0 {
			t.Errorf("appending called S3: %q", b.calls)
		}
		if err := s.Flush(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if s.Size() != 0 {
			t.Errorf("size %d after the flush", s.Size())
		}
	})
}

// TestFlushUnderFaults lets each single call fail in each way; the flush is then
// repeated as the engine does it.
func TestFlushUnderFaults(t *testing.T) {
	lost := errors.New("connection reset")
	for name, f := range map[string]answer{
		"the answer is lost":            {do: true, err: lost},
		"the request is lost":           {err: lost},
		"S3 is slow down":               {err: answered(http.StatusServiceUnavailable, "SlowDown")},
		"S3 sees a conflicting request": {err: answered(http.StatusConflict, "ConditionalRequestConflict")},
		"access is denied":              {err: answered(http.StatusForbidden, "AccessDenied")},
	} {
		for call := range 7 { // three objects put and read, and the manifest
			t.Run(name+" at call "+string(rune('1'+call)), func(t *testing.T) {
				b := newBucket()
				b.fault = func(string) *answer {
					if len(b.calls) == call+1 {
						return &f
					}
					return nil
				}
				batches := smallTraffic()
				s := open(t, newLake(t, config(), b))
				appendAll(t, s, batches)
				held := s.Size()
				err := s.Flush(t.Context(), rangeOf(1, 3))
				if err == nil || stream.IsPermanent(err) {
					t.Fatalf("flush with a failing call: %v, want an error worth a retry", err)
				}
				if s.Size() != held {
					t.Errorf("size %d after the error, %d before", s.Size(), held)
				}
				if err := s.Flush(t.Context(), rangeOf(1, 3)); err != nil {
					t.Fatal(err)
				}
				compareRows(t, readLake(t, b), batches)
			})
		}
	}
}

func TestRetriesGoOnWhereTheyFailed(t *testing.T) {
	b := newBucket()
	b.fault = func(string) *answer {
		if len(b.calls)%5 == 0 {
			return &answer{err: answered(http.StatusServiceUnavailable, "SlowDown")}
		}
		return nil
	}
	batches := traffic(1_000)
	s := open(t, newLake(t, config(), b))
	appendAll(t, s, batches)
	for try := 1; ; try++ {
		err := s.Flush(t.Context(), rangeOf(1, 10))
		if err == nil {
			break
		}
		if try == 10 {
			t.Fatalf("still failing after %d flushes: %v", try, err)
		}
	}
	compareRows(t, readLake(t, b), batches)
}

func TestWhatLiesUnderTheRangesNames(t *testing.T) {
	r := rangeOf(1, 3)
	fill := func(t *testing.T, batches []stream.Batch, r stream.Range) *bucket {
		t.Helper()
		b := newBucket()
		if err := flushAll(t.Context(), t, newLake(t, config(), b), batches, r); err != nil {
			t.Fatal(err)
		}
		return b
	}
	// only keeps the objects, so that the manifest is not what is compared.
	only := func(b *bucket, part string) {
		maps.DeleteFunc(b.objects, func(k string, _ blob) bool { return !strings.Contains(k, part) })
	}
	fewer := func() []stream.Batch {
		batches := smallTraffic()
		batches[0].Events = batches[0].Events[1:]
		return batches[:1]
	}
	permanent := func(t *testing.T, err error, names ...string) {
		t.Helper()
		if !stream.IsPermanent(err) {
			t.Fatalf("%v, want a permanent error", err)
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("error %q does not name %s", err, name)
			}
		}
	}

	t.Run("another range's object is an error that names it", func(t *testing.T) {
		b := fill(t, smallTraffic(), rangeOf(1, 2))
		only(b, ".parquet")
		before := maps.Clone(b.objects)
		err := flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r)
		permanent(t, err, "logs/lake/kind=app/dt=2026-11-22/hour=11/shardId-000000000002-", "tributary-last")
		if len(b.objects) != len(before) {
			t.Error("it went on writing")
		}
	})
	t.Run("an object with other rows is an error that names it", func(t *testing.T) {
		batches := smallTraffic()
		more := event(schema.KindApp, noon.Add(time.Minute), "condor", "{}")
		more.Index = 3
		batches[0].Events = append(batches[0].Events, more)
		b := fill(t, batches, r)
		only(b, "kind=app/dt=2026-11-22/hour=12")
		permanent(t, flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r), "tributary-rows", "hour=12")
	})
	t.Run("a manifest of another range is an error that names it", func(t *testing.T) {
		b := fill(t, smallTraffic(), rangeOf(1, 2))
		only(b, "_ranges")
		permanent(t, flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r), "logs/lake/_ranges/")
	})
	t.Run("a stranger's object is an error", func(t *testing.T) {
		b := fill(t, smallTraffic(), r)
		for k, o := range b.objects {
			b.objects[k] = blob{o.content, nil}
		}
		permanent(t, flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r))
	})
	t.Run("an object whose footer is damaged is an error", func(t *testing.T) {
		for name, damage := range map[string]func([]byte) []byte{
			"cut short":          func(b []byte) []byte { return b[:len(b)-20] },
			"an empty object":    func([]byte) []byte { return nil },
			"a byte changed":     func(b []byte) []byte { b = slices.Clone(b); b[len(b)-30] ^= 0x55; return b },
			"no longer a footer": func(b []byte) []byte { return append(slices.Clone(b), 0) },
		} {
			for _, sum := range []string{"", "of other bytes"} {
				if sum != "" && name == "a byte changed" {
					continue // other bytes are fine as long as the footer counts the same
				}
				t.Run(name+sum, func(t *testing.T) {
					b := fill(t, smallTraffic(), r)
					for k, o := range b.objects {
						if !strings.Contains(k, ".parquet") {
							continue
						}
						m := maps.Clone(o.metadata)
						m["tributary-sha256"] += sum
						b.objects[k] = blob{damage(o.content), m}
					}
					permanent(t, flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r))
				})
			}
		}
	})
	t.Run("a truncated range leaves alone what is there", func(t *testing.T) {
		b := fill(t, smallTraffic(), r)
		only(b, ".parquet")
		before := maps.Clone(b.objects)
		cut := r
		cut.Truncated = true
		if err := flushAll(t.Context(), t, newLake(t, config(), b), fewer(), cut); err != nil {
			t.Fatal(err)
		}
		for k, o := range before {
			if string(b.objects[k].content) != string(o.content) {
				t.Errorf("%s changed", k)
			}
		}
		// and once more, now that the manifest is there too
		if err := flushAll(t.Context(), t, newLake(t, config(), b), fewer(), cut); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a truncated range writes what is not there, and says so", func(t *testing.T) {
		cut := r
		cut.Truncated = true
		b := fill(t, fewer(), cut)
		for k, o := range b.objects {
			if strings.HasSuffix(k, ".parquet") && o.metadata["tributary-truncated"] != "true" {
				t.Errorf("%s is not marked: %v", k, o.metadata)
			}
			if strings.HasSuffix(k, ".json") && !strings.Contains(string(o.content), `"truncated": true`) {
				t.Errorf("the manifest is not marked: %s", o.content)
			}
		}
	})
	t.Run("a truncated range does not accept another range's object", func(t *testing.T) {
		b := fill(t, smallTraffic(), rangeOf(1, 2))
		cut := r
		cut.Truncated = true
		permanent(t, flushAll(t.Context(), t, newLake(t, config(), b), fewer(), cut))
	})
	t.Run("an upload that S3 holds otherwise is not trusted", func(t *testing.T) {
		b := newBucket()
		b.fault = func(call string) *answer {
			for k, o := range b.objects {
				if strings.HasSuffix(k, ".parquet") && strings.HasPrefix(call, "GET ") {
					b.objects[k] = blob{o.content[:len(o.content)-1], o.metadata}
				}
			}
			return nil
		}
		permanent(t, flushAll(t.Context(), t, newLake(t, config(), b), smallTraffic(), r), "differs from what was uploaded")
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("lease lost"))
	cfg := config()
	b := newBucket()
	err := flushAll(ctx, t, newLake(t, cfg, b), smallTraffic(), rangeOf(1, 3))
	if !errors.Is(err, context.Canceled) || stream.IsPermanent(err) || len(b.calls) != 0 {
		t.Errorf("%v after the calls %q", err, b.calls)
	}
}

func TestEventsGoWhereTheyBelong(t *testing.T) {
	in := func(hours float64) time.Time { return noon.Add(time.Duration(hours * float64(time.Hour))) }
	// The first record arrives at noon and a second.
	for name, c := range map[string]struct {
		e    schema.Event
		path string
	}{
		"by event time in UTC":                            {event(schema.KindApp, in(-1.5), "s", "{}"), "kind=app/dt=2026-11-22/hour=10"},
		"into the day before":                             {event(schema.KindAudit, in(-13), "s", "{}"), "kind=audit/dt=2026-11-21/hour=23"},
		"to the last instant of the window by event time": {event(schema.KindRaw, in(-24).Add(time.Second), "s", "x"), "kind=raw/dt=2026-11-21/hour=12"},
		"by arrival when too old":                         {event(schema.KindRaw, in(-24.1), "s", "x"), "kind=raw/dt=2026-11-22/hour=12"},
		"by arrival when too far ahead":                   {event(schema.KindRaw, in(25), "s", "x"), "kind=raw/dt=2026-11-22/hour=12"},
		"by arrival with the oldest time there is":        {schema.Event{Kind: schema.KindRaw, Time: -1 << 63, Origin: &schema.Origin{}}, "kind=raw/dt=2026-11-22/hour=12"},
		"by arrival with the newest time there is":        {schema.Event{Kind: schema.KindRaw, Time: 1<<63 - 1, Origin: &schema.Origin{}}, "kind=raw/dt=2026-11-22/hour=12"},
		"without an origin":                               {schema.Event{Kind: schema.KindRaw, Time: noon.UnixNano(), Line: []byte("x")}, "kind=raw/dt=2026-11-22/hour=12"},
		"of another producer by the plan's rules":         {schema.Event{Time: in(0).UnixNano(), Origin: &schema.Origin{}, Line: []byte(`{"marker":"AUDIT","service":"heron","time":"2026-11-22T09:59:59Z"}`)}, "kind=audit/dt=2026-11-22/hour=09"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			if err := flushAll(t.Context(), t, newLake(t, config(), b), []stream.Batch{record(1, c.e)}, rangeOf(1, 1)); err != nil {
				t.Fatal(err)
			}
			if want := "lake/" + c.path + "/" + string(shard) + "-" + string(sequence(1)) + ".parquet"; b.keys()[1] != want {
				t.Errorf("went to %s, want %s", b.keys()[1], want)
			}
			if rows := readObject(t, b.keys()[1], b.content(b.keys()[1])); len(rows) != 1 || rows[0].line != string(c.e.Line) {
				t.Errorf("rows %+v", rows)
			} else if c.e.Kind == schema.KindUnset && rows[0].service != "heron" {
				t.Errorf("service %s", rows[0].service)
			}
		})
	}
}

func TestTextThatIsNotUTF8IsMendedInMetadataOnly(t *testing.T) {
	b := newBucket()
	e := schema.Event{Time: noon.UnixNano(), Kind: schema.KindApp, Line: []byte("{\"level\":\"\xff\"}"), Origin: &schema.Origin{
		Service: "s\xff", ContainerName: "\xc3(", Tag: "\x00",
		Labels: []schema.Label{{Name: "a", Value: "first"}, {Name: "a", Value: "last"}, {Name: "b\xfe", Value: "\xfe"}, {Name: "b\xff", Value: "end"}},
	}}
	if err := flushAll(t.Context(), t, newLake(t, config(), b), []stream.Batch{record(1, e)}, rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	got := readLake(t, b)[0]
	if got.line != string(e.Line) || !got.verbatim {
		t.Errorf("line %q", got.line)
	}
	if got.service != "s\uFFFD" || got.name != "\uFFFD(" || got.tag != "\x00" || got.level != "\uFFFD" {
		t.Errorf("metadata %+v", got)
	}
	if want := map[string]string{"a": "last", "b\uFFFD": "end"}; !maps.Equal(got.labels, want) {
		t.Errorf("labels %q, want %q", got.labels, want)
	}
}

func TestOpenRefusesPlansItWouldNotFollow(t *testing.T) {
	l := newLake(t, config(), newBucket())
	for name, plan := range map[string]string{
		"of a newer format":              strings.Replace(l.Plan(), `"format":2`, `"format":3`, 1),
		"with an unknown key":            strings.Replace(l.Plan(), `"format":2`, `"format":2,"shuffle":true`, 1),
		"of the old format with columns": strings.Replace(l.Plan(), `"format":2`, `"format":1`, 1),
		"without columns":                l.Plan()[:strings.Index(l.Plan(), `,"columns"`)] + "}",
		"with a bad column":              strings.Replace(l.Plan(), `"promote":null`, `"promote":["time"]`, 1),
		"that is no JSON":                "kind={kind}",
		"with more behind it":            l.Plan() + "{}",
		"with a bad template":            strings.Replace(l.Plan(), "kind={kind}", "kind={kin}", 1),
		"with a bad window":              strings.Replace(l.Plan(), `"24h0m0s"`, `"a day"`, 1),
		"that holds only text":           `""`,
	} {
		if _, err := l.Open(t.Context(), shard, plan); err == nil {
			t.Errorf("a plan %s was opened: %s", name, plan)
		}
	}
}

func TestAReplayFollowsThePlanNotTheConfiguration(t *testing.T) {
	b := newBucket()
	first := newLake(t, config(), b)
	cfg := config()
	cfg.Bucket, cfg.Prefix, cfg.Template = "elsewhere", "", "{service}/{kind}/{year}/{month}/{day}/{hour}"
	today := newLake(t, cfg, b)
	for _, c := range []struct {
		plan string
		want string
	}{
		{first.Plan(), "logs/lake/kind=raw/dt=2026-11-22/hour=12/"},
		{today.Plan(), "elsewhere/s%20p%2Fq/raw/2026/11/22/12/"},
	} {
		s, err := today.Open(t.Context(), shard, c.plan)
		if err != nil {
			t.Fatal(err)
		}
		clear(b.objects)
		appendAll(t, s, []stream.Batch{record(1, event(schema.KindRaw, noon, "s p/q", "x"))})
		if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.objects[c.want+string(shard)+"-"+string(sequence(1))+".parquet"]; !ok {
			t.Errorf("no object under %s: %q", c.want, slices.Sorted(maps.Keys(b.objects)))
		}
	}
}

func TestALayoutHasANameAndThePlanItsTemplate(t *testing.T) {
	for name, want := range map[string]string{
		"hive":         "kind=audit/dt=2026-11-22/hour=12/",
		"applications": "applications/s%20p%2Fq/audit/2026/11/22/12/",
	} {
		t.Run(name, func(t *testing.T) {
			b, cfg := newBucket(), config()
			cfg.Prefix, cfg.Template = "", name
			l := newLake(t, cfg, b)
			if err := flushAll(t.Context(), t, l, []stream.Batch{record(1, event(schema.KindAudit, noon, "s p/q", "x"))}, rangeOf(1, 1)); err != nil {
				t.Fatal(err)
			}
			if _, ok := b.objects["logs/"+want+string(shard)+"-"+string(sequence(1))+".parquet"]; !ok {
				t.Errorf("no object under %s: %q", want, b.keys())
			}
			cfg.Template = cfg.Layout()
			if plan := newLake(t, cfg, b).Plan(); l.Plan() != plan || strings.Contains(plan, `"`+name+`"`) {
				t.Errorf("plan %s\nwith the template in full %s", l.Plan(), plan)
			}
		})
	}
	if cfg := lake.DefaultConfig(); cfg.Template != "kind={kind}/dt={date}/hour={hour}" {
		t.Errorf("the default is %q", cfg.Template)
	}
}

func TestConfigurationFaultsAreToldTogether(t *testing.T) {
	cfg := lake.DefaultConfig()
	cfg.Prefix, cfg.Template, cfg.TimeWindow, cfg.PageBytes = "/lake/", "dt={date}", time.Second, 1
	_, err := lake.New(cfg, schema.DefaultRules(), newBucket(), prometheus.NewRegistry(), slog.Default())
	for _, part := range []string{"bucket is missing", `prefix "/lake/"`, "lacks {kind}", "time_window 1s is not within", "page_bytes 1 is not within"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
	for _, template := range []string{"", "{kind", "kind}", "{kind}/../x", "{kind}//x", "_ranges/{kind}", "{kind}/{minute}"} {
		cfg := config()
		cfg.Template = template
		if cfg.Validate() == nil {
			t.Errorf("template %q passed", template)
		}
	}
	if err := config().Validate(); err != nil {
		t.Error(err)
	}
}

// A label and a member of the line may have one name: engines refuse a map with a key
// twice.
func TestALabelStandsBesideAMemberOfItsName(t *testing.T) {
	b := newBucket()
	e := event(schema.KindApp, noon, "s", `{"label.team":"of the line","label.team~":"too"}`)
	e.Origin.Labels = []schema.Label{{Name: "team", Value: "of the container"}, {Name: "zone", Value: "a"}}
	if err := flushAll(t.Context(), t, newLake(t, config(), b), []stream.Batch{record(1, e)}, rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	rows := readObject(t, b.keys()[1], b.content(b.keys()[1]))
	want := map[string]string{"team": "of the line", "team~": "too", "team~~": "of the container", "zone": "a"}
	if len(rows) != 1 || rows[0].line != string(e.Line) || !maps.Equal(rows[0].labels, want) {
		t.Errorf("rows %+v", rows)
	}
}

// Names of services are data too: they count toward what a sink says it holds.
func TestNamesOfServicesAreHeldWithinSize(t *testing.T) {
	cfg := config()
	cfg.Template = "kind={kind}/service={service}/dt={date}"
	s := open(t, newLake(t, cfg, newBucket()))
	size := func(name func(int) string) int64 {
		before := s.Size()
		var events []schema.Event
		for i := range 1000 {
			events = append(events, event(schema.KindRaw, noon, name(i), "x"))
		}
		appendAll(t, s, []stream.Batch{record(int(before%1000)+1, events...)})
		return s.Size() - before
	}
	one := size(func(int) string { return "condor" })
	many := size(func(i int) string { return fmt.Sprintf("%0100d", i) })
	if many < one+1000*2*(100+256) {
		t.Errorf("1000 services hold %d bytes, one %d", many, one)
	}
}
