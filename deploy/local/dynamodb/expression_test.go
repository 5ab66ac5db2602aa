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

func TestRefusedExpressionsSayWhy(t *testing.T) {
	e := withTable(t)
	stored := attributes{"ShardID": s("a"), "num": n("1"), "word": s("x")}
	e.put(stored)
	names := map[string]string{"#a": "num"}
	values := attributes{":v": n("1"), ":s": s("x"), ":set": &types.AttributeValueMemberSS{Value: []string{"y", "x"}}}
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
	if got := e.get("a"); len(got) != len(stored) || text(got["num"]) != "1" {
		t.Errorf("a refused write changed the item: %v", got)
	}
}
