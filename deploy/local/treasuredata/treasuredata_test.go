package treasuredata_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/treasuredata"
)

const (
	key   = "TD1 1234/0123456789abcdef0123456789abcdef01234567"
	id    = "2ac30b788fd813e9ac7a3af9d395e109"
	table = "/v3/table/import_with_id/shop/audit/"
	plain = "/v3/table/import/shop/audit/msgpack.gz"
)

// now is where the clock starts.
var now = time.Date(2026, 11, 22, 10, 0, 0, 123e6, time.UTC)

// A clock that moves only when told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a service behind a plain HTTP client.
type world struct {
	t      *testing.T
	dir    string
	opts   treasuredata.Options
	clock  *clock
	faults *fault.Set
	client *http.Client
	url    string
	key    string
	close  func()
}

// open starts a service that has the table shop.audit.
func open(t *testing.T, change ...func(*treasuredata.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &clock{at: now}, faults: new(fault.Set), key: key}
	w.opts = treasuredata.Options{Faults: w.faults, Now: w.clock.now}
	for _, c := range change {
		c(&w.opts)
	}
	w.start()
	t.Cleanup(func() { w.close() })
	w.want(200, w.do("POST", "/v3/database/create/shop", nil))
	w.want(200, w.do("POST", "/v3/table/create/shop/audit/log", nil))
	return w
}

func (w *world) start() {
	w.t.Helper()
	service, err := treasuredata.Open(w.dir, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	srv := httptest.NewServer(service)
	w.client, w.url = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, srv.URL
	w.close = sync.OnceFunc(func() {
		if err := w.faults.Drain(context.Background()); err != nil {
			w.t.Error(err)
		}
		w.client.CloseIdleConnections()
		srv.Close()
		if err := service.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

// reopen is what a restart of the process does; the files are left as they are.
func (w *world) reopen() {
	w.t.Helper()
	w.close()
	w.start()
}

// answer is what came back; err is that of the connection.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

func (w *world) do(method, path string, body []byte, header ...string) answer {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Authorization", w.key)
	if method == http.MethodPut {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(text), resp.Header, err}
}

func (w *world) want(status int, got answer) {
	w.t.Helper()
	if got.err != nil || got.status != status {
		w.t.Errorf("got %d %s, %v; want %d", got.status, got.body, got.err, status)
	}
}

func (w *world) put(id string, rows ...map[string]any) answer {
	return w.do("PUT", table+id+"/msgpack.gz", body(rows...))
}

// lines are the table's rows as they lie in its files, in the order of their imports.
func (w *world) lines() (all []string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "shop", "audit", "*.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(files)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return all
}

func (w *world) wantLines(want ...string) {
	w.t.Helper()
	if got := w.lines(); !slices.Equal(got, want) {
		w.t.Errorf("rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func zip(raw []byte) []byte {
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	_, _ = gz.Write(raw) // into memory
	_ = gz.Close()
	return out.Bytes()
}

func packed(rows ...map[string]any) (raw []byte) {
	var err error
	for _, r := range rows {
		if raw, err = msgp.AppendMapStrIntf(raw, r); err != nil {
			panic(err)
		}
	}
	return raw
}

func body(rows ...map[string]any) []byte { return zip(packed(rows...)) }

func row(time int) map[string]any { return map[string]any{"time": time} }

func TestAnImportIsAnsweredAsTheDocumentationShows(t *testing.T) {
	w := open(t)
	sent := body(row(1))
	sum := md5.Sum(sent)
	digest := hex.EncodeToString(sum[:])
	got := w.do("PUT", table+id+"/msgpack.gz", sent)
	if want := `{"elapsed_time":0,"database":"shop","md5_hex":"` + digest + `","table":"audit","unique_id":"` + id + `"}`; got.status != 200 || got.body != want {
		t.Errorf("got %d %s\nwant %s", got.status, got.body, want)
	}
	got = w.do("PUT", plain, sent, "Content-Type", "application/gzip")
	if want := `{"elapsed_time":0,"database":"shop","md5_hex":"` + digest + `","table":"audit","unique_id":"` + digest + `"}`; got.status != 200 || got.body != want {
		t.Errorf("without an id: got %d %s\nwant %s", got.status, got.body, want)
	}
	w.wantLines(`{"time":1}`, `{"time":1}`)
}

func TestValuesAreStoredAsTheyCame(t *testing.T) {
	nested := map[string]any{"B": []any{int64(1), nil, true, 1.0}}
	tests := map[string]struct {
		value any
		want  string
	}{
		"an integer":                     {int64(-5), `-5`},
		"an integer beyond 63 bits":      {uint64(1<<64 - 1), `18446744073709551615`},
		"a float":                        {1.5, `1.5`},
		"a whole float stays one":        {float64(3), `3.0`},
		"a large float":                  {1e300, `1e+300`},
		"a boolean":                      {false, `false`},
		"nothing":                        {nil, `null`},
		"a string that needs escapes":    {"a\"b\\c\nd\x01é", `"a\"b\\c\nd\u0001é"`},
		"a string that is not UTF-8":     {"a\xffb", "\"a\uFFFDb\""},
		"bytes":                          {[]byte("raw"), `"raw"`},
		"a nested map":                   {nested, `{"B":[1,null,true,1.0]}`},
		"an empty list and an empty map": {[]any{[]any{}, map[string]any{}}, `[[],{}]`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			// Written out, for the order of a Go map's keys is none.
			raw := msgp.AppendInt64(msgp.AppendString(msgp.AppendMapHeader(nil, 2), "time"), 1)
			raw, err := msgp.AppendIntf(msgp.AppendString(raw, "x"), test.value)
			if err != nil {
				t.Fatal(err)
			}
			w.want(200, w.do("PUT", table+id+"/msgpack.gz", zip(raw)))
			w.wantLines(`{"time":1,"x":` + test.want + `}`)
		})
	}
}

func TestABodyOfSeveralGzipMembersIsOneImport(t *testing.T) {
	w := open(t)
	w.want(200, w.do("PUT", table+id+"/msgpack.gz", append(body(row(1)), body(row(2))...)))
	w.wantLines(`{"time":1}`, `{"time":2}`)
}

func TestAKnownIDIsASuccessWithoutNewRows(t *testing.T) {
	w := open(t)
	w.want(200, w.do("POST", "/v3/table/create/shop/other/log", nil))
	w.want(200, w.put(id, row(1)))
	w.want(200, w.put(id, row(1)))
	other := body(row(2))
	sum := md5.Sum(other)
	if got := w.do("PUT", table+id+"/msgpack.gz", other); got.status != 200 || !strings.Contains(got.body, hex.EncodeToString(sum[:])) {
		t.Errorf("another body under the id: %d %s, want its own MD5", got.status, got.body)
	}
	w.want(200, w.do("PUT", "/v3/table/import_with_id/shop/other/"+id+"/msgpack.gz", body(row(1))))
	w.reopen()
	w.want(200, w.put(id, row(1)))
	w.wantLines(`{"time":1}`)
	if files, _ := filepath.Glob(filepath.Join(w.dir, "shop", "other", "*.jsonl")); len(files) > 0 {
		t.Error("the id was taken again in another table")
	}
}

func TestAnIDThatComesTwiceAtOnceIsStoredOnce(t *testing.T) {
	w := open(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { w.want(200, w.put(id, row(1))) })
	}
	wg.Wait()
	w.wantLines(`{"time":1}`)
	if left, err := os.ReadDir(filepath.Join(w.dir, ".tmp")); err != nil || len(left) > 0 {
		t.Errorf("%d files are left aside, %v", len(left), err)
	}
}

func TestIDsAreForgottenByCountAndByAge(t *testing.T) {
	tests := map[string]struct {
		change func(*treasuredata.Options)
		want   string // what comes after a, b and c, imported a minute apart; + where it is stored again
	}{
		"none by default":                  {func(*treasuredata.Options) {}, "c b a"},
		"the oldest beyond the count":      {func(o *treasuredata.Options) { o.IDMemory = 2 }, "c b a+ c b+ a"},
		"those beyond the age":             {func(o *treasuredata.Options) { o.IDAge = 90 * time.Second }, "c b a+ a b"},
		"whichever of the two comes first": {func(o *treasuredata.Options) { o.IDMemory, o.IDAge = 2, 30*time.Second }, "c b+ a+ c+ a b+"},
	}
	for name, test := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", name, restart), func(t *testing.T) {
				w := open(t, test.change)
				for i, id := range []string{"a", "b", "c"} {
					if i > 0 {
						w.clock.advance(time.Minute)
					}
					w.want(200, w.put(id, row(1)))
				}
				for _, next := range strings.Fields(test.want) {
					if restart {
						w.reopen()
					}
					id, again := strings.CutSuffix(next, "+")
					before := len(w.lines())
					w.want(200, w.put(id, row(1)))
					if got := len(w.lines()) > before; got != again {
						t.Errorf("of %s: import %s was stored again: %t", test.want, id, got)
					}
				}
			})
		}
	}
}

func TestAnEmptyImportIsAProbe(t *testing.T) {
	w := open(t)
	w.want(200, w.do("PUT", plain, zip(nil)))
	if got := w.lines(); len(got) > 0 {
		t.Errorf("rows: %q", got)
	}
	w.want(404, w.do("PUT", "/v3/table/import/shop/none/msgpack.gz", zip(nil)))
	w.want(404, w.do("PUT", "/v3/table/import/none/audit/msgpack.gz", zip(nil)))
	// With an id it is an import like any other.
	w.want(200, w.do("PUT", table+id+"/msgpack.gz", zip(nil)))
	w.want(200, w.put(id, row(1)))
	if got := strings.Join(w.lines(), ""); got != "" {
		t.Errorf("rows: %q", got)
	}
}

func TestTablesAreListedWithTheirSchema(t *testing.T) {
	w := open(t)
	empty := w.do("GET", "/v3/table/show/shop/audit", nil)
	if !strings.Contains(empty.body, `"count":0,"schema":"[]",`) {
		t.Errorf("an empty table: %s", empty.body)
	}
	w.clock.advance(time.Minute)
	// Several imports, so that the columns come in a known order.
	for i, r := range []map[string]any{{"a": 1}, {"b": 1.5}, {"c": "x"}, {"d": true}, {"e": []any{1}}, {"f": nil}, {"g": uint64(1 << 63)}, {"a": "now text"}} {
		r["time"] = i
		w.want(200, w.put(fmt.Sprintf("%x", i), r))
	}
	size := 0
	for _, line := range w.lines() {
		size += len(line) + 1
	}
	const first = 1795341600123
	want := fmt.Sprintf(`{"id":%d,"name":"audit","type":"log","count":8,`+
		`"schema":"[[\"a\",\"string\"],[\"b\",\"double\"],[\"c\",\"string\"],[\"d\",\"string\"],[\"e\",\"string\"],[\"g\",\"string\"]]",`+
		`"created_at":"2026-11-22 10:00:00 UTC","updated_at":"2026-11-22 10:01:00 UTC","counter_updated_at":"2026-11-22 10:01:00 UTC",`+
		`"last_log_timestamp":null,"estimated_storage_size":%d,"expire_days":null,"include_v":false,"delete_protected":false}`, first+1, size)
	for range 2 {
		if got := w.do("GET", "/v3/table/show/shop/audit", nil); got.status != 200 || got.body != want {
			t.Errorf("shown %d %s\nwant %s", got.status, got.body, want)
		}
		if got := w.do("GET", "/v3/table/list/shop", nil); got.status != 200 || got.body != `{"tables":[`+want+`]}` {
			t.Errorf("listed %d %s", got.status, got.body)
		}
		databases := `{"databases":[{"name":"shop","count":8,"created_at":"2026-11-22 10:00:00 UTC","updated_at":"2026-11-22 10:01:00 UTC","organization":null,"permission":"administrator"}]}`
		if got := w.do("GET", "/v3/database/list", nil); got.status != 200 || got.body != databases {
			t.Errorf("databases %d %s\nwant %s", got.status, got.body, databases)
		}
		w.reopen()
	}
}

func TestTailGivesTheLastRows(t *testing.T) {
	w := open(t)
	w.want(200, w.put("a", row(1), row(2), row(3)))
	w.want(200, w.put("b", row(4)))
	nested := map[string]any{"time": int64(5), "x": []any{1.0, nil, map[string]any{"y": "text"}, false, uint64(1<<64 - 1)}}
	w.want(200, w.put("c", nested))
	tests := map[string]struct {
		count string
		want  []any
	}{
		"fewer than an import has": {"1", []any{int64(5)}},
		"a part of an import":      {"4", []any{int64(2), int64(3), int64(4), int64(5)}},
		"more than there are":      {"99", []any{int64(1), int64(2), int64(3), int64(4), int64(5)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			got := w.do("GET", "/v3/table/tail/shop/audit?format=msgpack&count="+test.count, nil)
			w.want(200, got)
			var times []any
			var last map[string]any
			for rest := []byte(got.body); len(rest) > 0; {
				var err error
				if last, rest, err = msgp.ReadMapStrIntfBytes(rest, nil); err != nil {
					t.Fatal(err)
				}
				times = append(times, last["time"])
			}
			if !slices.Equal(times, test.want) || fmt.Sprint(last) != fmt.Sprint(nested) {
				t.Errorf("times %v, the last row %v", times, last)
			}
		})
	}
	w.want(400, w.do("GET", "/v3/table/tail/shop/audit?format=msgpack", nil))
	w.want(400, w.do("GET", "/v3/table/tail/shop/audit?count=3", nil))
	w.want(404, w.do("GET", "/v3/table/tail/shop/none?count=3&format=msgpack", nil))
}

func envelope(status int, message string) string {
	text, _ := json.Marshal(message)
	return fmt.Sprintf(`{"error":%s,"message":%s,"text":%s,"severity":"error","status_code":%d}`, text, text, text, status)
}
