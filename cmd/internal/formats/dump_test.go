package formats

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// items are a table's, in DynamoDB's JSON, sorted by their key.
func (s *site) items(t *testing.T, table, key string) (items []map[string]any) {
	t.Helper()
	var page *dynamodb.ScanOutput
	for page == nil || len(page.LastEvaluatedKey) > 0 {
		in := &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)}
		if page != nil {
			in.ExclusiveStartKey = page.LastEvaluatedKey
		}
		var err error
		page, err = s.tables.Scan(t.Context(), in)
		must(t, err)
		for _, item := range page.Items {
			items = append(items, plain(t, item))
		}
	}
	slices.SortFunc(items, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a[key]), fmt.Sprint(b[key])) })
	return items
}

func plain(t *testing.T, item map[string]types.AttributeValue) map[string]any {
	t.Helper()
	out := map[string]any{}
	for name, v := range item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			out[name] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberB:
			out[name] = map[string]any{"B": abbreviated(v.Value)}
		case *types.AttributeValueMemberM:
			out[name] = map[string]any{"M": plain(t, v.Value)}
		default:
			t.Fatalf("attribute %s is a %T", name, v)
		}
	}
	return out
}

func abbreviated(b []byte) any {
	if len(b) > 1000 {
		return fmt.Sprintf("%d bytes, SHA-256 %x", len(b), sha256.Sum256(b))
	}
	return b
}

// typed is the other way round, for items of texts alone.
func typed(t *testing.T, text []byte) (items []map[string]types.AttributeValue) {
	t.Helper()
	var raw []map[string]struct{ S string }
	must(t, json.Unmarshal(text, &raw))
	for _, r := range raw {
		item := map[string]types.AttributeValue{}
		for name, v := range r {
			item[name] = &types.AttributeValueMemberS{Value: v.S}
		}
		items = append(items, item)
	}
	return items
}

// stored is an object of the lake.
type stored struct {
	Key      string
	Type     string
	Metadata map[string]string
	Rows     []map[string]any `json:",omitempty"` // of a Parquet file
	Text     []string         `json:",omitempty"` // lines of any other
	content  []byte
}

// bucket is every object below a prefix, sorted by key.
func (s *site) bucket(t *testing.T, prefix string) (all []stored) {
	t.Helper()
	list, err := s.objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucketName), Prefix: &prefix})
	must(t, err)
	if aws.ToBool(list.IsTruncated) {
		t.Fatal("more objects than one list")
	}
	for _, o := range list.Contents {
		got, err := s.objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucketName), Key: o.Key})
		must(t, err)
		content, err := io.ReadAll(got.Body)
		must(t, err)
		must(t, got.Body.Close())
		all = append(all, stored{Key: *o.Key, Type: aws.ToString(got.ContentType), Metadata: got.Metadata, content: content})
	}
	return all
}

// read takes apart what the objects hold. It is called outside of bubbles: the
// library that reads Parquet shares its decompressors between all tests.
func read(t *testing.T, objects []stored) []stored {
	t.Helper()
	for i := range objects {
		o := &objects[i]
		if strings.HasSuffix(o.Key, ".parquet") {
			o.Rows = rows(t, o.content)
		} else {
			o.Text = strings.Split(strings.TrimSuffix(string(o.content), "\n"), "\n")
		}
	}
	return objects
}

// rows reads a Parquet file with a library that did not write it.
func rows(t *testing.T, content []byte) (all []map[string]any) {
	t.Helper()
	table, err := pqarrow.ReadTable(t.Context(), bytes.NewReader(content), parquet.NewReaderProperties(memory.DefaultAllocator),
		pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	must(t, err)
	defer table.Release()
	r := array.NewTableReader(table, 0)
	defer r.Release()
	for r.Next() {
		text, err := r.RecordBatch().MarshalJSON()
		must(t, err)
		var some []map[string]any
		must(t, json.Unmarshal(text, &some))
		all = append(all, some...)
	}
	must(t, r.Err())
	return all
}

// row is where a row came from and what it is.
type row struct {
	Kind, Shard, Sequence string
	Index                 float64
}

// identities are the rows of some objects, in the order of the stream.
func identities(objects []stored) (all []row) {
	for _, o := range objects {
		_, kind, _ := strings.Cut(o.Key, "kind=")
		kind, _, _ = strings.Cut(kind, "/")
		for _, r := range o.Rows {
			all = append(all, row{kind, r["shard"].(string), r["sequence"].(string), r["index"].(float64)})
		}
	}
	slices.SortFunc(all, func(a, b row) int {
		return strings.Compare(fmt.Sprint(a.Shard, a.Sequence, a.Index), fmt.Sprint(b.Shard, b.Sequence, b.Index))
	})
	return all
}
