package treasuredata_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/deploy/local/fault"
	local "tributary/deploy/local/treasuredata"
	"tributary/schema"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

func TestEveryEventLandsOnceInItsTable(t *testing.T) {
	w := newWorld(t)
	batches, r := traffic(t, 900)
	im := w.importer()
	s := open(t, im, batches)
	if size := s.Size(); size < 900*40 {
		t.Errorf("900 events count %d bytes", size)
	}
	if err := s.Flush(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if s.Size() != 0 {
		t.Errorf("%d bytes are held after a flush", s.Size())
	}
	w.wantOnce(900)
	want := []string{"tributary.cart_app", "tributary.cart_raw", "tributary.order__api_app", "tributary.order__api_raw", "tributary.web_app", "tributary.web_raw"}
	rows := w.rows()
	if got := slices.Sorted(maps.Keys(rows)); !slices.Equal(got, want) {
		t.Errorf("tables %q", got)
	}
	for name, list := range rows { // the stream's order
		last := -1
		for _, row := range list {
			n, _ := row["n"].(string)
			if n == "" {
				n = strings.TrimPrefix(row["message"].(string), "plain ")
			}
			if i := atoi(t, n[1:]); i <= last {
				t.Errorf("%s: row %d comes behind %d", name, i, last)
			} else {
				last = i
			}
		}
	}
	if w.metric("rows_total") != 900 || w.metric("bodies_total") != 6 || w.metric("creates_total") != 7 || w.metric("encoding_bytes") != 0 {
		t.Errorf("metrics: %v rows, %v bodies, %v creates, %v bytes", w.metric("rows_total"), w.metric("bodies_total"), w.metric("creates_total"), w.metric("encoding_bytes"))
	}
	before := w.requests()
	if err := s.Flush(t.Context(), r); err != nil || w.requests() != before {
		t.Errorf("the same flush again: %v, %d requests", err, w.requests()-before)
	}
}

func TestFaultsNeitherLoseNorDouble(t *testing.T) {
	every := func(n int, operation string, action fault.Action) fault.Rule {
		return fault.Rule{Service: "td", Operation: operation, Every: n, Action: action}
	}
	late := every(3, "ImportWithID", fault.DelayCommit)
	late.Delay, late.Count = 300*time.Millisecond, 2
	for name, rules := range map[string][]fault.Rule{
		"answers are lost after the commit":           {every(3, "ImportWithID", fault.LoseResponse)},
		"imports are committed after the client left": {late},
		"imports fail":                                     {every(2, "ImportWithID", fault.Error)},
		"answers to creations are lost":                    {every(2, "CreateTable", fault.LoseResponse), every(1, "CreateDatabase", fault.LoseResponse)},
		"everything fails and loses answers in some calls": {every(5, "*", fault.Error), every(4, "*", fault.LoseResponse)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.set(rules...)
			if rules[0].Operation == "CreateTable" {
				rules[1].Count = 1
				w.set(rules...)
			}
			small := func(c *treasuredata.Config) { c.BodyRows, c.AttemptTimeout = 37, 100*time.Millisecond }
			other := func(c *treasuredata.Config) { c.EncodeBytes, c.Parallel = 16<<20, 1 }
			batches, r := traffic(t, 600)
			s := open(t, w.importer(small), batches)
			for try := 1; ; try++ {
				err := s.Flush(t.Context(), r)
				if err == nil {
					break
				}
				if stream.IsPermanent(err) || try == 60 {
					t.Fatalf("flush %d: %v", try, err)
				}
				if try == 2 { // somebody else takes the shard over
					s = open(t, w.importer(small, other), batches)
				}
			}
			w.imports() // the same bytes under an id
			w.wantOnce(600)
			for _, rule := range w.faults.Rules() {
				if rule.Hits == 0 {
					t.Errorf("the endpoint never did %+v", rule.Rule)
				}
			}
		})
	}
}

func TestReplaySendsTheSameBytesUnderTheSameIDs(t *testing.T) {
	for name, limit := range map[string]func(*local.Options){
		"whole bodies":                  func(*local.Options) {},
		"bodies that are too large":     func(o *local.Options) { o.BodyBytes = 1000 },
		"bodies with a row that is bad": func(o *local.Options) { o.RowBytes = 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			batches, r := traffic(t, 1000)
			long := event(schema.KindApp, "cart", `{"n":"#1000","x":"`+strings.Repeat("long", 600)+`"}`)
			batches = append(batches, record(t, 99, long))
			r.Last = sequence(99)
			cut := func(c *treasuredata.Config) { c.BodyRows = 100 }
			other := func(c *treasuredata.Config) { c.EncodeBytes, c.Parallel, c.AttemptTimeout = 16<<20, 1, time.Minute }

			first := newWorld(t, limit)
			flush(t, first.importer(cut), r, batches...)
			first.wantOnce(1001)
			second := newWorld(t, limit)
			flush(t, second.importer(cut, other), r, batches...)
			a, b := first.imports(), second.imports()
			if !maps.EqualFunc(a, b, func(x, y request) bool { return x.path == y.path && bytes.Equal(x.body, y.body) }) || len(a) < 12 {
				t.Errorf("%d and %d ids", len(a), len(b))
			}

			// A replay on top adds nothing.
			flush(t, first.importer(cut, other), r, batches...)
			first.wantOnce(1001)
		})
	}
}

func TestWhatWasTakenIsNotSentAgain(t *testing.T) {
	w := newWorld(t)
	batches, r := traffic(t, 600)
	s := open(t, w.importer(func(c *treasuredata.Config) { c.BodyRows, c.Parallel = 50, 1 }), batches)
	w.set(fault.Rule{Service: "td", Operation: "ImportWithID", Every: 9, Count: 1, Action: fault.Error})
	if err := s.Flush(t.Context(), r); err == nil {
		t.Fatal("no error")
	}
	w.set()
	if err := s.Flush(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.wantOnce(600)
	taken := map[string]int{}
	for _, sent := range w.sent {
		if id := sent.id(); id != "" {
			taken[id]++
		}
	}
	again := 0
	for _, n := range taken {
		again += n - 1
	}
	// Each of six tables was missing once, and one import failed.
	if again > 7 {
		t.Errorf("%d imports were sent again", again)
	}
}

func TestIDsDifferByWhatTheyStandFor(t *testing.T) {
	batch := func(t *testing.T) stream.Batch { return record(t, 1, event(schema.KindApp, "cart", `{"n":1}`)) }
	seen := map[string]string{}
	for name, c := range map[string]struct {
		change func(*treasuredata.Config)
		mend   func(*stream.Range)
	}{
		"plain":                 {},
		"another group":         {change: func(c *treasuredata.Config) { c.GroupName = "other" }},
		"another table":         {change: func(c *treasuredata.Config) { c.Table = "x_{kind}" }},
		"another database":      {change: func(c *treasuredata.Config) { c.Database = "other" }},
		"another generation":    {mend: func(r *stream.Range) { r.Generation = 3 }},
		"another first record":  {mend: func(r *stream.Range) { r.First = sequence(0) }},
		"another last record":   {mend: func(r *stream.Range) { r.Last = sequence(2) }},
		"a truncated range":     {mend: func(r *stream.Range) { r.Truncated = true }},
		"another with the same": {mend: func(r *stream.Range) { r.After = sequence(0) }},
	} {
		w := newWorld(t)
		r := rangeOf(1, 1)
		if c.mend != nil {
			c.mend(&r)
		}
		if c.change == nil {
			c.change = func(*treasuredata.Config) {}
		}
		flush(t, w.importer(c.change), r, batch(t))
		for id := range w.imports() {
			if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
				t.Errorf("%s: id %q", name, id)
			}
			seen[id] += name + " "
		}
	}
	if len(seen) != 8 {
		t.Errorf("ids %v", seen)
	}
}

func TestBodiesAreCutByRowsAndBytes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*treasuredata.Config)
		want   int
	}{
		"by rows":  {func(c *treasuredata.Config) { c.BodyRows = 30 }, 4},
		"by bytes": {func(c *treasuredata.Config) { c.BodyBytes = 64 << 10 }, 5},
		"not":      {func(*treasuredata.Config) {}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var events []schema.Event
			for range 100 {
				events = append(events, event(schema.KindApp, "cart", `{"x":"`+strings.Repeat("y", 3000)+`"}`))
			}
			flush(t, w.importer(c.change), rangeOf(1, 1), record(t, 1, events...))
			if n := len(w.imports()); n != c.want {
				t.Errorf("%d bodies, want %d", n, c.want)
			}
			for id, r := range w.imports() {
				if raw := gunzip(t, r.body); len(raw) > 64<<10 && name == "by bytes" {
					t.Errorf("body %s has %d bytes", id, len(raw))
				}
			}
			if n := len(w.rows()["tributary.cart_app"]); n != 100 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

func TestAnEmptyRangeIsDone(t *testing.T) {
	w := newWorld(t)
	b := record(t, 1)
	flush(t, w.importer(), rangeOf(1, 1), b)
	if w.requests() != 0 {
		t.Errorf("%d requests", w.requests())
	}
}

func TestRecordsAndRangesThatDoNotFitAreRefused(t *testing.T) {
	w := newWorld(t)
	im := w.importer()
	s := open(t, im, []stream.Batch{record(t, 5, event(schema.KindApp, "cart", "{}"))})
	if err := s.Append(record(t, 5)); err == nil {
		t.Error("a record was taken twice")
	}
	other := record(t, 6)
	other.Shard = "shardId-000000000003"
	if err := s.Append(other); err == nil {
		t.Error("a record of another shard was taken")
	}
	if err := s.Flush(t.Context(), rangeOf(6, 7)); err == nil {
		t.Error("a range was taken that does not hold the records")
	}
	if err := s.Append(stream.Batch{}); err != nil {
		t.Error(err)
	}
}

func TestEventsOfOtherProducersAreClassifiedByThePlan(t *testing.T) {
	w := newWorld(t)
	b := stream.Batch{Shard: shard, Sequence: sequence(1), Arrival: noon, Record: []byte(`{"service":"shop","time":"2026-11-22T11:59:00Z","n":"#0"}`)}
	decoded, _, _ := schema.NewDecoder().Decode(b.Record, b.Arrival)
	b.Events = decoded.Events
	flush(t, w.importer(), rangeOf(1, 1), b)
	for name, rows := range w.rows() {
		if !strings.HasPrefix(name, "tributary.") || len(rows) != 1 {
			t.Errorf("%s has %v", name, rows)
		}
		t.Log(name, rows)
	}
}
