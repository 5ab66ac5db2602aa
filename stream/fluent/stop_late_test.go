package fluent

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// late is a connection on a machine so busy that a read begins behind its deadline.
type late struct {
	*net.TCPConn
	times int // that it happens
}

func (l *late) SetReadDeadline(t time.Time) error {
	err := l.TCPConn.SetReadDeadline(t)
	if l.times > 0 && time.Until(t) > 0 {
		l.times--
		<-time.After(time.Until(t) + 10*time.Millisecond)
	}
	return err
}

func TestAStopOnABusyMachineReadsWhatAClientSentBeforeItLeft(t *testing.T) {
	store := &counting{}
	s, err := New(DefaultConfig(), store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// ["t", 1, {"log": "hello"}]
	if _, err := client.Write([]byte("\x93\xa1t\x01\x81\xa3log\xa5hello")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c, _ := s.admit(listener{}, &late{TCPConn: accepted, times: 2})
	c.drain(time.Now().Add(10 * time.Second))
	if err := c.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.events != 1 {
		t.Errorf("%d of 1 events stored", store.events)
	}
}
