package s3_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (e *endpoint) list(in sdk.ListObjectsV2Input) (names []string, pages int) {
	e.t.Helper()
	in.Bucket = aws.String(bucket)
	for p := sdk.NewListObjectsV2Paginator(e.Client, &in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(e.t.Context())
		if err != nil {
			e.t.Fatal(err)
		}
		if n := len(page.Contents) + len(page.CommonPrefixes); int(aws.ToInt32(page.KeyCount)) != n || in.MaxKeys != nil && n > int(*in.MaxKeys) {
			e.t.Errorf("a page of %d says %d, at most %d were asked for", n, aws.ToInt32(page.KeyCount), aws.ToInt32(in.MaxKeys))
		}
		for _, o := range page.Contents {
			names = append(names, aws.ToString(o.Key))
		}
		for _, p := range page.CommonPrefixes {
			names = append(names, aws.ToString(p.Prefix))
		}
	}
	return names, pages
}

func TestListPagesThroughThousandsOfKeys(t *testing.T) {
	e := withBucket(t)
	const n = 2100
	for i := range n {
		e.byHand(fmt.Sprintf("dt=%02d/%04d.parquet", i%7, i), "x")
	}
	names, pages := e.list(sdk.ListObjectsV2Input{})
	seen := map[string]bool{}
	for i, name := range names {
		seen[name] = true
		if i > 0 && names[i-1] >= name {
			t.Fatalf("%s comes after %s", name, names[i-1])
		}
	}
	if len(seen) != n || pages != 3 {
		t.Errorf("%d keys in %d pages, want %d in 3", len(seen), pages, n)
	}
	if names, pages := e.list(sdk.ListObjectsV2Input{Prefix: aws.String("dt=03/"), MaxKeys: aws.Int32(100)}); len(names) != n/7 || pages != 3 {
		t.Errorf("below a prefix: %d keys in %d pages, want %d in 3", len(names), pages, n/7)
	}
	if names, _ := e.list(sdk.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)}); strings.Join(names, " ") != "dt=00/ dt=01/ dt=02/ dt=03/ dt=04/ dt=05/ dt=06/" {
		t.Errorf("rolled up: %v", names)
	}
}

func TestListShapes(t *testing.T) {
	e := withBucket(t)
	for _, key := range []string{"a", "b/1", "b/2/x", "b/2/y", "b-", "b0", "c/d/e", "é &<+", ".hidden"} {
		e.put(key, key)
	}
	if err := os.MkdirAll(e.file(bucket, "empty", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		in   sdk.ListObjectsV2Input
		want string
	}{
		{"all keys come in the order of their bytes", sdk.ListObjectsV2Input{}, ".hidden a b- b/1 b/2/x b/2/y b0 c/d/e é &<+"},
		{"a prefix need not end at a slash", sdk.ListObjectsV2Input{Prefix: aws.String("b")}, "b- b/1 b/2/x b/2/y b0"},
		{"a prefix inside a name", sdk.ListObjectsV2Input{Prefix: aws.String("b/2/x")}, "b/2/x"},
		{"nothing below", sdk.ListObjectsV2Input{Prefix: aws.String("empty/")}, ""},
		{"a delimiter rolls up", sdk.ListObjectsV2Input{Delimiter: aws.String("/")}, ".hidden a b- b0 é &<+ b/ c/"},
		{"a delimiter below a prefix", sdk.ListObjectsV2Input{Delimiter: aws.String("/"), Prefix: aws.String("b/")}, "b/1 b/2/"},
		{"another delimiter", sdk.ListObjectsV2Input{Delimiter: aws.String("2")}, ".hidden a b- b/1 b0 c/d/e é &<+ b/2"},
		{"start after a key", sdk.ListObjectsV2Input{StartAfter: aws.String("b/2/x")}, "b/2/y b0 c/d/e é &<+"},
		{"start after what is no key", sdk.ListObjectsV2Input{StartAfter: aws.String("b/2")}, "b/2/x b/2/y b0 c/d/e é &<+"},
		{"encoded for the wire", sdk.ListObjectsV2Input{EncodingType: types.EncodingTypeUrl, Prefix: aws.String("é")}, "%C3%A9+%26%3C%2B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			names, _ := e.list(c.in)
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			c.in.MaxKeys, c.in.ContinuationToken = aws.Int32(1), nil
			single, pages := e.list(c.in)
			if len(single) != len(names) || len(single) != max(pages, 1) && len(single) > 0 {
				t.Errorf("one by one: %v in %d pages", single, pages)
			}
		})
	}
	_, err := e.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String(bucket), ContinuationToken: aws.String("nonsense")})
	wantCode(t, err, "InvalidArgument")
}
