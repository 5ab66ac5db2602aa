package held_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shard = stream.ShardID("shardId-000000000002")

// fill takes records of three events each and deals their rows out to two groups.
func fill(t *testing.T, records int) (*held.Records, [][]held.Row) {
	t.Helper()
	r, groups := &held.Records{Span: held.Span{Shard: shard}}, make([][]held.Row, 2)
	encoder := schema.NewEncoder()
	for n := range records {
		b := schema.Batch{Epoch: schema.Epoch{1}, Lane: 7}
		for i := range 3 {
			b.Events = append(b.Events, schema.Event{Kind: schema.KindRaw, Line: fmt.Appendf(nil, "line %d", n*3+i), Offset: uint64(n*3 + i), Index: uint32(i)})
		}
		data, err := encoder.Append(nil, &b)
		if err != nil {
			t.Fatal(err)
		}
		all := stream.Batch{Shard: shard, Sequence: stream.SequenceNumber(fmt.Sprint(100 + n)), Arrival: time.Unix(int64(n), 0), Events: b.Events, Record: data}
		if err := r.Check(all); err != nil {
			t.Fatal(err)
		}
		if size := r.Take(all); size < int64(len(data)) {
			t.Errorf("a record of %d bytes counts %d", len(data), size)
		}
		clear(data) // it was copied
		for i := range b.Events {
			groups[i%2] = append(groups[i%2], r.Row(&b.Events[i], 0, 0))
		}
	}
	return r, groups
}

func TestEveryLineIsLoadedOnceHoweverSmallTheLoads(t *testing.T) {
	for _, limit := range []int64{1, 100, 250, 1 << 20} {
		r, groups := fill(t, 20)
		var got []string
		loader := held.NewLoader()
		loads := held.Cut(groups, limit)
		for _, load := range loads {
			rows := held.Rows(groups, load)
			size := int64(0)
			for _, row := range rows {
				size += int64(row.Bytes)
			}
			if size > limit && len(rows) > 1 {
				t.Errorf("a load of %d bytes, above %d", size, limit)
			}
			lines, err := loader.Load(r.List, rows)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				got = append(got, string(l.Text))
			}
		}
		var want []string
		for _, rows := range groups {
			for _, row := range rows {
				want = append(want, fmt.Sprintf("line %d", int(row.Record)*3+int(row.Index)))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d, %d loads: %q", limit, len(loads), got)
		}
	}
}

func TestAnEventComesBackWhole(t *testing.T) {
	r, groups := fill(t, 5)
	loader := held.NewLoader()
	for _, row := range groups[1] {
		b, err := loader.Event(r.List, row)
		if err != nil {
			t.Fatal(err)
		}
		n := int(row.Record)*3 + int(row.Index)
		if len(b.Events) != 1 || b.Events[0].Offset != uint64(n) || string(b.Events[0].Line) != fmt.Sprintf("line %d", n) || b.Lane != 7 {
			t.Errorf("event %d: %+v", n, b)
		}
		if _, err := loader.Load(r.List, groups[0]); err != nil { // takes the decoder in between
			t.Fatal(err)
		}
	}
	if _, err := loader.Event(r.List, held.Row{Index: 9}); err == nil {
		t.Error("an event that no record has")
	}
	if _, err := loader.Load(r.List, []held.Row{{Index: 9, Bytes: held.RowCharge}}); err == nil {
		t.Error("a line that no record has")
	}
}

func TestABudgetIsSharedAndGivenBack(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})
	b := held.NewBudget(100, gauge)
	all, err := b.Reserve(t.Context(), 1000) // all there is
	if err != nil {
		t.Fatal(err)
	}
	all.Shrink(40)
	all.Shrink(60) // no growing
	rest, err := b.Reserve(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	rest.Shrink(0)
	all.Shrink(0)
	if again, err := b.Reserve(t.Context(), 100); err != nil {
		t.Error(err)
	} else {
		again.Shrink(0)
	}
}
