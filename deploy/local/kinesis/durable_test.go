package kinesis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/deploy/local/kinesis"
)

// crash lets a second service see the files as they are now, as after kill -9: nothing of the first is closed or flushed.
func (w *world) crash() *world {
	w.t.Helper()
	after := &world{t: w.t, dir: w.t.TempDir(), clock: w.clock, faults: w.faults, opts: w.opts}
	if err := os.CopyFS(after.dir, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
	after.start()
	w.t.Cleanup(func() { after.close() })
	return after
}

func TestAnsweredRecordsSurviveACrash(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.SegmentBytes = 200 })
	w.create(1)
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint("record ", i))
		w.put("k", want[i])
		if i%10 == 0 {
			equal(t, "records after a crash", w.crash().read(shard0, horizon), want)
		}
	}
	if n := segments(t, w.dir); n < 5 {
		t.Errorf("%d segments: the test wants several", n)
	}
	again := w.crash()
	equal(t, "records after a crash", again.read(shard0, horizon), want)
	again.put("k", "later")
	equal(t, "records after going on", again.crash().read(shard0, horizon), append(want, "later"))
}

func lastSegment(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", shard0, "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files[len(files)-1]
}

func TestATornTailIsCutOffAndTheStreamGoesOn(t *testing.T) {
	w := open(t)
	w.create(1)
	w.put("k", "one")
	whole, err := os.Stat(lastSegment(t, w.dir))
	if err != nil {
		t.Fatal(err)
	}
	last := w.put("k", "two")
	w.close()
	path := lastSegment(t, w.dir)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	two := content[whole.Size():]
	flipped := append([]byte{}, content...)
	flipped[len(flipped)-1] ^= 1
	tests := map[string]struct {
		content []byte
		want    []string
	}{
		"all but the last byte":       {content[:len(content)-1], []string{"one"}},
		"half a frame header":         {content[:whole.Size()+4], []string{"one"}},
		"nothing torn":                {content, []string{"one", "two"}},
		"zeros behind the end":        {append(append([]byte{}, content...), make([]byte, 4096)...), []string{"one", "two"}},
		"a flipped bit in the tail":   {flipped, []string{"one"}},
		"an impossible length behind": {append(append([]byte{}, content...), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), []string{"one", "two"}},
		"half a frame behind":         {append(append([]byte{}, content...), two[:len(two)/2]...), []string{"one", "two"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, test.content, 0o644); err != nil {
				t.Fatal(err)
			}
			w.start()
			equal(t, "records", w.read(shard0, horizon), test.want)
			if next := w.put("k", "three"); number(next).Cmp(number(last)) <= 0 {
				t.Errorf("sequence number %s was given again or went back: %s", next, last)
			}
			w.reopen()
			equal(t, "records after going on", w.read(shard0, horizon), append(test.want, "three"))
			w.close()
		})
	}
}

func TestASegmentThatWasNeverFinishedIsRemoved(t *testing.T) {
	w := open(t)
	w.create(1)
	w.put("k", "one")
	w.close()
	path := filepath.Join(filepath.Dir(lastSegment(t, w.dir)), "00000000000099999999.seg")
	if err := os.WriteFile(path, []byte("kins"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.put("k", "two")
	equal(t, "records", w.read(shard0, horizon), []string{"one", "two"})
	if _, err := os.Stat(path); err == nil {
		t.Error("the unfinished segment is still there")
	}
}

func TestWhatAnInterruptedChangeLeftIsSwept(t *testing.T) {
	w := open(t)
	w.create(1)
	w.put("k", "one")
	w.close()
	left := []string{
		filepath.Join(w.dir, "swept-new-other"),                         // a create that was not finished
		filepath.Join(w.dir, "swept-gone-17"),                           // a delete that was not finished
		filepath.Join(w.dir, "stream-logs", shard1),                     // a split that was not written down
		filepath.Join(w.dir, "stream-logs", "stream.json.tmp", "inner"), // as a file it would be truncated anyway
	}
	for _, dir := range left {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	for _, dir := range left {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	w.split(shard0)
	equal(t, "shards", ids(w.shards(nil)), []string{"0", "1", "2"})
	equal(t, "records", w.read(shard0, horizon), []string{"one"})
}

func TestOpenRefusesFilesItDoesNotUnderstand(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"metadata of a later version": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "stream-logs", "stream.json"), []byte(`{"version":3}`), 0o644)
		},
		"metadata that is cut": func(dir string) error {
			return os.Truncate(filepath.Join(dir, "stream-logs", "stream.json"), 10)
		},
		"a segment of a later version": func(dir string) error {
			return os.WriteFile(lastSegment(t, dir), []byte("kinseg\x00\x02________________________"), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.create(1)
			w.close()
			if err := spoil(w.dir); err != nil {
				t.Fatal(err)
			}
			if service, err := kinesis.Open(w.dir, w.opts); err == nil {
				service.Close()
				t.Error("opened")
			}
		})
	}
}

// The numbers of each writer, read back: each once, in order, in spite of splits, rolls and readers in between.
func TestConcurrentPutsAreStoredOnceAndInOrder(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.SegmentBytes = 8192 })
	w.create(2)
	const writers, calls, perCall = 6, 12, 20
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			key := fmt.Sprint("writer ", i)
			for c := range calls {
				var entries []types.PutRecordsRequestEntry
				for r := range perCall {
					entries = append(entries, entry(key, fmt.Sprintf("%d %d", i, c*perCall+r)))
				}
				out, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: entries})
				if err != nil || *out.FailedRecordCount != 0 {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	wg.Go(func() { w.split(shard0) })
	wg.Go(func() {
		for range 10 {
			w.read(shard1, horizon)
		}
	})
	wg.Wait()
	next := make([]int, writers)
	for _, s := range w.shards(nil) { // parents come before their children
		for _, data := range w.read(*s.ShardId, horizon) {
			var i, n int
			if _, err := fmt.Sscan(data, &i, &n); err != nil || n != next[i] {
				t.Fatalf("writer %d: got %d, want %d (%v)", i, n, next[i], err)
			}
			next[i]++
		}
	}
	for i, n := range next {
		if n != calls*perCall {
			t.Errorf("writer %d: %d records, want %d", i, n, calls*perCall)
		}
	}
}

func TestRecordsThatCannotBeWrittenFailAndTheRestOfTheStreamGoesOn(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.SegmentBytes = 100 })
	w.create(2)
	w.put("fill until the segment is full", "and the next record needs a new one, which it cannot have") // shard decided by the key
	var full string
	for _, id := range []string{shard0, shard1} {
		if len(w.read(id, horizon)) > 0 {
			full = id
		}
	}
	dir := filepath.Join(w.dir, "stream-logs", full)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	hash := map[string]*string{shard0: aws.String("0"), shard1: aws.String("340282366920938463463374607431768211455")}
	both := []types.PutRecordsRequestEntry{entry("a", "0"), entry("b", "1")}
	both[0].ExplicitHashKey, both[1].ExplicitHashKey = hash[shard0], hash[shard1]
	out, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: both})
	if err != nil || *out.FailedRecordCount != 1 {
		t.Fatal(out, err)
	}
	for i, id := range []string{shard0, shard1} {
		if failed := aws.ToString(out.Records[i].ErrorCode) == "InternalFailure"; failed != (id == full) {
			t.Errorf("shard %s: %+v", id, out.Records[i])
		}
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	out, err = w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: both})
	if err != nil || *out.FailedRecordCount != 0 {
		t.Error("the shard did not recover", out, err)
	}
}

// Puts, reads and splits all wait for memory or for one another; none may wait for ever.
func TestCallsGoOnWhenMemoryIsShort(t *testing.T) {
	w := open(t, func(o *kinesis.Options) { o.InFlightBytes = 60 << 20 })
	w.create(2)
	large := make([]types.PutRecordsRequestEntry, 3)
	for i := range large {
		large[i] = entry(fmt.Sprint("key ", i), string(make([]byte, 1<<20-10)))
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if out, err := w.PutRecords(t.Context(), &client.PutRecordsInput{StreamName: name, Records: large}); err != nil || *out.FailedRecordCount > 0 {
				t.Error(out, err)
			}
			w.read(shard0, horizon)
			w.read(shard1, horizon)
		})
	}
	wg.Go(func() { w.split(shard0) })
	wg.Wait()
	total := 0
	for _, s := range w.shards(nil) {
		total += len(w.read(*s.ShardId, horizon))
	}
	if total != 18 {
		t.Errorf("%d records, want 18", total)
	}
}
