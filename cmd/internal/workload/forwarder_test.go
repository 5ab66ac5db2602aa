package workload_test

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// message is a decoded Forward message.
type message struct {
	tag           string
	seconds, nano int64
	record        map[string]string
	option        map[string]string
}

// decode reads one message of Message mode, an array of four.
func decode(r *msgp.Reader) (m message, err error) {
	if _, err = r.ReadArrayHeader(); err != nil {
		return m, err
	}
	if m.tag, err = r.ReadString(); err != nil {
		return m, err
	}
	kind, err := r.NextType()
	if err != nil {
		return m, err
	}
	if kind == msgp.ExtensionType {
		at := msgp.RawExtension{Type: 0}
		if err = r.ReadExtension(&at); err != nil {
			return m, err
		}
		for i, b := range at.Data {
			if i < 4 {
				m.seconds = m.seconds<<8 | int64(b)
			} else {
				m.nano = m.nano<<8 | int64(b)
			}
		}
	} else if m.seconds, err = r.ReadInt64(); err != nil {
		return m, err
	}
	if m.record, err = decodeMap(r); err != nil {
		return m, err
	}
	m.option, err = decodeMap(r)
	return m, err
}

func decodeMap(r *msgp.Reader) (map[string]string, error) {
	fields, err := r.ReadMapHeader()
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for range fields {
		key, err := r.ReadString()
		if err != nil {
			return nil, err
		}
		if m[key], err = r.ReadString(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// forwarder takes messages and answers as told.
type forwarder struct {
	address string
	ln      net.Listener
	wg      sync.WaitGroup
	second  chan struct{} // closed when the second connection has come

	mu       sync.Mutex
	all      []message
	byConn   [][]message
	unread   int // most messages of a connection that waited for an ack at once
	answer   func(number int, m message) string
	received int
}

// ack is the usual answer.
func ack(_ int, m message) string { return m.option["chunk"] }

const hangUp = "hang up"

// listen takes connections until the test ends. answer says what is acked for the
// message of that number, counted from 1; empty is no answer, hangUp closes.
func listen(t *testing.T, network string, answer func(int, message) string) *forwarder {
	t.Helper()
	f := &forwarder{answer: answer, second: make(chan struct{})}
	var err error
	if network == "unix" {
		path := filepath.Join(t.TempDir(), "s")
		f.ln, err = net.Listen("unix", path)
		f.address = "unix://" + path
	} else {
		f.ln, err = net.Listen("tcp", "127.0.0.1:0")
		f.address = "tcp://" + f.ln.Addr().String()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.wg.Go(func() {
		for {
			conn, err := f.ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			index := len(f.byConn)
			f.byConn = append(f.byConn, nil)
			f.mu.Unlock()
			if index == 1 {
				close(f.second)
			}
			f.wg.Go(func() { f.serve(t, conn, index) })
		}
	})
	t.Cleanup(f.close)
	return f
}

// close takes what the kernel still holds, and no more.
func (f *forwarder) close() {
	// Connections are accepted in their order; closing the listener would drop those
	// that wait. When this one is closed from the other side they all were accepted.
	if last, err := net.Dial(f.ln.Addr().Network(), f.ln.Addr().String()); err == nil {
		_ = last.(interface{ CloseWrite() error }).CloseWrite()
		_, _ = io.Copy(io.Discard, last)
		_ = last.Close()
		f.mu.Lock()
		f.byConn = f.byConn[:len(f.byConn)-1]
		f.mu.Unlock()
	}
	_ = f.ln.Close()
	f.wg.Wait()
}

func (f *forwarder) serve(t *testing.T, conn net.Conn, index int) {
	defer conn.Close()
	r := msgp.NewReaderSize(conn, 1<<20)
	for {
		m, err := decode(r)
		if err != nil {
			if msgp.Cause(err) != io.EOF {
				t.Logf("connection %d: %v", index, err)
			}
			return
		}
		f.mu.Lock()
		f.all = append(f.all, m)
		f.byConn[index] = append(f.byConn[index], m)
		f.received++
		number := f.received
		f.unread = max(f.unread, r.Buffered())
		f.mu.Unlock()
		switch answer := f.answer(number, m); answer {
		case "":
		case hangUp:
			return
		default:
			out := msgp.AppendMapHeader(nil, 1)
			out = msgp.AppendString(out, "ack")
			if _, err := conn.Write(msgp.AppendString(out, answer)); err != nil {
				return
			}
		}
	}
}

// lines joins what was received, by container, in order: pieces of one id become
// one line. An unfinished line is left out.
func joined(all []message) (lines []string) {
	type key struct{ container, id string }
	open := map[key]string{}
	for _, m := range all {
		if m.record["partial_message"] == "" {
			lines = append(lines, m.record["log"])
			continue
		}
		k := key{m.record["container_id"], m.record["partial_id"]}
		open[k] += m.record["log"]
		if m.record["partial_last"] == "true" {
			lines = append(lines, open[k])
			delete(open, k)
		}
	}
	return lines
}
