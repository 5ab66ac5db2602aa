package forwarder

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	received, lines, lineBytes, events, incomplete   prometheus.Counter
	records, recordBytes, refused, cutLines          prometheus.Counter
	unreadable, labelsDropped, lostPieces            prometheus.Counter
	queued, openLines, openBytes, lanes, spoolBehind prometheus.Gauge
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
	return &metrics{
		received:      counter("received_total", "Forward events made durable, pieces of cut lines each for itself."),
		lines:         counter("lines_total", "Lines after rejoining."),
		lineBytes:     counter("line_bytes_total", "Bytes of lines after rejoining."),
		events:        counter("events_total", "Events stored in the stream."),
		incomplete:    counter("incomplete_lines_total", "Lines delivered with pieces missing."),
		records:       counter("records_total", "Records stored in the stream."),
		recordBytes:   counter("record_bytes_total", "Bytes of records stored in the stream."),
		refused:       counter("refused_records_total", "Times a record was refused for good."),
		cutLines:      counter("cut_lines_total", "Lines delivered in parts because they fit no record."),
		unreadable:    counter("unreadable_entries_total", "Spool entries kept as raw lines because no decoder knows them."),
		lostPieces:    counter("lost_pieces_total", "Pieces of cut lines given up because the full spool had dropped entries behind them."),
		labelsDropped: counter("labels_dropped_total", "Origins whose labels exceeded 16 KiB and were cut."),
		queued:        gauge("queued_bytes", "Bytes waiting in lanes."),
		openLines:     gauge("open_lines", "Cut lines waiting for pieces."),
		openBytes:     gauge("open_bytes", "Bytes of cut lines waiting for pieces."),
		lanes:         gauge("lanes", "Open lanes."),
		spoolBehind:   gauge("undone_entries", "Spool entries read and not yet stored in the stream."),
	}
}
