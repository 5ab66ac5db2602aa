package dynamodb_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/deploy/local/dynamodb"
)

func TestTablesSurviveReopening(t *testing.T) {
	e := withTable(t)
	for i := range 10 {
		e.put(attributes{"ShardID": s(fmt.Sprint(i)), "v": n("1")})
	}
	if _, err := e.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String(table), Key: key("3")}); err != nil {
		t.Fatal(err)
	}
	before, _ := e.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String(table)})
	e.stop()
	e = start(t, e.dir)
	after, err := e.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String(table)})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToInt64(after.Table.ItemCount) != 9 || e.get("3") != nil || text(e.get("4")["v"]) != "1" ||
		!aws.ToTime(after.Table.CreationDateTime).Equal(aws.ToTime(before.Table.CreationDateTime)) || aws.ToString(after.Table.TableId) != aws.ToString(before.Table.TableId) {
		t.Errorf("after reopening the table is %+v", after.Table)
	}
}

func TestEveryTypeSurvivesReopening(t *testing.T) {
	e := withTable(t)
	item := attributes{
		"ShardID": s("shardId-000000000000"),
		"empty":   s(""),
		"number":  n("12345678901234567890.5"),
		"bytes":   &types.AttributeValueMemberB{Value: []byte{0, 255, '\n'}},
		"yes":     &types.AttributeValueMemberBOOL{Value: true},
		"no":      &types.AttributeValueMemberBOOL{Value: false},
		"nothing": &types.AttributeValueMemberNULL{Value: true},
		"set":     &types.AttributeValueMemberSS{Value: []string{"b", "a"}},
		"list":    &types.AttributeValueMemberL{Value: []types.AttributeValue{s("x"), n("-1")}},
		"map":     &types.AttributeValueMemberM{Value: attributes{"<&>": s("é\u0001")}},
		"none":    &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
	}
	e.put(item)
	e.stop()
	e = start(t, e.dir)
	got := e.get("shardId-000000000000")
	if len(got) != len(item) {
		t.Fatalf("got %d attributes, want %d", len(got), len(item))
	}
	for name, want := range item {
		if show(got[name]) != show(want) {
			t.Errorf("%s is %s, want %s", name, show(got[name]), show(want))
		}
	}
}

func TestTheLargestItemSurvivesReopening(t *testing.T) {
	e := withTable(t)
	// The most wasteful JSON there is: six bytes for one.
	largest := strings.Repeat("\x01", 400<<10-len("ShardID")-len("a")-len("v"))
	e.put(attributes{"ShardID": s("a"), "v": s(largest)})
	e.stop()
	e = start(t, e.dir)
	if got := text(e.get("a")["v"]); got != largest {
		t.Errorf("the largest item came back with %d bytes", len(got))
	}
}

func TestATornJournalTailIsCutOff(t *testing.T) {
	e := withTable(t)
	e.put(attributes{"ShardID": s("kept"), "v": n("1")})
	path := filepath.Join(e.dir, "tables", table, "journal")
	whole := size(t, path)
	e.put(attributes{"ShardID": s("torn"), "v": n("1")})
	e.stop()
	full, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{"a grown file that was never filled": append(full[:whole:whole], make([]byte, 5000)...)}
	for cut := whole + 1; cut < int64(len(full)); cut++ {
		damage[fmt.Sprintf("%d bytes of the last entry", cut-whole)] = full[:cut]
	}
	flipped := append([]byte{}, full...)
	flipped[len(flipped)-1] ^= 1
	damage["a wrong sum on the last entry"] = flipped
	for name, content := range damage {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			e := start(t, e.dir)
			if e.get("kept") == nil || e.get("torn") != nil {
				t.Error("want the whole entry kept and the torn one gone")
			}
			if size(t, path) != whole {
				t.Errorf("journal has %d bytes, want %d", size(t, path), whole)
			}
			e.put(attributes{"ShardID": s("after")})
			e.stop()
			e = start(t, e.dir)
			if e.get("kept") == nil || e.get("after") == nil {
				t.Error("a write behind the cut is lost")
			}
		})
	}
}

func TestDamageInTheMiddleOfAJournalStopsOpening(t *testing.T) {
	e := withTable(t)
	e.put(key("a"))
	path := filepath.Join(e.dir, "tables", table, "journal")
	middle := size(t, path) - 1
	e.put(key("b"))
	e.stop()
	content, _ := os.ReadFile(path)
	content[middle] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dynamodb.Open(e.dir, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open says %v, want an error that names %s", err, path)
	}
}

func TestAnInterruptedCreationOrDeletionIsFinishedAtOpen(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"tables/half", "trash/some-id"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"tables/half/journal.tmp", "trash/some-id/journal"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := start(t, dir)
	out, err := e.ListTables(t.Context(), &sdk.ListTablesInput{})
	if err != nil || len(out.TableNames) != 0 {
		t.Errorf("tables are %v, %v", out, err)
	}
	for _, f := range []string{"tables/half", "trash/some-id"} {
		if _, err := os.Stat(filepath.Join(dir, f)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", f)
		}
	}
}

func TestAJournalIsRewrittenWhenItHasGrown(t *testing.T) {
	e := withTable(t)
	path := filepath.Join(e.dir, "tables", table, "journal")
	pad := strings.Repeat("x", 380<<10)
	for i := range 30 {
		e.put(attributes{"ShardID": s("a"), "pad": s(pad), "v": n(fmt.Sprint(i))})
	}
	if got := size(t, path); got > 9<<20 {
		t.Errorf("journal has %d bytes for one item of 380 KB", got)
	}
	e.put(attributes{"ShardID": s("b")})
	e.stop()
	e = start(t, e.dir)
	if text(e.get("a")["v"]) != "29" || e.get("b") == nil {
		t.Error("items are lost by the rewriting")
	}
}
