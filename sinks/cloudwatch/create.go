package cloudwatch

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/schema"
)

// groups is what a worker knows of log groups, within Config.MaxGroups.
type groups struct {
	mu    sync.Mutex
	names map[string]struct{}
	// bare are groups that this worker made and whose retention is not set yet.
	bare map[string]struct{}
	full bool // and it was said
}

// groupOf is the log group of a service's events: the one of otherService when there
// are too many already.
func (c *CloudWatch) groupOf(t template, kind schema.Kind, service string) (name string, overflowed bool) {
	name = t.group(kind, service)
	g := &c.groups
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.names[name]; known {
		return name, false
	}
	if len(g.names) < c.cfg.MaxGroups {
		g.names[name] = struct{}{}
		return name, false
	}
	if !g.full {
		g.full = true
		c.log.Warn("too many log groups, further services share one", "max_groups", c.cfg.MaxGroups, "service", service,
			"group", t.group(kind, otherService))
	}
	return t.group(kind, otherService), true
}

// create makes the log stream, and the group if it is missing.
func (c *CloudWatch) create(ctx context.Context, k key) error {
	if err := c.retain(ctx, k.group); err != nil { // an earlier attempt made the group
		return err
	}
	err := c.createStream(ctx, k)
	if !err.is(missing) {
		return asError(err)
	}
	if err := c.createGroup(ctx, k.group); err != nil {
		return err
	}
	return asError(c.createStream(ctx, k))
}

func (c *CloudWatch) createStream(ctx context.Context, k key) *callError {
	err := c.makes(ctx, "CreateLogStream", resource(k), func(ctx context.Context) error {
		_, err := c.api.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &k.group, LogStreamName: (*string)(&k.shard)}, once)
		return err
	})
	if err.is(exists) {
		return nil
	}
	return err
}

// createGroup leaves a group alone that is there already.
func (c *CloudWatch) createGroup(ctx context.Context, group string) error {
	in := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group, Tags: c.cfg.Tags}
	if class := types.LogGroupClass(c.cfg.Class); class != types.LogGroupClassStandard {
		in.LogGroupClass = class
	}
	if c.cfg.KMSKey != "" {
		in.KmsKeyId = &c.cfg.KMSKey
	}
	err := c.makes(ctx, "CreateLogGroup", "log group "+group, func(ctx context.Context) error {
		_, err := c.api.CreateLogGroup(ctx, in, once)
		return err
	})
	if err != nil {
		if err.is(exists) {
			return nil
		}
		return err
	}
	c.log.Info("log group created", "group", group, "class", c.cfg.Class, "retention_days", c.cfg.RetentionDays)
	if c.cfg.RetentionDays == 0 {
		return nil
	}
	c.groups.mu.Lock()
	c.groups.bare[group] = struct{}{}
	c.groups.mu.Unlock()
	return c.retain(ctx, group)
}

// retain sets the retention of a group that this worker made.
func (c *CloudWatch) retain(ctx context.Context, group string) error {
	c.groups.mu.Lock()
	_, bare := c.groups.bare[group]
	c.groups.mu.Unlock()
	if !bare {
		return nil
	}
	err := c.makes(ctx, "PutRetentionPolicy", "log group "+group, func(ctx context.Context) error {
		_, err := c.api.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: &c.cfg.RetentionDays}, once)
		return err
	})
	if err != nil && !err.is(missing) { // it was deleted meanwhile
		return err
	}
	c.groups.mu.Lock()
	delete(c.groups.bare, group)
	c.groups.mu.Unlock()
	return nil
}

// makes is call at the pace of Config.CreateRate.
func (c *CloudWatch) makes(ctx context.Context, action, resource string, do func(context.Context) error) *callError {
	if err := c.creations.wait(ctx); err != nil {
		return &callError{action, resource, unreachable, "no time", err}
	}
	err := c.call(ctx, action, resource, do)
	if err == nil {
		c.metrics.created.WithLabelValues(action).Inc()
	}
	return err
}
