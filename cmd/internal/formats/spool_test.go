package formats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/schema"
	"tributary/stream/spool"
)

// spoolLife is the spool of a forwarder killed in its second life. It holds, in
// several segments: a line that was delivered although it began before the cursor,
// one that never went out under the first life's lane, one that is given up by a
// marker, lines in the way of old and new Docker, one still open, and the half of
// a frame at the end.
func spoolLife(t *testing.T) (archive []byte, epochs []string) {
	t.Helper()
	dir := t.TempDir()
	cfg := forwarderConfig()
	cfg.PartialTimeout, cfg.PartialMaxAge = 10*time.Minute, 10*time.Minute
	first := startStation(t, dir, cfg, func(b schema.Batch) bool { return false })
	first.send("A1", docker("ca", `{"message":"begun in one life, `, piece("pa", "1", "false")...)...)
	first.send("B", docker("cb", `{"message":"waits since the first life","level":"WARN"}`)...)
	first.stop()

	cfg.PartialTimeout, cfg.RestartGrace = time.Second, 10*time.Minute
	old := newestEpoch(t, dir)
	done := false
	second := startStation(t, dir, cfg, func(b schema.Batch) bool {
		if b.Epoch.String() == old || done {
			return false
		}
		done = true
		return true
	})
	second.send("A2", docker("ca", `ended in the next"}`, piece("pa", "2", "true")...)...)
	second.until("the line of two lives", func() bool { return second.out.has(`{"message":"begun in one life, ended in the next"}`) })
	second.until("a cursor with a ghost", func() bool { return bytes.Contains(readFile(t, dir, "cursor"), []byte("\x05ca/pa")) })
	second.send("C1", docker("cc", `{"message":"never ended`, piece("pc", "1", "false")...)...)
	second.until("a close marker", func() bool { return bytes.Contains(segments(t, dir), []byte("\x02cc/pc")) })
	for i := range 9 {
		second.send(fmt.Sprint("F", i), docker("cf", fmt.Sprintf(`{"marker":"AUDIT","n":%d,"body":"%s"}`, i, strings.Repeat("0123456789", 110)))...)
	}
	second.send("G1", docker("cg", "in the way of ", "partial_message", "true")...)
	second.send("G2", docker("cg", "old Docker")...)
	second.send("H", "hello", "no docker")
	second.send("D1", docker("cd", "open when the process died", piece("pd", "1", "false")...)...)
	archive = pack(t, dir)
	second.stop()

	dir = unpack(t, archive)
	names := segmentNames(t, dir)
	newest := filepath.Join(dir, names[len(names)-1])
	content := readFile(t, newest)
	must(t, os.WriteFile(newest, append(content, readFile(t, dir, names[0])[52:152]...), 0o600))
	return pack(t, dir), []string{old, newestEpoch(t, dir)}
}

func segmentNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	must(t, err)
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

func segments(t *testing.T, dir string) (all []byte) {
	t.Helper()
	for _, name := range segmentNames(t, dir) {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if !errors.Is(err, os.ErrNotExist) { // deleted meanwhile
			must(t, err)
		}
		all = append(all, content...)
	}
	return all
}

// newestEpoch reads it out of the newest segment's header.
func newestEpoch(t *testing.T, dir string) string {
	t.Helper()
	names := segmentNames(t, dir)
	return schema.Epoch(readFile(t, dir, names[len(names)-1])[16:32]).String()
}

// leftover is what stands beside a spool: its epochs, oldest first, and what a
// forwarder started over it publishes.
type leftover struct {
	Epochs []string
	Events []published
}

// emptied starts a forwarder over a spool and waits until it is empty.
func emptied(t *testing.T, archive []byte, epochs []string) (leftover, string) {
	t.Helper()
	dir := unpack(t, archive)
	cfg := forwarderConfig()
	cfg.PartialTimeout, cfg.RestartGrace = 200*time.Millisecond, 0
	s := startStation(t, dir, cfg, nil)
	s.until("the line that was open", func() bool { return s.out.has("open when the process died") })
	s.stop() // which publishes all that is left
	return leftover{epochs, inOrder(s.out.all(), epochs)}, dir
}

func TestAForwarderEmptiesAnOldSpool(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		var want leftover
		must(t, json.Unmarshal(readFile(t, dir, "published.json"), &want))
		got, left := emptied(t, readFile(t, dir, "spool.tgz"), want.Epochs)
		expect(t, got, dir, "published.json")
		bad, err := filepath.Glob(filepath.Join(left, "quarantine", "*.bad"))
		if must(t, err); len(bad) != 1 {
			t.Errorf("put aside: %q, want the torn end", bad)
		}
		if rest := segments(t, left); bytes.Contains(rest, []byte("in the way of")) {
			t.Error("the spool still holds lines")
		}
	})
}

// The clock of a bubble is before that of any spool, so no chunk id has run out.
func TestAnOldSpoolKnowsWhatItAcknowledged(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		copied := unpack(t, readFile(t, dir, "spool.tgz"))
		synctest.Test(t, func(t *testing.T) {
			s, err := spool.Open(spoolConfig(copied), nil, slog.New(slog.DiscardHandler))
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			lane, err := s.OpenLane(ctx, "key")
			must(t, err)
			for _, chunk := range []string{"A1", "A2", "D1", "another"} {
				id := base64.StdEncoding.EncodeToString([]byte((chunk + "................")[:16]))
				must(t, s.Append(ctx, []spool.Request{{Chunk: id, Entries: []spool.Entry{{Lane: lane, Payload: []byte("again " + chunk)}}}}))
			}
			var again []string
			for s.Pending() {
				it, err := s.Next(ctx)
				must(t, err)
				if bytes.HasPrefix(it.Payload, []byte("again")) {
					again = append(again, string(it.Payload))
				}
			}
			if len(again) != 1 || again[0] != "again another" {
				t.Errorf("stored %q, want only the request that is not a repetition", again)
			}
			cancel()
			must(t, <-done)
		})
	})
}

// What an older program does with the directory of a newer one: nothing. seal is
// how every version's headers end, see the spool's format.
func TestASpoolOfALaterVersionIsLeftAlone(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		for what, change := range map[string]func(dir string){
			"a segment": func(dir string) {
				names := segmentNames(t, dir)
				later(t, filepath.Join(dir, names[len(names)-1]), 0, 48, 48)
			},
			"the cursor": func(dir string) {
				for _, slot := range []int{0, 1<<20 + 4096} {
					b := readFile(t, dir, "cursor")[slot:]
					if string(b[:8]) == "TRBCURSR" {
						later(t, filepath.Join(dir, "cursor"), slot, 32, 36+int(binary.LittleEndian.Uint32(b[12:])))
					}
				}
			},
		} {
			t.Run(what, func(t *testing.T) {
				copied := unpack(t, readFile(t, dir, "spool.tgz"))
				change(copied)
				must(t, os.WriteFile(filepath.Join(copied, "0000000000000000.seg.tmp"), []byte("of the later version"), 0o600))
				before := tree(t, copied)
				s, err := spool.Open(spoolConfig(copied), nil, slog.New(slog.DiscardHandler))
				if err == nil {
					_ = s.Close()
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), "has format version 99, this program reads version") {
					t.Errorf("error %v", err)
				}
				if after := tree(t, copied); !bytes.Equal(before, after) {
					t.Errorf("before\n%s\nafter\n%s", before, after)
				}
			})
		}
	})
}

// later gives the header at an offset of a file version 99, and the checksum that
// belongs to it: sum is where it stands, end where the header does.
func later(t *testing.T, file string, at, sum, end int) {
	t.Helper()
	b := readFile(t, file)
	h := b[at : at+end]
	binary.LittleEndian.PutUint32(h[8:], 99)
	covered := append(bytes.Clone(h[:sum]), h[min(sum+4, end):]...)
	binary.LittleEndian.PutUint32(b[at+sum:], crc32.Checksum(covered, crc32.MakeTable(crc32.Castagnoli)))
	must(t, os.WriteFile(file, b, 0o600))
}

// tree lists names and contents of a directory's files.
func tree(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			fmt.Fprintf(&out, "%s %x\n", d.Name(), sha256.Sum256(readFile(t, path)))
		}
		return err
	}))
	return out.Bytes()
}
