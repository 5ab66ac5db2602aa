package dynamodb_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// used gives the placeholders that occur in the expressions.
func used[V any](all map[string]V, expressions ...string) map[string]V {
	found := map[string]V{}
	for k, v := range all {
		if strings.Contains(strings.Join(expressions, " ")+" ", k) {
			found[k] = v
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

var someNames = map[string]string{"#owner": "AssignedTo", "#odd": "a.b c"}

var someValues = attributes{
	":w1": s("w1"), ":w2": s("w2"), ":one": n("1"), ":ten": n("10"), ":nine": n("9.0"), ":id": s("a"), ":seq": s("SHARD_END"),
	":set": &types.AttributeValueMemberSS{Value: []string{"y", "x"}}, ":true": &types.AttributeValueMemberBOOL{Value: true},
	":list": &types.AttributeValueMemberL{Value: []types.AttributeValue{n("1.0"), s("z")}},
	":map":  &types.AttributeValueMemberM{Value: attributes{"k": n("1e0")}},
	":bin":  &types.AttributeValueMemberB{Value: []byte{1, 2}}, ":null": &types.AttributeValueMemberNULL{Value: true},
}

func TestConditions(t *testing.T) {
	e := withTable(t)
	stored := attributes{
		"ShardID": s("a"), "AssignedTo": s("w1"), "a.b c": s("x"), "num": n("9"), "Checkpoint": s("49590"),
		"members": &types.AttributeValueMemberSS{Value: []string{"x", "y"}}, "yes": &types.AttributeValueMemberBOOL{Value: true},
		"elems": &types.AttributeValueMemberL{Value: []types.AttributeValue{n("1"), s("z")}},
		"m":     &types.AttributeValueMemberM{Value: attributes{"k": n("1")}},
		"bin":   &types.AttributeValueMemberB{Value: []byte{1, 2}}, "nil": &types.AttributeValueMemberNULL{Value: true},
	}
	e.put(stored)
	for _, c := range []struct {
		condition string
		holds     bool
	}{
		{"attribute_exists(AssignedTo)", true},
		{"attribute_not_exists(AssignedTo)", false},
		{"attribute_not_exists(ClaimRequest)", true},
		{"attribute_exists(#odd)", true},
		{"AssignedTo = :w1", true},
		{":w1 = AssignedTo", true},
		{"#owner = :w2", false},
		{"#owner <> :w2", true},
		{"absent = :w1", false},
		{"absent <> :w1", true},
		{"absent < :one", false},
		{"NOT absent < :one", true},
		{"num < :ten", true}, // as numbers: "9" is greater than "10" as text
		{"num <= :nine", true},
		{"num >= :nine", true},
		{"num = :nine", true},
		{"num > :nine", false},
		{":ten > num", true},
		{":ten <= num", false},
		{"num = :w1", false},
		{"num < :w1", false},
		{"AssignedTo < :w2", true},
		{"bin >= :bin", true},
		{"members = :set", true},
		{"yes = :true", true},
		{"elems = :list", true},
		{"m = :map", true},
		{"nil = :null", true},
		{"nil <> :null", false},
		{"AssignedTo = :w1 AND num = :one OR attribute_exists(m)", true},
		{"AssignedTo = :w1 AND (num = :one OR attribute_exists(absent))", false},
		{"NOT AssignedTo = :w2 and not (num = :one)", true},
		{"NOT NOT AssignedTo = :w1", true},
		{"(AssignedTo = :w1) AND (num = :nine)", true},
		{"((AssignedTo = :w1) AND (num = :nine))", true},
		{"((AssignedTo = :w1) AND num = :nine) OR absent = :one", true},
		{"attribute_exists ( AssignedTo )", true},
		// As vmware-go-kcl-v2 writes its claim, without a space before AND.
		{"ShardID = :id AND attribute_not_exists(ClaimRequest)AND AssignedTo = :w1 AND Checkpoint <> :seq AND attribute_not_exists(ParentShardId)", true},
	} {
		t.Run(c.condition, func(t *testing.T) {
			_, err := e.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String(table), Item: stored, ConditionExpression: aws.String(c.condition),
				ExpressionAttributeNames: used(someNames, c.condition), ExpressionAttributeValues: used(someValues, c.condition)})
			want := "ConditionalCheckFailedException"
			if c.holds {
				want = ""
			}
			wantCode(t, err, want)
		})
	}
	t.Run("an absent item has no attributes", func(t *testing.T) {
		for condition, want := range map[string]string{"attribute_not_exists(ShardID)": "", "attribute_exists(ShardID)": "ConditionalCheckFailedException"} {
			_, err := e.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String(table), Key: key("none"), ConditionExpression: aws.String(condition)})
			wantCode(t, err, want)
		}
	})
}

func TestUpdates(t *testing.T) {
	e := withTable(t)
	for _, c := range []struct {
		name   string
		update string
		want   map[string]string // "": the attribute is absent
	}{
		{"set several", "SET AssignedTo = :w2, fresh = :one", map[string]string{"AssignedTo": "w2", "fresh": "1"}},
		{"count up", "SET num = num + :one", map[string]string{"num": "10"}},
		{"count down with decimals", "SET num = num - :frac", map[string]string{"num": "8.75"}},
		{"count what may be absent", "SET absent = if_not_exists(absent, :one) + :one", map[string]string{"absent": "2"}},
		{"keep what exists", "SET num = if_not_exists(num, :ten), absent = if_not_exists(absent, :ten)", map[string]string{"num": "9", "absent": "10"}},
		{"copy an attribute as it was before the update", "SET num = :one, fresh = num", map[string]string{"num": "1", "fresh": "9"}},
		{"remove", "REMOVE AssignedTo, absent", map[string]string{"AssignedTo": "", "num": "9"}},
		{"set and remove, keywords in any case", "set num = :one remove #owner", map[string]string{"num": "1", "AssignedTo": ""}},
		{"remove before set", "REMOVE #owner SET num=:one", map[string]string{"num": "1", "AssignedTo": ""}},
		{"an odd name", "SET #odd = :w1", map[string]string{"a.b c": "w1"}},
		{"large numbers stay exact", "SET num = :large + :one", map[string]string{"num": "99999999999999999999999999999999999991"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e.put(attributes{"ShardID": s("a"), "AssignedTo": s("w1"), "num": n("9")})
			values := used(attributes{":w1": s("w1"), ":w2": s("w2"), ":one": n("1"), ":ten": n("10"), ":frac": n("0.25"), ":large": n("99999999999999999999999999999999999990")}, c.update)
			out, err := e.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: aws.String(table), Key: key("a"), UpdateExpression: aws.String(c.update),
				ExpressionAttributeNames: used(someNames, c.update), ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew})
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := text(out.Attributes[name]); got != want || text(e.get("a")[name]) != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
	t.Run("an update of an absent item creates it", func(t *testing.T) {
		if _, err := e.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: aws.String(table), Key: key("new")}); err != nil {
			t.Fatal(err)
		}
		if got := e.get("new"); text(got["ShardID"]) != "new" {
			t.Errorf("item is %v", got)
		}
	})
}

func TestWrongExpressionsAreRefusedAndSayWhy(t *testing.T) {
	e := withTable(t)
	stored := attributes{"ShardID": s("a"), "num": n("1"), "word": s("x")}
	e.put(stored)
	names := map[string]string{"#a": "num"}
	values := attributes{":v": n("1"), ":s": s("x"), ":set": someValues[":set"]}
	for _, c := range []struct {
		name, condition, update, says string
	}{
		{"an empty condition", " ", "", "can not be empty"},
		{"an unknown function", "begins_with(word, :s)", "", "begins_with"},
		{"a function of size", "size(word) > :v", "", "size"},
		{"BETWEEN", "num BETWEEN :v AND :v", "", "BETWEEN"},
		{"IN", "num IN (:v)", "", "IN"},
		{"two attributes", "num = #a", "", "between an attribute and a value"},
		{"two values", ":v = :s", "", "between an attribute and a value"},
		{"a nested path", "m.k = :v", "", "nested"},
		{"an indexed path", "m[zero] = :v", "", "nested"},
		{"a reserved word", "Counter = :v", "", "reserved keyword: Counter"},
		{"an undefined name", "#zz = :v", "", "#zz"},
		{"an undefined value", "num = :zz", "", ":zz"},
		{"redundant parentheses", "((num = :v))", "", "redundant parentheses"},
		{"a missing parenthesis", "(num = :v", "", "<EOF>"},
		{"something behind the end", "num = :v num", "", `"num"`},
		{"an ordering of sets", "num < :set", "", "operand type: SS"},
		{"a character of no language", "num = :v ; x", "", `";"`},
		{"a bare number", "num = 1", "", `"1"`},
		{"an expression over 4 KB", strings.Repeat("(", 5000), "", "exceeded the maximum"},
		{"an empty update", "", " ", "can not be empty"},
		{"ADD", "", "ADD num :v", "ADD"},
		{"DELETE", "", "DELETE num :v", "DELETE"},
		{"list_append", "", "SET word = list_append(word, :v)", "list_append"},
		{"the key", "", "SET ShardID = :s", "part of the key"},
		{"the key removed", "", "REMOVE ShardID", "part of the key"},
		{"a path twice", "", "SET num = :v REMOVE num", "overlap"},
		{"a clause twice", "", "SET num = :v SET word = :s", "only be used once"},
		{"an absent operand", "", "SET word = absent + :v", "does not exist in the item"},
		{"adding to a word", "", "SET word = word + :v", "incorrect data type"},
		{"three operands", "", "SET num = num + :v + :v", `"+"`},
		{"no clause", "", "num = :v", `"num"`},
		{"an end too early", "", "SET num =", "<EOF>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &sdk.UpdateItemInput{TableName: aws.String(table), Key: key("a"),
				ExpressionAttributeNames: used(names, c.condition, c.update), ExpressionAttributeValues: used(values, c.condition, c.update)}
			if c.condition != "" {
				in.ConditionExpression = aws.String(c.condition)
			}
			if c.update != "" {
				in.UpdateExpression = aws.String(c.update)
			}
			_, err := e.UpdateItem(t.Context(), in)
			wantCode(t, err, "ValidationException")
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error says %v, want it to say %q", err, c.says)
			}
		})
	}
	t.Run("unused placeholders", func(t *testing.T) {
		_, err := e.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String(table), Item: stored, ConditionExpression: aws.String("num = :v"),
			ExpressionAttributeValues: attributes{":v": n("1"), ":unused": n("1")}})
		wantCode(t, err, "ValidationException")
		_, err = e.Scan(t.Context(), &sdk.ScanInput{TableName: aws.String(table), ExpressionAttributeNames: map[string]string{"#unused": "num"}})
		wantCode(t, err, "ValidationException")
	})
	if got := e.get("a"); len(got) != len(stored) || text(got["num"]) != "1" {
		t.Errorf("a refused write changed the item: %v", got)
	}
}

func TestValuesTheServiceCannotHoldAreRefused(t *testing.T) {
	e := withTable(t)
	deep := s("x")
	for range 33 {
		deep = &types.AttributeValueMemberL{Value: []types.AttributeValue{deep}}
	}
	for name, v := range map[string]types.AttributeValue{
		"a number that is none":   n("12x"),
		"an empty number":         n(""),
		"39 digits":               n("123456789012345678901234567890123456789"),
		"a number too large":      n("1E126"),
		"a number too small":      n("1e-131"),
		"an absurd exponent":      n("1E999999999"),
		"an empty set":            &types.AttributeValueMemberSS{Value: []string{}},
		"a set with a double":     &types.AttributeValueMemberSS{Value: []string{"a", "a"}},
		"a null that is false":    &types.AttributeValueMemberNULL{Value: false},
		"33 levels":               deep,
		"a bad number in a map":   &types.AttributeValueMemberM{Value: attributes{"x": n("-")}},
		"a set of numbers":        &types.AttributeValueMemberNS{Value: []string{"1"}},
		"a list of sets of bytes": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberBS{Value: [][]byte{{1}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String(table), Item: attributes{"ShardID": s("a"), "v": v}})
			wantCode(t, err, "ValidationException")
		})
	}
	for name, k := range map[string]attributes{
		"no key": {"x": s("a")}, "an empty key": {"ShardID": s("")}, "a key of another type": {"ShardID": n("1")}, "a key over 2 KB": key(strings.Repeat("x", 2049)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String(table), Item: k})
			wantCode(t, err, "ValidationException")
			_, err = e.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String(table), Key: k})
			wantCode(t, err, "ValidationException")
		})
	}
	_, err := e.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String(table), Key: attributes{"ShardID": s("a"), "more": s("b")}})
	wantCode(t, err, "ValidationException")
}
