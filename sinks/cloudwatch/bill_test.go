package cloudwatch_test

import (
	"strings"
	"testing"
	"time"

	"tributary/deploy/local/logs"
	"tributary/schema"
	"tributary/schema/filter"
	"tributary/sinks/cloudwatch"
)

// TestTheBillIsWhatASinkCounts has both look at the same lines.
func TestTheBillIsWhatASinkCounts(t *testing.T) {
	now := time.Now()
	foreign := schema.Event{Time: now.UnixNano(), Line: []byte(`{"service":"pay","level":"ERROR"}`)}
	stderr := schema.Event{Time: now.UnixNano(), Kind: schema.KindRaw, Origin: &schema.Origin{Service: "shop", Source: "stderr"}, Line: []byte("panic")}
	part := event(now, "the second part")
	part.Part = schema.Part{Line: [16]byte{1}, Number: 2, Count: 3}
	lines := []schema.Event{
		event(now, `{"level":"INFO","path":"/health"}`), event(now, `{"level":"ERROR","path":"/pay"}`), event(now, `{"level":"DEBUG"}`),
		event(now, ""), event(now, "no UTF-8: \xff\xfe"), event(now, strings.Repeat("ä", 3000)), eventOf("", now, "nobody's"), event(time.Unix(-5, 0), "too old"),
		foreign, stderr, part,
	}
	drop := func(rules ...filter.Rule) func(*cloudwatch.Config) {
		return func(c *cloudwatch.Config) { c.Filter.Rules = rules }
	}
	for name, change := range map[string]func(*cloudwatch.Config){
		"by default":                  func(*cloudwatch.Config) {},
		"with metadata":               func(c *cloudwatch.Config) { c.Metadata = true },
		"in parts":                    func(c *cloudwatch.Config) { c.MessageBytes = 1024 },
		"in parts with metadata":      func(c *cloudwatch.Config) { c.MessageBytes, c.Metadata = 1024, true },
		"no errors apart":             func(c *cloudwatch.Config) { c.Errors.Enabled = false },
		"raw lines of stderr apart":   func(c *cloudwatch.Config) { c.Errors.Stderr = true },
		"by a rule for a level":       drop(filter.Rule{Action: filter.Exclude, Condition: filter.Condition{Levels: []string{"<=INFO"}}}),
		"by a rule for a service":     drop(filter.Rule{Action: filter.Exclude, Condition: filter.Condition{Services: []string{"pay", "unknown", ""}}}),
		"by a sample of each event":   drop(filter.Rule{Action: filter.Sample, Rate: 0.5}),
		"by a rule for a kind":        drop(filter.Rule{Action: filter.Exclude, Condition: filter.Condition{Kinds: []string{"raw"}}}),
		"by a rule that all falls to": drop(filter.Rule{Action: filter.Exclude}),
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, func(w *world, _ *logs.Options) { change(&w.cfg) })
			r := record(1, lines...)
			r.Arrival = now
			mustFlush(t, w.open(), r)
			biller, err := cloudwatch.NewBiller(w.cfg, schema.DefaultRules())
			if err != nil {
				t.Fatal(err)
			}
			plain := w.cfg
			plain.Filter.Rules = nil
			unruled, err := cloudwatch.NewBiller(plain, schema.DefaultRules())
			if err != nil {
				t.Fatal(err)
			}
			sent, kept, all, without := map[string]int64{}, 0, int64(0), int64(0)
			for i := range r.Events {
				bill := biller.Bill(&r, &r.Events[i])
				if bill.Send {
					sent[bill.Service] += bill.Bytes
				} else {
					kept++
				}
				all += bill.Bytes
				bill = unruled.Bill(&r, &r.Events[i])
				if without += bill.Bytes; !bill.Send || bill.Rule != -1 {
					t.Errorf("without rules: %+v", bill)
				}
			}
			for _, service := range []string{"shop", "pay", "unknown"} {
				if got := w.metric("sent_bytes_total", "service", service); got != float64(sent[service]) {
					t.Errorf("%s: the sink was billed for %v bytes, %d were told", service, got, sent[service])
				}
			}
			if got := w.metric("unsent_lines_total"); got != float64(kept) {
				t.Errorf("the sink kept %v lines back, %d were told", got, kept)
			}
			if all != without {
				t.Errorf("sent and saved are %d bytes, without rules %d", all, without)
			}
		})
	}
}

func TestABillNamesRuleLevelAndService(t *testing.T) {
	cfg := cloudwatch.DefaultConfig()
	cfg.Filter.Rules = []filter.Rule{
		{Name: "keep", Action: filter.Include, Condition: filter.Condition{Services: []string{"pay"}}},
		{Name: "drop", Action: filter.Exclude, Condition: filter.Condition{Services: []string{"shop"}}},
	}
	biller, err := cloudwatch.NewBiller(cfg, schema.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r := record(1, event(now, `{"level":"fatal"}`), eventOf("pay", now, `{}`), eventOf("", now, `{"level":"warn"}`))
	for i, want := range []cloudwatch.Bill{
		{Service: "shop", Level: filter.Fatal, Rule: 1, Bytes: 2 * (17 + 26)},
		{Service: "pay", Rule: 0, Send: true, Bytes: 2 + 26},
		{Service: "unknown", Level: filter.Warn, Rule: -1, Send: true, Bytes: 16 + 26},
	} {
		if got := biller.Bill(&r, &r.Events[i]); got != want {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
	cfg.Filter.Rules[0].Action = "keep"
	if _, err := cloudwatch.NewBiller(cfg, schema.DefaultRules()); err == nil {
		t.Error("an action that does not exist is taken")
	}
}
