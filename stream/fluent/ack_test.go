package fluent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stamped is the server's end of a socket; it notes when it is written to.
type stamped struct {
	*net.UnixConn
	writes []time.Time
}

func (s *stamped) Write(b []byte) (int, error) {
	s.writes = append(s.writes, time.Now())
	return s.UnixConn.Write(b)
}

// meanwhile is a Store in whose calls something else happens.
type meanwhile []func()

func (m *meanwhile) Store(context.Context, uint64, []Request) error {
	(*m)[0]()
	*m = (*m)[1:]
	return nil
}

func (*meanwhile) Closed(uint64) {}

// Docker's two writers need not send at the same time: the second's line may come
// while the first's is being stored.
func TestAWriterThatSendsWhileAnothersLineIsStoredIsAckedLater(t *testing.T) {
	for name, inStore := range map[string]bool{"two writers": true, "one writer": false} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			send := func() {
				if _, err := io.WriteString(client, acked); err != nil {
					t.Error(err)
				}
			}
			store := &meanwhile{func() {}, func() {}}
			if inStore {
				store = &meanwhile{send, func() {}}
			}
			s, err := New(DefaultConfig(), store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			end := &stamped{UnixConn: accepted.(*net.UnixConn)}
			done := make(chan error)
			c := s.newConn(end, 1)
			go func() { done <- c.serve(t.Context()) }()
			send()
			ack := make([]byte, 7)
			for i := range 2 {
				if _, err := io.ReadFull(client, ack); err != nil {
					t.Fatal(err)
				}
				if i == 0 && !inStore {
					send()
				}
			}
			_ = client.Close()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if gap := end.writes[1].Sub(end.writes[0]); inStore && gap < ackGap {
				t.Errorf("the second ack came %v after the first", gap)
			}
			if c.owed {
				t.Error("the connection still waits for a second writer")
			}
		})
	}
}
