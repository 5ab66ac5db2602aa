package forwarder

import (
	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema/edit"
)

type metrics struct {
	received, lines, lineBytes, events, incomplete   prometheus.Counter
	records, recordBytes, cutLines                   prometheus.Counter
	unreadable, labelsDropped, lostPieces            prometheus.Counter
	capped                                           *prometheus.CounterVec
	queued, openLines, openBytes, lanes, spoolBehind prometheus.Gauge
	ruleEvents, ruleBytes                            *prometheus.CounterVec // by rule, action, result
	refused                                          *prometheus.CounterVec // by outcome
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "tributary_forwarder_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_forwarder_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	byRule := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_forwarder_" + name, Help: help}, []string{"rule", "action", "result"})
		reg.MustRegister(c)
		return c
	}
	capped := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_forwarder_capped_lines_total", Help: "Lines and blocks ended by a cap, by the key that sets it."}, []string{"cap"})
	for _, name := range []string{capLineBytes, capOpenBytes, capOpenLines, capLines} {
		capped.WithLabelValues(name)
	}
	reg.MustRegister(capped)
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_forwarder_refused_records_total", Help: "Records refused for good, by what became of them: halved, sent in parts, set aside as a reject, or, as the stream refuses everything, waiting to be offered again."}, []string{"outcome"})
	for _, outcome := range []string{refusedHalved, refusedParts, refusedAside, refusedWaiting} {
		refusals.WithLabelValues(outcome)
	}
	reg.MustRegister(refusals)
	return &metrics{
		ruleEvents:    byRule("rule_events_total", "Events that a rule dropped, kept, masked, truncated or, unparsed, masked in whole."),
		ruleBytes:     byRule("rule_bytes_total", "Bytes of lines that a rule dropped or kept, of values that it masked, and that it cut off."),
		capped:        capped,
		received:      counter("received_total", "Forward events made durable, pieces of cut lines each for itself."),
		lines:         counter("lines_total", "Lines after rejoining, a block of lines as one."),
		lineBytes:     counter("line_bytes_total", "Bytes of lines after rejoining."),
		events:        counter("events_total", "Events stored in the stream."),
		incomplete:    counter("incomplete_lines_total", "Lines delivered with pieces missing."),
		records:       counter("records_total", "Records stored in the stream."),
		recordBytes:   counter("record_bytes_total", "Bytes of records stored in the stream."),
		refused:       refusals,
		cutLines:      counter("cut_lines_total", "Lines delivered in parts because they fit no record."),
		unreadable:    counter("unreadable_entries_total", "Spool entries kept as raw lines because no decoder knows them."),
		lostPieces:    counter("lost_pieces_total", "Pieces of cut lines given up because the full spool had dropped entries behind them."),
		labelsDropped: counter("labels_dropped_total", "Origins whose labels exceeded 16 KiB and were cut."),
		queued:        gauge("queued_bytes", "Bytes waiting in lanes."),
		openLines:     gauge("open_lines", "Cut lines waiting for pieces, and blocks waiting for lines."),
		openBytes:     gauge("open_bytes", "Bytes of cut lines and blocks that wait, and of what is noted of them."),
		lanes:         gauge("lanes", "Open lanes."),
		spoolBehind:   gauge("undone_entries", "Spool entries read and not yet stored in the stream."),
	}
}

// ruleCounter counts what one rule does.
type ruleCounter struct {
	dropped, kept counted
	changed       [3]counted // by edit.What
}

// counted counts events and their bytes.
type counted struct{ events, bytes prometheus.Counter }

func (c counted) add(bytes int64) {
	c.events.Inc()
	c.bytes.Add(float64(bytes))
}

// rules makes the counters of rules, those that cannot count aside.
func (m *metrics) rules(names, actions []string) []ruleCounter {
	out := make([]ruleCounter, len(names))
	for i, name := range names {
		of := func(result string) counted {
			labels := []string{name, actions[i], result}
			return counted{m.ruleEvents.WithLabelValues(labels...), m.ruleBytes.WithLabelValues(labels...)}
		}
		switch actions[i] {
		case edit.Keep:
			out[i].kept = of("kept")
		case edit.Drop:
			out[i].dropped = of("dropped")
		case edit.Sample:
			out[i].kept, out[i].dropped = of("kept"), of("dropped")
		case edit.Truncate:
			out[i].changed[edit.Truncated] = of(edit.Truncated.String())
		case edit.Mask:
			out[i].changed[edit.Masked], out[i].changed[edit.Unparsed] = of(edit.Masked.String()), of(edit.Unparsed.String())
		}
	}
	return out
}
