package dynamodb

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func sampleEntries() []entry {
	text, number, deleted := "shardId-000000000000", numeral("7"), "shardId-000000000001"
	yes, raw := true, []byte{0, 1, 255}
	return []entry{
		{Table: &definition{Name: "leases", ID: "00000000-0000-4000-8000-000000000000", Key: "ShardID",
			Created: time.Date(2026, 11, 22, 15, 44, 5, 144467840, time.UTC), BillingMode: provisioned, ReadCapacity: 10, WriteCapacity: 10}},
		{Put: item{"ShardID": {S: &text}, "counter": {N: &number}, "raw": {B: &raw}, "yes": {Bool: &yes}, "parents": {SS: &[]string{"a", "b"}},
			"list": {L: &[]attribute{{Null: &yes}}}, "map": {M: &map[string]attribute{"k": {S: &text}}}}},
		{Delete: &deleted},
	}
}

func encode(t testing.TB, entries ...entry) []byte {
	t.Helper()
	journal := []byte(journalMagic)
	var err error
	for _, e := range entries {
		if journal, err = appendFrame(journal, e); err != nil {
			t.Fatal(err)
		}
	}
	return journal
}

// TestTheJournalFormatStays: directories written by an older build are opened by
// newer ones. A new format needs a new magic line and a way to read the old one.
func TestTheJournalFormatStays(t *testing.T) {
	golden := filepath.Join("testdata", "journal.v1")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(t, sampleEntries()...); !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is written now:\n%q\n%q", golden, want, got)
	}
	dir := t.TempDir()
	if err := os.WriteFile(journalPath(dir), want, 0o644); err != nil {
		t.Fatal(err)
	}
	opened, err := openTable(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.close() }()
	if opened.Name != "leases" || len(opened.items) != 1 || *opened.items["shardId-000000000000"]["counter"].N != "7" {
		t.Errorf("table is %+v with %v", opened.definition, opened.items)
	}
}

func FuzzReadJournal(f *testing.F) {
	whole := encode(f, sampleEntries()...)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(append(whole[:len(whole):len(whole)], make([]byte, 64)...))
	f.Add(binary.LittleEndian.AppendUint32([]byte(journalMagic), 1<<31))
	f.Fuzz(func(t *testing.T, content []byte) {
		var entries []entry
		end, err := readJournal(bytes.NewReader(content), int64(len(content)), func(e entry) error {
			entries = append(entries, e)
			return nil
		})
		if end < 0 || end > int64(len(content)) {
			t.Fatalf("%d whole bytes of %d", end, len(content))
		}
		if err != nil {
			return
		}
		// What was read is what lies before end, and reading it again gives it again.
		n := 0
		again, err := readJournal(bytes.NewReader(content[:end]), end, func(entry) error { n++; return nil })
		if err != nil || again != end || n != len(entries) {
			t.Fatalf("read again: %d entries up to %d, %v; before: %d up to %d", n, again, err, len(entries), end)
		}
	})
}

func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{
		"attribute_not_exists(a)AND #n = :v", "NOT (a <> :v OR :v < b) AND attribute_exists(#n)", "((a = :v) AND (b = :v))",
		"SET a = :v, b = if_not_exists(b, :v) + :v REMOVE #n, c", "a, #n", "a.b[0] = :v", "(((",
	} {
		f.Add(seed)
	}
	text, number := "x", numeral("1")
	stored := item{"a": {S: &text}, "b": {N: &number}}
	f.Fuzz(func(t *testing.T, expression string) {
		placeholders := func() *placeholders {
			ph, err := newPlaceholders(map[string]string{"#n": "n"}, map[string]attribute{":v": {N: &number}})
			if err != nil {
				t.Fatal(err)
			}
			return ph
		}
		if c, err := parseCondition("ConditionExpression", expression, placeholders()); err == nil {
			first, errFirst := c.holds(stored)
			inverse, errInverse := negation{c}.holds(stored)
			if errFirst != nil || errInverse != nil || first == inverse {
				t.Errorf("%q: %t, %v; its negation: %t, %v", expression, first, errFirst, inverse, errInverse)
			}
		}
		if u, err := parseUpdate(expression, placeholders()); err == nil {
			if _, err := u.apply(stored); err == nil && len(stored) != 2 {
				t.Errorf("%q changed the stored item", expression)
			}
		}
		_, _ = parseProjection(expression, placeholders())
	})
}

func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{"1", "-0.5", "1e125", "1E-130", "00012.3400", ".", "1e9999999"} {
		f.Add(seed, "1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if _, err := parseNumber(a); err != nil {
			return
		}
		if _, err := parseNumber(b); err != nil {
			return
		}
		var given, again numeral
		if err := given.UnmarshalJSON([]byte(strconv.Quote(a))); err != nil || compareNumbers(string(given), a) != 0 {
			t.Errorf("%s is given back as %s, %v", a, given, err)
		}
		if err := again.UnmarshalJSON([]byte(strconv.Quote(string(given)))); err != nil || again != given {
			t.Errorf("%s is given back as %s, and that as %s, %v", a, given, again, err)
		}
		sum, err := addNumbers(a, b, false)
		if err != nil {
			return
		}
		back, err := addNumbers(sum, b, true)
		if err != nil || compareNumbers(back, a) != 0 {
			t.Errorf("%s + %s = %s, less %s is %s, %v", a, b, sum, b, back, err)
		}
	})
}
