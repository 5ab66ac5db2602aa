package cloudwatch_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"tributary/deploy/local/logs"
	"tributary/schema"
	"tributary/schema/filter"
)

func TestErrorsLieApartToo(t *testing.T) {
	stderr := &schema.Origin{Service: "shop", Source: "stderr"}
	now := time.Now()
	lines := []schema.Event{
		event(now, `{"level":"INFO"}`), event(now, `{"level":"warn"}`), event(now, `{"level":"error"}`), event(now, `{"severity":"FATAL"}`), event(now, `{"level":50}`),
		{Time: now.UnixNano(), Kind: schema.KindRaw, Origin: stderr, Line: []byte("panic: no map")},
		{Time: now.UnixNano(), Kind: schema.KindApp, Origin: stderr, Line: []byte(`{"level":"INFO","n":2}`)},
		{Time: now.UnixNano(), Kind: schema.KindRaw, Origin: shop, Line: []byte("fine")},
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   []string
	}{
		"by default from ERROR on": {func(*world) {}, []string{`{"level":"error"}`, `{"severity":"FATAL"}`, `{"level":50}`}},
		"from WARN on":             {func(w *world) { w.cfg.Errors.Level = "warn" }, []string{`{"level":"warn"}`, `{"level":"error"}`, `{"severity":"FATAL"}`, `{"level":50}`}},
		"raw lines of stderr":      {func(w *world) { w.cfg.Errors.Level, w.cfg.Errors.Stderr = "FATAL", true }, []string{`{"severity":"FATAL"}`, "panic: no map"}},
		"none":                     {func(w *world) { w.cfg.Errors.Enabled = false }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, func(w *world, _ *logs.Options) { c.change(w) })
			mustFlush(t, w.open(), record(1, lines...))
			if got := w.stored(group); len(got) != len(lines) {
				t.Errorf("%d lines of %d in the group of the service", len(got), len(lines))
			}
			wantLines(t, "errors", w.stored(group+"/errors"), c.want)
			for level, want := range map[string]float64{"INFO": 2, "WARN": 1, "ERROR": 2, "FATAL": 1, "NONE": 2} {
				if got := w.metric("lines_total", "service", "shop", "level", level); got != want {
					t.Errorf("%v lines of %s, want %v", got, level, want)
				}
			}
		})
	}
}

func TestRulesChooseWhatIsSentAndTheRestIsSaved(t *testing.T) {
	w, now := start(t, func(w *world, _ *logs.Options) {
		w.cfg.Filter.Rules = []filter.Rule{
			{Name: "errors", Action: filter.Include, Condition: filter.Condition{Levels: []string{">=ERROR"}}},
			{Name: "health", Action: filter.Exclude, Condition: filter.Condition{Fields: []filter.Field{{Path: "path", Equals: []string{"/health"}}}}},
			{Name: "mail", Action: filter.Exclude, Condition: filter.Condition{Services: []string{"mail"}}},
			{Name: "cart", Action: filter.Sample, Rate: 0.5, Condition: filter.Condition{Services: []string{"cart"}}},
		}
		w.cfg.Price.PerGB, w.cfg.Price.Currency = 0.76, "JPY"
	}), time.Now()
	events := []schema.Event{
		event(now, `{"path":"/health"}`), event(now, `{"path":"/pay"}`), event(now, `{"path":"/health","level":"ERROR"}`),
		eventOf("mail", now, "saved"),
	}
	for i := range 1000 {
		events = append(events, eventOf("cart", now, fmt.Sprintf("%04d", i)))
	}
	s := w.open()
	mustFlush(t, s, record(1, events...))
	wantLines(t, "shop", w.stored(group), []string{`{"path":"/pay"}`, `{"path":"/health","level":"ERROR"}`})
	wantLines(t, "errors", w.stored(group+"/errors"), []string{`{"path":"/health","level":"ERROR"}`})
	if n := w.count("", "/tributary/mail"); n != 0 {
		t.Errorf("%d calls for a group that nothing is sent to", n)
	}
	sampled := w.stored("/tributary/cart")
	if len(sampled) < 400 || len(sampled) > 600 {
		t.Errorf("%d lines of 1000", len(sampled))
	}
	cart := float64(len(sampled))
	sent, saved := cart*30, (1000-cart)*30
	for _, c := range []struct {
		name, label, value string
		want               float64
	}{
		{"sent_bytes_total", "service", "cart", sent},
		{"saved_bytes_total", "service", "cart", saved},
		{"saved_bytes_total", "service", "mail", 5 + 26},
		{"sent_bytes_total", "service", "mail", 0},
		{"sent_bytes_total", "service", "shop", 15 + 26 + 2*(34+26)},
		{"saved_bytes_total", "service", "shop", 18 + 26},
		{"sent_cost_total", "service", "cart", sent / (1 << 30) * 0.76},
		{"saved_cost_total", "service", "cart", saved / (1 << 30) * 0.76},
		{"saved_cost_total", "currency", "JPY", (saved + 31 + 44) / (1 << 30) * 0.76},
		{"unsent_lines_total", "rule", "cart", 1000 - cart},
		{"unsent_lines_total", "rule", "mail", 1},
		{"unsent_lines_total", "rule", "health", 1},
		{"unsent_lines_total", "rule", "errors", 0},
		{"events_total", "", "", cart + 3},
	} {
		var got float64
		if c.label == "" {
			got = w.metric(c.name)
		} else {
			got = w.metric(c.name, c.label, c.value)
		}
		if math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s of %s is %v, want %v", c.name, c.value, got, c.want)
		}
	}
	w.restart()
	mustFlush(t, w.open(), record(1, events...))
	if got := w.stored("/tributary/cart"); len(got) != 2*len(sampled) {
		t.Errorf("another worker chose otherwise: %d", len(got))
	}
}

func TestLabelsOfServicesAreBoundedAndText(t *testing.T) {
	w, now := start(t, func(w *world, _ *logs.Options) { w.cfg.LogGroup = "/all" }), time.Now()
	var events []schema.Event
	for i := range 300 {
		events = append(events, eventOf(fmt.Sprintf("service-%03d", i), now, "x"))
	}
	events = append(events, eventOf("bad\xff", now, "x"), eventOf(strings.Repeat("l", 1000), now, "x"), eventOf("", now, "x"))
	mustFlush(t, w.open(), record(1, events...))
	if got := w.metric("lines_total", "service", "other"); got < 100 {
		t.Errorf("%v lines of other services", got)
	}
	if got := w.metric("lines_total"); got != 303 {
		t.Errorf("%v lines", got)
	}
	if got := len(w.stored("/all")); got != 303 {
		t.Errorf("%d stored", got)
	}
}

func TestForeignEventsAreClassifiedByThePlan(t *testing.T) {
	w, now := start(t), time.Now().UTC()
	line := fmt.Sprintf(`{"service":"pay","time":%q,"level":"ERROR"}`, now.Add(-time.Minute).Format(time.RFC3339Nano))
	b, _, size := schema.NewDecoder().Decode([]byte(line), now)
	r := record(1)
	r.Events, r.Bytes, r.Arrival, r.Epoch, r.Lane = b.Events, size, now, schema.Epoch{}, 0
	mustFlush(t, w.open(), r)
	wantLines(t, "pay", w.stored("/tributary/pay"), []string{line})
	wantLines(t, "errors", w.stored("/tributary/pay/errors"), []string{line})
}
