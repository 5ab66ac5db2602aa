package lake_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/stream"
)

// told is all of an event that a lake keeps, as text.
func told(e *schema.Event) string {
	o := e.Origin
	labels := map[string]string{}
	for _, l := range o.Labels {
		labels[l.Name] = l.Value
	}
	micros := time.Unix(0, e.Time).UTC().Truncate(time.Microsecond)
	return fmt.Sprintf("%s %v %v %x %d/%d %q %q %q %q %q %q %v %q", micros.Format(time.RFC3339Nano), e.Kind, e.Flags, e.Part.Line, e.Part.Number, e.Part.Count,
		o.Service, o.ContainerID, o.ContainerName, o.Source, o.Tag, o.Host, labels, e.Line)
}

// lakeOf flushes batches into a bucket and returns its objects.
func lakeOf(t testing.TB, batches []stream.Batch) (b *bucket, keys []string) {
	t.Helper()
	b = newBucket()
	if err := flushAll(t.Context(), t, newLake(t, config(), b), batches, rangeOf(1, len(batches))); err != nil {
		t.Fatal(err)
	}
	for _, k := range b.keys() {
		if strings.HasSuffix(k, ".parquet") {
			keys = append(keys, k)
		}
	}
	return b, keys
}

func TestReadGivesTheEventsThatWereWritten(t *testing.T) {
	batches := traffic(1000)
	odd := event(schema.KindApp, noon, "cart", `{"message":"hello","label.a":"the line's","level":"Info","@timestamp":"2026-11-22T12:00:00Z","service":"cart","n":1.50,"o":{"p":[1]}}`)
	odd.Origin.Labels = []schema.Label{{Name: "a", Value: "the container's"}, {Name: "b", Value: ""}}
	batches = append(batches, record(len(batches)+1, odd, event(schema.KindAudit, noon, "", `{"marker":"AUDIT","status":200,"duration_ms":1.25,"method":"GET"}`)))
	want, places := map[string]int{}, map[string]bool{}
	for _, b := range batches {
		for i := range b.Events {
			want[told(&b.Events[i])]++
			places[fmt.Sprint(shard, " ", b.Sequence, " ", b.Events[i].Index, " ", string(b.Events[i].Line))] = true
		}
	}
	b, keys := lakeOf(t, batches)
	got := map[string]int{}
	for _, k := range keys {
		content := b.content(k)
		rows := int64(0)
		err := lake.Read(bytes.NewReader(content), int64(len(content)), schema.KindUnset, func(r *lake.Row) error {
			got[told(&r.Event)]++
			if shard, sequence, index, err := r.Place(); err != nil || !places[fmt.Sprint(shard, " ", sequence, " ", index, " ", string(r.Line))] {
				t.Errorf("%s stood at %s, %s, %d, %v", r.Line, shard, sequence, index, err)
			}
			rows++
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		if n, size, err := lake.CountRows(content, int64(len(content))); err != nil || n != rows || size < 1 {
			t.Errorf("%s has %d rows, counted %d (%d bytes, %v)", k, rows, n, size, err)
		}
	}
	if !maps.Equal(got, want) {
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if got[k] != want[k] {
				t.Errorf("%d times, not %d:\n%s", got[k], want[k], k)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(got)) {
			if want[k] == 0 {
				t.Errorf("nobody wrote\n%s", k)
			}
		}
	}
}

func TestReadOfWhatIsNoObjectOfALakeSaysSo(t *testing.T) {
	b, keys := lakeOf(t, traffic(100))
	whole := b.content(keys[0])
	for name, content := range map[string][]byte{
		"nothing at all":             {},
		"text":                       []byte("hello, this is no Parquet"),
		"the first half":             whole[:len(whole)/2],
		"a footer of four gigabytes": append(slices.Clone(whole[:len(whole)-8]), 0xff, 0xff, 0xff, 0xff, 'P', 'A', 'R', '1'),
		"zeros in its middle":        append(append(slices.Clone(whole[:64]), make([]byte, len(whole)/2)...), whole[64+len(whole)/2:]...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := lake.Read(bytes.NewReader(content), int64(len(content)), schema.KindApp, func(*lake.Row) error { return nil }); err == nil {
				t.Error("it was read")
			}
		})
	}
}

func TestManifestsTellTheObjectsOfTheirRange(t *testing.T) {
	b, keys := lakeOf(t, traffic(200))
	for _, k := range keys {
		manifest, ok := lake.ManifestOf("lake/", k)
		if !ok {
			t.Fatalf("%s is of no range", k)
		}
		named, err := lake.ReadNames(b.content(manifest))
		if err != nil {
			t.Fatal(err)
		}
		if o, there := named[k]; !there || o.Bytes != int64(len(b.content(k))) || len(o.SHA256) != 64 {
			t.Errorf("%s names %s as %v", manifest, k, o)
		}
	}
	for _, k := range []string{"lake/part-0001.snappy.parquet.gz", "lake/a/export.parquet", "lake/-12.parquet"} {
		if manifest, ok := lake.ManifestOf("lake/", k); ok {
			t.Errorf("%s would be of %s", k, manifest)
		}
	}
	if _, err := lake.ReadNames([]byte(`{"format":99}`)); err == nil || !strings.Contains(err.Error(), "use a newer one") {
		t.Error(err)
	}
}

// Objects come from a bucket that others may write to.
func FuzzRead(f *testing.F) {
	b, keys := lakeOf(f, traffic(60))
	for _, k := range keys[:3] {
		f.Add(b.content(k), 100, byte(1))
	}
	f.Fuzz(func(t *testing.T, content []byte, at int, with byte) {
		if len(content) > 64<<10 {
			return
		}
		if len(content) > 0 {
			content = slices.Clone(content)
			content[uint(at)%uint(len(content))] ^= with
		}
		_ = lake.Read(bytes.NewReader(content), int64(len(content)), schema.KindUnset, func(e *lake.Row) error {
			_, _, _, _ = e.Place()
			if e.Origin == nil {
				t.Error("an event without an origin")
			}
			_, err := json.Marshal(string(e.Line))
			return err
		})
	})
}
