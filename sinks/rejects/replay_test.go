package rejects_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"

	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/stream"
)

// shelves is a bucket for any number of goroutines that lists, a few keys a page,
// and hands out what it holds. fail is asked before each call and may replace its
// answer, as the bucket's fault does.
type shelves struct {
	mu sync.Mutex
	*bucket
	fail func(call string) (do bool, err error)
}

func newShelves() *shelves { return &shelves{bucket: newBucket()} }

func (s *shelves) begin(call string) (bool, error) {
	if s.fail == nil {
		return true, nil
	}
	return s.fail(call)
}

func (s *shelves) PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do, fault := s.begin("PUT " + *in.Key)
	if !do {
		return nil, fault
	}
	out, err := s.bucket.PutObject(ctx, in, opts...)
	return out, errors.Join(err, fault)
}

func (s *shelves) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, fault := s.begin("GET " + *in.Key); fault != nil {
		return nil, fault
	}
	content, ok := s.content[*in.Key]
	if !ok {
		return nil, answered(http.StatusNotFound, "NoSuchKey")
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(content))}, nil
}

func (s *shelves) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, fault := s.begin("LIST " + *in.Prefix); fault != nil {
		return nil, fault
	}
	out, after := &s3.ListObjectsV2Output{}, max(aws.ToString(in.StartAfter), aws.ToString(in.ContinuationToken))
	for _, k := range s.keys() {
		rest, ours := strings.CutPrefix(k, *in.Prefix)
		if !ours || k <= after {
			continue
		}
		if in.Delimiter != nil {
			p := *in.Prefix + rest[:strings.Index(rest, "/")+1]
			if n := len(out.CommonPrefixes); n == 0 || *out.CommonPrefixes[n-1].Prefix != p {
				out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: &p})
			}
			continue
		}
		if len(out.Contents) == 3 {
			out.IsTruncated, out.NextContinuationToken = aws.Bool(true), out.Contents[2].Key
			break
		}
		out.Contents = append(out.Contents, types.Object{Key: &k, LastModified: aws.Time(arrival.Add(time.Hour))})
	}
	return out, nil
}

// kept stores items as rejects of a group.
func (s *shelves) kept(t *testing.T, group string, r stream.Range, items ...rejects.Item) {
	t.Helper()
	store := newStore(t, s.bucket, prometheus.NewRegistry(), func(c *rejects.Config) { c.Group = group })
	if err := store.Put(t.Context(), r, items); err != nil {
		t.Fatal(err)
	}
}

func (s *shelves) archive(t *testing.T) *rejects.Archive {
	t.Helper()
	cfg := rejects.DefaultConfig()
	cfg.Bucket = "logs"
	a, err := rejects.NewArchive(cfg, "events", s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// listed are the rejects of a group as "sequence's end#index state".
func (s *shelves) listed(t *testing.T, group string, sel rejects.Selection) (lines []string, ids []string) {
	t.Helper()
	err := s.archive(t).Each(t.Context(), group, sel, func(k rejects.Kept) error {
		lines = append(lines, fmt.Sprintf("%s#%d %s", k.Sequence[len(k.Sequence)-2:], k.Index, k.State))
		ids = append(ids, k.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, ids
}

// item is a reject at a place.
func item(n int, index uint32, reason string, data []byte) rejects.Item {
	return rejects.Item{Sequence: stream.SequenceNumber(fmt.Sprintf("4959033827149025660855969253836157%02d", n)), Arrival: arrival.Add(time.Duration(n) * time.Minute),
		Reject: schema.Reject{Index: index, Reason: reason, Data: data}}
}

// kinesis is a stream and a group that reads it: it drops what it has seen as
// consumers do.
type kinesis struct {
	mu   sync.Mutex
	fail func(put int) (do bool, err error)
	puts int
	seen map[string]uint64
	rows []schema.Event
	to   []string // of the records
	read *schema.Decoder
}

func newKinesis() *kinesis { return &kinesis{seen: map[string]uint64{}, read: schema.NewDecoder()} }

func (k *kinesis) Publish(ctx context.Context, r stream.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	k.puts++
	do, fault := true, error(nil)
	if k.fail != nil {
		do, fault = k.fail(k.puts)
	}
	if !do {
		return fault
	}
	if len(r.Data)+len(r.Key) > limit {
		return stream.Permanent(errors.New("test: the record is too long"))
	}
	b, again, _ := k.read.Decode(r.Data, arrival)
	if len(again) > 0 || b.Epoch.IsZero() {
		return stream.Permanent(fmt.Errorf("test: a reject came back: %+v", again))
	}
	k.to = append(k.to, b.To)
	lane := fmt.Sprint(b.Epoch, b.Lane, r.Key)
	for _, e := range b.Events {
		if e.Offset > k.seen[lane] {
			k.seen[lane] = e.Offset
			k.rows = append(k.rows, e)
		}
	}
	return fault
}

// lines are those of all rows, sorted.
func (k *kinesis) lines() (lines []string) {
	for _, e := range k.rows {
		lines = append(lines, string(e.Line))
	}
	slices.Sort(lines)
	return lines
}

const limit = 64 << 10

func (s *shelves) replay(ctx context.Context, t *testing.T, k *kinesis, sel rejects.Selection, o rejects.ReplayOptions) (map[rejects.Outcome]int, error) {
	t.Helper()
	return s.replayOf(ctx, t, "lake", k, sel, o)
}

func (s *shelves) replayOf(ctx context.Context, t *testing.T, group string, k *kinesis, sel rejects.Selection, o rejects.ReplayOptions) (map[rejects.Outcome]int, error) {
	t.Helper()
	r, err := rejects.NewReplayer(s.archive(t), k, schema.DefaultRules(), limit)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[rejects.Outcome]int{}
	err = r.Run(ctx, group, sel, o, func(r rejects.Replay) { outcomes[r.Outcome]++ })
	return outcomes, err
}

func TestTheArchiveHandsOutWhatIsMeant(t *testing.T) {
	s := newShelves()
	for n := range 9 {
		s.kept(t, "lake", span, item(3*n, 0, "checksum", []byte{1}), item(3*n+1, 0, "unknown format", []byte{2}), item(3*n+1, 1, "unknown format", []byte{3}))
	}
	s.kept(t, "realtime", span, item(1, 0, "checksum", []byte{1}))
	groups, err := s.archive(t).Groups(t.Context())
	if err != nil || !slices.Equal(groups, []string{"lake", "realtime"}) {
		t.Errorf("groups %q, %v", groups, err)
	}
	all, ids := s.listed(t, "lake", rejects.Selection{})
	if len(all) != 27 {
		t.Fatalf("%d of 27: %q", len(all), all)
	}
	id := func(text string) rejects.ID {
		id, err := rejects.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for name, c := range map[string]struct {
		sel  rejects.Selection
		want int
	}{
		"by a part of the reason": {rejects.Selection{Reason: "format"}, 18},
		"by arrival":              {rejects.Selection{Since: arrival.Add(24 * time.Minute)}, 3},
		"by id":                   {rejects.Selection{IDs: []rejects.ID{id(ids[4]), id(ids[20])}}, 2},
		"by object":               {rejects.Selection{IDs: []rejects.ID{id(ids[4][:16])}}, 3},
		"by all of it":            {rejects.Selection{IDs: []rejects.ID{id(ids[4][:16])}, Reason: "checksum", Since: arrival}, 1},
		"of nobody":               {rejects.Selection{IDs: []rejects.ID{id("0123456789abcdef")}}, 0},
	} {
		if got, _ := s.listed(t, "lake", c.sel); len(got) != c.want {
			t.Errorf("%s: %q, want %d", name, got, c.want)
		}
	}
	for _, text := range []string{"", "xyz", ids[0] + ".", ids[0] + "0000000000", strings.ToUpper(ids[0]) + "A"} {
		if _, err := rejects.ParseID(text); err == nil {
			t.Errorf("%q is an id", text)
		}
	}
}

func TestTheArchiveRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for name, content := range map[string]string{
		"a line of a later version": `{"version":2}`, "no JSON": "?", "an empty line": "\n", "a cut line": `{"version":1,"shard":"s`,
	} {
		s := newShelves()
		s.kept(t, "lake", span, item(1, 0, "checksum", []byte{1}))
		key := s.keys()[0]
		s.content[key] = append(s.content[key], content...)
		err := s.archive(t).Each(t.Context(), "lake", rejects.Selection{}, func(rejects.Kept) error { return nil })
		if err == nil || !strings.Contains(err.Error(), key+", line 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// aggregate is a record of the Kinesis Producer Library.
func aggregate(records ...string) []byte {
	m := protowire.AppendTag(nil, 1, protowire.BytesType)
	m = protowire.AppendString(m, "key")
	for _, r := range records {
		u := protowire.AppendTag(nil, 1, protowire.VarintType)
		u = protowire.AppendVarint(u, 0)
		u = protowire.AppendTag(u, 3, protowire.BytesType)
		u = protowire.AppendString(u, r)
		m = protowire.AppendTag(m, 3, protowire.BytesType)
		m = protowire.AppendBytes(m, u)
	}
	sum := md5.Sum(m)
	return append(append([]byte("\xF3\x89\x9A\xC2"), m...), sum[:]...)
}

func recordV1(t *testing.T, events ...schema.Event) []byte {
	t.Helper()
	data, err := schema.NewEncoder().Append(nil, &schema.Batch{Epoch: schema.Epoch{9}, Lane: 3, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// noise is text that does not compress.
func noise(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x", md5.Sum(fmt.Append(nil, i)))
	}
	return b.String()[:n]
}

func TestWhatTodaysDecoderUnderstandsOfARejectIsDelivered(t *testing.T) {
	origin := &schema.Origin{Service: "condor", ContainerID: "c1", Host: "h"}
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`{"n":%d,"noise":%q}`, i, noise(4<<10)))
	}
	for name, c := range map[string]struct {
		data    []byte
		o       rejects.ReplayOptions
		outcome rejects.Outcome
		lines   []string
	}{
		"JSON lines":                        {[]byte("{\"a\":1}\nplain\n"), rejects.ReplayOptions{}, rejects.Replayed, []string{"plain", `{"a":1}`}},
		"an aggregate":                      {aggregate(`{"a":1}`, `{"b":2}`), rejects.ReplayOptions{}, rejects.Replayed, []string{`{"a":1}`, `{"b":2}`}},
		"a record of a forwarder":           {recordV1(t, schema.Event{Kind: schema.KindRaw, Offset: 7, Line: []byte("x\xff"), Origin: origin}), rejects.ReplayOptions{}, rejects.Replayed, []string{"x\xff"}},
		"a record without events":           {recordV1(t), rejects.ReplayOptions{}, rejects.Replayed, nil},
		"more than a record takes":          {[]byte(strings.Join(many, "\n")), rejects.ReplayOptions{}, rejects.Replayed, slices.Sorted(slices.Values(many))},
		"nothing of a line that fits none":  {[]byte(`{"a":"` + noise(256<<10) + `"}`), rejects.ReplayOptions{}, rejects.TooLong, nil},
		"nothing of what is no record":      {[]byte("plain"), rejects.ReplayOptions{}, rejects.NotUnderstood, nil},
		"nothing of half an aggregate":      {aggregate(`{"a":1}`, "plain"), rejects.ReplayOptions{}, rejects.NotUnderstood, nil},
		"text as a line if so wanted":       {[]byte("plain\ntext"), rejects.ReplayOptions{AsLines: true}, rejects.Replayed, []string{"plain\ntext"}},
		"the rest of an aggregate as lines": {aggregate(`{"a":1}`, "plain"), rejects.ReplayOptions{AsLines: true}, rejects.Replayed, []string{"plain", `{"a":1}`}},
		"no bytes as a line":                {[]byte("\xf5TRB\x02frame"), rejects.ReplayOptions{AsLines: true}, rejects.NotUnderstood, nil},
		"nothing in a dry run":              {[]byte(`{"a":1}`), rejects.ReplayOptions{DryRun: true}, rejects.Replayed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, k := newShelves(), newKinesis()
			s.kept(t, "lake", span, item(1, 0, "unknown format", c.data))
			outcomes, err := s.replay(t.Context(), t, k, rejects.Selection{}, c.o)
			if err != nil || len(outcomes) != 1 || outcomes[c.outcome] != 1 || !slices.Equal(k.lines(), c.lines) {
				t.Fatalf("%v, %v: lines %.200q, want %.200q", err, outcomes, k.lines(), c.lines)
			}
			for _, e := range k.rows {
				if e.Kind == schema.KindUnset || e.Origin.Service == "" || e.Offset == 0 {
					t.Errorf("%+v of %+v is not as a forwarder's", e, e.Origin)
				}
				if string(e.Line) == "x\xff" && (e.Origin.Service != "condor" || e.Origin.ContainerID != "c1" || e.Kind != schema.KindRaw) {
					t.Errorf("%+v of %+v is not as it was", e, e.Origin)
				}
			}
			state := "01#0 kept"
			if c.outcome == rejects.Replayed && !c.o.DryRun {
				state = "01#0 replayed"
			}
			if got, _ := s.listed(t, "lake", rejects.Selection{}); !slices.Equal(got, []string{state}) {
				t.Errorf("state %q, want %q", got, state)
			}
			puts := k.puts
			if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, c.o); err != nil || k.puts != puts {
				t.Errorf("a second replay put %d records: %v", k.puts-puts, err)
			}
		})
	}
}

func TestTheTimeOfAReplayedLineIsThatOfItsFirstArrival(t *testing.T) {
	s, k := newShelves(), newKinesis()
	s.kept(t, "lake", span, item(2, 0, "unknown format", []byte(`{"a":1}`)), item(3, 0, "unknown format", []byte(`{"time":"2026-11-22T23:30:00Z","service":"heron"}`)))
	if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err != nil || len(k.rows) != 2 {
		t.Fatalf("%v: %+v", err, k.rows)
	}
	for _, e := range k.rows {
		want, service := arrival.Add(2*time.Minute), "unknown"
		if bytes.Contains(e.Line, []byte("heron")) {
			want, service = time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC), "heron"
		}
		if !time.Unix(0, e.Time).Equal(want) || e.Origin.Service != service {
			t.Errorf("%s has time %s and service %s", e.Line, time.Unix(0, e.Time).UTC(), e.Origin.Service)
		}
	}
}

// someRejects are six rejects of one group in three objects, of a record or two.
func someRejects(t *testing.T, s *shelves) (lines []string) {
	t.Helper()
	for n := range 3 {
		var items []rejects.Item
		for i := range 2 {
			at := 2*n + i
			small, large := fmt.Sprintf(`{"n":%d}`, at), fmt.Sprintf(`{"n":%d,"noise":%q}`, 100+at, noise(50<<10))
			data := small
			lines = append(lines, small)
			if at == 3 { // two records
				data += "\n" + large
				lines = append(lines, large)
			}
			items = append(items, item(at, uint32(i), "unknown format", []byte(data)))
		}
		s.kept(t, "lake", span, items...)
	}
	slices.Sort(lines)
	return lines
}

// TestAReplayThatIsCutOffAnywhereIsDoneOnce lets each call of a replay, to S3 or to
// the stream, be lost with its request or only with its answer. The replay that
// comes after it starts from nothing.
func TestAReplayThatIsCutOffAnywhereIsDoneOnce(t *testing.T) {
	lost := answered(http.StatusForbidden, "AccessDenied") // which nobody tries again
	for name, did := range map[string]bool{"the request is lost": false, "the answer is lost": true} {
		for call := 1; ; call++ {
			s, k := newShelves(), newKinesis()
			lines := someRejects(t, s)
			calls := 0
			var mu sync.Mutex
			fail := func() (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if calls++; calls == call {
					return did, lost
				}
				return true, nil
			}
			s.fail = func(string) (bool, error) { return fail() }
			k.fail = func(int) (bool, error) { return fail() }
			_, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{})
			if err == nil {
				if calls >= call || call < 20 {
					t.Errorf("%s at call %d of %d: no error", name, call, calls)
				}
				break // beyond the last call
			}
			if !errors.Is(err, lost) {
				t.Fatalf("%s at call %d: %v", name, call, err)
			}
			s.fail, k.fail = nil, nil
			if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err != nil {
				t.Fatalf("%s at call %d, then: %v", name, call, err)
			}
			if got := k.lines(); !slices.Equal(got, lines) {
				t.Fatalf("%s at call %d: %d rows of %d lines", name, call, len(got), len(lines))
			}
			if states, _ := s.listed(t, "lake", rejects.Selection{}); slices.ContainsFunc(states, func(l string) bool { return !strings.HasSuffix(l, " replayed") }) {
				t.Fatalf("%s at call %d: states %q", name, call, states)
			}
		}
	}
}

func TestAReplayOfManyLivesIsDoneOnce(t *testing.T) {
	for seed := range 8 {
		s, k := newShelves(), newKinesis()
		lines := someRejects(t, s)
		for life := 0; ; life++ {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			var mu sync.Mutex
			s.fail = func(string) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if n++; n == 3+(seed*7+life*5)%11 {
					cancel()
				}
				return true, nil
			}
			if life > 20 {
				s.fail = nil
			}
			_, err := s.replay(ctx, t, k, rejects.Selection{}, rejects.ReplayOptions{})
			cancel()
			if err == nil {
				break
			}
		}
		if got := k.lines(); !slices.Equal(got, lines) {
			t.Fatalf("seed %d: %d rows of %d lines", seed, len(got), len(lines))
		}
	}
}

func TestTwoPeopleWhoReplayAtOnceDeliverOnce(t *testing.T) {
	for range 5 {
		s, k := newShelves(), newKinesis()
		lines := someRejects(t, s)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if got := k.lines(); !slices.Equal(got, lines) {
			t.Fatalf("%d rows of %d lines", len(got), len(lines))
		}
	}
}

func TestWhatTwoGroupsAndGenerationsRejectedIsDeliveredOnce(t *testing.T) {
	s, k := newShelves(), newKinesis()
	reset := span
	reset.Generation = 2
	for _, group := range []string{"lake", "realtime"} {
		s.kept(t, group, span, item(1, 0, "unknown format", []byte(`{"a":1}`)), item(1, 1, "unknown format", []byte(`{"a":2}`)))
		s.kept(t, group, reset, item(1, 0, "unknown format", []byte(`{"a":1}`)))
	}
	if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{`{"a":1}`, `{"a":2}`}; !slices.Equal(k.lines(), want) {
		t.Errorf("rows %q", k.lines())
	}
	if got, _ := s.listed(t, "realtime", rejects.Selection{}); len(got) != 3 || slices.ContainsFunc(got, func(l string) bool { return !strings.HasSuffix(l, " replayed") }) {
		t.Errorf("states of the other group %q", got)
	}
}

func TestWhatADestinationRefusedComesAgainToItsGroupAlone(t *testing.T) {
	s, k := newShelves(), newKinesis()
	refused := item(1, 7, "too old", recordV1(t, schema.Event{Kind: schema.KindApp, Time: 5, Offset: 9, Origin: &schema.Origin{Service: "condor"}, Line: []byte(`{"a":1}`)}))
	refused.Refused = true
	for _, group := range []string{"realtime", "treasuredata"} {
		s.kept(t, group, span, refused)
		for range 2 { // the second finds it replayed
			if _, err := s.replayOf(t.Context(), t, group, k, rejects.Selection{}, rejects.ReplayOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := s.listed(t, group, rejects.Selection{}); !slices.Equal(got, []string{"01#7 replayed"}) {
			t.Errorf("states %q", got)
		}
	}
	if want := []string{"realtime", "treasuredata"}; !slices.Equal(k.to, want) {
		t.Errorf("records for %q, want one for each of %q", k.to, want)
	}
	for _, e := range k.rows {
		if e.Origin.Service != "condor" || e.Time != 5 || e.Kind != schema.KindApp || string(e.Line) != `{"a":1}` {
			t.Errorf("it came again as %+v of %+v", e, e.Origin)
		}
	}
}

func TestAManifestOfALaterVersionIsNotGuessedAt(t *testing.T) {
	s, k := newShelves(), newKinesis()
	s.kept(t, "lake", span, item(1, 0, "unknown format", []byte(`{"a":1}`)))
	k.fail = func(int) (bool, error) { return false, errors.New("gone") }
	if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err == nil {
		t.Fatal("no error")
	}
	key := s.keys()[slices.IndexFunc(s.keys(), func(k string) bool { return strings.HasSuffix(k, ".begun.json") })]
	var m map[string]any
	if err := json.Unmarshal(s.content[key], &m); err != nil || m["version"] != 1.0 {
		t.Fatalf("%v: %s", err, s.content[key])
	}
	s.content[key] = bytes.Replace(s.content[key], []byte(`"version":1`), []byte(`"version":2`), 1)
	k.fail = nil
	if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err == nil || !strings.Contains(err.Error(), "version 2") || k.puts != 1 {
		t.Errorf("%v after %d puts", err, k.puts)
	}
}

func TestTheManifestsOfAReplayAreAsTheFormatSays(t *testing.T) {
	s, k := newShelves(), newKinesis()
	s.kept(t, "lake", span, item(1, 7, "unknown format", []byte(`{"a":1}`)))
	if _, err := s.replay(t.Context(), t, k, rejects.Selection{}, rejects.ReplayOptions{}); err != nil {
		t.Fatal(err)
	}
	base := "rejects/_replays/events/shardId-000000000003/" + strings.Repeat("0", 28) + "495903382714902566085596925383615701-0000000007"
	keys := s.keys()
	if len(keys) != 3 || keys[0] != base+".begun.json" || keys[1] != base+".done.json" {
		t.Fatalf("keys %q", keys)
	}
	var begun struct {
		Version, Index, Line, Events int
		Shard, Sequence, Object, Key string
		Epoch                        string
		Records                      [][]byte
	}
	if err := json.Unmarshal(s.content[keys[0]], &begun); err != nil {
		t.Fatal(err)
	}
	if begun.Version != 1 || begun.Index != 7 || begun.Line != 1 || begun.Events != 1 || begun.Object != keys[2] || begun.Shard != "shardId-000000000003" ||
		!strings.HasPrefix(begun.Key, "replay-"+begun.Epoch+"-") || len(begun.Records) != 1 {
		t.Errorf("%s", s.content[keys[0]])
	}
}
