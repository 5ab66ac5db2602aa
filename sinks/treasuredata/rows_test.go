package treasuredata_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/schema"
	"tributary/sinks/treasuredata"
)

// oneRow flushes one event and returns its row.
func oneRow(t *testing.T, e schema.Event, change ...func(*treasuredata.Config)) map[string]any {
	t.Helper()
	w := newWorld(t)
	flush(t, w.importer(change...), rangeOf(1, 1), record(t, 1, e))
	for _, rows := range w.rows() {
		return rows[0]
	}
	t.Fatal("no row")
	return nil
}

func bare(c *treasuredata.Config) { c.Metadata = nil }

func flat(c *treasuredata.Config) { c.Metadata, c.Nested = nil, "flatten" }

func TestLinesBecomeColumns(t *testing.T) {
	for name, c := range map[string]struct {
		line   string
		change func(*treasuredata.Config)
		want   string // without time
	}{
		"texts, numbers and words stay what they are": {`{"a":"x","b":-12,"c":1.5,"d":true,"e":false,"f":null,"g":""}`, bare,
			`{"a":"x","b":-12,"c":1.5,"d":true,"e":false,"f":null,"g":""}`},
		"integers up to the edge stay integers": {`{"a":-9223372036854775808,"b":18446744073709551615,"c":9223372036854775808}`, bare,
			`{"a":-9223372036854775808,"b":18446744073709551615,"c":9223372036854775808}`},
		"integers beyond it become text": {`{"a":-9223372036854775809,"b":18446744073709551616}`, bare,
			`{"a":"-9223372036854775809","b":"18446744073709551616"}`},
		"numbers with an exponent are doubles":  {`{"a":1e3,"b":2.0,"c":-0}`, bare, `{"a":1000.0,"b":2.0,"c":0}`},
		"numbers no double holds become text":   {`{"a":1e999}`, bare, `{"a":"1e999"}`},
		"nested values become their text":       {`{"a":{"b":[1, 2]},"c":[{"d":null}]}`, bare, `{"a":"{\"b\":[1, 2]}","c":"[{\"d\":null}]"}`},
		"or columns of their own":               {`{"a":{"b":{"c":1},"d":[1]},"e":{}}`, flat, `{"a_b_c":1,"a_d":"[1]","e":"{}"}`},
		"an inner empty object is no loss":      {`{"a":{"b":{}}}`, flat, `{"a_b":"{}"}`},
		"who has the very name keeps it":        {`{"a":{"b":1},"a_b":2,"A.b":3}`, flat, `{"a_b":2,"a_b_1":3,"a_b_2":1}`},
		"names are squashed":                    {`{"traceId":1,"http.status-code":2,"3d":3,"_x":4}`, bare, `{"traceid":1,"http_status_code":2,"_3d":3,"_x":4}`},
		"names in kanji get a hash":             {`{"注文":1,"在庫":2}`, bare, `{"_266125dd":1,"_ee34caad":2}`},
		"an empty name is an underscore":        {`{"":1}`, bare, `{"_":1}`},
		"clashes get numbers":                   {`{"A":1,"a":2,"Á":3,"a_1":4}`, bare, `{"a":2,"a_1":4,"a_2":1,"_a77caf66":3}`},
		"whatever the order":                    {`{"a_1":4,"Á":3,"a":2,"A":1}`, bare, `{"a":2,"a_1":4,"a_2":1,"_a77caf66":3}`},
		"time and v get numbers":                {`{"time":"now","v":1,"Time":2}`, bare, `{"time_1":2,"time_2":"now","v_1":1}`},
		"of a member twice the last counts":     {`{"a":1,"b":2,"\u0061":3,"b":4}`, bare, `{"a":3,"b":4}`},
		"a line that is no object is a message": {`hello "you"`, bare, `{"message":"hello \"you\""}`},
		"half an object too":                    {`{"a":1`, bare, `{"message":"{\"a\":1"}`},
		"wrong UTF-8 is mended":                 {"{\"a\":\"x\xffy\",\"b\xc3\":\"\\ud800\"}", bare, "{\"a\":\"x\uFFFDy\",\"b_\":\"\uFFFD\"}"},
		"escapes are undone":                    {`{"a\n":"tab\tquote\"\u00e9\ud83d\ude00"}`, bare, `{"a_":"tab\tquote\"é😀"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := oneRow(t, event(schema.KindApp, "cart", c.line), c.change)
			if got["time"] != json.Number("1795348800") {
				t.Errorf("time %v", got["time"])
			}
			delete(got, "time")
			if want := decodeJSON(t, []byte(c.want)); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestMetadataGoesBesideTheLine(t *testing.T) {
	e := event(schema.KindApp, "cart", `{"service":"mine","_host":"h"}`)
	e.Origin = &schema.Origin{
		Service: "cart", ContainerID: "0a1b", ContainerName: "web-1", Source: "stderr", Host: "ip-10-0-0-1", Tag: "docker.x",
		Labels: []schema.Label{{Name: "a", Value: "1"}, {Name: "b", Value: "\xff"}},
	}
	e.Flags = schema.FlagIncomplete
	for name, c := range map[string]struct {
		change func(*treasuredata.Config)
		want   string
	}{
		"by default": {func(*treasuredata.Config) {},
			`{"time":1795348800,"_service":"cart","_kind":"app","_container_id":"0a1b","_container_name":"web-1","_source":"stderr","_host":"ip-10-0-0-1","_incomplete":true,"service":"mine","_host_1":"h"}`},
		"none": {bare, `{"time":1795348800,"_incomplete":true,"service":"mine","_host":"h"}`},
		"all of it, without a prefix": {func(c *treasuredata.Config) { c.Metadata, c.MetadataPrefix = treasuredata.MetadataNames(), "" },
			`{"time":1795348800,"service":"cart","kind":"app","container_id":"0a1b","container_name":"web-1","source":"stderr","host":"ip-10-0-0-1","tag":"docker.x",
			"labels":"{\"a\":\"1\",\"b\":\"\\ufffd\"}","time_ns":1795348800123456789,"shard":"shardId-000000000002","sequence":"` + string(sequence(1)) + `","index":0,"incomplete":true,"service_1":"mine","_host":"h"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := oneRow(t, e, c.change), decodeJSON(t, []byte(c.want)); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestPartsOfALineAreMarkedMessages(t *testing.T) {
	e := event(schema.KindAudit, "cart", `{"looks":"whole"}`)
	e.Part = schema.Part{Line: [16]byte{0xab}, Number: 2, Count: 3}
	got := oneRow(t, e, bare)
	want := decodeJSON(t, []byte(`{"time":1795348800,"message":"{\"looks\":\"whole\"}","_part_line":"ab000000000000000000000000000000","_part_number":2,"_part_count":3}`))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestTimesBeforeTheEpochRoundDown(t *testing.T) {
	e := event(schema.KindApp, "cart", "{}")
	e.Time = -1
	if got := oneRow(t, e)["time"]; got != json.Number("-1") {
		t.Errorf("time %v", got)
	}
}

func TestMembersAboveTheLimitGoIntoOneColumn(t *testing.T) {
	var line strings.Builder
	line.WriteByte('{')
	for i := range 700 {
		fmt.Fprintf(&line, `"key%d":%d,`, i, i)
	}
	line.WriteString(`"key0":"again","last":[1,"ü"]}`)
	for name, change := range map[string]func(*treasuredata.Config){
		"as text": func(*treasuredata.Config) {}, "flattened": func(c *treasuredata.Config) { c.Nested = "flatten" },
		"without metadata": bare, "with few columns": func(c *treasuredata.Config) { c.MaxColumns = 32 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			flush(t, w.importer(change), rangeOf(1, 1), record(t, 1, event(schema.KindApp, "cart", line.String())))
			row := w.rows()["tributary.cart_app"][0]
			limit := 512
			if name == "with few columns" {
				limit = 32
			}
			if len(row) > limit || len(row) < limit-10 {
				t.Errorf("%d columns", len(row))
			}
			rest := decodeJSON(t, []byte(row["_rest"].(string)))
			for i := 1; i < 700; i++ {
				k := fmt.Sprintf("key%d", i)
				_, column := row[k]
				_, over := rest[k]
				if column == over {
					t.Errorf("%s: a column %v, in the rest %v", k, column, over)
				}
			}
			if row["key0"] != "again" || !reflect.DeepEqual(rest["last"], []any{json.Number("1"), "ü"}) {
				t.Errorf("key0 %v, last %v", row["key0"], rest["last"])
			}
			if int(w.metric("overflowed_members_total")) != len(rest) {
				t.Errorf("%v counted of %d", w.metric("overflowed_members_total"), len(rest))
			}
		})
	}
}

func TestMendedRowsAreCounted(t *testing.T) {
	w := newWorld(t)
	flush(t, w.importer(), rangeOf(1, 1), record(t, 1,
		event(schema.KindApp, "cart", "{\"a\":\"\xff\xff\"}"), event(schema.KindApp, "cart", `{"a":"\udc00"}`),
		event(schema.KindRaw, "cart", "\xc3("), event(schema.KindApp, "cart", `{"a":"ü"}`)))
	if n := w.metric("mended_rows_total"); n != 3 {
		t.Errorf("%v rows", n)
	}
}

func TestALineOfFiveMegabytesIsARow(t *testing.T) {
	w := newWorld(t)
	text := strings.Repeat("0123456789abcdef", 5<<16)
	events := []schema.Event{event(schema.KindApp, "cart", `{"n":"#0"}`), event(schema.KindApp, "cart", `{"n":"#1","x":"`+text+`"}`), event(schema.KindApp, "cart", `{"n":"#2"}`)}
	flush(t, w.importer(func(c *treasuredata.Config) { c.BodyBytes, c.EncodeBytes = 64<<10, 16<<20 }), rangeOf(1, 1), record(t, 1, events...))
	w.wantOnce(3)
	for _, row := range w.rows()["tributary.cart_app"] {
		if row["n"] == "#1" && row["x"] != text {
			t.Error("the line came back otherwise")
		}
	}
	if len(w.imports()) != 3 {
		t.Errorf("%d bodies", len(w.imports()))
	}
}

func TestAFieldThatChangesItsTypeIsTakenAsItComes(t *testing.T) {
	w := newWorld(t)
	var events []schema.Event
	for i, v := range []string{`1`, `"one"`, `1.5`, `{"a":1}`, `null`, `true`} {
		events = append(events, event(schema.KindApp, "cart", fmt.Sprintf(`{"n":"#%d","x":%s}`, i, v)))
	}
	flush(t, w.importer(), rangeOf(1, 1), record(t, 1, events...))
	w.wantOnce(6)
	var got []any
	for _, r := range w.rows()["tributary.cart_app"] {
		got = append(got, r["x"])
	}
	if want := []any{json.Number("1"), "one", json.Number("1.5"), `{"a":1}`, nil, true}; !reflect.DeepEqual(got, want) || len(w.kept.items) > 0 {
		t.Errorf("%v", got)
	}
}

func TestNamesOfTablesAreFitAndTellServicesApart(t *testing.T) {
	services := []string{"", "cart", "order-api", "order_api", "order.api", "Order-Api", "order--api", "a", "-", "注文", "_", "__", "x y", strings.Repeat("long", 100), strings.Repeat("long", 101)}
	w := newWorld(t)
	var events []schema.Event
	for _, s := range services {
		events = append(events, event(schema.KindApp, s, `{}`))
	}
	flush(t, w.importer(func(c *treasuredata.Config) { c.Table = "{service}" }), rangeOf(1, 1), record(t, 1, events...))
	var got []string
	for name, rows := range w.rows() {
		if len(rows) != 1 {
			t.Errorf("%s has %d rows", name, len(rows))
		}
		table := strings.TrimPrefix(name, "tributary.")
		if len(table) < 3 || len(table) > 255 || strings.Trim(table, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("table %q", table)
		}
		got = append(got, table)
	}
	if len(got) != len(services) {
		t.Errorf("%d tables of %d services: %q", len(got), len(services), got)
	}
	for _, want := range []string{"unknown", "cart", "order__api", "order_api", "order_api_e7e801ef"} {
		if !slices.Contains(got, want) {
			t.Errorf("no table %s among %q", want, got)
		}
	}
}

func TestBytesStayTheSame(t *testing.T) {
	w := newWorld(t)
	im := w.importer(func(c *treasuredata.Config) { c.Metadata = []string{"service", "kind", "time_ns", "index"} })
	const plan = `{"format":1,"group":"treasuredata","database":"tributary","table":"{service}_{kind}","nested":"json","metadata":["service","kind","time_ns","index"],"metadata_prefix":"_","max_columns":512,"body_bytes":16777216,"body_rows":8096,"gzip_level":1,"max_halvings":256,"rules":`
	if !strings.HasPrefix(im.Plan(), plan) {
		t.Errorf("plan %s", im.Plan())
	}
	r := rangeOf(1, 2)
	r.Generation = 4
	raw := event(schema.KindRaw, "cart", "plain")
	raw.Flags = schema.FlagIncomplete
	flush(t, im, r, record(t, 1, event(schema.KindApp, "cart", `{"Level":"INFO","n":70000,"f":0.5,"deep":{"a":1},"v":null}`), event(schema.KindApp, "cart", `{"big":18446744073709551616}`)), record(t, 2, raw))
	want := map[string]string{
		"/v3/table/import_with_id/tributary/cart_app/21f418536dde50816b0537212af08355/msgpack.gz": "8aa474696d65d26b02d940a85f73657276696365a463617274a55f6b696e64a3617070a85f74696d655f6e73d318ea5c38b7484d15a65f696e64657800a56c6576656ca4494e464fa16ed200011170a166cb3fe0000000000000a464656570a77b2261223a317da3765f31c0" +
			"86a474696d65d26b02d940a85f73657276696365a463617274a55f6b696e64a3617070a85f74696d655f6e73d318ea5c38b7484d15a65f696e64657801a3626967b43138343436373434303733373039353531363136",
		"/v3/table/import_with_id/tributary/cart_raw/5e8c97840471e853d5a941ae8e918f86/msgpack.gz": "87a474696d65d26b02d940a85f73657276696365a463617274a55f6b696e64a3726177a85f74696d655f6e73d318ea5c38b7484d15a65f696e64657800ab5f696e636f6d706c657465c3a76d657373616765a5706c61696e",
	}
	if n := len(w.imports()); n != len(want) {
		t.Errorf("%d bodies", n)
	}
	for _, sent := range w.imports() {
		got := hex.EncodeToString(gunzip(t, sent.body))
		if want[sent.path] != got {
			t.Errorf("%s has\n%s", sent.path, got)
		}
	}
}

func TestALaterPlanIsRefusedForGood(t *testing.T) {
	w := newWorld(t)
	im := w.importer()
	for name, c := range map[string]struct{ plan, want string }{
		"a later format":          {strings.Replace(im.Plan(), `"format":1`, `"format":2`, 1), "a newer one made it"},
		"a field of a later one":  {strings.Replace(im.Plan(), `"format":1`, `"format":1,"more":1`, 1), "unknown field"},
		"no plan":                 {"", "read plan"},
		"two plans":               {im.Plan() + "{}", "read plan"},
		"a value out of bounds":   {strings.Replace(im.Plan(), `"body_rows":8096`, `"body_rows":0`, 1), "body_rows"},
		"a template out of words": {strings.Replace(im.Plan(), `{service}_{kind}`, `{hour}`, 1), "unknown {hour}"},
	} {
		if _, err := im.Open(t.Context(), shard, c.plan); err == nil || !isPermanent(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAReplayFollowsItsPlan(t *testing.T) {
	w := newWorld(t)
	batches, r := traffic(t, 300)
	plan := w.importer(func(c *treasuredata.Config) { c.Table, c.BodyRows = "old_{kind}", 10 }).Plan()
	s, err := w.importer().Open(t.Context(), shard, plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if rows := w.rows(); len(rows["tributary.old_app"]) != 240 || len(rows["tributary.old_raw"]) != 60 || len(w.imports()) != 30 {
		t.Errorf("%d tables, %d bodies", len(rows), len(w.imports()))
	}
}

func TestConfigurationsThatCannotWorkSayWhy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*treasuredata.Config)
		want   string
	}{
		"no group":                    {func(c *treasuredata.Config) { c.GroupName = "" }, "group is missing"},
		"no key":                      {func(c *treasuredata.Config) { c.APIKey = "" }, "api_key is missing"},
		"two keys":                    {func(c *treasuredata.Config) { c.APIKeyFile = "x" }, "exclude one another"},
		"an endpoint with a path":     {func(c *treasuredata.Config) { c.APIEndpoint = "https://x/v3" }, "api_endpoint"},
		"an endpoint without scheme":  {func(c *treasuredata.Config) { c.ImportEndpoint = "api.x" }, "import_endpoint"},
		"the service in the clear":    {func(c *treasuredata.Config) { c.APIEndpoint = "http://api.treasuredata.co.jp" }, "takes https"},
		"a table with a hyphen":       {func(c *treasuredata.Config) { c.Table = "a-{kind}" }, `has the character '-'`},
		"a table with an unknown":     {func(c *treasuredata.Config) { c.Table = "{hour}" }, "unknown {hour}"},
		"an open brace":               {func(c *treasuredata.Config) { c.Table = "x{kind" }, `without its "}"`},
		"a short database":            {func(c *treasuredata.Config) { c.Database = "ab" }, "fewer than 3"},
		"no table":                    {func(c *treasuredata.Config) { c.Table = "" }, "fewer than 3"},
		"an unknown nested":           {func(c *treasuredata.Config) { c.Nested = "both" }, "neither"},
		"unknown metadata":            {func(c *treasuredata.Config) { c.Metadata = []string{"x"} }, "is none of"},
		"metadata twice":              {func(c *treasuredata.Config) { c.Metadata = []string{"kind", "kind"} }, "twice"},
		"a prefix that is no name":    {func(c *treasuredata.Config) { c.MetadataPrefix = "1-" }, "metadata_prefix"},
		"a level gzip does not have":  {func(c *treasuredata.Config) { c.GzipLevel = 10 }, "gzip_level"},
		"an attempt without time":     {func(c *treasuredata.Config) { c.AttemptTimeout = time.Millisecond }, "attempt_timeout"},
		"fewer columns than metadata": {func(c *treasuredata.Config) { c.MaxColumns = 5 }, "max_columns"},
	} {
		cfg := config()
		c.change(&cfg)
		_, err := treasuredata.New(cfg, schema.DefaultRules(), nil, nil, nil, nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheKeyIsNotPrinted(t *testing.T) {
	c := config()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{string(text), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), c.APIKey.LogValue().String()} {
		if strings.Contains(out, key) || !strings.Contains(out, "***") {
			t.Errorf("%s", out)
		}
	}
}
