package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/cmd/internal/backfill"
	"tributary/deploy/local/fault"
	"tributary/sinks/lake"
	"tributary/sinks/treasuredata"
)

func TestTheLakeAndFluentdsFilesOfThreeServicesBecomeRowsOnce(t *testing.T) {
	w := newWorld(t)
	w.flush(1, 300)
	w.flush(2, 50, func(c *lake.Config) { c.Prefix, c.Template = "old", "applications" })
	for i := range 12 {
		w.fluentd([]string{"order-api", "cart", "web"}[i%3], []string{"app", "audit"}[i%2], noon.Add(time.Duration(i)*time.Minute), 100)
	}
	w.put("misc/plain.jsonl", []byte(w.line(`"service":"billing","@timestamp":"2026-02-03T04:05:06Z"`)+"\r\n\n"+w.line(`"marker":"AUDIT"`))) // no end of line
	w.put("misc/readme.txt", []byte("not for import"))
	w.put("rejects/of/others.jsonl", []byte("not for import\n"))
	w.put("misc/_hidden/x.jsonl", []byte("not for import\n"))
	r := w.mustRun()
	w.wantOnce()
	if !r.Whole() || r.Rows != int64(len(w.lines)) || r.Objects != r.Inventory || r.Appeared+r.Changed+r.Orphans+r.Outside != 0 {
		t.Errorf("%+v", r)
	}
	rows := w.rows()
	for table, want := range map[string]int{"cart_app": 288, "web_audit": 229, "order__api_app": 287, "order__api_audit": 230, "billing_app": 1, "unknown_audit": 1} {
		if len(rows[table]) != want {
			t.Errorf("%s has %d rows, not %d", table, len(rows[table]), want)
		}
	}
	for _, row := range rows["cart_app"] {
		if row["_service"] != "cart" || row["_kind"] != "app" || row["_container_name"] == nil || row["time"] == nil {
			t.Fatalf("%v", row)
		}
	}
	if at := rows["billing_app"][0]["time"]; at != float64(time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC).Unix()) {
		t.Errorf("time %v", at)
	}

	again := w.mustRun()
	if !again.Already || again.Rows != r.Rows {
		t.Errorf("%+v", again)
	}
	w.wantOnce()
	w.job.Name = "again"
	w.mustRun()
	if n := len(w.rows()["billing_app"]); n != 2 {
		t.Errorf("a job of another name imported what is now %d rows", n)
	}
}

// TestAJobCutOffBeforeAndAfterAnyRequestImportsEachLineOnce ends runs at one request
// after the other. No run but the last ends, and each but the last few begins with
// what the one before it left.
func TestAJobCutOffBeforeAndAfterAnyRequestImportsEachLineOnce(t *testing.T) {
	w := newWorld(t)
	w.cfg.Parallel = 2
	w.flush(1, 200)
	for i := range 30 {
		w.fluentd([]string{"order-api", "cart", "web"}[i%3], "app", noon.Add(time.Duration(i)*time.Minute), 150)
	}
	var calls atomic.Int64
	cuts := 0
	for stop := int64(1); ; stop += 1 + stop/8 {
		ctx, cancel := context.WithCancelCause(t.Context())
		calls.Store(0)
		w.call = func() {
			if calls.Add(1) == stop {
				cancel(errCut)
			}
		}
		_, err := w.run(ctx)
		cancel(nil)
		if err == nil {
			break
		}
		if !errors.Is(err, errCut) && !errors.Is(err, context.Canceled) {
			t.Fatalf("cut at call %d: %v", stop, err)
		}
		cuts++
	}
	w.wantOnce()
	if cuts < 15 {
		t.Errorf("cut off %d times", cuts)
	}
}

var errCut = errors.New("cut off")

// What a group imported from the stream can so be told from what came again.
func TestRowsOfTheLakeTellTheirPlaceInTheStream(t *testing.T) {
	w := newWorld(t)
	w.td.Metadata = []string{"shard", "sequence", "index"}
	w.flush(7, 60)
	w.put("applications/cart/app/2026/03/01/12/00_c_0.gz", zipped(t, `{"n":"none","own":1}`))
	w.mustRun()
	places := map[string]bool{}
	for _, rows := range w.rows() {
		for _, row := range rows {
			if row["n"] == "none" {
				if shard := row["_shard"].(string); !strings.HasPrefix(shard, "batch-") {
					t.Error(shard)
				}
				continue
			}
			if row["_shard"] != "shardId-000000000000" || !strings.HasSuffix(row["_sequence"].(string), "0007") || row["n"] != fmt.Sprintf("#%v", row["_index"]) {
				t.Errorf("%v", row)
			}
			places[fmt.Sprint(row["_index"])] = true
		}
	}
	if len(places) != 60 {
		t.Errorf("%d places", len(places))
	}
}

func TestOneLargeObjectGoesOnInItsMiddle(t *testing.T) {
	w := newWorld(t)
	w.fluentd("cart", "app", noon, 5000)
	ctx, cancel := context.WithCancel(t.Context())
	steps := func() int {
		files, err := filepath.Glob(filepath.Join(w.server.Config.Dir, "s3", bucket, "_tributary", "*", "steps", "*"))
		if err != nil {
			t.Error(err)
		}
		return len(files)
	}
	w.call = func() {
		if steps() == 3 {
			cancel()
		}
	}
	if _, err := w.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.call = nil
	before := len(tdFiles(t, w))
	w.mustRun()
	w.wantOnce()
	if n := len(tdFiles(t, w)); before < 3 || n < before+3 {
		t.Errorf("%d imports, and %d after it went on", before, n)
	}
}

// TestALargeObjectIsReadOnWhereItsConnectionBroke reads lines as they come and Parquet
// through a file.
func TestALargeObjectIsReadOnWhereItsConnectionBroke(t *testing.T) {
	w := newWorld(t)
	w.cfg.Range = 4 << 20
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return fmt.Sprintf("%x", b)
	}
	var lines []string
	for range 700 {
		lines = append(lines, w.line(`"@timestamp":"2026-03-01T12:00:00Z","x":%q`, noise(1000)))
	}
	content := zipped(t, lines...)
	w.put("applications/cart/app/2026/03/01/12/00_c_0.gz", content)
	w.noise = noise
	w.apart = time.Second
	w.flush(1, 1600)
	w.cut = 300_000
	if r := w.mustRun(); !r.Whole() || len(content) < 2*300_000 {
		t.Errorf("%+v, of %d bytes", r, len(content))
	}
	w.wantOnce()
	if info, err := os.Stat(lakeFile(t, w)); err != nil || info.Size() < 2*300_000 {
		t.Errorf("the lake's object has %d bytes, %v", info.Size(), err)
	}
}

func tdFiles(t *testing.T, w *world) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.server.Config.Dir, "td", "*", "*", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestOfATornObjectTheLinesBeforeTheTearAreImportedAndItIsTold(t *testing.T) {
	w := newWorld(t)
	var lines []string
	for i := range 400 {
		lines = append(lines, w.line(`"x":"%08x","@timestamp":"2026-03-01T12:00:00Z"`, i*2654435761))
	}
	whole := zipped(t, lines...)
	w.put("applications/cart/app/2026/03/01/12/00_c_0.gz", whole[:len(whole)/2])
	bad := zipped(t, w.line(`"ok":1`))
	bad[len(bad)-6] ^= 1 // its checksum
	w.put("applications/cart/app/2026/03/01/12/00_c_1.gz", bad)
	w.put("applications/cart/app/2026/03/01/12/00_c_2.gz", append(zipped(t, w.line(`"ok":2`)), "garbage"...))
	w.put("applications/cart/app/2026/03/01/12/00_c_3.gz", []byte("no gzip\n"))
	w.put("applications/cart/app/2026/03/01/12/00_c_4.gz", []byte{0x1f, 0x8b, 8})
	w.put("kind=app/x.parquet", []byte("PAR1 is no Parquet"))
	w.put("applications/cart/app/2026/03/01/12/00_c_5.gz", zipped(t, w.line(`"ok":3`)))
	r := w.mustRun()
	if r.Whole() || r.Faults != 6 || len(r.Damaged) != 6 || r.Objects != 7 {
		t.Errorf("%+v", r)
	}
	rows := w.rows()["cart_app"]
	torn := 0
	imported := map[any]bool{}
	for _, row := range rows {
		if row["_incomplete"] == true {
			torn++
			continue
		}
		imported[row["n"]] = true
	}
	if torn > 1 || len(imported) < 100 || len(imported)+torn != len(rows) || !imported["#400"] || !imported["#401"] || !imported["#402"] {
		t.Errorf("%d rows, %d of them torn", len(rows), torn)
	}
	for i := range len(imported) - 3 {
		if !imported[fmt.Sprintf("#%d", i)] {
			t.Errorf("line %d before the tear is missing", i)
		}
	}
	// The end tells it again.
	if again := w.mustRun(); again.Faults != 6 || again.Whole() {
		t.Errorf("%+v", again)
	}
}

func TestAnObjectOfTheLakeThatIsNotAsItWasWrittenIsTold(t *testing.T) {
	w := newWorld(t)
	w.flush(1, 90)
	file := lakeFile(t, w)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/3] ^= 0x10
	w.put(strings.TrimPrefix(filepath.ToSlash(file), filepath.ToSlash(filepath.Join(w.server.Config.Dir, "s3", bucket))+"/"), content)
	r := w.mustRun()
	if r.Faults != 1 || !strings.Contains(r.Damaged[0].Text, "SHA-256") || r.Damaged[0].Events != 0 {
		t.Errorf("%+v", r)
	}
}

func lakeFile(t *testing.T, w *world) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.server.Config.Dir, "s3", bucket, "lake", "kind=app", "*", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	return files[0]
}

func TestObjectsOfTheLakeThatNoManifestNamesAreLeftOutAndTold(t *testing.T) {
	w := newWorld(t)
	w.flush(1, 90)
	named := len(w.lines)
	w.flush(2, 30)
	manifests, err := filepath.Glob(filepath.Join(w.server.Config.Dir, "s3", bucket, "lake", "_ranges", "*", "*0002.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("%q, %v", manifests, err)
	}
	if err := os.Remove(manifests[0]); err != nil {
		t.Fatal(err)
	}
	w.job.Prefix = "lake"
	r := w.mustRun()
	if r.Orphans != 2 || len(r.Orphaned) != 2 || r.Rows != int64(named) || !r.Whole() {
		t.Errorf("%+v", r)
	}
	w.lines = w.lines[:named]
	w.wantOnce()
}

func TestWhatChangesAppearsOrGoesAfterTheJobBeganIsToldAndNotImported(t *testing.T) {
	w := newWorld(t)
	w.cfg.Parallel = 1
	kept := w.fluentd("cart", "app", noon, 10)
	changed := w.fluentd("cart", "app", noon.Add(time.Minute), 10)
	gone := w.fluentd("cart", "app", noon.Add(2*time.Minute), 10)
	ctx, cancel := context.WithCancel(t.Context())
	inventory := filepath.Join(w.server.Config.Dir, "s3", bucket, "_tributary", w.job.ID(), "inventory.json")
	w.call = func() {
		if _, err := os.Stat(inventory); err == nil {
			cancel()
		}
	}
	if _, err := w.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.call = nil
	w.put(changed, zipped(t, `{"n":"other"}`))
	w.put("applications/web/app/2026/03/01/12/00_new_1.gz", zipped(t, `{"n":"new"}`))
	if err := os.Remove(filepath.Join(w.server.Config.Dir, "s3", bucket, filepath.FromSlash(gone))); err != nil {
		t.Fatal(err)
	}
	r := w.mustRun()
	if r.Faults != 2 || r.Appeared != 1 || r.Changed != 1 || r.Whole() || r.Rows != 10 {
		t.Errorf("%+v\nkept %s", r, kept)
	}
	texts := []string{r.Damaged[0].Text, r.Damaged[1].Text}
	if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "changed") }) || !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "gone") }) {
		t.Errorf("%q", texts)
	}
	var without []int
	for n := 10; n < 30; n++ {
		without = append(without, n)
	}
	w.wantOnce(without...)
}

func TestSinceAndUntilChooseObjectsByTheirNamesAndThenEvents(t *testing.T) {
	w := newWorld(t)
	w.apart = time.Minute
	w.flush(1, 180) // 12:00 to 15:00
	for h := range 5 {
		w.fluentd("cart", "app", noon.Add(time.Duration(h)*time.Hour+59*time.Minute), 120) // into the next hour
	}
	w.job.Since, w.job.Until = noon.Add(time.Hour), noon.Add(2*time.Hour)
	b, release := w.backfill()
	defer release()
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Objects != 2+3 || p.Outside != 6-2+5-3 {
		t.Errorf("%+v", p)
	}
	r, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var without []int
	for n := range w.lines {
		if !(n >= 60 && n < 120 || n >= 180+60 && n < 180+120+60) {
			without = append(without, n)
		}
	}
	w.wantOnce(without...)
	if r.Rows != 60+120 || r.Outside != 2*120 {
		t.Errorf("%+v", r)
	}
}

func TestAJobGoesOnOnlyWithTheConfigurationItBeganWith(t *testing.T) {
	w := newWorld(t)
	w.fluentd("cart", "app", noon, 10)
	ctx, cancel := context.WithCancel(t.Context())
	w.call = func() {
		if jobs, _ := filepath.Glob(filepath.Join(w.server.Config.Dir, "s3", bucket, "_tributary", "*", "job.json")); len(jobs) > 0 {
			cancel()
		}
	}
	if _, err := w.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.call = nil
	w.td.Table = "all"
	if _, err := w.run(t.Context()); !errors.Is(err, backfill.ErrOtherConfiguration) || !strings.Contains(err.Error(), `table was "{service}_{kind}", is "all"`) {
		t.Error(err)
	}
	w.td.Table = "{service}_{kind}"
	w.cfg.Range = 128 << 10 // of the memory, not of the job
	w.mustRun()
	w.wantOnce()
}

func TestTreasureDatasTroublesDoubleAndLoseNothing(t *testing.T) {
	lost := fault.Rule{Service: "td", Operation: "ImportWithID", Action: fault.LoseResponse, Every: 3, Count: 2}
	away := fault.Rule{Service: "td", Operation: "ImportWithID", Action: fault.Error, Status: http.StatusServiceUnavailable, Every: 4, Count: 2}
	large := fault.Rule{Service: "td", Operation: "ImportWithID", Action: fault.Error, Status: http.StatusRequestEntityTooLarge, Every: 2, Count: 2}
	torn := fault.Rule{Service: "s3", Operation: "GetObject", Action: fault.LoseResponse, Every: 7, Count: 2}
	for name, rules := range map[string][]fault.Rule{
		"answers are lost behind the commit, and 503": {lost, away},
		"bodies are too large":                        {large},
		"S3 closes connections":                       {torn},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 9 {
				w.fluentd([]string{"order-api", "cart", "web"}[i%3], "app", noon.Add(time.Duration(i)*time.Minute), 150)
			}
			set(t, w, rules...)
			if r := w.mustRun(); !r.Whole() {
				t.Errorf("%+v", r)
			}
			w.wantOnce()
			for _, rule := range w.server.Faults.Rules() {
				if rule.Hits == 0 {
					t.Errorf("it never did %+v", rule.Rule)
				}
			}
		})
	}
}

func set(t *testing.T, w *world, rules ...fault.Rule) {
	t.Helper()
	if err := w.server.Faults.Replace(rules); err != nil {
		t.Fatal(err)
	}
}

func TestARowThatIsRefusedAndALineThatIsTooLongGoToTheRejectStore(t *testing.T) {
	w := newWorld(t)
	w.fluentd("cart", "app", noon, 20)
	long := strings.Repeat("x", 9<<20)
	w.put("applications/web/app/2026/03/01/12/00_c_1.gz", zipped(t, w.line(`"before":1`), long, w.line(`"after":1`)))
	// A row that no halving makes smaller.
	w.put("applications/web/app/2026/03/01/12/00_c_2.gz", zipped(t, w.line(`"before":2`), `{"n":"big","text":"`+long[:7<<20]+`"}`, w.line(`"after":2`)))
	set(t, w, fault.Rule{Service: "td", Operation: "ImportWithID", Action: fault.Error, Status: http.StatusUnprocessableEntity, Every: 1, Count: 5})
	r := w.mustRun()
	if r.Whole() || r.Rejects < 1 || r.Faults != 0 {
		t.Errorf("%+v", r)
	}
	kept := rejected(t, w)
	if !strings.Contains(kept, `"line longer than 8 MiB"`) || !strings.Contains(kept, "/"+w.job.Group()+"/") {
		t.Error(kept[:min(len(kept), 2000)])
	}
	if got := r.Rows - r.Rejects; got != int64(rowCount(w)) {
		t.Errorf("%d rows imported, %d there: %+v", got, rowCount(w), r)
	}
	if w.mustRun().Rejects != r.Rejects {
		t.Error("another end than before")
	}
}

func rowCount(w *world) (n int) {
	for _, rows := range w.rows() {
		n += len(rows)
	}
	return n
}

// rejected are names and texts of all rejects.
func rejected(t *testing.T, w *world) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.server.Config.Dir, "s3", bucket, "rejects", "*", "*", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n%.500s\n", filepath.ToSlash(f), text)
	}
	return out.String()
}

func TestAKeyThatIsRefusedEndsTheRunAndLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.fluentd("cart", "app", noon, 20)
	set(t, w, fault.Rule{Service: "td", Action: fault.Error, Status: http.StatusUnauthorized})
	if _, err := w.run(t.Context()); !errors.Is(err, treasuredata.ErrKeyRefused) {
		t.Fatal(err)
	}
	set(t, w)
	w.mustRun()
	w.wantOnce()
	if kept := rejected(t, w); kept != "" {
		t.Error(kept)
	}
}

func TestTreasureDataThatTakesNothingEndsTheRunWhenThePatienceIsOver(t *testing.T) {
	w := newWorld(t)
	w.cfg.Patience = 1500 * time.Millisecond
	w.fluentd("cart", "app", noon, 20)
	set(t, w, fault.Rule{Service: "td", Action: fault.Error, Status: http.StatusServiceUnavailable})
	if _, err := w.run(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Fatal(err)
	}
	if !strings.Contains(w.log.String(), "not taken, trying again") {
		t.Error(w.log.String())
	}
	set(t, w)
	w.mustRun()
	w.wantOnce()
}

func TestADirectoryKeepsTheStateToo(t *testing.T) {
	w := newWorld(t)
	w.state = backfill.NewDirState(t.TempDir())
	for i := range 5 {
		w.fluentd("cart", "app", noon.Add(time.Duration(i)*time.Minute), 100)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	w.call = func() {
		if calls.Add(1) == 20 {
			cancel()
		}
	}
	if _, err := w.run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.call = nil
	w.mustRun()
	w.wantOnce()
}

func TestWhatAJobCannotBeIsRefused(t *testing.T) {
	for name, change := range map[string]func(*backfill.Config, *backfill.Job){
		"a format nobody knows":       func(_ *backfill.Config, j *backfill.Job) { j.Format = "csv" },
		"an end before the beginning": func(_ *backfill.Config, j *backfill.Job) { j.Since, j.Until = noon, noon },
		"no memory":                   func(c *backfill.Config, _ *backfill.Job) { c.Memory = 1 << 20 },
		"no batch at a time":          func(c *backfill.Config, _ *backfill.Job) { c.Parallel = 0 },
		"no bucket":                   func(_ *backfill.Config, j *backfill.Job) { j.Bucket = "" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, job := backfill.DefaultConfig(), backfill.Job{Bucket: bucket, Format: "auto"}
			if err := errors.Join(cfg.Validate(), job.Validate()); err != nil {
				t.Fatal(err)
			}
			change(&cfg, &job)
			if errors.Join(cfg.Validate(), job.Validate()) == nil {
				t.Error("accepted")
			}
		})
	}
}
