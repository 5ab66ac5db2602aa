package schema_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"

	"tributary/schema"
)

var update = flag.Bool("update", false, "write the golden files that are missing; those that are there are frozen")

// golden are batches whose records are in testdata.
func golden() map[string]*schema.Batch {
	web := &schema.Origin{
		Service: "web", ContainerID: "0f1e2d3c4b5a", ContainerName: "shop-web-1", Source: "stdout", Tag: "docker.web", Host: "i-0abc",
		Labels: []schema.Label{{Name: "com.docker.compose.service", Value: "web"}, {Name: "empty", Value: ""}, {Name: "odd", Value: "\xff"}},
	}
	api := &schema.Origin{Service: "api", Source: "stderr"}
	id := [16]byte{0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}
	return map[string]*schema.Batch{
		"full": number(&schema.Batch{
			Epoch: schema.Epoch{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Lane: 300,
			Events: []schema.Event{
				{Time: 1_700_000_000_123_456_789, Kind: schema.KindApp, Origin: web, Line: []byte(`{"message":"hello"}`), Offset: 1 << 40},
				{Time: 1_700_000_000_000_000_000, Kind: schema.KindAudit, Origin: api, Line: []byte(`{"marker":"AUDIT"}`), Offset: 1<<40 + 1},
				{Time: -1, Kind: schema.KindRaw, Origin: web, Line: []byte("tex\xff\x00t"), Offset: 1<<40 + 300, Flags: schema.FlagIncomplete},
				{Time: 1_700_000_001_000_000_000, Kind: schema.KindRaw, Origin: api, Line: []byte{}, Offset: 1<<40 + 300, Part: schema.Part{Line: id, Number: 1, Count: 2}},
				{Time: 1_700_000_001_000_000_000, Kind: schema.KindRaw, Origin: api, Line: []byte("b"), Offset: 1<<40 + 300, Part: schema.Part{Line: id, Number: 2, Count: 2}},
			},
		}),
		"empty": {Epoch: schema.Epoch{15: 1}},
	}
}

// message returns what is inside the zstd frame of a record.
func message(t *testing.T, record []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(record[5:], nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestRecordsOfVersion1AreReadForEver(t *testing.T) {
	for name, want := range golden() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "record_v1_"+name+".bin")
			if _, missing := os.Stat(file); *update && missing != nil {
				if err := os.WriteFile(file, encode(t, want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			record, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := decode(t, record); !reflect.DeepEqual(got, *want) {
				t.Fatalf("got %+v, want %+v", got, *want)
			}
			// The compressed bytes may differ between releases of the compressor,
			// the message may not.
			now := encode(t, want)
			if !bytes.Equal(now[:5], record[:5]) || !bytes.Equal(message(t, now), message(t, record)) {
				t.Fatalf("the encoder writes\n% x\nnot\n% x", message(t, now), message(t, record))
			}
		})
	}
}
