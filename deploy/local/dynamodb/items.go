package dynamodb

import (
	"fmt"

	"tributary/deploy/local/fault"
)

// maxKey is the service's limit of a HASH key's value in bytes.
const maxKey = 2048

// conditional is what the three writes have in common.
type conditional struct {
	TableName                           string
	ConditionExpression                 *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]attribute
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
	ReturnConsumedCapacity              string
	ReturnItemCollectionMetrics         string
}

// guard is a parsed conditional.
type guard struct {
	condition  condition // nil: none
	returns    string
	oldOnFault bool
}

// parse reads the condition; expressions of the operation's own are parsed in
// others, before unused placeholders are looked for.
func (in conditional) parse(returns []string, others func(*placeholders) error) (guard, error) {
	g := guard{returns: "NONE"}
	if err := none("ReturnConsumedCapacity", in.ReturnConsumedCapacity); err != nil {
		return g, err
	}
	if err := none("ReturnItemCollectionMetrics", in.ReturnItemCollectionMetrics); err != nil {
		return g, err
	}
	if in.ReturnValues != "" {
		g.returns = in.ReturnValues
	}
	if err := oneOf("ReturnValues", g.returns, returns...); err != nil {
		return g, err
	}
	onFault := in.ReturnValuesOnConditionCheckFailure
	if err := oneOf("ReturnValuesOnConditionCheckFailure", onFault, "", "NONE", "ALL_OLD"); err != nil {
		return g, err
	}
	g.oldOnFault = onFault == "ALL_OLD"
	ph, err := newPlaceholders(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return g, err
	}
	if err := others(ph); err != nil {
		return g, err
	}
	if in.ConditionExpression != nil {
		if g.condition, err = parseCondition("ConditionExpression", *in.ConditionExpression, ph); err != nil {
			return g, err
		}
	}
	return g, ph.allUsed()
}

// admit decides the condition against the stored item.
func (g guard) admit(old item) error {
	if g.condition == nil {
		return nil
	}
	ok, err := g.condition.holds(old)
	if err != nil || ok {
		return err
	}
	if g.oldOnFault {
		return conditionFailed(old)
	}
	return conditionFailed(nil)
}

// answer picks what the caller asked for.
func (g guard) answer(old, changed item) attributesOutput {
	switch g.returns {
	case "ALL_OLD":
		return attributesOutput{old}
	case "ALL_NEW":
		return attributesOutput{changed}
	}
	return attributesOutput{}
}

type attributesOutput struct {
	Attributes item `json:",omitempty"`
}

type putItemInput struct {
	conditional
	Item item
}

func (s *Service) putItem(in putItemInput) (out attributesOutput, err error) {
	g, err := in.parse([]string{"NONE", "ALL_OLD"}, func(*placeholders) error { return in.Item.check() })
	if err != nil {
		return out, err
	}
	err = s.with(in.TableName, func(t *table) error {
		key, err := t.keyOf(in.Item)
		if err != nil {
			return err
		}
		old := t.items[key]
		if err := g.admit(old); err != nil {
			return err
		}
		out = g.answer(old, in.Item)
		return t.write(key, in.Item)
	})
	return out, err
}

type updateItemInput struct {
	conditional
	Key              item
	UpdateExpression *string
}

func (s *Service) updateItem(in updateItemInput) (out attributesOutput, err error) {
	u := &update{}
	g, err := in.parse([]string{"NONE", "ALL_OLD", "ALL_NEW"}, func(ph *placeholders) (err error) {
		if in.UpdateExpression != nil {
			u, err = parseUpdate(*in.UpdateExpression, ph)
		}
		return err
	})
	if err != nil {
		return out, err
	}
	err = s.with(in.TableName, func(t *table) error {
		key, err := t.exactKey(in.Key)
		if err != nil {
			return err
		}
		if u.touches(t.Key) {
			return validation("One or more parameter values were invalid: Cannot update attribute " + t.Key + ". This attribute is part of the key")
		}
		old := t.items[key]
		if err := g.admit(old); err != nil {
			return err
		}
		changed, err := u.apply(old)
		if err != nil {
			return err
		}
		changed[t.Key] = in.Key[t.Key]
		if err := changed.check(); err != nil {
			return err
		}
		out = g.answer(old, changed)
		return t.write(key, changed)
	})
	return out, err
}

type deleteItemInput struct {
	conditional
	Key item
}

func (s *Service) deleteItem(in deleteItemInput) (out attributesOutput, err error) {
	g, err := in.parse([]string{"NONE", "ALL_OLD"}, func(*placeholders) error { return nil })
	if err != nil {
		return out, err
	}
	err = s.with(in.TableName, func(t *table) error {
		key, err := t.exactKey(in.Key)
		if err != nil {
			return err
		}
		old := t.items[key]
		if err := g.admit(old); err != nil {
			return err
		}
		out = g.answer(old, nil)
		return t.write(key, nil)
	})
	return out, err
}

type getItemInput struct {
	TableName                string
	Key                      item
	ConsistentRead           bool
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
	ReturnConsumedCapacity   string
}

type getItemOutput struct {
	Item item `json:",omitempty"`
}

func (s *Service) getItem(in getItemInput) (out getItemOutput, err error) {
	if err := none("ReturnConsumedCapacity", in.ReturnConsumedCapacity); err != nil {
		return out, err
	}
	ph, err := newPlaceholders(in.ExpressionAttributeNames, nil)
	if err != nil {
		return out, err
	}
	attributes, err := projection(in.ProjectionExpression, ph)
	if err != nil {
		return out, err
	}
	if err := ph.allUsed(); err != nil {
		return out, err
	}
	stale := !in.ConsistentRead && s.faults.Strikes(fault.Stale, serviceName, "GetItem")
	err = s.with(in.TableName, func(t *table) error {
		key, err := t.exactKey(in.Key)
		if err != nil {
			return err
		}
		found := t.items[key]
		if before, ok := t.recent.before[key]; stale && ok {
			found = before.item
		}
		out.Item = found.project(attributes)
		return nil
	})
	return out, err
}

// projection is nil for all attributes.
func projection(expression *string, ph *placeholders) ([]string, error) {
	if expression == nil {
		return nil, nil
	}
	return parseProjection(*expression, ph)
}

func (i item) project(attributes []string) item {
	if attributes == nil || i == nil {
		return i
	}
	picked := item{}
	for _, name := range attributes {
		if a, ok := i[name]; ok {
			picked[name] = a
		}
	}
	return picked
}

// keyOf is the key's value in a whole item.
func (t *table) keyOf(i item) (string, error) {
	a, ok := i[t.Key]
	switch {
	case !ok:
		return "", validation("One or more parameter values were invalid: Missing the key " + t.Key + " in the item")
	case a.S == nil:
		return "", validation("One or more parameter values were invalid: Type mismatch for key " + t.Key + " expected: S actual: " + a.typeName())
	case *a.S == "":
		return "", validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: " + t.Key)
	case len(*a.S) > maxKey:
		return "", validation(fmt.Sprintf("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of %d bytes", maxKey))
	}
	return *a.S, nil
}

// exactKey is the key's value in a Key parameter, which holds nothing else.
func (t *table) exactKey(key item) (string, error) {
	if _, ok := key[t.Key]; !ok || len(key) != 1 {
		return "", validation("The provided key element does not match the schema")
	}
	return t.keyOf(key)
}

// none refuses answers this endpoint does not compute.
func none(parameter, value string) error { return oneOf(parameter, value, "", "NONE") }

func oneOf(parameter, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return validation(fmt.Sprintf("%s %q is not supported by this endpoint; it has %q", parameter, value, allowed))
}
