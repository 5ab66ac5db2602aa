package formats

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tinylib/msgp/msgp"

	"tributary/schema"
	"tributary/stream"
	"tributary/stream/fluent"
	"tributary/stream/forwarder"
	"tributary/stream/spool"
)

// published is an event as it left a forwarder. Epochs that the spool did not
// hold before are "new", and so are the keys of their lanes.
type published struct {
	Epoch, Key               string
	Lane                     uint32
	Offset                   uint64
	Kind                     string
	Service, Container, Name string
	Source, Tag, Host        string
	Labels                   []string
	Time                     int64
	Incomplete               bool
	Line                     string
}

// shelf takes the records that may be published and keeps the others waiting.
type shelf struct {
	mu      sync.Mutex
	allow   func(schema.Batch) bool
	decoder *schema.Decoder
	events  []published
	changed chan struct{}
}

func (s *shelf) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *shelf) Called() time.Time { return time.Now() }

func (s *shelf) MaxRecordBytes() int64 { return forwarder.SmallRecordBytes }

func (s *shelf) Known() bool { return true }

func (s *shelf) Publish(ctx context.Context, r stream.Record) error {
	if !s.take(r) {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

func (s *shelf) take(r stream.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, rejected, _ := s.decoder.Decode(r.Data, time.Unix(0, 0))
	if len(rejected) > 0 || s.allow != nil && !s.allow(b) {
		return false
	}
	for _, e := range b.Events {
		o := e.Origin
		p := published{
			Epoch: b.Epoch.String(), Key: r.Key, Lane: b.Lane, Offset: e.Offset, Kind: e.Kind.String(),
			Service: o.Service, Container: o.ContainerID, Name: o.ContainerName, Source: o.Source, Tag: o.Tag, Host: o.Host,
			Time: e.Time, Incomplete: e.Flags&schema.FlagIncomplete != 0, Line: string(e.Line),
		}
		for _, l := range o.Labels {
			p.Labels = append(p.Labels, l.Name+"="+l.Value)
		}
		s.events = append(s.events, p)
	}
	return true
}

func (s *shelf) all() []published {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *shelf) has(line string) bool {
	return slices.ContainsFunc(s.all(), func(p published) bool { return p.Line == line })
}

// station is a forwarder over a spool, and a client of it.
type station struct {
	t    *testing.T
	out  *shelf
	conn net.Conn
	in   *bufio.Reader
	stop func()
}

func spoolConfig(dir string) spool.Config {
	cfg := spool.DefaultConfig()
	cfg.Dir, cfg.SegmentBytes, cfg.Ack = dir, 4<<10, spool.AckWritten
	return cfg
}

func startStation(t *testing.T, dir string, cfg forwarder.Config, allow func(schema.Batch) bool) *station {
	t.Helper()
	server := fluent.DefaultConfig()
	socket := filepath.Join(t.TempDir(), "s")
	server.Listen = []string{"unix://" + socket}
	s := &station{t: t, out: &shelf{allow: allow, decoder: schema.NewDecoder(), changed: make(chan struct{}, 1)}}
	classifier, err := rules("AUDIT").Compile()
	must(t, err)
	f, err := forwarder.New(cfg, server, spoolConfig(dir), forwarder.NewRules(classifier, nil), s.out, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		if s.conn != nil {
			_ = s.conn.Close()
		}
		cancel()
		must(t, <-done)
	})
	t.Cleanup(s.stop)
	select {
	case <-f.Listening():
	case err := <-done:
		done <- err
		t.Fatal("did not start: ", err)
	}
	s.conn, err = net.Dial("unix", socket)
	must(t, err)
	s.in = bufio.NewReader(s.conn)
	return s
}

func forwarderConfig() forwarder.Config {
	cfg := forwarder.DefaultConfig()
	cfg.Host, cfg.Linger, cfg.ListenGrace, cfg.DrainTimeout = "i-0abc", 20*time.Millisecond, 0, time.Second
	return cfg
}

// at is the Docker time of all entries: the bytes of an entry are always the same.
var at = time.Date(2026, 11, 22, 17, 0, 1, 234567890, time.UTC)

// send writes one request as Docker's driver does and waits for its ack.
func (s *station) send(chunk string, record ...string) {
	s.t.Helper()
	id := base64.StdEncoding.EncodeToString([]byte((chunk + "................")[:16]))
	_, err := s.conn.Write(request(id, record...))
	must(s.t, err)
	must(s.t, s.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	r := msgp.NewReader(s.in)
	ack := map[string]any{}
	must(s.t, r.ReadMapStrIntf(ack))
	if ack["ack"] != id {
		s.t.Fatalf("ack %v of chunk %s", ack, id)
	}
}

// request is a Forward message: tag, time, record, option.
func request(chunk string, record ...string) []byte {
	b := msgp.AppendArrayHeader(nil, 4)
	b = msgp.AppendString(b, "docker.web")
	b = append(b, 0xd7, 0) // EventTime
	b = binary.BigEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(at.Nanosecond()))
	b = msgp.AppendMapHeader(b, uint32(len(record)/2))
	for _, text := range record {
		b = msgp.AppendString(b, text)
	}
	b = msgp.AppendMapHeader(b, 1)
	return msgp.AppendString(msgp.AppendString(b, "chunk"), chunk)
}

// docker is what the driver says of a container's line.
func docker(container, line string, more ...string) []string {
	return append([]string{"container_id", container, "container_name", "/" + container + "-name", "source", "stdout", "log", line, "team", "shop"}, more...)
}

func piece(id, ordinal, last string) []string {
	return []string{"partial_message", "true", "partial_id", id, "partial_ordinal", ordinal, "partial_last", last}
}

// until waits for what other goroutines do.
func (s *station) until(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-s.out.changed:
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			s.t.Fatal("waited in vain for ", what)
		}
	}
}

// inOrder sorts events by epoch and lane, old epochs as they are listed.
func inOrder(events []published, epochs []string) []published {
	for i := range events {
		if !slices.Contains(epochs, events[i].Epoch) {
			events[i].Epoch, events[i].Key = "new", "new"
		}
	}
	slices.SortFunc(events, func(a, b published) int {
		if c := slices.Index(epochs, a.Epoch) - slices.Index(epochs, b.Epoch); c != 0 && a.Epoch != "new" && b.Epoch != "new" {
			return c
		}
		if c := strings.Compare(a.Epoch, b.Epoch); c != 0 && (a.Epoch == "new" || b.Epoch == "new") {
			return c
		}
		return int(int64(a.Offset - b.Offset))
	})
	return events
}
