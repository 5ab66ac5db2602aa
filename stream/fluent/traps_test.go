package fluent_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// piece is what Docker's driver sends for one piece of a line it has cut.
func piece(source, id string, ordinal int, last bool, log []byte) []byte {
	return array(str("docker"), seconds(1), record("container_id", strings.Repeat("c", 64), "container_name", "/web",
		"source", source, "log", string(log), "partial_message", "true", "partial_id", id,
		"partial_ordinal", fmt.Sprint(ordinal), "partial_last", fmt.Sprint(last)), record())
}

const bufferSize = 16 << 10 // of Docker's copier

// pieces cuts line as Docker does: every piece but the last is full, and a line
// of a multiple of the buffer ends with an empty one.
func pieces(source, id string, line []byte) [][]byte {
	var out [][]byte
	for n := 1; ; n++ {
		if len(line) < bufferSize {
			return append(out, piece(source, id, n, true, line))
		}
		out = append(out, piece(source, id, n, false, line[:bufferSize]))
		line = line[bufferSize:]
	}
}

// rejoin does what the part behind the spool does, without its caps.
func rejoin(events []event) map[string]string {
	lines := map[string]string{}
	for _, e := range events {
		lines[e.field("partial_id")] += e.field("log")
	}
	return lines
}

func TestTrapA_APieceMayEndWithinACharacter(t *testing.T) {
	r := start(t, config())
	line := bytes.Repeat([]byte("日本語"), 4000) // 36,000 bytes; 16,384 is no multiple of 3
	r.send(bytes.Join(pieces("stdout", "id", line), nil))
	events := r.store.wait(t, 3)
	if first := events[0].field("log"); first != string(line[:bufferSize]) || strings.ToValidUTF8(first, "") == first {
		t.Fatal("the first piece is not the cut bytes")
	}
	if rejoin(events)["id"] != string(line) {
		t.Error("the pieces do not give the line")
	}
}

func TestTrapB_TheLastPieceMayBeEmpty(t *testing.T) {
	r := start(t, config())
	line := bytes.Repeat([]byte("x"), 2*bufferSize)
	r.send(bytes.Join(pieces("stdout", "id", line), nil))
	last := r.store.wait(t, 3)[2]
	if last.field("log") != "" || last.field("partial_last") != "true" || last.field("partial_ordinal") != "3" {
		t.Errorf("the last piece is %q", last.record)
	}
	if !bytes.Contains(last.record, record("log", "")[1:]) {
		t.Error("its log is gone")
	}
}

func TestTrapC_TheEndOfAConnectionIsToldAfterItsLastPiece(t *testing.T) {
	r := start(t, config())
	nc := r.send(piece("stderr", "id", 1, false, []byte("panic: no newline at the end")))
	nc.Close()
	r.store.until(t, "Closed", func() bool {
		if len(r.store.closed) == 1 && len(r.store.events) == 0 {
			t.Error("Closed came before the last piece was stored")
		}
		return len(r.store.closed) == 1
	})
	e := r.store.wait(t, 1)[0]
	if e.field("log") != "panic: no newline at the end" || e.conn != r.store.closed[0] {
		t.Errorf("stored %+v, closed %d", e, r.store.closed[0])
	}
}

func TestTrapD_PiecesOfStdoutAndStderrInterleave(t *testing.T) {
	r := start(t, config())
	lines := map[string][]byte{"out": bytes.Repeat([]byte("o"), 40_000), "err": bytes.Repeat([]byte("e"), 40_000)}
	var frames []byte
	out, err := pieces("stdout", "out", lines["out"]), pieces("stderr", "err", lines["err"])
	for i := range out {
		frames = append(append(frames, out[i]...), err[i]...)
	}
	r.send(frames)
	events := r.store.wait(t, 6)
	for i, e := range events {
		if want := []string{"stdout", "stderr"}[i%2]; e.field("source") != want || e.conn != events[0].conn {
			t.Errorf("piece %d is of %s on connection %d", i, e.field("source"), e.conn)
		}
	}
	for id, line := range rejoin(events) {
		if line != string(lines[id]) {
			t.Errorf("line %s does not come together", id)
		}
	}
}

func TestTrapE_PiecesAreHandedOnThoughOneIsMissing(t *testing.T) {
	r := start(t, config())
	all := pieces("stdout", "id", bytes.Repeat([]byte("x"), 40_000))
	r.send(append(all[0], all[2]...))
	events := r.store.wait(t, 2)
	if a, b := events[0].field("partial_ordinal"), events[1].field("partial_ordinal"); a != "1" || b != "3" {
		t.Errorf("ordinals %s and %s", a, b)
	}
}

func TestTrapF_PiecesOfOlderDockersHaveNoIds(t *testing.T) {
	r := start(t, config())
	r.send(message(1, "container_id", "c", "source", "stdout", "log", "half", "partial_message", "true"))
	e := r.store.wait(t, 1)[0]
	if e.field("partial_message") != "true" || e.field("partial_id") != "" {
		t.Errorf("stored %q", e.record)
	}
}
