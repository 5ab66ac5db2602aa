package dynamodb

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Table ARNs need an account and a region; clients only pass them around.
const arnPrefix = "arn:aws:dynamodb:us-east-1:000000000000:table/"

const (
	payPerRequest = "PAY_PER_REQUEST"
	provisioned   = "PROVISIONED"
)

type keyElement struct {
	AttributeName string
	KeyType       string
}

type attributeDefinition struct {
	AttributeName string
	AttributeType string
}

type throughput struct {
	ReadCapacityUnits  int64
	WriteCapacityUnits int64
}

type createTableInput struct {
	TableName             string
	AttributeDefinitions  []attributeDefinition
	KeySchema             []keyElement
	BillingMode           string
	ProvisionedThroughput *throughput
}

type billingMode struct{ BillingMode string }

type tableDescription struct {
	TableName             string
	TableArn              string
	TableId               string //nolint:revive // the wire name
	TableStatus           string
	KeySchema             []keyElement
	AttributeDefinitions  []attributeDefinition
	CreationDateTime      float64
	ItemCount             int
	TableSizeBytes        int64
	BillingModeSummary    *billingMode `json:",omitempty"`
	ProvisionedThroughput throughput
}

type describeTableOutput struct {
	Table tableDescription
}

type changeTableOutput struct {
	TableDescription tableDescription
}

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func (in createTableInput) check() error {
	switch {
	case !tableName.MatchString(in.TableName):
		return validation(fmt.Sprintf("1 validation error detected: Value %q at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+ and have 3 to 255 characters", in.TableName))
	case len(in.KeySchema) != 1 || in.KeySchema[0].KeyType != "HASH":
		return validation("this endpoint supports tables with one HASH key and no RANGE key")
	case len(in.AttributeDefinitions) != 1 || in.AttributeDefinitions[0].AttributeName != in.KeySchema[0].AttributeName:
		return validation("One or more parameter values were invalid: AttributeDefinitions must define exactly the attributes of KeySchema")
	case in.AttributeDefinitions[0].AttributeType != "S":
		return validation("this endpoint supports keys of type S only, not " + in.AttributeDefinitions[0].AttributeType)
	case in.KeySchema[0].AttributeName == "":
		return validation("KeySchema names no attribute")
	}
	return in.checkCapacity()
}

func (in createTableInput) checkCapacity() error {
	given := in.ProvisionedThroughput
	switch in.BillingMode {
	case payPerRequest:
		if given != nil {
			return validation("One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
		}
	case "", provisioned:
		if given == nil || given.ReadCapacityUnits < 1 || given.WriteCapacityUnits < 1 {
			return validation("One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
		}
	default:
		return validation("BillingMode must be PAY_PER_REQUEST or PROVISIONED, not " + in.BillingMode)
	}
	return nil
}

func (s *Service) createTable(in createTableInput) (changeTableOutput, error) {
	if err := in.check(); err != nil {
		return changeTableOutput{}, err
	}
	d := definition{Name: in.TableName, ID: newID(), Key: in.KeySchema[0].AttributeName, Created: time.Now().UTC(), BillingMode: payPerRequest}
	if p := in.ProvisionedThroughput; p != nil {
		d.BillingMode, d.ReadCapacity, d.WriteCapacity = provisioned, p.ReadCapacityUnits, p.WriteCapacityUnits
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[d.Name] != nil {
		return changeTableOutput{}, tableInUse(d.Name)
	}
	t, err := createTable(s.tableDir(d.Name), d)
	if err != nil {
		return changeTableOutput{}, err
	}
	s.tables[d.Name] = t
	// The service answers before the table is usable; here it is usable at once.
	return changeTableOutput{t.describe("CREATING")}, nil
}

type tableInput struct {
	TableName string
}

func (s *Service) describeTable(in tableInput) (out describeTableOutput, err error) {
	err = s.with(in.TableName, func(t *table) error {
		out.Table = t.describe("ACTIVE")
		return nil
	})
	return out, err
}

func (s *Service) deleteTable(in tableInput) (out changeTableOutput, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[in.TableName]
	if t == nil {
		return out, tableNotFound(in.TableName)
	}
	// The rename is the deletion; a crash behind it leaves trash for the next Open.
	trash := filepath.Join(s.trash(), t.ID)
	if err := os.Rename(t.dir, trash); err != nil {
		return out, fmt.Errorf("delete table: %w", err)
	}
	delete(s.tables, t.Name)
	if err := t.close(); err != nil {
		return out, fmt.Errorf("delete table: %w", err)
	}
	if err := os.RemoveAll(trash); err != nil {
		return out, fmt.Errorf("delete table: %w", err)
	}
	return changeTableOutput{t.describe("DELETING")}, nil
}

type listTablesInput struct {
	ExclusiveStartTableName string
	Limit                   *int
}

type listTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

func (s *Service) listTables(in listTablesInput) (listTablesOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > 100 {
		return listTablesOutput{}, validation("Limit must be from 1 to 100")
	}
	s.mu.RLock()
	names := slices.Sorted(maps.Keys(s.tables))
	s.mu.RUnlock()
	start, found := slices.BinarySearch(names, in.ExclusiveStartTableName)
	if found {
		start++
	}
	out := listTablesOutput{TableNames: append([]string{}, names[start:min(start+limit, len(names))]...)}
	if start+limit < len(names) {
		out.LastEvaluatedTableName = out.TableNames[limit-1]
	}
	return out, nil
}

func (t *table) describe(status string) tableDescription {
	d := tableDescription{
		TableName: t.Name, TableArn: arnPrefix + t.Name, TableId: t.ID, TableStatus: status,
		KeySchema:             []keyElement{{t.Key, "HASH"}},
		AttributeDefinitions:  []attributeDefinition{{t.Key, "S"}},
		CreationDateTime:      float64(t.Created.UnixMilli()) / 1000,
		ItemCount:             len(t.items),
		TableSizeBytes:        t.bytes,
		ProvisionedThroughput: throughput{t.ReadCapacity, t.WriteCapacity},
	}
	if t.BillingMode == payPerRequest {
		d.BillingModeSummary = &billingMode{payPerRequest}
	}
	return d
}

// newID is a random UUID, version 4.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
