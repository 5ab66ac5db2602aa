package lake_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/stream"
)

// site is a lake over the endpoint, to be damaged and proven.
type site struct {
	t      *testing.T
	dir    string
	client *sdk.Client
	lake   *lake.Lake
	// written says when a key was written, in place of the endpoint's clock.
	written map[string]time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir, _, client := startS3(t)
	return &site{t: t, dir: dir, client: client, lake: newLake(t, config(), client), written: map[string]time.Time{}}
}

// copy is a site of its own with the same objects.
func (s *site) copy(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	_, client := serveS3(t, dir)
	return &site{t: t, dir: dir, client: client, lake: newLake(t, config(), client), written: maps.Clone(s.written)}
}

// ListObjectsV2 answers with pages of three keys, and the times of the site.
func (s *site) ListObjectsV2(ctx context.Context, in *sdk.ListObjectsV2Input, opts ...func(*sdk.Options)) (*sdk.ListObjectsV2Output, error) {
	few := *in
	few.MaxKeys = aws.Int32(3)
	out, err := s.client.ListObjectsV2(ctx, &few, opts...)
	if err == nil {
		for i := range out.Contents {
			if at, ok := s.written[*out.Contents[i].Key]; ok {
				out.Contents[i].LastModified = &at
			}
		}
	}
	return out, err
}

func (s *site) GetObject(ctx context.Context, in *sdk.GetObjectInput, opts ...func(*sdk.Options)) (*sdk.GetObjectOutput, error) {
	return s.client.GetObject(ctx, in, opts...)
}

func (s *site) PutObject(context.Context, *sdk.PutObjectInput, ...func(*sdk.Options)) (*sdk.PutObjectOutput, error) {
	return nil, errors.New("test: a proof writes nothing")
}

// span is a range of records that follow the one before it.
func span(first, last int) stream.Range {
	r := rangeOf(first, last)
	if first > 1 {
		r.After = sequence(first - 1)
	}
	return r
}

// flush writes a range of two events a record, of two kinds, and returns the keys
// it made, the manifest's first.
func (s *site) flush(r stream.Range) []string {
	s.t.Helper()
	before := s.keys()
	var batches []stream.Batch
	for n := 1; n < 100; n++ {
		if q := sequence(n); q.Compare(r.First) >= 0 && q.Compare(r.Last) <= 0 {
			b := record(n, event(schema.KindApp, noon, "condor", `{"a":1}`), event(schema.KindRaw, noon, "condor", "x"))
			b.Shard = r.Shard
			batches = append(batches, b)
		}
	}
	sink, err := s.lake.Open(s.t.Context(), r.Shard, s.lake.Plan())
	if err != nil {
		s.t.Fatal(err)
	}
	appendAll(s.t, sink, batches)
	if err := sink.Flush(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	made := slices.DeleteFunc(s.keys(), func(k string) bool { return slices.Contains(before, k) })
	slices.SortStableFunc(made, func(a, b string) int {
		return cmp.Compare(strings.Count(b, "_ranges"), strings.Count(a, "_ranges"))
	})
	return made
}

func (s *site) keys() (keys []string) {
	s.t.Helper()
	out, err := s.client.ListObjectsV2(s.t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String("logs")})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

func (s *site) remove(keys ...string) {
	s.t.Helper()
	for _, k := range keys {
		if _, err := s.client.DeleteObject(s.t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("logs"), Key: &k}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// change replaces what is under a key, or puts it there.
func (s *site) change(key string, with func(body []byte, metadata map[string]string) []byte) {
	s.t.Helper()
	var body []byte
	metadata := map[string]string{}
	if out, err := s.client.GetObject(s.t.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: &key}); err == nil {
		metadata = out.Metadata
		if body, err = io.ReadAll(out.Body); err != nil {
			s.t.Fatal(err)
		}
		_ = out.Body.Close()
	}
	body = with(body, metadata)
	if _, err := s.client.PutObject(s.t.Context(), &sdk.PutObjectInput{Bucket: aws.String("logs"), Key: &key, Body: bytes.NewReader(body), Metadata: metadata}); err != nil {
		s.t.Fatal(err)
	}
}

// tell changes fields of a manifest.
func (s *site) tell(key string, fields map[string]any) {
	s.t.Helper()
	s.change(key, func(body []byte, _ map[string]string) []byte {
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			s.t.Fatal(err)
		}
		for k, v := range fields {
			m[k] = v
		}
		text, err := json.Marshal(m)
		if err != nil {
			s.t.Fatal(err)
		}
		return text
	})
}

type proofClient interface {
	lakeClient
	ListObjectsV2(context.Context, *sdk.ListObjectsV2Input, ...func(*sdk.Options)) (*sdk.ListObjectsV2Output, error)
}

func prove(t *testing.T, api proofClient, o lake.ProofOptions) (*lake.Proof, error) {
	t.Helper()
	p, err := lake.NewProver(config(), api)
	if err != nil {
		t.Fatal(err)
	}
	return p.Prove(t.Context(), o)
}

// kinds are the kinds of what was found, in its order.
func kinds(p *lake.Proof) string {
	var words []string
	for _, f := range p.Faults {
		words = append(words, f.Kind)
	}
	return strings.Join(words, " ")
}

// TestWhatAProofFinds damages a lake of three ranges, of records 1 to 9 of one
// shard. keys are those of each range, the manifest's first.
func TestWhatAProofFinds(t *testing.T) {
	whole := newSite(t)
	var keys [][]string
	for _, r := range []stream.Range{span(1, 3), span(4, 6), span(7, 9)} {
		keys = append(keys, whole.flush(r))
	}
	deep := lake.ProofOptions{Deep: true}
	for name, c := range map[string]struct {
		damage func(s *site, keys [][]string)
		look   lake.ProofOptions
		want   string
	}{
		"nothing in a whole lake":             {func(*site, [][]string) {}, lake.ProofOptions{}, ""},
		"nothing in a whole lake, deep":       {func(*site, [][]string) {}, deep, ""},
		"nothing in a whole lake, hashed":     {func(*site, [][]string) {}, lake.ProofOptions{Hash: true}, ""},
		"nothing in a range without events":   {func(s *site, _ [][]string) { s.flush(span(200, 210)); s.tellAfter(200, 9) }, lake.ProofOptions{}, ""},
		"nothing in other files":              {func(s *site, _ [][]string) { s.put("lake/kind=app/_SUCCESS"); s.put("rejects/x.parquet") }, deep, ""},
		"a gap of a lost manifest":            {func(s *site, k [][]string) { s.remove(k[1][0]) }, lake.ProofOptions{}, "gap orphan orphan"},
		"a gap of a range that is gone":       {func(s *site, k [][]string) { s.remove(k[1]...) }, lake.ProofOptions{}, "gap"},
		"a gap at the beginning":              {func(s *site, k [][]string) { s.remove(k[0]...) }, lake.ProofOptions{}, "gap"},
		"a gap of a range that follows later": {func(s *site, _ [][]string) { s.flush(span(20, 22)) }, lake.ProofOptions{}, "gap"},
		"a gap of a group that began anew": {func(s *site, _ [][]string) {
			r := span(20, 22)
			r.After = ""
			s.flush(r)
		}, lake.ProofOptions{}, "gap"},
		"an overlap of a range within another": {func(s *site, _ [][]string) { s.flush(span(9, 12)) }, lake.ProofOptions{}, "overlap"},
		"an overlap of a range that says it follows less": {func(s *site, k [][]string) {
			s.tell(k[2][0], map[string]any{"after": sequence(5)})
		}, lake.ProofOptions{}, "overlap"},
		"a truncated range": {func(s *site, _ [][]string) {
			r := span(10, 12)
			r.Truncated = true
			s.flush(r)
		}, deep, "truncated"},
		"of a truncated range not what an earlier attempt left": {func(s *site, _ [][]string) {
			r := span(10, 12)
			r.Truncated = true
			s.remove(s.flush(span(10, 12))[0])
			s.flush(r)
			s.tellObjects(10, 1) // the other was written by the first attempt alone
		}, deep, "truncated"},
		"a manifest that is no JSON": {func(s *site, k [][]string) { s.put(k[1][0]) }, lake.ProofOptions{}, "manifest orphan orphan"},
		"a manifest under another name": {func(s *site, k [][]string) {
			s.tell(k[2][0], map[string]any{"generation": 3})
		}, lake.ProofOptions{}, "manifest orphan orphan"},
		"a manifest of a range that ends before it begins": {func(s *site, k [][]string) {
			s.tell(k[2][0], map[string]any{"last": sequence(6)})
		}, lake.ProofOptions{}, "manifest orphan orphan"},
		"a manifest that counts wrong": {func(s *site, k [][]string) { s.tell(k[0][0], map[string]any{"rows": 7}) }, lake.ProofOptions{}, "manifest orphan orphan"},
		"a stranger among manifests":   {func(s *site, _ [][]string) { s.put("lake/_ranges/notes.txt") }, lake.ProofOptions{}, "manifest"},
		"a missing object":             {func(s *site, k [][]string) { s.remove(k[1][1]) }, lake.ProofOptions{}, "missing"},
		"a missing object, deep":       {func(s *site, k [][]string) { s.remove(k[1][1]) }, deep, "missing"},
		"an object of another size": {func(s *site, k [][]string) {
			s.change(k[1][1], func(b []byte, _ map[string]string) []byte { return b[1:] })
		}, lake.ProofOptions{}, "object orphan"},
		"an object with nothing in it": {func(s *site, k [][]string) {
			s.change(k[1][1], func([]byte, map[string]string) []byte { return nil })
		}, lake.ProofOptions{}, "object orphan"},
		"an object without its footer": {func(s *site, k [][]string) {
			s.change(k[1][1], func(b []byte, _ map[string]string) []byte { return make([]byte, len(b)) })
		}, deep, "object"},
		"an object whose metadata counts otherwise": {func(s *site, k [][]string) {
			s.change(k[1][1], func(b []byte, m map[string]string) []byte { m["tributary-rows"] = "4"; return b })
		}, deep, "object"},
		"an object whose metadata tells of another range": {func(s *site, k [][]string) {
			s.change(k[1][1], func(b []byte, m map[string]string) []byte { m["tributary-last"] = string(sequence(7)); return b })
		}, deep, "object"},
		"an object whose footer counts otherwise": {func(s *site, k [][]string) {
			o := s.flush(rangeOf(90, 90)) // one row instead of three
			var fewer []byte
			s.change(o[1], func(b []byte, _ map[string]string) []byte { fewer = b; return b })
			s.remove(o...)
			s.change(k[1][1], func([]byte, map[string]string) []byte { return fewer })
			s.tellBytes(4, len(fewer))
		}, deep, "object"},
		"a changed byte not without hashing": {func(s *site, k [][]string) { s.flip(k[1][1]) }, deep, ""},
		"a changed byte by hashing":          {func(s *site, k [][]string) { s.flip(k[1][1]) }, lake.ProofOptions{Hash: true}, "object"},
		"an object that no manifest names": {func(s *site, k [][]string) {
			s.put(strings.Replace(k[1][1], "hour=12", "hour=11", 1))
		}, lake.ProofOptions{}, "orphan"},
		"a stranger's object":        {func(s *site, _ [][]string) { s.put("lake/kind=app/part-00000-c000.snappy.parquet") }, lake.ProofOptions{}, "foreign"},
		"nothing in an open range":   {func(s *site, _ [][]string) { s.remove(s.flush(span(10, 12))[0]) }, deep, ""},
		"two open ranges as no such": {func(s *site, _ [][]string) { s.remove(s.flush(span(10, 12))[0]); s.remove(s.flush(span(13, 15))[0]) }, deep, "orphan orphan"},
		"nothing in another generation": {func(s *site, _ [][]string) {
			for _, r := range []stream.Range{rangeOf(2, 5), span(6, 8), span(9, 9)} {
				if r.Generation = 2; r.First == sequence(2) {
					r.After = ""
				}
				s.flush(r)
			}
		}, deep, ""},
		"a gap in another generation": {func(s *site, _ [][]string) {
			r := span(4, 6)
			r.Generation, r.After = 10, ""
			s.flush(r)
			r = span(8, 9)
			r.Generation = 10
			s.flush(r)
		}, deep, "gap"},
		"a gap in another shard": {func(s *site, _ [][]string) {
			r := span(4, 6)
			r.Shard = "shardId-000000000010"
			s.flush(r)
		}, deep, "gap"},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole.copy(t)
			c.damage(s, keys)
			proof, err := prove(t, s, c.look)
			if err != nil {
				t.Fatal(err)
			}
			if got := kinds(proof); got != c.want || proof.Proven != (got == "") || !proof.Complete || proof.FaultCount != int64(len(proof.Faults)) {
				t.Errorf("found %q, want %q: %+v", got, c.want, proof.Faults)
			}
			for _, f := range proof.Faults {
				if f.Key == "" || f.Text == "" {
					t.Errorf("fault %+v says too little", f)
				}
			}
		})
	}
}

func (s *site) put(key string) {
	s.change(key, func([]byte, map[string]string) []byte { return []byte("something else") })
}

// flip changes a byte in the middle.
func (s *site) flip(key string) {
	s.change(key, func(b []byte, _ map[string]string) []byte { b[len(b)/3] ^= 0x55; return b })
}

func manifestOf(first int) string {
	return fmt.Sprintf("lake/_ranges/%s/%064s.json", shard, sequence(first))
}

func (s *site) tellAfter(first, after int) {
	s.tell(manifestOf(first), map[string]any{"after": sequence(after)})
}

// tellObjects leaves a manifest n of its objects.
func (s *site) tellObjects(first, n int) {
	s.change(manifestOf(first), func(body []byte, _ map[string]string) []byte {
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			s.t.Fatal(err)
		}
		m["objects"] = m["objects"].([]any)[:n]
		rows := 0.0
		for _, o := range m["objects"].([]any) {
			rows += o.(map[string]any)["rows"].(float64)
		}
		m["rows"] = rows
		text, err := json.Marshal(m)
		if err != nil {
			s.t.Fatal(err)
		}
		return text
	})
}

// tellBytes sets the size of a manifest's first object.
func (s *site) tellBytes(first, n int) {
	s.change(manifestOf(first), func(body []byte, _ map[string]string) []byte {
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			s.t.Fatal(err)
		}
		m["objects"].([]any)[0].(map[string]any)["bytes"] = n
		text, err := json.Marshal(m)
		if err != nil {
			s.t.Fatal(err)
		}
		return text
	})
}

func TestAProofCountsWhatItLookedAt(t *testing.T) {
	s := newSite(t)
	for _, r := range []stream.Range{span(1, 3), span(4, 6)} {
		s.flush(r)
	}
	second := span(5, 6)
	second.Generation, second.After = 3, ""
	s.flush(second)
	other := rangeOf(7, 7)
	other.Shard = "shardId-000000000001"
	open := s.flush(other)
	s.remove(open[0])
	proof, err := prove(t, s, lake.ProofOptions{})
	if err != nil || !proof.Proven || len(proof.Chains) != 3 {
		t.Fatalf("%v: %+v", err, proof)
	}
	for i, want := range []lake.Chain{
		{Shard: other.Shard, Open: 2},
		{Shard: shard, Ranges: 2, Objects: 4, Records: 6, Rows: 12, Last: sequence(6), ArrivalFirst: noon.Add(time.Second), ArrivalLast: noon.Add(6 * time.Second)},
		{Shard: shard, Generation: 3, Ranges: 1, Objects: 2, Records: 2, Rows: 4, Last: sequence(6), ArrivalFirst: noon.Add(5 * time.Second), ArrivalLast: noon.Add(6 * time.Second)},
	} {
		got := proof.Chains[i]
		if (got.Bytes > 0) != (want.Objects > 0) || got.OpenSince.IsZero() != (want.Open == 0) {
			t.Errorf("chain %d: %+v", i, got)
		}
		got.Bytes, got.OpenSince = 0, time.Time{}
		if got != want {
			t.Errorf("chain %d is %+v, want %+v", i, got, want)
		}
	}
	if sum := proof.Totals(); sum.Ranges != 3 || sum.Rows != 16 || sum.Open != 2 || !sum.ArrivalFirst.Equal(noon.Add(time.Second)) {
		t.Errorf("totals %+v", sum)
	}
}

// Five ranges were written an hour apart.
func TestAProofSinceATimeBeginsWithTheRangesFinishedThen(t *testing.T) {
	whole := newSite(t)
	var keys [][]string
	for n := range 5 {
		made := whole.flush(span(3*n+1, 3*n+3))
		for _, k := range made {
			whole.written[k] = noon.Add(time.Duration(n) * time.Hour)
		}
		keys = append(keys, made)
	}
	for name, c := range map[string]struct {
		since  float64 // hours
		damage func(s *site, keys [][]string)
		want   string
		ranges int64
	}{
		"and not before":                             {2.5, func(*site, [][]string) {}, "", 2},
		"of which there may be none":                 {9, func(*site, [][]string) {}, "", 0},
		"not with the faults before":                 {2.5, func(s *site, k [][]string) { s.remove(k[0][0], k[1][1]) }, "", 2},
		"held against the end of the one before":     {2.5, func(s *site, k [][]string) { s.remove(k[2]...) }, "gap", 2},
		"but for one that is not there any more":     {2.5, func(s *site, k [][]string) { s.remove(k[0]...); s.remove(k[1]...); s.remove(k[2]...) }, "", 2},
		"with objects that were written before":      {2.5, func(s *site, k [][]string) { s.written[k[3][1]] = noon }, "", 2},
		"with those of them that are missing":        {2.5, func(s *site, k [][]string) { s.written[k[3][1]] = noon; s.remove(k[3][1]) }, "missing", 2},
		"with what nobody names since":               {2.5, func(s *site, k [][]string) { s.remove(k[3][0]) }, "gap orphan orphan", 1},
		"not with an object copied onto itself":      {2.5, func(s *site, k [][]string) { s.written[k[1][1]] = noon.Add(4 * time.Hour) }, "", 2},
		"not with one if none was finished since":    {9, func(s *site, k [][]string) { s.written[k[4][1]] = noon.Add(10 * time.Hour) }, "", 0},
		"with a range from then on out of its order": {2.5, func(s *site, k [][]string) { s.written[k[4][0]] = noon }, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole.copy(t)
			c.damage(s, keys)
			proof, err := prove(t, s, lake.ProofOptions{Since: noon.Add(time.Duration(c.since * float64(time.Hour)))})
			if err != nil {
				t.Fatal(err)
			}
			if got := kinds(proof); got != c.want || proof.Totals().Ranges != c.ranges {
				t.Errorf("found %q in %d ranges, want %q in %d: %+v", got, proof.Totals().Ranges, c.want, c.ranges, proof.Faults)
			}
		})
	}
}

func TestALakeThatCannotBeLookedAtIsAnErrorAndNoFault(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*site)
		want    string
	}{
		"an empty bucket":              {func(*site) {}, "no range was ever finished"},
		"only a range being flushed":   {func(s *site) { s.remove(s.flush(span(1, 3))[0]) }, "no range was ever finished"},
		"a manifest of a later format": {func(s *site) { s.tell(s.flush(span(1, 3))[0], map[string]any{"format": 99}) }, "has format 99, this build reads up to"},
		"no bucket": {func(s *site) {
			if _, err := s.client.DeleteBucket(s.t.Context(), &sdk.DeleteBucketInput{Bucket: aws.String("logs")}); err != nil {
				s.t.Fatal(err)
			}
		}, "NoSuchBucket"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.prepare(s)
			proof, err := prove(t, s, lake.ProofOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || proof.Proven || len(proof.Faults) > 0 {
				t.Errorf("%v, proof %+v", err, proof)
			}
			if (c.want == "no range was ever finished") != errors.Is(err, lake.ErrNoRanges) {
				t.Errorf("%v", err)
			}
		})
	}
}

// paper is a bucket of manifests that exist only as they are asked for.
type paper struct {
	*bucket
	ranges int
	fail   func(call int) error
	asked  int
}

func (p *paper) ListObjectsV2(_ context.Context, in *sdk.ListObjectsV2Input, _ ...func(*sdk.Options)) (*sdk.ListObjectsV2Output, error) {
	p.asked++
	if p.fail != nil {
		if err := p.fail(p.asked); err != nil {
			return nil, err
		}
	}
	out := &sdk.ListObjectsV2Output{}
	if !strings.Contains(*in.Prefix, "_ranges") {
		return out, nil
	}
	at := 1
	if in.ContinuationToken != nil {
		_, _ = fmt.Sscan(*in.ContinuationToken, &at)
	}
	for n := at; n <= p.ranges; n++ {
		if n == at+1000 {
			out.IsTruncated, out.NextContinuationToken = aws.Bool(true), aws.String(fmt.Sprint(n))
			break
		}
		out.Contents = append(out.Contents, types.Object{Key: aws.String(manifestOf(n)), Size: aws.Int64(200), LastModified: aws.Time(noon)})
	}
	return out, nil
}

func (p *paper) GetObject(_ context.Context, in *sdk.GetObjectInput, _ ...func(*sdk.Options)) (*sdk.GetObjectOutput, error) {
	n, err := strconv.Atoi(strings.TrimSuffix((*in.Key)[len(*in.Key)-9:], ".json"))
	if err != nil {
		return nil, err
	}
	after := ""
	if n > 1 {
		after = string(sequence(n - 1))
	}
	text := fmt.Sprintf(`{"format":1,"shard":%q,"after":%q,"first":%q,"last":%q,"records":1,"objects":[]}`, shard, after, sequence(n), sequence(n))
	return &sdk.GetObjectOutput{Body: io.NopCloser(strings.NewReader(text))}, nil
}

func TestAProofOfThousandsOfRangesIsAStream(t *testing.T) {
	p := &paper{bucket: newBucket(), ranges: 4321}
	proof, err := prove(t, p, lake.ProofOptions{})
	if err != nil || !proof.Proven || proof.Totals().Ranges != 4321 || p.asked != 1+5 {
		t.Errorf("%v after %d listings: %+v", err, p.asked, proof)
	}
}

func TestAProofIsPatientWithS3ButNotForEver(t *testing.T) {
	busy := answered(http.StatusServiceUnavailable, "SlowDown")
	for name, c := range map[string]struct {
		fail  func(call int) error
		want  string
		asked int
	}{
		"a few refusals are waited out": {func(call int) error {
			if call < 7 {
				return busy
			}
			return nil
		}, "", 8},
		"more are an error":           {func(int) error { return busy }, "SlowDown", 7},
		"no right to list is at once": {func(int) error { return answered(http.StatusForbidden, "AccessDenied") }, "AccessDenied", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &paper{bucket: newBucket(), ranges: 1, fail: c.fail}
				_, err := prove(t, p, lake.ProofOptions{})
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || p.asked != c.asked {
					t.Errorf("%v after %d calls, want %q after %d", err, p.asked, c.want, c.asked)
				}
			})
		})
	}
}

func TestAProofEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := lake.NewProver(config(), &paper{bucket: newBucket(), ranges: 1, fail: func(int) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	if proof, err := p.Prove(ctx, lake.ProofOptions{}); !errors.Is(err, context.Canceled) || proof.Proven || proof.Complete {
		t.Errorf("%v: %+v", err, proof)
	}
}
