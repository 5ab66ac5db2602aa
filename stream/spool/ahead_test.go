package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/stream/spool"
)

// killed is what a process that dies now leaves of its spool.
func killed(t *testing.T, cfg spool.Config) spool.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "lock"))
	cfg.Dir = dir
	return cfg
}

// blankTail is how many zeros the newest segment ends with.
func blankTail(t *testing.T, cfg spool.Config) int {
	t.Helper()
	names := segments(t, cfg.Dir)
	content, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	return len(content) - len(bytes.TrimRight(content, "\x00"))
}

func TestZerosAheadOfTheLastEntryAreNoDamage(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.SegmentBytes = 1 << 20
	l := start(t, cfg)
	for range 3 {
		l.put("", "an entry that ends in zeros\x00\x00\x00")
	}
	left := killed(t, cfg)
	if n := blankTail(t, left); n < 200<<10 {
		t.Fatalf("%d zeros lie ahead", n)
	}
	l.stop()
	if n := blankTail(t, cfg); n > 8 {
		t.Errorf("a spool that was stopped ends with %d zeros", n)
	}

	r, err := spool.Inspect(left.Dir)
	if err != nil || r.Entries != 3 || r.Left.Entries != 3 || r.Segments[len(r.Segments)-1].DamagedBytes != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	torn := killed(t, left)
	next := start(t, left)
	if items := next.rest(); len(items) != 3 || string(items[2].Payload) != "an entry that ends in zeros\x00\x00\x00" {
		t.Errorf("%d entries are read", len(items))
	}
	if n := next.metric("tributary_spool_quarantined_bytes_total"); n != 0 {
		t.Errorf("%v bytes are put aside", n)
	}

	// A commit that was under way lies in the zeros.
	names := segments(t, torn.Dir)
	name := names[len(names)-1]
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndex(content, []byte("in zeros")) + len("in zeros") + 3
	copy(content[end:], "TSF1"+strings.Repeat("torn", 100))
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	next = start(t, torn)
	if items := next.rest(); len(items) != 3 {
		t.Errorf("%d entries are read before a torn commit", len(items))
	}
	if n := next.metric("tributary_spool_quarantined_bytes_total"); n < 400 {
		t.Errorf("%v bytes of a torn commit are put aside", n)
	}
}

func TestZerosAreWrittenOnlyForSyncsThatGainByThem(t *testing.T) {
	for name, c := range map[string]struct {
		ack   string
		bytes int
	}{
		"acks do not wait for a sync": {spool.AckWritten, 100},
		"the commit is large":         {spool.AckSynced, 100 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := roomy(t.TempDir())
			cfg.SegmentBytes, cfg.Ack = 1<<20, c.ack
			s, err := spool.Open(cfg, nil, quiet)
			if err != nil {
				t.Fatal(err)
			}
			l := run(t, s)
			if l.lane, err = s.OpenLane(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
			before := blankTail(t, cfg)
			for range 3 {
				l.put("", strings.Repeat("x", c.bytes))
			}
			if n := blankTail(t, cfg); n > before {
				t.Errorf("%d zeros more", n-before)
			}
		})
	}
}
