package refused_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/schema"
	"tributary/stream/refused"
	"tributary/stream/spool"
	"tributary/stream/spool/powercut"
)

var update = flag.Bool("update", false, "write the golden file if it is missing; one that is there is frozen")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "spool"

// life is a File over a disk, with its metrics.
type life struct {
	*refused.File
	t   *testing.T
	reg *prometheus.Registry
}

func open(t *testing.T, d spool.Disk, start uint64, cfg refused.Config) life {
	t.Helper()
	reg := prometheus.NewRegistry()
	f, err := refused.Open(dir, start, cfg, d, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return life{f, t, reg}
}

func (l life) metric(name string) float64 {
	l.t.Helper()
	families, err := l.reg.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tributary_forwarder_"+name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	l.t.Fatal("no metric ", name)
	return 0
}

// of is the reject of one offset; its record is text, which this package does not mind.
func of(epoch byte, offset int) refused.Reject {
	return refused.Reject{
		ID: refused.ID{Epoch: schema.Epoch{epoch}, Lane: 3, Offset: uint64(offset)}, At: time.Unix(1_760_000_000, int64(offset)).UTC(), Position: uint64(100 * offset),
		Reason: "ValidationException: no", Record: []byte(fmt.Sprintf("record %d of %d", offset, epoch)),
	}
}

func (l life) add(rejects ...refused.Reject) {
	l.t.Helper()
	for _, r := range rejects {
		if err := l.Add(r); err != nil {
			l.t.Fatal(err)
		}
	}
}

// records are those of a lot, as it has them.
func (l life) records() (out []string) {
	l.t.Helper()
	lot, err := l.Turn()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, ref := range lot.Refs {
		r, err := l.Read(ref)
		if err != nil {
			l.t.Fatal(err)
		}
		if r.ID != ref.ID || r.Reason != ref.Reason || !r.At.Equal(ref.At) || r.Position != ref.Position {
			l.t.Errorf("%+v is read as %+v", ref, r)
		}
		out = append(out, string(r.Record))
	}
	return out
}

func numbered(epoch byte, offsets ...int) (out []string) {
	for _, n := range offsets {
		out = append(out, string(of(epoch, n).Record))
	}
	return out
}

func TestRejectsAreThereInTheNextLife(t *testing.T) {
	disk := powercut.New()
	l := open(t, disk, 0, refused.DefaultConfig())
	if len(l.records()) != 0 || len(names(t, disk)) != 0 {
		t.Error("a spool without rejects has some")
	}
	l = open(t, disk, 0, refused.DefaultConfig())
	l.add(of(1, 2), of(1, 7), of(0, 9))
	l.Close()
	if l.metric("rejects") != 3 || l.metric("reject_bytes") < 200 {
		t.Errorf("%v rejects of %v bytes", l.metric("rejects"), l.metric("reject_bytes"))
	}
	l = open(t, disk, 0, refused.DefaultConfig())
	if got, want := l.records(), append(numbered(0, 9), numbered(1, 2, 7)...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if l.metric("rejects") != 3 {
		t.Errorf("the next life counts %v", l.metric("rejects"))
	}
}

func TestWhatTheSpoolStillHasIsKnown(t *testing.T) {
	disk := powercut.New()
	l := open(t, disk, 0, refused.DefaultConfig())
	l.add(of(1, 2), of(1, 7))
	if _, has := l.Has(of(1, 7).ID); has {
		t.Error("an event of this life is known; each comes once")
	}
	l.Close()
	l = open(t, disk, 700, refused.DefaultConfig())
	if _, has := l.Has(of(1, 2).ID); has {
		t.Error("an event before the cursor is known")
	}
	reason, has := l.Has(of(1, 7).ID)
	if !has || reason != "ValidationException: no" {
		t.Errorf("the event behind the cursor is not known: %q", reason)
	}
	l.add(of(1, 7))
	if _, has := l.Has(of(1, 7).ID); has {
		t.Error("it is known after it was added again")
	}
	if got := l.records(); !slices.Equal(got, numbered(1, 2, 7)) {
		t.Errorf("two copies count as %q", got)
	}
}

// TestAnAddThatReturnedSurvivesEverything dies at each step of some adds, by a kill and
// by power cuts.
func TestAnAddThatReturnedSurvivesEverything(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		disk := powercut.New()
		var kept []string
		for range 3 {
			l := open(t, disk, 0, refused.Config{MaxBytes: 16 << 10}) // segments of 1 KiB
			disk.DieAt(disk.Steps() + 1 + rnd.IntN(40))
			for i := 0; ; i++ {
				r := of(1, len(kept)+1)
				r.Record = append(r.Record, bytes.Repeat([]byte("x"), 97*len(kept)%300)...) // the same again
				if l.Add(r) != nil {
					break
				}
				kept = append(kept, string(r.Record))
			}
			if rnd.IntN(2) == 0 {
				disk = disk.AfterKill()
			} else {
				disk = disk.AfterPowerCut(rnd)
			}
		}
		l := open(t, disk, 0, refused.Config{MaxBytes: 16 << 10})
		got := l.records()
		for i, want := range kept {
			if !slices.Contains(got, want) {
				t.Fatalf("seed %d: reject %d of %d is gone", seed, i, len(kept))
			}
		}
		if len(got) > len(kept)+1 {
			t.Fatalf("seed %d: %d rejects, %d were kept", seed, len(got), len(kept))
		}
		// What was torn is cut off and counted once.
		if again := open(t, disk, 0, refused.Config{MaxBytes: 16 << 10}); l.metric("reject_damaged_bytes_total") > 0 && again.metric("reject_damaged_bytes_total") >= l.metric("reject_damaged_bytes_total") {
			t.Fatalf("seed %d: %v bytes damaged, and again %v", seed, l.metric("reject_damaged_bytes_total"), again.metric("reject_damaged_bytes_total"))
		}
	}
}

func TestADiskThatFailsTakesTheRejectLater(t *testing.T) {
	for name, op := range map[string]string{"it is full": "write", "a sync fails": "sync", "no file can be made": "create", "the folder cannot be synced": "syncdir"} {
		t.Run(name, func(t *testing.T) {
			disk := powercut.New()
			l := open(t, disk, 0, refused.DefaultConfig())
			if op != "create" && op != "syncdir" {
				l.add(of(1, 1))
			}
			disk.Fail(func(what, _ string) error {
				if what == op {
					return syscall.ENOSPC
				}
				return nil
			})
			for range 3 {
				if err := l.Add(of(1, 2)); err == nil || !strings.Contains(err.Error(), "keep a reject: no space left") {
					t.Fatal(err)
				}
			}
			disk.Fail(nil)
			l.add(of(1, 2), of(1, 3))
			l = open(t, disk.AfterPowerCut(rand.New(rand.NewPCG(1, 1))), 0, refused.DefaultConfig())
			got := l.records()
			for _, want := range numbered(1, 2, 3) {
				if !slices.Contains(got, want) {
					t.Errorf("%q is not in %q", want, got)
				}
			}
		})
	}
}

func TestTheBoundHoldsAndTellsWhatItDrops(t *testing.T) {
	disk := powercut.New()
	cfg := refused.Config{MaxBytes: 64 << 10}
	l := open(t, disk, 0, cfg)
	const sent = 200
	for i := range sent {
		r := of(1, i+1)
		r.Record = append(r.Record, bytes.Repeat([]byte("x"), 1<<10)...)
		l.add(r)
		if used := l.metric("reject_bytes"); used > float64(cfg.MaxBytes) {
			t.Fatalf("%v bytes after %d rejects", used, i+1)
		}
	}
	left, dropped := l.metric("rejects"), l.metric("rejects_dropped_total")
	if left+dropped != sent || left < 48 || dropped < 100 {
		t.Errorf("%v left, %v dropped", left, dropped)
	}
	got := l.records()
	if len(got) != int(left) || !strings.HasPrefix(got[len(got)-1], "record 200 ") {
		t.Errorf("%d rejects are read, the last is %.20q", len(got), got[len(got)-1])
	}
	// While a lot is sent nothing of it goes.
	for i := range 50 {
		r := of(2, i+1)
		r.Record = append(r.Record, bytes.Repeat([]byte("x"), 1<<10)...)
		l.add(r)
	}
	if now := l.metric("rejects_dropped_total"); now != dropped {
		t.Errorf("%v were dropped while they were sent", now-dropped)
	}
}

func TestALotGoesWhenItIsSent(t *testing.T) {
	disk := powercut.New()
	l := open(t, disk, 0, refused.DefaultConfig())
	l.add(of(1, 2), of(1, 7), of(1, 9))
	lot, err := l.Turn()
	if err != nil {
		t.Fatal(err)
	}
	again := of(1, 7)
	again.Epoch = refused.Again(again.Epoch)
	again.Record = []byte("7 was refused again")
	l.add(again)

	// Cut off here, the next life sends what was not refused again, and the copy.
	next := open(t, disk.AfterKill(), 0, refused.DefaultConfig())
	got := next.records()
	slices.Sort(got)
	if want := []string{"7 was refused again", "record 2 of 1", "record 9 of 1"}; !slices.Equal(got, want) {
		t.Errorf("after a death: %q", got)
	}
	if err := l.Discard(lot); err != nil {
		t.Fatal(err)
	}
	if l.metric("rejects") != 1 {
		t.Errorf("%v rejects are left", l.metric("rejects"))
	}
	l = open(t, disk.AfterPowerCut(rand.New(rand.NewPCG(1, 1))), 0, refused.DefaultConfig())
	if got := l.records(); !slices.Equal(got, []string{"7 was refused again"}) {
		t.Errorf("left: %q", got)
	}
}

func TestDamageCostsNoMoreThanItsReject(t *testing.T) {
	disk := powercut.New()
	l := open(t, disk, 0, refused.DefaultConfig())
	l.add(of(1, 1), of(1, 2), of(1, 3))
	l.Close()
	name := names(t, disk)[0]
	f, err := disk.Edit(filepath.Join(dir, "rejects", name))
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	second := bytes.Index(content, []byte("record 2"))
	for what, at := range map[string]int{"its record": second, "its header": second - 40, "its magic": second - 25 - 60 + 1} {
		t.Run(what, func(t *testing.T) {
			if _, err := f.WriteAt([]byte{content[at] ^ 1}, int64(at)); err != nil {
				t.Fatal(err)
			}
			l := open(t, disk, 0, refused.DefaultConfig())
			if got := l.records(); !slices.Equal(got, numbered(1, 1, 3)) || l.metric("reject_damaged_bytes_total") < 90 {
				t.Errorf("%q, %v bytes damaged", got, l.metric("reject_damaged_bytes_total"))
			}
			if _, err := f.WriteAt(content[at:at+1], int64(at)); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := f.WriteAt([]byte("X"), 0); err != nil { // the segment's header
		t.Fatal(err)
	}
	if got := open(t, disk, 0, refused.DefaultConfig()).records(); !slices.Equal(got, numbered(1, 1, 2, 3)) {
		t.Errorf("without a segment header: %q", got)
	}
}

func names(t *testing.T, d spool.Disk) []string {
	t.Helper()
	found, err := d.List(filepath.Join(dir, "rejects"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheFormatOnDiskDoesNotChange(t *testing.T) {
	spoolDir := t.TempDir()
	f, err := refused.Open(spoolDir, 0, refused.DefaultConfig(), spool.LocalDisk, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(of(0xe1, 1024)); err != nil {
		t.Fatal(err)
	}
	long := of(0xe1, 2048)
	long.Reason = strings.Repeat("あ", 400)
	if err := f.Add(long); err != nil {
		t.Fatal(err)
	}
	f.Close()
	written := filepath.Join(spoolDir, "rejects", "0000000000000000.rej")
	got, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "segment.v1")
	if _, missing := os.Stat(golden); *update && missing != nil {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", hex.Dump(got), hex.Dump(want))
	}
	r, err := refused.Inspect(spoolDir)
	if err != nil || r.Rejects != 2 || len(r.Reasons) != 2 || r.DamagedBytes != 0 || r.FileBytes != int64(len(got)) || !r.First.Equal(of(0xe1, 1024).At) || !r.Last.Equal(of(0xe1, 2048).At) {
		t.Errorf("%+v, %v", r, err)
	}
	var seen []refused.Reject
	if err := refused.Each(spoolDir, func(r refused.Reject) error { seen = append(seen, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || fmt.Sprint(seen[0]) != fmt.Sprint(of(0xe1, 1024)) || seen[1].Reason != strings.Repeat("あ", 341) {
		t.Errorf("read %+v", seen)
	}
}

func TestRejectsOfALaterVersionAreLeftAlone(t *testing.T) {
	spoolDir := t.TempDir()
	if err := os.Mkdir(filepath.Join(spoolDir, "rejects"), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(spoolDir, "rejects", "0000000000000000.rej")
	if err := os.WriteFile(name, refused.SegmentHeader(2), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := refused.Open(spoolDir, 0, refused.DefaultConfig(), spool.LocalDisk, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "format version 2, this program reads version 1") {
		t.Errorf("open: %v", err)
	}
	if _, err := refused.Inspect(spoolDir); err == nil || !strings.Contains(err.Error(), "format version 2") {
		t.Errorf("inspect: %v", err)
	}
}

func TestConfigTellsItsFault(t *testing.T) {
	for bytes, fine := range map[int64]bool{0: false, 16 << 20: true, 1 << 30: true, 1<<30 + 1: false} {
		if err := (refused.Config{MaxBytes: bytes}).Validate(); (err == nil) != fine {
			t.Errorf("%d: %v", bytes, err)
		}
	}
	if err := refused.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// FuzzSegment: whatever a segment holds, rejects and bad stretches cover it without gap
// or overlap, and a sound reject is found behind any bytes but a part of one.
func FuzzSegment(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "segment.v1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:len(golden)-5])
	f.Add(golden[16:])
	f.Add([]byte("TRJ1TRJ1\xff\xff\xff\xff"))
	f.Add(append(bytes.Clone(golden[:100]), golden...))
	f.Fuzz(func(t *testing.T, content []byte) {
		rejects, covered, err := refused.Scan(content)
		if err == nil && covered != len(content) {
			t.Fatalf("%d of %d bytes covered", covered, len(content))
		}
		for _, r := range rejects {
			if len(r.Record)+len(r.Reason) > len(content) {
				t.Fatalf("%d bytes of record in %d bytes", len(r.Record), len(content))
			}
		}
		with, _, err := refused.Scan(append(bytes.Clone(golden), content...))
		if err != nil || len(with) < 2 {
			t.Fatalf("%d rejects before a foreign tail, want the 2 written: %v", len(with), err)
		}
	})
}
