package logs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tributary/deploy/local/awsjson"
)

const (
	classStandard   = "STANDARD"
	classInfrequent = "INFREQUENT_ACCESS"
	maxGroups       = 1_000_000
	maxListed       = 50
	maxKMSKeyBytes  = 256
)

var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

type createLogGroupInput struct {
	LogGroupName  string  `json:"logGroupName"`
	KMSKeyID      *string `json:"kmsKeyId"`
	LogGroupClass *string `json:"logGroupClass"`
}

func (in createLogGroupInput) meta() (m groupMeta, err error) {
	m = groupMeta{Name: in.LogGroupName, Class: classStandard}
	if err := checkGroupName(m.Name); err != nil {
		return m, err
	}
	if strings.HasPrefix(m.Name, "aws/") {
		return m, invalid("logGroupName %q: names can't start with aws/", m.Name)
	}
	if in.KMSKeyID != nil {
		m.KMSKeyID = *in.KMSKeyID
		if !strings.HasPrefix(m.KMSKeyID, "arn:") || len(m.KMSKeyID) > maxKMSKeyBytes {
			return m, invalid("kmsKeyId %q: want the ARN of a key, at most %d characters", m.KMSKeyID, maxKMSKeyBytes)
		}
	}
	if in.LogGroupClass != nil {
		m.Class = *in.LogGroupClass
	}
	return m, checkClass(m.Class)
}

func checkClass(class string) error {
	switch class {
	case classStandard, classInfrequent:
		return nil
	case "DELIVERY", "ESSENTIALS":
		return unsupported("logGroupClass %s", class)
	}
	return invalid("logGroupClass %q: want STANDARD, INFREQUENT_ACCESS, ESSENTIALS or DELIVERY", class)
}

func (c *call) createLogGroup(in createLogGroupInput) (none, error) {
	meta, err := in.meta()
	if err != nil {
		return none{}, err
	}
	s := c.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return none{}, errClosed
	}
	if _, exists := s.groups[meta.Name]; exists {
		return none{}, alreadyExists("group")
	}
	if len(s.groups) >= maxGroups {
		return none{}, awsjson.Refuse("LimitExceededException", "Resource limit exceeded.")
	}
	meta.CreatedMS = s.stamp(c.now)
	g, err := createGroup(s.opts, s.dir, meta)
	if err != nil {
		return none{}, err
	}
	s.groups[meta.Name] = g
	return none{}, nil
}

type groupInput struct {
	LogGroupName string `json:"logGroupName"`
}

func (c *call) deleteLogGroup(in groupInput) (none, error) {
	g, unlock, err := c.change(in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	remove, err := discard(g.dir)
	g.deleted = err == nil
	unlock()
	if err != nil {
		return none{}, fmt.Errorf("delete log group: %w", err)
	}
	c.svc.mu.Lock()
	if c.svc.groups[in.LogGroupName] == g {
		delete(c.svc.groups, in.LogGroupName)
	}
	c.svc.mu.Unlock()
	if err := remove(); err != nil {
		return none{}, fmt.Errorf("delete log group: %w", err)
	}
	return none{}, nil
}

type putRetentionPolicyInput struct {
	LogGroupName    string `json:"logGroupName"`
	RetentionInDays *int   `json:"retentionInDays"`
}

func (c *call) putRetentionPolicy(in putRetentionPolicyInput) (none, error) {
	if in.RetentionInDays == nil || !slices.Contains(retentions, *in.RetentionInDays) {
		return none{}, invalid("retentionInDays: want one of %v", retentions)
	}
	return none{}, c.setRetention(in.LogGroupName, *in.RetentionInDays)
}

func (c *call) deleteRetentionPolicy(in groupInput) (none, error) {
	return none{}, c.setRetention(in.LogGroupName, 0)
}

func (c *call) setRetention(name string, days int) error {
	g, unlock, err := c.change(name)
	if err != nil {
		return err
	}
	defer unlock()
	meta := g.meta
	meta.RetentionDays = days
	if err := meta.save(g.dir); err != nil {
		return err
	}
	g.meta = meta
	return nil
}

type describeLogGroupsInput struct {
	LogGroupNamePrefix  *string `json:"logGroupNamePrefix"`
	LogGroupNamePattern *string `json:"logGroupNamePattern"`
	LogGroupClass       *string `json:"logGroupClass"`
	Limit               *int    `json:"limit"`
	NextToken           *string `json:"nextToken"`
}

type describeLogGroupsOutput struct {
	LogGroups []logGroup `json:"logGroups"`
	NextToken string     `json:"nextToken,omitempty"`
}

type logGroup struct {
	LogGroupName      string `json:"logGroupName"`
	CreationTime      int64  `json:"creationTime"`
	ARN               string `json:"arn"`
	LogGroupARN       string `json:"logGroupArn,omitempty"`
	LogGroupClass     string `json:"logGroupClass,omitempty"`
	KMSKeyID          string `json:"kmsKeyId,omitempty"`
	RetentionInDays   int    `json:"retentionInDays,omitempty"`
	MetricFilterCount *int   `json:"metricFilterCount,omitempty"`
	StoredBytes       *int64 `json:"storedBytes,omitempty"`
}

func (in describeLogGroupsInput) check() (limit int, after string, err error) {
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return 0, "", invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive")
	}
	if in.LogGroupClass != nil {
		if err := checkClass(*in.LogGroupClass); err != nil {
			return 0, "", err
		}
	}
	if in.NextToken != nil {
		if err := openToken(*in.NextToken, groupsToken, &after); err != nil {
			return 0, "", err
		}
	}
	limit, err = limitOf(in.Limit, maxListed)
	return limit, after, err
}

func (in describeLogGroupsInput) matches(m groupMeta) bool {
	return (in.LogGroupNamePrefix == nil || strings.HasPrefix(m.Name, *in.LogGroupNamePrefix)) &&
		(in.LogGroupNamePattern == nil || strings.Contains(m.Name, *in.LogGroupNamePattern)) &&
		(in.LogGroupClass == nil || m.Class == *in.LogGroupClass)
}

func (c *call) describeLogGroups(in describeLogGroupsInput) (out describeLogGroupsOutput, err error) {
	limit, after, err := in.check()
	if err != nil {
		return out, err
	}
	out.LogGroups = []logGroup{}
	c.svc.mu.RLock()
	defer c.svc.mu.RUnlock()
	if c.svc.closed {
		return out, errClosed
	}
	for _, name := range slices.Sorted(maps.Keys(c.svc.groups)) {
		g := c.svc.groups[name]
		if name <= after || !in.matches(groupMeta{Name: name, Class: g.class()}) {
			continue
		}
		if len(out.LogGroups) == limit {
			out.NextToken = awsjson.SealToken(groupsToken, out.LogGroups[limit-1].LogGroupName)
			break
		}
		out.LogGroups = append(out.LogGroups, g.describe(in.LogGroupNamePattern != nil))
	}
	return out, nil
}

func (g *group) class() string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.meta.Class
}

// describe leaves out, when short, all that the documentation says a search by pattern leaves out.
func (g *group) describe(short bool) logGroup {
	g.mu.RLock()
	defer g.mu.RUnlock()
	m := g.meta
	d := logGroup{LogGroupName: m.Name, CreationTime: m.CreatedMS, ARN: arnPrefix + m.Name + ":*"}
	if short {
		return d
	}
	stored := g.stored()
	d.LogGroupARN, d.LogGroupClass, d.KMSKeyID, d.RetentionInDays = arnPrefix+m.Name, m.Class, m.KMSKeyID, m.RetentionDays
	d.MetricFilterCount, d.StoredBytes = new(int), &stored
	return d
}
