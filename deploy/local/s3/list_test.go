package s3_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// list gives the keys and common prefixes of all pages.
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

func TestDirectoriesAreNotListed(t *testing.T) {
	e := withBucket(t)
	e.put("a", "x")
	if err := os.MkdirAll(e.file(bucket, "empty", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, delimiter := range []*string{nil, aws.String("/")} {
		if names, _ := e.list(sdk.ListObjectsV2Input{Delimiter: delimiter}); strings.Join(names, " ") != "a" {
			t.Errorf("the bucket lists %v", names)
		}
	}
}

// What the service does here it does not say; a common prefix is not lost while keys under it are still to come.
func TestAListGoesOnWithinACommonPrefix(t *testing.T) {
	e := withBucket(t)
	for _, key := range []string{"a", "b/1", "b/2", "c"} {
		e.put(key, "x")
	}
	in := sdk.ListObjectsV2Input{Delimiter: aws.String("/"), StartAfter: aws.String("b/1")}
	if names, _ := e.list(in); strings.Join(names, " ") != "c b/" {
		t.Errorf("behind b/1 come %v", names)
	}
}
