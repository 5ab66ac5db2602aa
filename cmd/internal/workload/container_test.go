package workload_test

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
	"github.com/tinylib/msgp/msgp"

	"tributary/cmd/internal/workload"
)

func decodeAll(t *testing.T, b []byte) (all []message) {
	t.Helper()
	r := msgp.NewReader(bytes.NewReader(b))
	for {
		m, err := decode(r)
		if err != nil {
			break
		}
		all = append(all, m)
	}
	// Encoded again it has as many bytes: nothing was left over or skipped.
	size := 0
	for _, m := range all {
		size += 1 + msgpString(m.tag) + msgpMap(m.record) + msgpMap(m.option)
		if size++; m.nano != 0 {
			size += 9
		} else {
			size += 4
		}
	}
	if size != len(b) {
		t.Fatalf("%d bytes decode to %d", len(b), size)
	}
	return all
}

func msgpString(s string) int { return len(msgp.AppendString(nil, s)) }

func msgpMap(m map[string]string) int { return len(msgp.AppendMapStrStr(nil, m)) }

// docker posts line with Docker's client, cut as Docker's copier cuts it, and
// returns what a server would decode.
func docker(t *testing.T, c *workload.Container, at time.Time, source workload.Source, line string, id string) (all []message) {
	t.Helper()
	client := &fluent.Fluent{Config: fluent.Config{SubSecondPrecision: !c.Seconds}}
	post := func(piece string, more map[string]string) {
		record := map[string]string{
			"container_id": c.ID, "container_name": c.Name, "source": source.String(), "log": piece,
			"com.amazonaws.ecs.container-name": "order", "com.amazonaws.ecs.task-definition-family": "shop",
		}
		for k, v := range more {
			record[k] = v
		}
		// The message that EncodeData makes is unexported but has its bytes in a field.
		msg, err := client.EncodeData(c.Tag, at, record)
		if err != nil {
			t.Fatal(err)
		}
		data := reflect.ValueOf(msg).Elem().FieldByName("data").Bytes()
		all = append(all, decodeAll(t, data)...)
	}
	if len(line) < 16384 {
		post(line, nil)
		return all
	}
	for ordinal := 1; ; ordinal++ {
		n := min(len(line), 16384)
		last := n < 16384
		post(line[:n], map[string]string{
			"partial_message": "true", "partial_id": id,
			"partial_ordinal": strconv.Itoa(ordinal), "partial_last": strconv.FormatBool(last),
		})
		if last {
			return all
		}
		line = line[n:]
	}
}

func TestMessagesAreThoseOfDockersClient(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 30, 1, 234_567_890, time.UTC)
	for name, line := range map[string]string{
		"a line":                              `{"message":"hello"}`,
		"an empty line":                       "",
		"bytes that are not UTF-8":            "\xff\xfe",
		"31 bytes, the longest fixstr":        strings.Repeat("x", 31),
		"32 bytes":                            strings.Repeat("x", 32),
		"255 bytes, the longest str 8":        strings.Repeat("x", 255),
		"256 bytes":                           strings.Repeat("x", 256),
		"just below a piece":                  strings.Repeat("y", 16383),
		"exactly a piece":                     strings.Repeat("y", 16384),
		"a piece and a byte":                  strings.Repeat("y", 16385),
		"exactly three pieces":                strings.Repeat("y", 3*16384),
		"three pieces, cut inside characters": strings.Repeat("注", 12_000),
	} {
		for _, seconds := range []bool{false, true} {
			t.Run(name+", whole seconds "+strconv.FormatBool(seconds), func(t *testing.T) {
				c := workload.NewContainer("order")
				c.Seconds = seconds
				for _, source := range []workload.Source{workload.Stdout, workload.Stderr} {
					got := decodeAll(t, c.Append(nil, at, source, []byte(line)))
					want := docker(t, c, at, source, line, got[0].record["partial_id"])
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("sent %.300v, Docker's client sends %.300v", got, want)
					}
				}
			})
		}
	}
}

func TestPiecesOfTwoLinesHaveDifferentIDs(t *testing.T) {
	c := workload.NewContainer("order")
	long := []byte(strings.Repeat("y", 20_000))
	all := decodeAll(t, c.Append(c.Append(nil, time.Now(), workload.Stdout, long), time.Now(), workload.Stdout, long))
	id, other := all[0].record["partial_id"], all[2].record["partial_id"]
	if len(id) != 64 || len(other) != 64 || id == other || all[1].record["partial_id"] != id {
		t.Fatalf("ids %q and %q", id, other)
	}
}

func TestContainersDiffer(t *testing.T) {
	a, b := workload.NewContainer("order"), workload.NewContainer("order")
	if a.ID == b.ID || a.Name == b.Name || len(a.ID) != 64 || a.Tag != a.ID[:12] || a.Name[0] != '/' {
		t.Fatal(a.ID, a.Name, a.Tag, b.ID, b.Name)
	}
}
