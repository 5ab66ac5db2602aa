package forwarder

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/schema/edit"
	"tributary/schema/filter"
	"tributary/stream/spool"
)

// series are the values of a counter of rules, by "rule action result".
func (s *station) series(name string) map[string]float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			out[labels["rule"]+" "+labels["action"]+" "+labels["result"]] = m.GetCounter().GetValue()
		}
	}
	return out
}

func dropOf(level string) edit.Rule {
	return edit.Rule{Name: "quiet", Action: edit.Drop, Condition: filter.Condition{Levels: []string{level}}}
}

func TestDroppedLinesAreDoneAndTheOthersKeepTheirOrder(t *testing.T) {
	s := newStation(t)
	s.edits = []edit.Rule{dropOf("DEBUG"), {Name: "mail", Action: edit.Mask, Paths: []string{"mail"}}}
	c := dial(t, s.start())
	const lines = 300
	dropped := 0
	for i := range lines {
		level := []string{"DEBUG", "INFO", "DEBUG"}[i%3]
		line := fmt.Sprintf(`{"level":"%s","n":%d,"mail":"a@b.com"}`, level, i)
		if level == "DEBUG" {
			dropped += len(line)
		}
		post(t, c, map[string]string{"container_id": "c1", "log": line})
	}
	s.await("the last line that stays", func() bool { return len(s.out.lines()) == lines/3 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	before := uint64(0)
	for i, e := range s.out.events {
		if want := fmt.Sprintf(`{"level":"INFO","n":%d,"mail":"***"}`, 3*i+1); string(e.Line) != want || e.Offset <= before {
			t.Fatalf("event %d at %d after %d is %s", i, e.Offset, before, e.Line)
		}
		before = e.Offset
	}
	events, bytes := s.series("tributary_forwarder_rule_events_total"), s.series("tributary_forwarder_rule_bytes_total")
	if events["quiet drop dropped"] != 200 || events["mail mask masked"] != 100 || events["mail mask unparsed"] != 0 || bytes["mail mask masked"] != 900 ||
		bytes["quiet drop dropped"] != float64(dropped) {
		t.Errorf("counted %v events, %v bytes", events, bytes)
	}
	// What was dropped is done: without the rule nothing of it comes again.
	s.edits = nil
	c = dial(t, s.start())
	post(t, c, map[string]string{"container_id": "c1", "log": "after"})
	s.await("a line of the next life", func() bool { return s.out.lines()["after"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.out.lines()); n != lines/3+1 {
		t.Errorf("%d lines after the restart", n)
	}
}

func TestASpoolOfDroppedLinesAloneEmpties(t *testing.T) {
	s := newStation(t)
	s.cfg.DrainTimeout = time.Minute // what is not done would make the stop wait for it
	s.edits = []edit.Rule{{Action: edit.Drop}}
	c := dial(t, s.start())
	for i := range 50 {
		post(t, c, map[string]string{"container_id": "c1", "log": fmt.Sprint(i)})
		post(t, c, pieceOf(fmt.Sprint("p", i), 1, false, "be"))
		post(t, c, pieceOf(fmt.Sprint("p", i), 2, true, "gin"))
	}
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %v", took)
	}
	s.edits = nil
	s.start()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.out.lines(); len(got) != 0 {
		t.Errorf("came again: %v", got)
	}
}

func TestRulesSeeAWholeLineNotItsPiecesOrParts(t *testing.T) {
	s := newStation(t)
	s.edits = []edit.Rule{{Action: edit.Mask, Presets: []string{edit.Email}}, {Action: edit.Mask, Paths: []string{"pin"}}}
	c := dial(t, s.start())
	post(t, c, pieceOf("p", 1, false, `{"to":"someone@exam`))
	post(t, c, pieceOf("p", 2, true, `ple.com","pin":1}`))
	// Hardly compressible, with an address where the first part will end.
	var b strings.Builder
	for i := 0; b.Len() < partBytes-20; i++ {
		fmt.Fprintf(&b, "%x", schemaNoise(i))
	}
	begin := b.String()[:partBytes-20]
	rest := strings.Repeat(begin, 2)
	post(t, c, map[string]string{"container_id": "c1", "log": `{"to":"` + begin + ` someone@example.com ` + rest + `"}`})
	post(t, c, map[string]string{"container_id": "c1", "log": "after"})
	s.await("the line behind it", func() bool { return s.out.lines()["after"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	joined := ""
	for _, e := range s.out.events {
		if e.Part.Count > 0 {
			joined += string(e.Line)
		}
	}
	if joined != `{"to":"`+begin+` *** `+rest+`"}` {
		t.Error("the long line is another")
	}
	if s.out.lines()[`{"to":"***","pin":"***"}`] != 1 {
		t.Error("the rejoined line was not masked")
	}
}

func TestALineWithoutItsEndIsMaskedWhole(t *testing.T) {
	s := newStation(t)
	s.edits = []edit.Rule{{Name: "pin", Action: edit.Mask, Paths: []string{"pin"}, Condition: filter.Condition{Kinds: []string{"audit"}}}}
	c := dial(t, s.start())
	post(t, c, pieceOf("p", 1, false, `{"marker":"AUDIT","pin":1`))
	s.await("the line", func() bool { return s.out.lines()["***"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n := s.series("tributary_forwarder_rule_events_total")["pin mask unparsed"]; n != 1 {
		t.Errorf("counted %v", n)
	}
}

func TestRulesAreSwappedBetweenTwoLines(t *testing.T) {
	s := newStation(t)
	c := dial(t, s.start())
	const lines = 200
	for i := range lines {
		if i == lines/2 {
			s.await("the lines before", func() bool { return len(s.out.lines()) == lines/2 })
			s.f.SetRules(s.rules(edit.Rule{Name: "n", Action: edit.Mask, Paths: []string{"n"}, Condition: filter.Condition{Services: []string{"condor"}}}))
		}
		post(t, c, map[string]string{"container_id": "c1", "SERVICE": "condor", "log": fmt.Sprintf(`{"n":"%d","i":%d}`, i, i)})
	}
	s.await("all lines", func() bool { return len(s.out.lines()) == lines })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for i, e := range s.out.events {
		want := fmt.Sprintf(`{"n":"%d","i":%d}`, i, i)
		if i >= lines/2 {
			want = fmt.Sprintf(`{"n":"***","i":%d}`, i)
		}
		if string(e.Line) != want {
			t.Fatalf("line %d is %s", i, e.Line)
		}
	}
}

func TestDroppedBytesOpenNoLanes(t *testing.T) {
	s := newStation(t)
	l := &lane{}
	l.raw.Store(300)
	l.published.Store(100)
	f := &run{
		Forwarder: &Forwarder{metrics: newMetrics(prometheus.NewRegistry())}, tracker: newTracker(0, nil), running: map[laneName]*lane{{}: l},
	}
	f.SetRules(s.rules(edit.Rule{Action: edit.Drop}))
	p := &pump{f: f, origins: newOrigins("host", nil, f.metrics)}
	if got := f.ratio(); got != 3 {
		t.Errorf("%v arrive for each byte published, want 3", got)
	}
	line := joined{line: make([]byte, 700), origin: &schema.Origin{}, indexes: []uint64{f.tracker.add(0, 1)}}
	if err := p.emit(t.Context(), spool.Item{}, line); err != nil {
		t.Fatal(err)
	}
	if got := f.ratio(); got != 10 || f.tracker.undone() != 0 || len(l.queue) != 0 {
		t.Errorf("%v arrive for each byte published, want 10; %d entries undone, %d queued", got, f.tracker.undone(), len(l.queue))
	}
}
