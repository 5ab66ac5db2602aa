package lease

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/stream"
)

// chunkBytes leaves room below DynamoDB's 400 KB per item, names included.
const chunkBytes = 350_000

// Place is the checkpoint a snapshot belongs to.
type Place struct {
	Shard      stream.ShardID
	Generation uint64
	Sequence   stream.SequenceNumber // or ShardEnd
}

func (p Place) key() string {
	return fmt.Sprintf("map/%s/%d/%s", p.Shard, p.Generation, p.Sequence)
}

// PutSnapshot stores data for a place. What is there stays: a place is written by
// whoever reaches it first, and it is complete or not there at all. The head goes
// last and names the chunks by their content, so that chunks of a worker that
// died half-way never mix with another's.
func (t *Table) PutSnapshot(ctx context.Context, p Place, data []byte) error {
	head := attributes{attrKey: text(p.key()), attrVersion: number(version)}
	if len(data) <= chunkBytes {
		head["Data"] = &types.AttributeValueMemberB{Value: data}
	} else {
		sum := sha256.Sum256(data)
		name := hex.EncodeToString(sum[:16])
		count, err := t.putChunks(ctx, p.key()+"/"+name, data)
		if err != nil {
			return fmt.Errorf("store snapshot %s: %w", p.key(), err)
		}
		head["Chunks"], head["Sum"] = number(uint64(count)), text(name)
	}
	if err := t.putNew(ctx, t.state(), attrKey, head); err != nil {
		return fmt.Errorf("store snapshot %s: %w", p.key(), err)
	}
	return nil
}

func (t *Table) putChunks(ctx context.Context, prefix string, data []byte) (int, error) {
	n := 0
	for ; len(data) > 0; n++ {
		size := min(len(data), chunkBytes)
		err := t.putNew(ctx, t.state(), attrKey, attributes{
			attrKey: text(prefix + "/" + strconv.Itoa(n)), attrVersion: number(version),
			"Data": &types.AttributeValueMemberB{Value: data[:size]},
		})
		if err != nil {
			return 0, err
		}
		data = data[size:]
	}
	return n, nil
}

// Snapshot returns what is stored for a place, and whether anything is.
func (t *Table) Snapshot(ctx context.Context, p Place) ([]byte, bool, error) {
	data, ok, err := t.snapshot(ctx, p)
	if err != nil {
		return nil, false, fmt.Errorf("read snapshot %s: %w", p.key(), err)
	}
	return data, ok, nil
}

func (t *Table) snapshot(ctx context.Context, p Place) ([]byte, bool, error) {
	a, err := t.get(ctx, t.state(), attrKey, p.key())
	if err != nil || a == nil {
		return nil, false, err
	}
	r := row{a: a}
	if err := r.known(version); err != nil {
		return nil, false, err
	}
	data, count, name := r.bytes("Data"), r.number("Chunks"), r.text("Sum")
	for n := uint64(0); n < count && r.err == nil; n++ {
		chunk, err := t.get(ctx, t.state(), attrKey, p.key()+"/"+name+"/"+strconv.FormatUint(n, 10))
		if err != nil {
			return nil, false, err
		}
		c := row{a: chunk}
		data = append(data, c.bytes("Data")...)
		r.err = c.err
	}
	if sum := sha256.Sum256(data); r.err == nil && count > 0 && hex.EncodeToString(sum[:16]) != name {
		r.err = errors.New("damaged: its parts do not add up")
	}
	return data, true, r.err
}

// DropSnapshot removes a place's snapshot, the head first: one that is half gone
// must not be found.
func (t *Table) DropSnapshot(ctx context.Context, p Place) error {
	out, err := t.remove(ctx, p.key(), nil)
	if err != nil {
		return fmt.Errorf("drop snapshot %s: %w", p.key(), err)
	}
	r := row{a: out}
	count, name := r.number("Chunks"), r.text("Sum")
	for n := range count {
		if _, err := t.remove(ctx, p.key()+"/"+name+"/"+strconv.FormatUint(n, 10), nil); err != nil {
			return fmt.Errorf("drop snapshot %s: %w", p.key(), err)
		}
	}
	return r.err
}

// remove deletes an item of the state table that has these values, and returns
// what was there; nil if there was none, or another.
func (t *Table) remove(ctx context.Context, key string, only attributes) (attributes, error) {
	return t.removeFrom(ctx, t.state(), attributes{attrKey: text(key)}, only)
}

func (t *Table) removeFrom(ctx context.Context, table *string, key, only attributes) (attributes, error) {
	ctx, cancel := t.attempt(ctx, opDelete)
	defer cancel()
	in := &dynamodb.DeleteItemInput{TableName: table, Key: key, ReturnValues: types.ReturnValueAllOld}
	if len(only) > 0 {
		e := expression{names: map[string]string{}, values: attributes{}}
		var checks []string
		for _, name := range slices.Sorted(maps.Keys(only)) {
			if v := only[name]; v == nil {
				checks = append(checks, e.absent(name))
			} else {
				checks = append(checks, e.name(name)+" = "+e.value(v))
			}
		}
		in.ConditionExpression = aws.String(strings.Join(checks, " AND "))
		in.ExpressionAttributeNames = e.names
		if len(e.values) > 0 {
			in.ExpressionAttributeValues = e.values
		}
	}
	out, err := t.api.DeleteItem(ctx, in, once)
	if isConditionFailed(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}
