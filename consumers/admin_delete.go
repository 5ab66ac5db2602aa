package consumers

import (
	"context"
	"fmt"

	"tributary/consumers/lease"
)

// Delete removes a group's two tables, and with them its positions: whoever starts a
// group of that name later starts a new one. Workers are not asked; see Living. It
// finishes what was deleted in half, and reports whether anything was there. Tables
// of others are refused.
func (a *Admin) Delete(ctx context.Context, group string) (was bool, err error) {
	table, err := a.table(group)
	if err != nil {
		return false, err
	}
	kind, err := again(ctx, func() (lease.Kind, error) { return table.Kind(ctx) })
	if err != nil {
		return false, fmt.Errorf("look at group %s: %w", group, err)
	}
	switch kind {
	case lease.Alien:
		return false, refuse("table %q is no lease table: its key is another", group)
	case lease.Foreign:
		return false, refuse("group %s is another library's: delete its table by other means", group)
	}
	_, err = again(ctx, func() (bool, error) {
		there, err := table.Drop(ctx)
		was = was || there
		return there, err
	})
	if err != nil {
		return was, fmt.Errorf("delete group %s: %w", group, err)
	}
	return was, nil
}

// Exists tells whether there is a group of that name.
func (a *Admin) Exists(ctx context.Context, group string) (bool, error) {
	table, err := a.table(group)
	if err != nil {
		return false, err
	}
	kind, err := again(ctx, func() (lease.Kind, error) { return table.Kind(ctx) })
	if err != nil {
		return false, fmt.Errorf("look at group %s: %w", group, err)
	}
	return kind == lease.Ours, nil
}
