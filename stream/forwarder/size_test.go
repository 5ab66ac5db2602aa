package forwarder

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tributary/deploy/local/localtest"
	"tributary/schema"
	"tributary/stream"
	"tributary/stream/refused"
	"tributary/stream/spool/powercut"
)

// noisyLine has n bytes that compress to three quarters, others for each seed.
func noisyLine(seed byte, n int) string {
	noise := make([]byte, n/4*3)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(noise) // never fails
	return base64.StdEncoding.EncodeToString(noise)
}

func said(line string) map[string]string {
	return map[string]string{"container_id": "c1", "log": line}
}

// whole makes lines of events, parts put together, and tells how many parts each had.
func whole(t *testing.T, events []schema.Event) (lines []string, parts []int) {
	t.Helper()
	next := uint32(1)
	for _, e := range events {
		if e.Part.Count == 0 || e.Part.Number == 1 {
			lines, parts = append(lines, ""), append(parts, int(e.Part.Count))
			next = 1
		}
		if e.Part.Count > 0 && e.Part.Number != next {
			t.Errorf("part %d of %d, want part %d", e.Part.Number, e.Part.Count, next)
		}
		next++
		lines[len(lines)-1] += string(e.Line)
	}
	return lines, parts
}

func TestALineGoesWholeAsLongAsTheStreamTakesIt(t *testing.T) {
	server := localtest.Start(t)
	api := kinesis.NewFromConfig(server.AWS)
	name := aws.String("logs")
	if _, err := api.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	cfg := stream.DefaultProducerConfig()
	cfg.BackoffMin, cfg.BackoffMax = 5*time.Millisecond, 50*time.Millisecond
	producer, err := stream.NewProducer(api, stream.Ref{Name: "logs"}, cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	limit := func(kib int32) {
		t.Helper()
		d, err := stream.Describe(t.Context(), api, stream.Ref{Name: "logs"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := api.UpdateMaxRecordSize(t.Context(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: &d.ARN, MaxRecordSizeInKiB: &kib}); err != nil {
			t.Fatal(err)
		}
		for d.Status = ""; d.Status != "ACTIVE"; { // as Run asks now and then
			if d, err = producer.Describe(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := newStation(t)
	s.to = producer
	s.cfg.DrainTimeout = 20 * time.Second
	server.Stop()
	c := dial(t, s.start())
	if err := s.f.Ready(); err == nil {
		t.Error("ready before the stream was ever reached")
	}
	var want []string
	send := func(events float64) {
		t.Helper()
		want = append(want, noisyLine(byte(len(want)), 3<<20))
		post(t, c, said(want[len(want)-1]))
		s.await("the line to be stored", func() bool { return s.metric("tributary_forwarder_events_total") >= events })
	}
	post(t, c, said("short"))
	want = append(want, "short")
	server.Restart()
	send(1 + 4) // nobody has told the limit yet
	limit(10240)
	send(1 + 4 + 1)
	if err := s.f.Ready(); err != nil {
		t.Error(err)
	}
	limit(1024)
	send(1 + 4 + 1 + 4)
	if n := s.metric("tributary_forwarder_refused_records_total"); n != 0 {
		t.Errorf("%v records were refused", n)
	}
	if n := s.metric("tributary_forwarder_cut_lines_total"); n != 2 {
		t.Errorf("%v lines were cut, want 2", n)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	shards, err := stream.ListShards(t.Context(), api, stream.Ref{Name: "logs"})
	if err != nil {
		t.Fatal(err)
	}
	source, err := stream.NewSource(api, stream.Ref{Name: "logs"}, stream.DefaultReaderConfig(), nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := source.Open(shards[0].ID, stream.TrimHorizon())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var events []schema.Event
	for len(events) < 1+4+1+4 {
		b, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			e.Line = append([]byte(nil), e.Line...)
			events = append(events, e)
		}
	}
	lines, parts := whole(t, events)
	if fmt.Sprint(parts) != "[0 4 0 4]" {
		t.Errorf("the lines came in %v parts, want [0 4 0 4]", parts)
	}
	for i, line := range lines {
		if line != want[i] {
			t.Errorf("line %d has %d bytes, want the %d that were sent", i, len(line), len(want[i]))
		}
	}
}

func TestALineOfWhichPartsAreStoredGoesOnInPartsThoughTheStreamTakesMore(t *testing.T) {
	s := newStation(t)
	s.cfg.DrainTimeout = time.Second
	s.out.block = make(chan struct{}, 2)
	s.out.block <- struct{}{}
	s.out.block <- struct{}{} // two parts are stored, the third hangs
	c := dial(t, s.start())
	line, later := noisyLine(1, 3<<20), noisyLine(2, 3<<20)
	post(t, c, said(line))
	s.await("two parts", func() bool { return s.metric("tributary_forwarder_records_total") == 2 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	close(s.out.block)
	s.out.limit.Store(10 << 20)
	c = dial(t, s.start())
	s.await("the other parts", func() bool { return s.metric("tributary_forwarder_cut_lines_total") == 1 })
	post(t, c, said(later))
	s.await("the line of this life", func() bool { return s.out.lines()[later] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	lines, parts := whole(t, s.out.events)
	if fmt.Sprint(parts) != "[4 0]" || lines[0] != line || lines[1] != later {
		t.Errorf("the lines came in %v parts, want [4 0]", parts)
	}
}

func TestLargeRecordsShareTheirRoomAndWhatFindsNoneGoesInParts(t *testing.T) {
	out := newShelf()
	out.limit.Store(10 << 20)
	out.block = make(chan struct{})
	m, v, shared := newMetrics(prometheus.NewRegistry()), &vitals{}, newEncoders(1)
	rejects, err := refused.Open("spool", 0, refused.DefaultConfig(), powercut.New(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	open := func(number uint32) *lane {
		return newLane(schema.Epoch{1}, number, "k", DefaultConfig(), out, newTracker(0, nil), m, v, shared, &aside{file: rejects}, slog.New(slog.DiscardHandler))
	}
	line := func(offset uint64, container string) []queued {
		return []queued{{event: schema.Event{Offset: offset << 20, Kind: schema.KindRaw, Origin: &schema.Origin{ContainerID: container}, Line: []byte(noisyLine(byte(offset), 7<<20))}}}
	}
	first, second := open(1), open(2)
	var sending errgroup.Group
	send := func(l *lane, q []queued, waiting int) {
		sending.Go(func() error { return l.send(t.Context(), q) })
		for len(v.lanes.waiting()) < waiting { // until its record is on its way
			<-time.After(time.Millisecond)
		}
	}
	send(first, line(1, "a"), 1)
	send(second, line(1, "b"), 2)
	close(out.block)
	if err := sending.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := second.send(t.Context(), line(2, "c")); err != nil {
		t.Fatal(err)
	}
	parts := map[string]uint32{}
	for _, e := range out.events {
		parts[e.Origin.ContainerID] = e.Part.Count
	}
	if want := map[string]uint32{"a": 0, "b": 8, "c": 0}; !maps.Equal(parts, want) || len(out.events) != 10 {
		t.Errorf("%d events, parts by line %v, want %v", len(out.events), parts, want)
	}
}
