package rows_test

import (
	"strconv"
	"testing"
	"time"

	"tributary/cmd/internal/workload"
	"tributary/schema"
	"tributary/schema/columns"
)

// The lines of a shop are written compactly, so they come back byte by byte.
func TestLinesOfAShopComeBackAsTheyWere(t *testing.T) {
	s, err := columns.DefaultMapping().Compile(schema.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	base := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	mixed := workload.NewLines(3, base, time.Millisecond)
	long := mixed.Sized(40_000)
	splitters := map[schema.Kind]*columns.Splitter{schema.KindApp: s.New(schema.KindApp), schema.KindAudit: s.New(schema.KindAudit), schema.KindRaw: s.New(schema.KindRaw)}
	var line []byte
	kinds := map[schema.Kind]int{}
	for n := range int64(20_000) {
		var kind schema.Kind
		if line, kind = mixed.Append(line[:0], n); n%50 == 0 {
			line, kind = long.Append(line[:0], n)
		}
		at := base.Add(time.Duration(n) * time.Millisecond).UnixMicro()
		r := splitters[kind].Split(line, at, "cart")
		kinds[kind]++
		if r.Verbatim {
			continue
		}
		got, err := cellsOf(r, at).Line()
		if err != nil || string(got) != string(line) {
			t.Fatalf("line %d (%v)\n%s\nis now\n%s\n%v", n, kind, line, got, err)
		}
		splitters[kind].Forget()
	}
	if len(kinds) != 3 {
		t.Errorf("lines of %v", kinds)
	}
}

func cellsOf(r *columns.Row, at int64) columns.Cells {
	return columns.Cells{
		Time: at, Shape: r.Shape,
		Column: func(name string) ([]byte, bool) {
			for i, text := range r.Text {
				if columns.ID(i).String() == name {
					return text, text != nil
				}
			}
			switch name {
			case "service":
				return []byte("cart"), true
			case columns.Status.String():
				return strconv.AppendInt(nil, int64(r.Status), 10), r.HasStatus
			case columns.Duration.String():
				return strconv.AppendFloat(nil, r.Duration, 'f', -1, 64), r.HasDuration
			}
			return nil, false
		},
		Attribute: func(name string) ([]byte, bool) {
			for i, key := range r.Keys {
				if string(key) == name {
					return r.Values[i], true
				}
			}
			return nil, false
		},
	}
}
