package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream"
)

type tableAPI interface {
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DeleteTable(context.Context, *dynamodb.DeleteTableInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

type readAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

type writeAPI interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// api is the part of the DynamoDB client that a Table calls.
type api interface {
	tableAPI
	readAPI
	writeAPI
}

// Table is a group's lease table and its state table. Safe for concurrent use.
type Table struct {
	api     api
	cfg     Config
	log     *slog.Logger
	metrics metrics
}

// New returns a Table; Init does the first I/O.
func New(client api, cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Table, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	return &Table{api: client, cfg: cfg, log: log, metrics: m}, nil
}

// Worker is the name this process writes into the table.
func (t *Table) Worker() string { return t.cfg.Worker }

// Duration is how long a lease outlives its last renewal.
func (t *Table) Duration() time.Duration { return t.cfg.Duration }

func (t *Table) leases() *string { return &t.cfg.Table }
func (t *Table) state() *string  { return aws.String(t.cfg.Table + stateSuffix) }

// stateSuffix makes the state table's name of the lease table's.
const stateSuffix = "-state"

// once turns the SDK's own retries off: one layer retries, and it is ours, which
// knows what a repeated write means.
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// attempt bounds one request and counts it.
func (t *Table) attempt(ctx context.Context, operation string) (context.Context, context.CancelFunc) {
	t.metrics.requests.WithLabelValues(operation).Inc()
	return context.WithTimeout(ctx, t.cfg.AttemptTimeout)
}

// Init creates the tables when they are missing, billed per request, and waits
// until both are active.
func (t *Table) Init(ctx context.Context) error {
	if err := t.ensure(ctx, t.leases(), attrShard); err != nil {
		return fmt.Errorf("prepare lease table %s: %w", *t.leases(), err)
	}
	if err := t.ensure(ctx, t.state(), attrKey); err != nil {
		return fmt.Errorf("prepare state table %s: %w", *t.state(), err)
	}
	return nil
}

func (t *Table) ensure(ctx context.Context, name *string, key string) error {
	for {
		found, err := t.describe(ctx, name)
		switch {
		case err != nil:
			return err
		case found == nil:
			if err := t.create(ctx, name, key); err != nil {
				return err
			}
		case found.TableStatus == types.TableStatusActive:
			return checkKey(found, key)
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func (t *Table) describe(ctx context.Context, name *string) (*types.TableDescription, error) {
	ctx, cancel := t.attempt(ctx, opDescribe)
	defer cancel()
	out, err := t.api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: name}, once)
	if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe table: %w", err)
	}
	return out.Table, nil
}

func (t *Table) create(ctx context.Context, name *string, key string) error {
	ctx, cancel := t.attempt(ctx, opCreate)
	defer cancel()
	_, err := t.api.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            name,
		BillingMode:          types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS}},
	}, once)
	// Another worker starts at the same moment and was first.
	if taken := (*types.ResourceInUseException)(nil); errors.As(err, &taken) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	t.log.Info("created table", "table", *name)
	return nil
}

// Drop deletes both tables and waits until they are gone. It reports whether there
// was one. The lease table goes first: without it nobody takes what is left for a
// group, or for another library's.
func (t *Table) Drop(ctx context.Context) (was bool, err error) {
	for _, table := range []struct {
		name *string
		key  string
	}{{t.leases(), attrShard}, {t.state(), attrKey}} {
		there, err := t.drop(ctx, table.name, table.key)
		was = was || there
		if err != nil {
			return was, fmt.Errorf("delete table %s: %w", *table.name, err)
		}
	}
	return was, nil
}

func (t *Table) drop(ctx context.Context, name *string, key string) (was bool, err error) {
	for {
		found, err := t.describe(ctx, name)
		if err == nil && found != nil {
			err = checkKey(found, key)
		}
		if err != nil || found == nil {
			return was, err
		}
		was = true
		if found.TableStatus != types.TableStatusDeleting {
			if err := t.deleteTable(ctx, name); err != nil {
				return was, err
			}
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return was, err
		}
	}
}

func (t *Table) deleteTable(ctx context.Context, name *string) error {
	ctx, cancel := t.attempt(ctx, opDrop)
	defer cancel()
	_, err := t.api.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: name}, once)
	// It is being made, deleted, or gone already: the next look tells.
	busy, missing := (*types.ResourceInUseException)(nil), (*types.ResourceNotFoundException)(nil)
	if errors.As(err, &busy) || errors.As(err, &missing) {
		return nil
	}
	return err
}

func checkKey(d *types.TableDescription, key string) error {
	if len(d.KeySchema) == 1 && aws.ToString(d.KeySchema[0].AttributeName) == key {
		return nil
	}
	return stream.Permanent(fmt.Errorf("the table's key is not %s: it belongs to something else", key))
}

// List reads all shard items, consistently.
func (t *Table) List(ctx context.Context) ([]Item, error) { return t.list(ctx, true) }

// Glance is List for half the price. What it shows may be a moment old: good for
// whatever is only done to an item that is still as it was seen.
func (t *Table) Glance(ctx context.Context) ([]Item, error) { return t.list(ctx, false) }

func (t *Table) list(ctx context.Context, consistent bool) ([]Item, error) {
	var items []Item
	in := &dynamodb.ScanInput{TableName: t.leases(), ConsistentRead: &consistent}
	err := t.scan(ctx, in, func(a attributes) error {
		// Items of other tools share the table under names no shard has.
		if id, ok := a[attrShard].(*types.AttributeValueMemberS); ok && strings.HasPrefix(id.Value, "#") {
			return nil
		}
		i, err := decode(a)
		items = append(items, i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	return items, nil
}

func (t *Table) scan(ctx context.Context, in *dynamodb.ScanInput, each func(attributes) error) error {
	for {
		out, err := t.page(ctx, in)
		if err != nil {
			return err
		}
		for _, a := range out.Items {
			if err := each(a); err != nil {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

func (t *Table) page(ctx context.Context, in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	ctx, cancel := t.attempt(ctx, opScan)
	defer cancel()
	return t.api.Scan(ctx, in, once)
}

// Create adds the item of a shard nobody has seen yet. One that is there already
// stays as it is.
func (t *Table) Create(ctx context.Context, shard, parent stream.ShardID, generation uint64) error {
	if generation > 0 {
		// First, so that a foreign write of the shard item cannot lose it.
		if err := t.putGeneration(ctx, shard, generation); err != nil {
			return fmt.Errorf("create lease %s: %w", shard, err)
		}
	}
	row := encode(Item{Shard: shard, Parent: parent, Generation: generation, Counted: true})
	if err := t.putNew(ctx, t.leases(), attrShard, row); err != nil {
		return fmt.Errorf("create lease %s: %w", shard, err)
	}
	return nil
}

// putNew writes an item that does not exist. One that does is a success: what is
// created only once has the same content from whoever creates it.
func (t *Table) putNew(ctx context.Context, table *string, key string, a attributes) error {
	_, err := t.add(ctx, table, key, a)
	return err
}

// add is putNew that reports whether the item was missing.
func (t *Table) add(ctx context.Context, table *string, key string, a attributes) (missing bool, err error) {
	ctx, cancel := t.attempt(ctx, opPut)
	defer cancel()
	_, err = t.api.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                table,
		Item:                     a,
		ConditionExpression:      aws.String("attribute_not_exists(#key)"),
		ExpressionAttributeNames: map[string]string{"#key": key},
	}, once)
	if isConditionFailed(err) {
		return false, nil
	}
	return err == nil, err
}

// get reads one item consistently; nil when there is none.
func (t *Table) get(ctx context.Context, table *string, key, value string) (attributes, error) {
	ctx, cancel := t.attempt(ctx, opGet)
	defer cancel()
	out, err := t.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      table,
		Key:            attributes{key: text(value)},
		ConsistentRead: aws.Bool(true),
	}, once)
	if err != nil {
		return nil, err
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

func isConditionFailed(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed)
}

// isThrottled recognises the answers that say the request was not even begun.
func isThrottled(err error) bool {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.ErrorCode() {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
		return true
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
