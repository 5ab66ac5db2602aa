package backfill

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"tributary/schema"
)

func TestAKeyTellsFormServiceKindContainerAndTime(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"applications/cart/app/2026/03/01/12/07_ecs-cart-1_a_0.gz":              "lines cart app ecs-cart-1_a 2026-03-01T03:07:00Z 1h0m0s",
		"a/b/applications/cart/audit/2026/03/01/12/59_0.jsonl":                  "lines cart audit  2026-03-01T03:59:00Z 1h0m0s",
		"applications/cart/access/2026/03/01/00/07_x_0.gz":                      "lines cart unset x 2026-02-28T15:07:00Z 1h0m0s",
		"applications/cart/app/2026/03/01/12/99_x_0.gz":                         "lines cart app x 2026-03-01T03:00:00Z 1h0m0s",
		"applications/cart/app/2026/03/01/12/other.gz":                          "lines cart app  2026-03-01T03:00:00Z 1h0m0s",
		"applications/cart/app/2026/13/01/12/07_x_0.gz":                         "lines cart app x 0001-01-01T00:00:00Z 0s",
		"lake/kind=audit/dt=2026-03-01/hour=12/shardId-000000000000-49.parquet": "parquet  audit  2026-03-01T12:00:00Z 1h0m0s",
		"kind=raw/dt=2026-03-01/x.parquet":                                      "parquet  raw  2026-03-01T00:00:00Z 24h0m0s",
		"lake/applications/cart/app/2026/03/01/12/shardId-0-49.parquet":         "parquet  app  2026-03-01T12:00:00Z 1h0m0s",
		"service=web%2Fone/kind=app/x.jsonl":                                    "lines web/one app  0001-01-01T00:00:00Z 0s",
		"x.json":                                                                "lines  unset  0001-01-01T00:00:00Z 0s",
		"x.parquet.crc":                                                         "foreign  unset  0001-01-01T00:00:00Z 0s",
	} {
		p := placeOf(key, tokyo)
		got := fmt.Sprintf("%s %s %v %s %s %v", []string{"foreign", "lines", "parquet"}[p.form], p.service, p.kind, p.container, p.at.Format(time.RFC3339), p.span)
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", key, got, want)
		}
	}
}

func FuzzPlaceOf(f *testing.F) {
	f.Add("applications/cart/app/2026/03/01/12/07_ecs-cart-1_0.gz")
	f.Add("lake/kind=audit/dt=2026-03-01/hour=12/shardId-000000000000-49.parquet")
	f.Fuzz(func(t *testing.T, key string) {
		p := placeOf(key, time.UTC)
		if p.form == foreign && p != (place{}) || p.at.IsZero() != (p.span == 0) {
			t.Errorf("%q is %+v", key, p)
		}
	})
}

func TestAnEnvelopeIsTakenOffOnlyWhereNothingElseIsInIt(t *testing.T) {
	events, err := newLineEvents(schema.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o := &object{place: place{form: lines, service: "cart", kind: schema.KindApp, container: "path", at: at}}
	for name, c := range map[string]struct{ line, want string }{
		"a line of Docker's driver": {
			`{"container_id":"c1","container_name":"/web-1","source":"stderr","log":"{\"level\":\"INFO\",\"time\":\"2026-03-01T12:00:05Z\"}\n"}`,
			`5s c1 web-1 stderr {"level":"INFO","time":"2026-03-01T12:00:05Z"}`,
		},
		"a text of Docker's driver, with Fluentd's time": {
			`{"container_id":"c1","source":"stdout","log":"plain","time":"2026-03-01T12:00:07Z"}`, `7s c1 path stdout plain`,
		},
		"a message with a container's name": {`{"message":"hello","container_name":"x"}`, `0s  x  hello`},
		"more than an envelope":             {`{"log":"hello","container_name":"x","level":"INFO"}`, `0s  path  {"log":"hello","container_name":"x","level":"INFO"}`},
		"a log that is no text":             {`{"log":{"a":1},"container_name":"x"}`, `0s  path  {"log":{"a":1},"container_name":"x"}`},
		"two texts":                         {`{"log":"a","message":"b","container_name":"x"}`, `0s  path  {"log":"a","message":"b","container_name":"x"}`},
		"nothing of a container":            {`{"log":"a","source":"x"}`, `0s  path  {"log":"a","source":"x"}`},
		"half a character":                  {`{"log":"a\ud800","container_name":"x"}`, `0s  path  {"log":"a\ud800","container_name":"x"}`},
		"an empty text":                     {`{"log":" ","container_name":"x"}`, `0s  path  {"log":" ","container_name":"x"}`},
		"a line of its own":                 {`{"@timestamp":"2026-03-01T11:59:00Z","message":"m"}`, `-1m0s  path  {"@timestamp":"2026-03-01T11:59:00Z","message":"m"}`},
		"a time of another year":            {`{"@timestamp":"2020-03-01T11:59:00Z"}`, `0s  path  {"@timestamp":"2020-03-01T11:59:00Z"}`},
		"no JSON":                           {`hello`, `0s  path  hello`},
	} {
		t.Run(name, func(t *testing.T) {
			e := events.of(line{text: []byte(c.line)}, o)
			got := fmt.Sprintf("%v %s %s %s %s", time.Duration(e.Time-at.UnixNano()), e.Origin.ContainerID, e.Origin.ContainerName, e.Origin.Source, e.Line)
			if got != c.want || e.Kind != schema.KindApp || e.Origin.Service != "cart" {
				t.Errorf(" got %s\nwant %s", got, c.want)
			}
		})
	}
}

// read takes an object apart.
func read(content []byte, zipped bool) (texts []string, torn bool, err error) {
	r := newLineReader()
	r.reset(bytes.NewReader(content), zipped)
	for {
		l, err := r.next()
		if err != nil {
			return texts, torn, err
		}
		texts, torn = append(texts, string(l.text)), torn || l.torn
	}
}

func TestLinesAreReadAsTheyStandWhateverTheirLength(t *testing.T) {
	long := strings.Repeat("0123456789", 30_000)
	content := "a\r\n\n  \nb\n" + long + "\nlast"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "b", long, "last"}
	for name, c := range map[string]struct {
		content []byte
		zipped  bool
	}{"plain": {[]byte(content), false}, "compressed": {zipped.Bytes(), true}, "compressed under a plain name": {zipped.Bytes(), false}} {
		got, torn, err := read(c.content, c.zipped)
		if fmt.Sprint(got) != fmt.Sprint(want) || torn || err != io.EOF {
			t.Errorf("%s: %d lines, torn %v, %v", name, len(got), torn, err)
		}
	}
	// Two members one behind the other, as Fluentd appends.
	got, _, err := read(append(zipped.Bytes(), zipped.Bytes()...), true)
	if len(got) != 7 || got[3] != "lasta" || err != io.EOF {
		t.Errorf("%d lines, %v", len(got), err)
	}
}

func FuzzLines(f *testing.F) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, "{\"a\":1}\n{\"log\":\"x\",\"container_id\":\"y\"}\n")
	_ = z.Close()
	f.Add(zipped.Bytes(), true)
	f.Add([]byte("plain\ntext"), false)
	events, err := newLineEvents(schema.DefaultRules())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte, zip bool) {
		texts, _, err := read(content, zip)
		if err == nil {
			t.Fatal("it has no end")
		}
		again, _, _ := read(content, zip)
		if fmt.Sprint(texts) != fmt.Sprint(again) {
			t.Fatal("other lines the second time")
		}
		for _, text := range texts {
			e := events.of(line{text: []byte(text)}, &object{modified: time.Unix(1_700_000_000, 0)})
			if e.Origin.Service == "" || !utf8.ValidString(e.Origin.Service) || e.Kind == schema.KindUnset || len(e.Line) > len(text) {
				t.Fatalf("%q became %+v", text, e)
			}
		}
	})
}

func TestSamplesAreSpreadOverTheWholeListing(t *testing.T) {
	for _, n := range []int{0, 1, 16, 17, 1000, 4097} {
		s := &samples{}
		for i := range n {
			s.offer(object{size: int64(i)})
		}
		if len(s.list) > maxSamples || len(s.list) < min(n, maxSamples/2) {
			t.Errorf("%d of %d", len(s.list), n)
		}
		for i, o := range s.list {
			if o.size != int64(i*s.every) {
				t.Errorf("sample %d of %d is object %d", i, n, o.size)
			}
		}
	}
}

func TestMemoryIsDealtOutToSinkAndBatches(t *testing.T) {
	for _, c := range []struct {
		memory   int64
		parallel int
		want     string
	}{
		{192 << 20, 4, "24 MiB, 2"},
		{128 << 20, 64, "16 MiB, 1"},
		{1 << 30, 64, "64 MiB, 8"},
		{1 << 30, 3, "64 MiB, 3"},
	} {
		cfg := Config{Memory: c.memory, Parallel: c.parallel}
		n := cfg.batches(cfg.rangeBytes())
		if got := fmt.Sprintf("%d MiB, %d", cfg.rangeBytes()>>20, n); got != c.want {
			t.Errorf("%d MiB: %s, want %s", c.memory>>20, got, c.want)
		}
		if sum := fixedBytes + cfg.EncodeBytes() + int64(n)*(cfg.rangeBytes()+readBytes); sum > c.memory {
			t.Errorf("%d of %d", sum, c.memory)
		}
	}
}
