package logs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/deploy/local/logs"
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

func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "group-*", "stream-*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAnsweredEventsSurviveACrash(t *testing.T) {
	w := open(t, func(o *logs.Options) { o.SegmentBytes = 200 })
	w.create()
	w.retain(30)
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint("event ", i))
		w.put(line(now, want[i]))
		if i%10 == 0 {
			equal(t, "events after a crash", w.crash().readAll(), want)
		}
	}
	if n := len(segments(t, w.dir)); n < 5 {
		t.Errorf("%d segments: the test wants several", n)
	}
	again := w.crash()
	equal(t, "events after a crash", again.readAll(), want)
	again.put(line(now, "later"))
	equal(t, "events after going on", again.crash().readAll(), append(want, "later"))
	if g := again.groups(client.DescribeLogGroupsInput{}); len(g) != 1 || *g[0].RetentionInDays != 30 || *g[0].CreationTime != now {
		t.Errorf("groups after a crash: %+v", g)
	}
}

func TestATornTailIsCutOffAndTheStreamGoesOn(t *testing.T) {
	w := open(t)
	w.create()
	w.put(line(now, "one"))
	w.put(line(now, "two"))
	w.close()
	path := segments(t, w.dir)[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	both, one := []string{"one", "two"}, []string{"one"}
	for title, test := range map[string]struct {
		content []byte
		want    []string
	}{
		"a byte is missing":    {content[:len(content)-1], one},
		"half a frame":         {content[:len(content)-20], one},
		"a bit is wrong":       {append(append([]byte{}, content[:len(content)-1]...), content[len(content)-1]^1), one},
		"zeros behind":         {append(append([]byte{}, content...), make([]byte, 100)...), both},
		"half a frame behind":  {append(append([]byte{}, content...), content[24:50]...), both},
		"nothing but a header": {content[:24], nil},
	} {
		t.Run(title, func(t *testing.T) {
			if err := os.WriteFile(path, test.content, 0o644); err != nil {
				t.Fatal(err)
			}
			w.start()
			equal(t, "events", w.readAll(), test.want)
			w.put(line(now, "three"))
			whole := *w.groups(client.DescribeLogGroupsInput{})[0].StoredBytes
			if info, err := os.Stat(path); err != nil || info.Size() != whole {
				t.Errorf("%d bytes are whole, the file has %d (%v)", whole, info.Size(), err)
			}
			w.reopen()
			equal(t, "events after going on", w.readAll(), append(append([]string{}, test.want...), "three"))
			w.close()
		})
	}
}

func TestWhatAnInterruptedChangeLeftIsSwept(t *testing.T) {
	w := open(t)
	w.create()
	w.put(line(now, "one"))
	w.close()
	stream := filepath.Dir(segments(t, w.dir)[0])
	left := []string{
		filepath.Join(w.dir, "swept-new-group-17"),
		filepath.Join(w.dir, "swept-group-16"),
		filepath.Join(filepath.Dir(stream), "swept-new-stream-17"),
	}
	for _, dir := range left {
		if err := os.MkdirAll(filepath.Join(dir, "inner"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	unfinished := filepath.Join(stream, "00000000000099999999.seg")
	if err := os.WriteFile(unfinished, []byte("log"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	equal(t, "events", w.readAll(), []string{"one"})
	for _, path := range append(left, unfinished) {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestFilesItDoesNotUnderstandAreRefused(t *testing.T) {
	for title, spoil := range map[string]func(dir string) error{
		"a group of a later version": func(dir string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(dir), "group.json"), []byte(`{"version":2}`), 0o644)
		},
		"a stream of a later version": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "stream.json"), []byte(`{"version":2}`), 0o644)
		},
		"a stream that is cut": func(dir string) error { return os.Truncate(filepath.Join(dir, "stream.json"), 10) },
	} {
		t.Run(title, func(t *testing.T) {
			w := open(t)
			w.create()
			w.put(line(now, "x"))
			w.close()
			if err := spoil(filepath.Dir(segments(t, w.dir)[0])); err != nil {
				t.Fatal(err)
			}
			if service, err := logs.Open(w.dir, w.opts); err == nil {
				_ = service.Close()
				t.Error("opened")
			}
		})
	}
	t.Run("a segment of a later version fails its stream alone", func(t *testing.T) {
		w := open(t)
		w.create()
		w.put(line(now, "x"))
		w.createStream("other")
		w.close()
		if err := os.WriteFile(segments(t, w.dir)[0], []byte("logseg\x00\x02________________"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.start()
		_, err := w.putInto(*stream, line(now, "y"))
		wantCode(t, err, "InternalFailure")
		if _, err := w.putInto("other", line(now, "y")); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsWrittenBeforeTheFirstGroup(t *testing.T) {
	w := open(t, func(o *logs.Options) {})
	dir := filepath.Join(w.dir, "logs")
	service, err := logs.Open(dir, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory of logs that nobody uses: %v", err)
	}
}

// What each writer wrote is read back: each event once, in its writer's order, in spite of rolls, readers and new streams in between.
func TestConcurrentPutsIntoOneStreamAreAllStored(t *testing.T) {
	w := open(t, func(o *logs.Options) { o.SegmentBytes = 4096 })
	w.create()
	const writers, calls, perCall = 6, 12, 20
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for c := range calls {
				var events []types.InputLogEvent
				for r := range perCall {
					events = append(events, line(now+int64(c*perCall+r), fmt.Sprintf("%d %d", i, c*perCall+r)))
				}
				if _, err := w.putInto(*stream, events...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 10 {
			w.get(client.GetLogEventsInput{})
			w.createStream(fmt.Sprint("other ", i))
		}
	})
	wg.Wait()
	next := make([]int, writers)
	for _, message := range w.readAll() {
		var i, n int
		if _, err := fmt.Sscan(message, &i, &n); err != nil || n != next[i] {
			t.Fatalf("writer %d: got %d, want %d (%v)", i, n, next[i], err)
		}
		next[i]++
	}
	for i, n := range next {
		if n != calls*perCall {
			t.Errorf("writer %d: %d events, want %d", i, n, calls*perCall)
		}
	}
}

func TestEventsThatCannotBeWrittenFailAndTheStreamRecovers(t *testing.T) {
	w := open(t)
	w.create()
	w.put(line(now, "one"))
	path := segments(t, w.dir)[0]
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := w.putInto(*stream, line(now, "lost"))
	wantCode(t, err, "InternalFailure")
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	w.put(line(now, "two"))
	equal(t, "events", w.readAll(), []string{"one", "two"})
}

func TestDeletedGroupsAndStreamsAreGoneAlsoAfterACrash(t *testing.T) {
	w := open(t)
	w.create()
	w.createStream("other")
	w.put(line(now, "one"))
	token := w.get(client.GetLogEventsInput{}).NextBackwardToken
	ctx := t.Context()
	if _, err := w.DeleteLogStream(ctx, &client.DeleteLogStreamInput{LogGroupName: group, LogStreamName: stream}); err != nil {
		t.Fatal(err)
	}
	_, err := w.crash().putInto(*stream, line(now, "x"))
	wantCode(t, err, "ResourceNotFoundException")
	w.createStream(*stream)
	equal(t, "a stream made anew", w.readAll(), nil)
	_, err = w.GetLogEvents(ctx, &client.GetLogEventsInput{LogGroupName: group, LogStreamName: stream, NextToken: token})
	wantCode(t, err, "InvalidParameterException")
	if _, err := w.DeleteLogGroup(ctx, &client.DeleteLogGroupInput{LogGroupName: group}); err != nil {
		t.Fatal(err)
	}
	if left := w.crash().groups(client.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/")}); len(left) != 0 {
		t.Errorf("groups left: %d", len(left))
	}
	w.create()
	if files := segments(t, w.dir); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
}
