package formats

import (
	"crypto/md5"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"tributary/schema"
)

// arrival is when every record of a version directory came.
var arrival = time.Unix(1_700_000_000, 123)

// decoded is what a record holds, as it stands beside it.
type decoded struct {
	Epoch   string
	Lane    uint32
	Events  []event
	Rejects []reject
}

type event struct {
	Time                     int64
	Kind                     string
	Flags                    uint8
	PartLine                 []byte
	PartNumber, PartCount    uint32
	Service, Container, Name string
	Source, Tag, Host        []byte
	Labels                   [][2][]byte // bytes, because no label needs to be text
	Line                     []byte
	Offset                   uint64
	Index                    uint32
}

type reject struct {
	Index  uint32
	Reason string
	Data   []byte
}

func decode(record []byte) decoded {
	b, rejects, _ := schema.NewDecoder().Decode(record, arrival)
	d := decoded{Epoch: b.Epoch.String(), Lane: b.Lane}
	for _, e := range b.Events {
		o := e.Origin
		out := event{
			Time: e.Time, Kind: e.Kind.String(), Flags: uint8(e.Flags), PartNumber: e.Part.Number, PartCount: e.Part.Count,
			Service: o.Service, Container: o.ContainerID, Name: o.ContainerName, Source: []byte(o.Source), Tag: []byte(o.Tag), Host: []byte(o.Host),
			Line: e.Line, Offset: e.Offset, Index: e.Index,
		}
		if e.Part.Number > 0 {
			out.PartLine = e.Part.Line[:]
		}
		for _, l := range o.Labels {
			out.Labels = append(out.Labels, [2][]byte{[]byte(l.Name), []byte(l.Value)})
		}
		d.Events = append(d.Events, out)
	}
	for _, r := range rejects {
		d.Rejects = append(d.Rejects, reject{r.Index, r.Reason, r.Data})
	}
	return d
}

// records are one of each kind that this version writes or takes from others.
func records() map[string][]byte {
	web := &schema.Origin{
		Service: "web", ContainerID: "0f1e2d3c4b5a", ContainerName: "shop-web-1", Source: "stdout", Tag: "docker.web", Host: "i-0abc",
		Labels: []schema.Label{{Name: "com.docker.compose.service", Value: "web"}, {Name: "empty", Value: ""}, {Name: "odd", Value: "\xff"}},
	}
	api := &schema.Origin{Service: "api", Source: "stderr"}
	id := [16]byte{0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}
	full := encoded(&schema.Batch{Epoch: epoch, Lane: 300, Events: []schema.Event{
		{Time: 1_700_000_000_123_456_789, Kind: schema.KindApp, Origin: web, Line: []byte(`{"message":"hello"}`), Offset: 1 << 40},
		{Time: 1_700_000_000_000_000_000, Kind: schema.KindAudit, Origin: api, Line: []byte(`{"marker":"AUDIT"}`), Offset: 1<<40 + 1},
		{Time: -1, Kind: schema.KindRaw, Origin: web, Line: []byte("tex\xff\x00t"), Offset: 1<<40 + 300, Flags: schema.FlagIncomplete},
		{Time: 1_700_000_001_000_000_000, Kind: schema.KindUnset, Origin: api, Line: []byte{}, Offset: 1<<40 + 300, Part: schema.Part{Line: id, Number: 1, Count: 2}},
		{Time: 1_700_000_001_000_000_000, Kind: schema.KindRaw, Origin: api, Line: []byte("b"), Offset: 1 << 63, Flags: 0xfe, Part: schema.Part{Line: id, Number: 2, Count: 2}},
	}})
	return map[string][]byte{
		"v1_full":      full,
		"v1_empty":     encoded(&schema.Batch{Epoch: schema.Epoch{15: 1}}),
		"kpl":          aggregate("{\"a\":1}\n{\"a\":2}", "no JSON", `{"b":3}`),
		"kpl_damaged":  append(aggregate(`{"a":1}`), 0),
		"json_lines":   []byte("{\"a\":1}\r\n\nplain\n{\"a\":2}\n"),
		"json_object":  []byte(" {\n  \"a\": 1\n}\n"),
		"text":         []byte("hello"),
		"v1_truncated": full[:len(full)-9],
	}
}

// aggregate writes user records as the Kinesis Producer Library does.
func aggregate(users ...string) []byte {
	bytesField := func(m []byte, field protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
	}
	m := bytesField(nil, 1, []byte("key"))
	for _, u := range users {
		r := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
		m = bytesField(m, 3, bytesField(r, 3, []byte(u)))
	}
	sum := md5.Sum(m)
	return slices.Concat([]byte("\xF3\x89\x9A\xC2"), m, sum[:])
}

func TestOldRecordsAreRead(t *testing.T) {
	eachVersion(t, func(t *testing.T, dir string) {
		files, err := filepath.Glob(filepath.Join(dir, "records", "*.bin"))
		if must(t, err); len(files) == 0 {
			t.Fatal("no records")
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".bin")
			t.Run(name, func(t *testing.T) {
				expect(t, decode(readFile(t, file)), dir, "records", name+".json")
			})
		}
	})
}

func freezeRecords(t *testing.T, dir string) {
	all := records()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		save(t, all[name], dir, "records", name+".bin")
		save(t, pretty(t, decode(all[name])), dir, "records", name+".json")
	}
}

// What this version says of a later one's records: what it does not need it skips,
// what it cannot judge becomes a reject that holds every byte.
func TestRecordsOfALaterVersion(t *testing.T) {
	field := protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), []byte("of a later version"))
	plain := message(t, lines(1, 1, "line"))
	for name, c := range map[string]struct {
		record []byte
		reason string // empty: read
	}{
		"another version":    {[]byte("\xF5TRB\x63 whatever follows"), "unknown record version"},
		"a field it added":   {frame(t, append(plain, field...)), ""},
		"a kind it added":    {frame(t, append(withoutKind(t, plain), 0x3a, 1, 9)), "unknown kind"},
		"an unknown format":  {[]byte("\x01\x02 of a later version"), "unknown record format"},
		"a named dictionary": {withDictionary(lines(1, 1, "line")), "unknown dictionary"},
	} {
		t.Run(name, func(t *testing.T) {
			d := decode(c.record)
			if c.reason == "" {
				if len(d.Rejects) != 0 || len(d.Events) != 1 || string(d.Events[0].Line) != "line" {
					text, _ := json.Marshal(d)
					t.Errorf("read as %s", text)
				}
				return
			}
			if len(d.Events) != 0 || len(d.Rejects) != 1 || d.Rejects[0].Reason != c.reason || string(d.Rejects[0].Data) != string(c.record) {
				t.Errorf("got %+v", d)
			}
		})
	}
}
