package consumers_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/consumers"
	"tributary/stream"
)

func TestADeletedGroupIsGoneAndItsNameIsFree(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.send(20)
	tables := dynamodb.NewFromConfig(s.server.AWS)
	for name, first := range map[string]func(){
		"whole": func() {},
		"in half": func() {
			if _, err := tables.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("lake")}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s.lake.ranges = map[stream.Range][]string{}
		s.deliver(testConfig("a"), s.delivered) // all of it: the group is a new one
		first()
		if was, err := s.admin().Delete(t.Context(), "lake"); err != nil || !was {
			t.Errorf("%s: %v, %v", name, was, err)
		}
		if was, err := s.admin().Delete(t.Context(), "lake"); err != nil || was {
			t.Errorf("%s, again: %v, %v", name, was, err)
		}
		if there, err := s.admin().Exists(t.Context(), "lake"); err != nil || there {
			t.Errorf("%s: there %v, %v", name, there, err)
		}
	}
}

func TestTablesOfOthersAreNotDeleted(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	tables := dynamodb.NewFromConfig(s.server.AWS)
	for name, key := range map[string]string{"orders": "id", "foreign": "ShardID", "half-state": "id"} {
		_, err := tables.CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range []string{"orders", "foreign", "half"} {
		_, err := s.admin().Delete(t.Context(), group)
		if err == nil || group != "half" && !errors.Is(err, consumers.ErrRefused) {
			t.Errorf("%s: %v", group, err)
		}
	}
	out, err := tables.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil || len(out.TableNames) != 3 {
		t.Errorf("left %v, %v", out.TableNames, err)
	}
}
