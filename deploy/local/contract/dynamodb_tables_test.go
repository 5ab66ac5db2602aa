package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

var tableCases = []dynamodbCase{
	{"a table lives from its creation to its deletion", func(c *check, d dynamo) {
		own := d.newTable(c, tableInput(new(c.Name())))
		got := own.describe(c)
		c.Equal("name", *got.TableName, *own.table)
		c.Equal("status", got.TableStatus, types.TableStatusActive)
		c.Equal("key", *got.KeySchema[0].AttributeName, keyName)
		c.Equal("kind of key", got.KeySchema[0].KeyType, types.KeyTypeHash)
		c.Equal("type of key", got.AttributeDefinitions[0].AttributeType, types.ScalarAttributeTypeS)
		c.Equal("end of the ARN", strings.HasSuffix(*got.TableArn, ":table/"+*own.table), true)
		if age := time.Since(*got.CreationDateTime); age > 10*time.Minute || age < -time.Minute {
			c.Errorf("it was created at %s", got.CreationDateTime)
		}
		c.Equal("billing", got.BillingModeSummary.BillingMode, types.BillingModePayPerRequest)
		own.drop(c)
		_, err := d.DescribeTable(c.Context(), &dynamodb.DescribeTableInput{TableName: own.table})
		c.Code("describe what is deleted", err, "ResourceNotFoundException")
	}},
	{"a table's name that exists is in use", func(c *check, d dynamo) {
		_, err := d.CreateTable(c.Context(), tableInput(d.table))
		c.Code("create again", err, "ResourceInUseException")
	}},
	{"a table created again under its name is a new one", func(c *check, d dynamo) {
		in := tableInput(new(c.Name()))
		first := d.newTable(c, in)
		first.put(c, key("old"))
		old := first.describe(c)
		first.drop(c)
		second := d.newTable(c, in)
		second.holds(c, "old", nil)
		if id := *second.describe(c).TableId; id == *old.TableId {
			c.Errorf("both have the id %s", id)
		}
	}},
	{"a provisioned table says its throughput", func(c *check, d dynamo) {
		in := tableInput(new(c.Name()))
		in.BillingMode = ""
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(2), WriteCapacityUnits: aws.Int64(3)}
		got := d.newTable(c, in).describe(c).ProvisionedThroughput
		c.Equal("throughput", fmt.Sprint(*got.ReadCapacityUnits, *got.WriteCapacityUnits), "2 3")
	}},
	{"tables are listed in pages", func(c *check, d dynamo) {
		own := d.newTable(c, tableInput(new(c.Name())))
		var names []string
		in := &dynamodb.ListTablesInput{Limit: aws.Int32(1)}
		for p := dynamodb.NewListTablesPaginator(d.Client, in); p.HasMorePages(); {
			page, err := p.NextPage(c.Context())
			c.Must("list tables", err)
			if len(page.TableNames) > 1 {
				c.Errorf("a page of one has %d names", len(page.TableNames))
			}
			names = append(names, page.TableNames...)
		}
		for _, want := range []string{*d.table, *own.table} {
			if !slices.Contains(names, want) {
				c.Errorf("%s is not among %v", want, names)
			}
		}
	}},
}

func wrongTableCases() (cases []dynamodbCase) {
	spoilt := map[string]func(*dynamodb.CreateTableInput){
		"a name of two letters":         func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("ab") },
		"a name with a space":           func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("a table") },
		"no throughput to be billed by": func(in *dynamodb.CreateTableInput) { in.BillingMode = types.BillingModeProvisioned },
		"a throughput of nothing": func(in *dynamodb.CreateTableInput) {
			in.BillingMode = types.BillingModeProvisioned
			in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(0), WriteCapacityUnits: aws.Int64(1)}
		},
		"a throughput though billed per request": func(in *dynamodb.CreateTableInput) {
			in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(1), WriteCapacityUnits: aws.Int64(1)}
		},
		"a key that is not defined": func(in *dynamodb.CreateTableInput) { in.AttributeDefinitions[0].AttributeName = aws.String("other") },
		"an attribute that is no key": func(in *dynamodb.CreateTableInput) {
			in.AttributeDefinitions = append(in.AttributeDefinitions,
				types.AttributeDefinition{AttributeName: aws.String("other"), AttributeType: types.ScalarAttributeTypeS})
		},
		"an unknown billing": func(in *dynamodb.CreateTableInput) { in.BillingMode = "SOMETIMES" },
	}
	for _, name := range sorted(spoilt) {
		cases = append(cases, dynamodbCase{"there is no table with " + name, func(c *check, d dynamo) {
			in := tableInput(new(c.Name()))
			spoilt[name](in)
			_, err := d.CreateTable(c.Context(), in)
			c.Code("create table", err, "ValidationException")
		}})
	}
	return cases
}

func unknownTableCases() (cases []dynamodbCase) {
	none := aws.String("tributary-contract-no-such-table")
	calls := map[string]func(*check, dynamo) error{
		"DescribeTable": func(c *check, d dynamo) error {
			_, err := d.DescribeTable(c.Context(), &dynamodb.DescribeTableInput{TableName: none})
			return err
		},
		"DeleteTable": func(c *check, d dynamo) error {
			_, err := d.DeleteTable(c.Context(), &dynamodb.DeleteTableInput{TableName: none})
			return err
		},
		"GetItem": func(c *check, d dynamo) error {
			_, err := d.GetItem(c.Context(), &dynamodb.GetItemInput{TableName: none, Key: key("a")})
			return err
		},
		"PutItem": func(c *check, d dynamo) error {
			_, err := d.PutItem(c.Context(), &dynamodb.PutItemInput{TableName: none, Item: key("a")})
			return err
		},
		"UpdateItem": func(c *check, d dynamo) error {
			_, err := d.UpdateItem(c.Context(), &dynamodb.UpdateItemInput{TableName: none, Key: key("a")})
			return err
		},
		"DeleteItem": func(c *check, d dynamo) error {
			_, err := d.DeleteItem(c.Context(), &dynamodb.DeleteItemInput{TableName: none, Key: key("a")})
			return err
		},
		"Scan": func(c *check, d dynamo) error {
			_, err := d.Scan(c.Context(), &dynamodb.ScanInput{TableName: none})
			return err
		},
	}
	for _, operation := range sorted(calls) {
		cases = append(cases, dynamodbCase{operation + " finds no unknown table", func(c *check, d dynamo) {
			c.Code(operation, calls[operation](c, d), "ResourceNotFoundException")
		}})
	}
	return cases
}
