package lease

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tributary/stream"
)

type listAPI interface {
	ListTables(context.Context, *dynamodb.ListTablesInput, ...func(*dynamodb.Options)) (*dynamodb.ListTablesOutput, error)
}

// Names are the account's tables in the region, sorted: those that have a state
// table beside them, which are lease tables of ours if anything is, and all others.
func Names(ctx context.Context, api listAPI) (twins, others []string, err error) {
	var all []string
	for in := new(dynamodb.ListTablesInput); ; {
		out, err := api.ListTables(ctx, in)
		if err != nil {
			return nil, nil, fmt.Errorf("list tables: %w", err)
		}
		all = append(all, out.TableNames...)
		if aws.ToString(out.LastEvaluatedTableName) == "" {
			break
		}
		in.ExclusiveStartTableName = out.LastEvaluatedTableName
	}
	slices.Sort(all)
	for _, name := range all {
		_, twin := slices.BinarySearch(all, name+stateSuffix)
		leases, isState := strings.CutSuffix(name, stateSuffix)
		_, hasLeases := slices.BinarySearch(all, leases)
		switch {
		case twin:
			twins = append(twins, name)
		case !isState || !hasLeases:
			others = append(others, name)
		}
	}
	return twins, others, nil
}

// Kind is what a table of some name is.
type Kind int

// The kinds of tables.
const (
	Missing Kind = iota // neither table is there
	Alien               // of something else
	Foreign             // a lease table without state table: another library's alone
	Ours                // both tables are there
)

// Kind asks what is there. It makes nothing.
func (t *Table) Kind(ctx context.Context) (Kind, error) {
	leases, err := t.describe(ctx, t.leases())
	if err != nil {
		return Missing, err
	}
	if leases == nil {
		return Missing, nil
	}
	if checkKey(leases, attrShard) != nil {
		return Alien, nil
	}
	state, err := t.describe(ctx, t.state())
	switch {
	case err != nil:
		return Missing, err
	case state == nil || checkKey(state, attrKey) != nil:
		return Foreign, nil
	}
	return Ours, nil
}

// Find reads one shard's item consistently. One that is not there has its Shard
// alone.
func (t *Table) Find(ctx context.Context, shard stream.ShardID) (Item, error) {
	i, err := t.read(ctx, shard)
	return i, wrap("read lease "+string(shard), err)
}
