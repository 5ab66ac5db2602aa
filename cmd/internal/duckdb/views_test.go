package duckdb_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tributary/schema"
	"tributary/sinks/lake"
)

// few are the first lines of the lake, some odd ones among them.
func few() (out []record) {
	for _, r := range the.records[:4] {
		r.events = slices.Clone(r.events[:300])
		r.data = encode(r.events)
		out = append(out, r)
	}
	return out
}

// A template may name folders in other ways than key=value, and values that are
// escaped in paths.
func TestViewsFollowEachTemplate(t *testing.T) {
	records := few()
	for i := range records[0].events {
		if o := records[0].events[i].Origin; o.Service == "order" {
			like := *o
			like.Service = "注文 / order=1"
			records[0].events[i].Origin = &like
		}
	}
	records[0].data = encode(records[0].events)
	for template, dt := range map[string]string{
		"kind={kind}/dt={date}/hour={hour}":                          "2026-11-22",
		"applications/{service}/{kind}/{year}/{month}/{day}/{hour}":  "2026/11/22",
		"{kind}/service={service}/dt={date}/hour={hour}":             "2026-11-22",
		"a/{service}.{kind}/{year}{month}{day}.{hour}":               "20261122",
		"[x]*/{kind}/{date}/{hour}":                                  "2026-11-22",
		"{hour}/{kind}/dt={date}/kind={kind}/hour={hour}/day-{date}": "2026-11-22",
	} {
		t.Run(template, func(t *testing.T) {
			cfg := the.config
			cfg.Template = template
			w, err := write(t.TempDir(), cfg, records)
			if err != nil {
				t.Fatal(err)
			}
			db, list := open(t), w.checklist()
			w.views(t, db)
			for _, table := range lake.Tables(cfg.Columns) {
				eachRow(t, db, "SELECT * FROM "+table.Kind.String(), byName(func(got map[string]any) {
					if got["dt"] != dt || got["hour"] != "09" {
						t.Fatalf("dt %v, hour %v", got["dt"], got["hour"])
					}
					if err := list.row(table, got); err != nil {
						t.Fatal(err)
					}
				}))
			}
			list.done(t)
			// A partition that is not there costs no file.
			plan := ""
			eachRow(t, db, "EXPLAIN ANALYZE SELECT count(*) FROM app WHERE hour = '23' AND trace_id = 'x'", func(_ []string, cells []any) { plan += fmt.Sprint(cells...) })
			if !strings.Contains(plan, "Scanning Files: 0/") {
				t.Errorf("files are looked at in vain:\n%s", plan)
			}
		})
	}
}

func TestAPromotedKeyIsThereOfOlderFilesToo(t *testing.T) {
	before, after := the.config, the.config
	before.Columns.Promote, after.Columns.Promote = nil, []string{"tenant", "mdc.Order-Id", "nobody.has.it"}
	dir, records := t.TempDir(), few()
	if _, err := write(dir, before, records[:2]); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, r := range records {
		for _, e := range r.events {
			row := expected(r, e, after.Columns)
			if e.Kind == schema.KindApp {
				tenant, _ := row["tenant"].(string)
				order, _ := row["mdc_order_id"].(string)
				want[tenant+"/"+order]++
			}
		}
	}
	w, err := write(dir, after, records[2:])
	if err != nil {
		t.Fatal(err)
	}
	db := open(t)
	w.views(t, db)
	got := map[string]int64{}
	eachRow(t, db, "SELECT coalesce(tenant, '') || '/' || coalesce(mdc_order_id, '') AS pair, count(*) AS n, count(nobody_has_it) AS none FROM app GROUP BY pair", byName(func(row map[string]any) {
		got[row["pair"].(string)] = row["n"].(int64)
		if row["none"] != int64(0) {
			t.Errorf("%v", row)
		}
	}))
	if len(want) < 5 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Format 1 had the line in one piece, and labels alone in attributes.
func TestViewsHaveRowsOfObjectsOfFormat1(t *testing.T) {
	dir, records := t.TempDir(), few()
	rules, err := json.Marshal(schema.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	plan := fmt.Sprintf(`{"format": 1, "bucket": "logs", "prefix": "lake", "template": "kind={kind}/dt={date}/hour={hour}", "time_window": "24h0m0s", "rules": %s}`, rules)
	if _, err := writePending(dir, the.config, plan, records[:2]); err != nil {
		t.Fatal(err)
	}
	w, err := write(dir, the.config, records[2:])
	if err != nil {
		t.Fatal(err)
	}
	db := open(t)
	w.views(t, db)
	want := map[string][]any{}
	for i, r := range records {
		for _, e := range r.events {
			if e.Kind == schema.KindAudit {
				row := expected(r, e, the.config.Columns)
				want[fmt.Sprint(r.sequence, "/", e.Index)] = []any{row["time"], row["service"], row["level"], i < 2}
			}
		}
	}
	n := 0
	eachRow(t, db, "SELECT sequence, index, time, service, level, shape IS NULL AND message IS NULL FROM audit WHERE dt = '2026-11-22'", func(_ []string, cells []any) {
		n++
		if w := want[fmt.Sprint(cells[0], "/", cells[1])]; w == nil || !reflect.DeepEqual(cells[2:4], w[:2]) || w[3] == true && cells[5] != true || w[3] == false && cells[4] != w[2] {
			t.Errorf("row %v, want %v", cells, w)
		}
	})
	if n != len(want) || n < 100 {
		t.Errorf("%d rows of %d lines", n, len(want))
	}
}
