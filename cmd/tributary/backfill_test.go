package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/backfill"
	"tributary/deploy/local/fault"
)

// backfill runs "backfill treasuredata", which has to end with code.
func (a account) backfill(code int, args ...string) (string, error) {
	a.t.Helper()
	root := newRoot()
	var out, said bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&said)
	root.SetArgs(append([]string{"backfill", "treasuredata", "--region", "us-east-1", "--log-level", "error", "--set", "aws.endpoint=" + a.server.URL,
		"--set", "treasuredata.api_key=1/local", "--set", "treasuredata.api_endpoint=" + a.server.URL, "--set", "treasuredata.import_endpoint=" + a.server.URL}, args...))
	err := app.Explain(root.ExecuteContext(a.t.Context()))
	if app.Code(err) != code {
		a.t.Errorf("%v: exit %d, want %d: %v\n%s%s", args, app.Code(err), code, err, out.String(), said.String())
	}
	return out.String(), err
}

// files puts n files of three lines each, as Fluentd did, and returns their bytes.
func (a account) files(n int) (size int) {
	a.t.Helper()
	client := s3.NewFromConfig(a.server.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	for i := range n {
		var content bytes.Buffer
		z := gzip.NewWriter(&content)
		for k := range 3 {
			fmt.Fprintf(z, `{"n":%d,"message":"hello"}`+"\n", 3*i+k)
		}
		if err := z.Close(); err != nil {
			a.t.Fatal(err)
		}
		key := fmt.Sprintf("applications/%s/app/2026/03/01/12/%02d_ecs_%d.gz", []string{"order-api", "cart", "web"}[i%3], i, i)
		if _, err := client.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: &key, Body: bytes.NewReader(content.Bytes())}); err != nil {
			a.t.Fatal(err)
		}
		size += content.Len()
	}
	return size
}

// imported counts the rows of Treasure Data.
func (a account) imported() (rows int) {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(a.server.Config.Dir, "td", "*", "*", "*.jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			a.t.Fatal(err)
		}
		rows += bytes.Count(text, []byte("\n"))
	}
	return rows
}

func TestABackfillIsPlannedAskedForAndDoneOnce(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	size := a.files(7)
	from := []string{"--from", "s3://bucket/applications", "--since", "2026-03-01", "--until", "2026-03-02"}
	out, _ := a.backfill(0, append(from, "--dry-run")...)
	want := `s3://bucket/applications into Treasure Data

  job        ID, new; its state: s3://bucket/_tributary/backfill/ID
  events     only from 2026-03-01T00:00:00Z before 2026-03-02T00:00:00Z
  objects    7 (0 of Parquet, 7 of lines), SIZE; left out: 0 of another time, 0 that are not for import
  times      2026-03-01T12:00:00Z to 2026-03-01T13:06:00Z, as their names tell
  estimate   21 rows, 557 B before compression
  batches    1; at once: 2 of --parallel 4
  memory     192 MiB, and up to 64 MiB of the process itself; ranges of 24 MiB
  tables     tributary.cart_app, tributary.order__api_app, tributary.web_app

What group tributary-treasuredata, or another job, has imported of the same events is there under other ids: it will
    be there twice.

Dry run: nothing was changed.
`
	id := backfill.Job{Bucket: "bucket", Prefix: "applications", Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Format: "auto"}.ID()
	want = strings.ReplaceAll(want, "SIZE", fmt.Sprintf("%d B", size))
	if got := strings.ReplaceAll(out, id, "ID"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if left, err := os.ReadDir(filepath.Join(a.server.Config.Dir, "s3", "bucket")); err != nil || len(left) != 1 || a.imported() != 0 {
		t.Errorf("a dry run left %v, %v", left, err)
	}
	if out, err := a.backfill(2, from...); !strings.Contains(err.Error(), "not on a terminal: add --yes") && !strings.Contains(err.Error(), "not confirmed") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _ = a.backfill(0, append(from, "--yes")...)
	if !strings.Contains(out, "7 of 7 objects read, 21 rows imported, ") || a.imported() != 21 {
		t.Errorf("%d rows\n%s", a.imported(), out)
	}
	out, _ = a.backfill(0, from...) // needs no yes: there is nothing to do
	if !strings.Contains(out, "ended before") || !strings.Contains(out, "The job ended at ") || a.imported() != 21 {
		t.Errorf("%d rows\n%s", a.imported(), out)
	}
}

func TestABackfillTellsByItsExitCodeWhatCameOfIt(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.files(2)
	for name, c := range map[string]struct {
		code int
		args string
		want string
	}{
		"no source":                    {2, "", "--from is not set"},
		"a source that is no bucket":   {2, "--from bucket/x", `"bucket/x" is not s3://bucket/prefix`},
		"nothing there":                {2, "--from s3://bucket/elsewhere --yes", "there is nothing to import"},
		"no such bucket":               {2, "--from s3://nowhere/x --yes", "NoSuchBucket"},
		"a time that moves":            {2, "--from s3://bucket --since 26h", `--since is "26h"`},
		"a format nobody knows":        {2, "--from s3://bucket --format csv", `format "csv" is none of auto, parquet, jsonl.gz`},
		"too little memory":            {2, "--from s3://bucket --memory 64MiB", "memory is 67108864"},
		"no size":                      {2, "--from s3://bucket --memory much", `"much" is not a size`},
		"a name that is no database's": {2, "--from s3://bucket --database My-DB", `database "My-DB"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := a.backfill(c.code, strings.Fields(c.args)...); err == nil || !strings.Contains(app.OneLine(err), c.want) {
				t.Error(err)
			}
		})
	}
	rules := func(r ...fault.Rule) {
		if err := a.server.Faults.Replace(r); err != nil {
			t.Fatal(err)
		}
	}
	rules(fault.Rule{Service: "td", Action: fault.Error, Status: http.StatusServiceUnavailable})
	if _, err := a.backfill(1, "--from", "s3://bucket/applications", "--yes", "--patience", "0s"); !strings.Contains(err.Error(), "the same command goes on") {
		t.Error(err)
	}
	rules()
	if _, err := a.backfill(2, "--from", "s3://bucket/applications", "--yes", "--table", "all"); !strings.Contains(err.Error(), "begun with another configuration") {
		t.Error(err)
	}
	a.backfill(0, "--from", "s3://bucket/applications", "--yes")
	if n := a.imported(); n != 6 {
		t.Errorf("%d rows", n)
	}

	torn := filepath.Join(a.server.Config.Dir, "s3", "bucket", "applications", "cart", "app", "2026", "03", "01", "12", "01_ecs_1.gz")
	content, err := os.ReadFile(torn)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(torn, content[:len(content)-4], 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := a.backfill(1, "--from", "s3://bucket/applications", "--yes", "--name", "torn", "--state", t.TempDir())
	if err.Error() != "not all was imported: 1 object damaged, 0 rows rejected" || !strings.Contains(out, "01_ecs_1.gz\n      unexpected EOF; imported before that: 3 events") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheLineOfProgressTellsRateAndTimeLeft(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := backfill.Figures{Objects: 1000, Bytes: 100e6, Since: at}
	f.Before = backfill.Sums{Bytes: 20e6, LineSize: 200e6}
	f.Sums = backfill.Sums{Objects: 500, Bytes: 50e6, LineSize: 500e6, Rows: 1_234_567, Rejects: 3, Faults: 1}
	if got, want := progressLine(f, at.Add(10*time.Second)), "[██████████░░░░░░░░░░] 50% · 500 of 1,000 objects · 1,234,567 rows · 30 MB/s · 16s left · 3 REJECTS · 1 DAMAGED"; got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
	if got := progressLine(backfill.Figures{}, at); got != "taking the inventory …" {
		t.Error(got)
	}
}
