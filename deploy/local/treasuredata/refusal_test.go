package treasuredata_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/treasuredata"
)

func TestErrorsAreTheService(t *testing.T) {
	w := open(t)
	long := strings.Repeat("a", 257)
	tests := map[string]struct {
		method, path string
		status       int
		message      string
	}{
		"a database that is there":        {"POST", "/v3/database/create/shop", 409, "Database shop already exists"},
		"a table that is there":           {"POST", "/v3/table/create/shop/audit/log", 409, "Table audit already exists"},
		"a table in no database":          {"POST", "/v3/table/create/none/audit/log", 404, "Couldn't find UserDatabase with name = none"},
		"a database's name that is short": {"POST", "/v3/database/create/a", 400, "Name must be 3 to 256 characters, got 1 characters. name = 'a'"},
		"a table's name that is long":     {"POST", "/v3/table/create/shop/" + long + "/log", 400, "Name must be 3 to 256 characters, got 257 characters. name = '" + long + "'"},
		"a name of wrong characters":      {"POST", "/v3/database/create/Shop%2Fx", 400, "Name must consist of a-z, 0-9 and '_'. name = 'Shop/x'"},
		"a name that is a path":           {"POST", "/v3/database/create/%2E%2E%2F", 400, "Name must consist of a-z, 0-9 and '_'. name = '../'"},
		"a name no directory can have":    {"POST", "/v3/database/create/" + long[1:], 400, "the local endpoint does not support names of 256 characters. name = '" + long[1:] + "'"},
		"tables of no database":           {"GET", "/v3/table/list/none", 404, "Couldn't find UserDatabase with name = none"},
		"a table that is not there":       {"GET", "/v3/table/show/shop/none", 404, "Couldn't find UserTable with name = none"},
		"an import into no database":      {"PUT", "/v3/table/import/none/audit/msgpack.gz", 404, "Couldn't find UserDatabase with name = none"},
		"an import into no table":         {"PUT", "/v3/table/import_with_id/shop/none/ab/msgpack.gz", 404, "Couldn't find UserTable with name = none"},
		"an id that is not hexadecimal":   {"PUT", "/v3/table/import_with_id/shop/audit/AB/msgpack.gz", 400, "the unique id is wrong: want 1 to 200 characters of 0-9 and a-f"},
		"an id that is too long":          {"PUT", "/v3/table/import_with_id/shop/audit/" + long + "/msgpack.gz", 400, "the unique id is wrong: want 1 to 200 characters of 0-9 and a-f"},
		"another format":                  {"PUT", "/v3/table/import/shop/audit/json.gz", 400, "the local endpoint does not support PUT /v3/table/import/shop/audit/json.gz"},
		"another request":                 {"POST", "/v3/table/swap/shop/a/b", 400, "the local endpoint does not support POST /v3/table/swap/shop/a/b"},
		"another method":                  {"POST", "/v3/database/list", 405, "the local endpoint does not support POST /v3/database/list"},
		"a parameter of the query":        {"POST", "/v3/table/create/shop/new/log?idempotent_key=x", 400, "the local endpoint does not support CreateTable with the parameter idempotent_key"},
		"a parameter of an import":        {"PUT", plain + "?x=1", 400, "the local endpoint does not support Import with the parameter x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := w.do(test.method, test.path, nil)
			if got.status != test.status || got.body != envelope(test.status, test.message) {
				t.Errorf("got %d %s, %v\nwant %d %s", got.status, got.body, got.err, test.status, test.message)
			}
			if got.header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", got.header)
			}
		})
	}
}

func TestAFormIsRefusedByItsParameter(t *testing.T) {
	w := open(t)
	const path = "/v3/table/create/shop/new/log"
	got := w.do("POST", path, []byte("expire_days=3"), "Content-Type", "application/x-www-form-urlencoded")
	if got.status != 400 || got.body != envelope(400, "the local endpoint does not support CreateTable with the parameter expire_days") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	w.want(415, w.do("POST", path, []byte(`{"expire_days":3}`), "Content-Type", "application/json"))
	w.want(413, w.do("POST", path, bytes.Repeat([]byte("x"), 65<<10)))
	w.want(404, w.do("GET", "/v3/table/show/shop/new", nil))
}

func TestABodyIsRefusedAsAWhole(t *testing.T) {
	w := open(t, func(o *treasuredata.Options) {
		o.BodyBytes, o.DecodedBytes, o.RowBytes, o.RowColumns = 4<<10, 64<<10, 32<<10, 3
	})
	deep := msgp.AppendInt64(msgp.AppendString(msgp.AppendMapHeader(nil, 2), "time"), 1)
	deep = append(msgp.AppendString(deep, "x"), bytes.Repeat([]byte{0x91}, 1000)...)
	twice := msgp.AppendMapHeader(nil, 2)
	for range 2 {
		twice = msgp.AppendInt64(msgp.AppendString(twice, "time"), 1)
	}
	extended, err := msgp.AppendExtension(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "x"), &msgp.RawExtension{Type: 7, Data: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	array := append([]byte{0x91}, packed(row(1))...)
	whole := packed(row(1), row(2))
	zeros := func(n int) map[string]any { return map[string]any{"time": 1, "x": strings.Repeat("0", n)} }
	tests := map[string]struct {
		body    []byte
		status  int
		message string
	}{
		"no gzip":                        {[]byte("hello, this is text"), 400, "the body is not gzip"},
		"nothing at all":                 {nil, 400, "the body is not gzip"},
		"gzip that is cut":               {body(row(1))[:20], 400, "the body is torn or is no gzip over msgpack, in row 0 or"},
		"gzip and something behind it":   {append(body(row(1)), "behind"...), 400, "the body is torn or is no gzip over msgpack, in row 0 or"},
		"an array of maps":               {zip(array), 400, "row 0 is of type array: want msgpack maps"},
		"a map and a number":             {zip(append(packed(row(1)), 7)), 400, "row 1 is of type int"},
		"a row that is cut":              {zip(whole[:len(whole)-1]), 400, "the body is torn or is no gzip over msgpack, in row 1 or"},
		"a byte that means nothing":      {zip([]byte{0x81, 0xa1, 'x', 0xc1}), 400, "the body is torn or is no gzip over msgpack, in row 0 or"},
		"values nested too deep":         {zip(deep), 400, "the body is torn or is no gzip over msgpack, in row 0 or"},
		"a row without a time":           {body(row(1), map[string]any{"x": 1}), 422, "row 1 has no time"},
		"a time that is a string":        {body(map[string]any{"time": "1"}), 422, "row 0 has a time of type str"},
		"a time that is a float":         {body(map[string]any{"time": 1.5}), 422, "row 0 has a time of type float64"},
		"a time beyond 63 bits":          {body(map[string]any{"time": uint64(1 << 63)}), 422, "row 0 has a time of type uint"},
		"a column in capitals":           {body(map[string]any{"userId": 1}), 422, `row 0 has the column "userId"`},
		"a column that begins with one":  {body(map[string]any{"1st": 1}), 422, `row 0 has the column "1st"`},
		"a column without a name":        {body(map[string]any{"": 1}), 422, `row 0 has the column ""`},
		"a column with a long name":      {body(map[string]any{strings.Repeat("x", 256): 1}), 422, `row 0 has the column "xxx`},
		"the reserved column":            {body(map[string]any{"v": 1}), 422, `row 0 has the column "v"`},
		"a column twice":                 {zip(twice), 422, `row 0 has the column "time" twice`},
		"a column named by a number":     {zip([]byte{0x81, 1, 2}), 422, "row 0 has a column name of type int"},
		"a column more than allowed":     {body(map[string]any{"time": 1, "a": 1, "b": 1, "c": 1}), 422, "row 0 has 4 columns: allowed are 3"},
		"a nested map named by a number": {zip([]byte{0x81, 0xa1, 'x', 0x81, 1, 2}), 422, `row 0, column "x": a nested map has a key of type int`},
		"an extension":                   {zip(extended), 422, `row 0, column "x": a msgpack ext is not supported`},
		"a float that is no number":      {zip([]byte{0x81, 0xa1, 'x', 0xca, 0x7f, 0xc0, 0, 0}), 422, `row 0, column "x": NaN is not`},
		"a row above the limit":          {body(zeros(33 << 10)), 422, "row 0 is larger than 32768 bytes"},
		"a row whose line is above it":   {body(map[string]any{"time": 1, "x": strings.Repeat("\x01", 8<<10)}), 422, "row 0 is larger than 32768 bytes"},
		"rows above the limit unpacked":  {body(zeros(30<<10), zeros(30<<10), zeros(30<<10)), 413, "the body is larger than 65536 bytes when it is unpacked"},
		"a body above the limit":         {make([]byte, 4<<10+1), 413, "the body has 4097 bytes: allowed are 4096"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := w.do("PUT", table+id+"/msgpack.gz", test.body)
			if got.status != test.status || !strings.Contains(got.body, `"message":"`+strings.ReplaceAll(test.message, `"`, `\"`)) {
				t.Errorf("got %d %s, %v\nwant %d %s", got.status, got.body, got.err, test.status, test.message)
			}
		})
	}
	if lines := w.lines(); len(lines) > 0 {
		t.Errorf("rows of refused bodies: %q", lines)
	}
	w.want(200, w.put(id, row(1))) // none of them has spent the id
	w.wantLines(`{"time":1}`)
}

func TestARequestOfAnImportIsReadStrictly(t *testing.T) {
	w := open(t)
	w.want(415, w.do("PUT", plain, body(row(1)), "Content-Type", "application/json"))
	w.want(415, w.do("PUT", plain, body(row(1)), "Content-Encoding", "gzip"))
	req, err := http.NewRequestWithContext(t.Context(), "PUT", w.url+plain, io.MultiReader(bytes.NewReader(body(row(1))))) // of unknown length
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", key)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 411 {
		t.Errorf("a body of unknown length: %d, want 411", resp.StatusCode)
	}
	if lines := w.lines(); len(lines) > 0 {
		t.Errorf("rows: %q", lines)
	}
}

func TestKeysAreToldApart(t *testing.T) {
	w := open(t, func(o *treasuredata.Options) {
		o.APIKeys, o.WriteOnlyKeys = []string{strings.TrimPrefix(key, "TD1 ")}, []string{"9/write"}
	})
	create, show, probe := [2]string{"POST", "/v3/database/create/new"}, [2]string{"GET", "/v3/table/show/shop/audit"}, [2]string{"PUT", plain}
	tests := map[string]struct {
		key    string
		call   [2]string
		status int
	}{
		"the right key":                 {key, show, 200},
		"no key":                        {"", show, 401},
		"another scheme":                {"Bearer x", show, 401},
		"an empty key":                  {"TD1 ", show, 401},
		"a key with a space":            {"TD1 a b", show, 401},
		"a wrong key":                   {"TD1 1/0", probe, 401},
		"a write-only key that imports": {"TD1 9/write", probe, 200},
		"a write-only key that creates": {"TD1 9/write", create, 403},
		"a write-only key that looks":   {"TD1 9/write", show, 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t, w.key = t, test.key
			var sent []byte
			if test.call[0] == "PUT" {
				sent = zip(nil)
			}
			got := w.do(test.call[0], test.call[1], sent)
			w.want(test.status, got)
			if test.status != 200 && !strings.HasSuffix(got.body, fmt.Sprintf(`,"severity":"error","status_code":%d}`, test.status)) {
				t.Errorf("answer %s", got.body)
			}
		})
	}
}

func TestFaultsHitAsElsewhere(t *testing.T) {
	tests := map[string]struct {
		rule   fault.Rule
		status int // 0: no answer
		body   string
		stored bool
	}{
		"a throttled import is not done":            {fault.Rule{Action: fault.Throttle}, 429, envelope(429, "too many requests"), false},
		"a failed import is not done":               {fault.Rule{Action: fault.Error}, 500, envelope(500, "injected by a fault rule"), false},
		"the failure has the status asked for":      {fault.Rule{Action: fault.Error, Status: 503}, 503, envelope(503, "injected by a fault rule"), false},
		"an import whose answer is lost is done":    {fault.Rule{Action: fault.LoseResponse}, 0, "", true},
		"an import whose commit is delayed is done": {fault.Rule{Action: fault.DelayCommit, Delay: time.Millisecond}, 200, "", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			test.rule.Service, test.rule.Operation, test.rule.Count = "td", "ImportWithID", 1
			if err := w.faults.Replace([]fault.Rule{test.rule}); err != nil {
				t.Fatal(err)
			}
			w.want(200, w.do("PUT", plain, zip(nil))) // the probe is another operation
			got := w.put(id, row(1))
			if got.status != test.status || (got.err != nil) != (test.status == 0) || test.body != "" && got.body != test.body {
				t.Errorf("got %d %s, %v", got.status, got.body, got.err)
			}
			if test.status == 429 && got.header.Get("Retry-After") != "1" {
				t.Errorf("headers %v", got.header)
			}
			if stored := len(w.lines()) > 0; stored != test.stored {
				t.Errorf("stored: %t", stored)
			}
			w.want(200, w.put(id, row(1)))
			w.wantLines(`{"time":1}`)
		})
	}
}
