package logs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tributary/deploy/local/awsjson"
)

type streamInput struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
}

func (c *call) createLogStream(in streamInput) (none, error) {
	if err := checkStreamName("logStreamName", in.LogStreamName); err != nil {
		return none{}, err
	}
	g, unlock, err := c.change(in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	defer unlock()
	if _, exists := g.streams[in.LogStreamName]; exists {
		return none{}, alreadyExists("stream")
	}
	st, err := createStream(g.opts, g.dir, streamMeta{Name: in.LogStreamName, CreatedMS: c.svc.stamp(c.now)})
	if err != nil {
		return none{}, err
	}
	g.streams[in.LogStreamName] = st
	return none{}, nil
}

func (c *call) deleteLogStream(in streamInput) (none, error) {
	if err := checkStreamName("logStreamName", in.LogStreamName); err != nil {
		return none{}, err
	}
	g, unlock, err := c.change(in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	defer unlock()
	st, err := g.stream(in.LogStreamName)
	if err != nil {
		return none{}, err
	}
	remove, err := discard(st.dir)
	if err != nil {
		return none{}, fmt.Errorf("delete log stream: %w", err)
	}
	delete(g.streams, in.LogStreamName)
	if err := remove(); err != nil {
		return none{}, fmt.Errorf("delete log stream: %w", err)
	}
	return none{}, nil
}

const (
	byName      = "LogStreamName"
	byEventTime = "LastEventTime"
)

type describeLogStreamsInput struct {
	groupRef
	LogStreamNamePrefix *string `json:"logStreamNamePrefix"`
	OrderBy             *string `json:"orderBy"`
	Descending          bool    `json:"descending"`
	Limit               *int    `json:"limit"`
	NextToken           *string `json:"nextToken"`
}

type describeLogStreamsOutput struct {
	LogStreams []logStream `json:"logStreams"`
	NextToken  string      `json:"nextToken,omitempty"`
}

type logStream struct {
	LogStreamName       string `json:"logStreamName"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp *int64 `json:"firstEventTimestamp,omitempty"`
	LastEventTimestamp  *int64 `json:"lastEventTimestamp,omitempty"`
	LastIngestionTime   *int64 `json:"lastIngestionTime,omitempty"`
	UploadSequenceToken string `json:"uploadSequenceToken"`
	ARN                 string `json:"arn"`
	StoredBytes         int64  `json:"storedBytes"` // "always reported as zero"
}

// A listed stream is one in the order in which they are listed; it is also what a token holds.
type listed struct {
	Time int64 `json:"t,omitempty"` // 0 in the order of names
	Name string
}

func (a listed) compare(b listed) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Name, b.Name))
}

func (c *call) describeLogStreams(in describeLogStreamsInput) (out describeLogStreamsOutput, err error) {
	name, err := in.name()
	if err != nil {
		return out, err
	}
	limit, err := limitOf(in.Limit, maxListed)
	if err != nil {
		return out, err
	}
	timed, err := in.timed()
	if err != nil {
		return out, err
	}
	var after *listed
	if in.NextToken != nil {
		after = new(listed)
		if err := openToken(*in.NextToken, streamsToken, after); err != nil {
			return out, err
		}
	}
	g, unlock, err := c.use(name)
	if err != nil {
		return out, err
	}
	defer unlock()
	order := func(a, b listed) int {
		if in.Descending {
			a, b = b, a
		}
		return a.compare(b)
	}
	all, err := g.list(in.LogStreamNamePrefix, timed)
	if err != nil {
		return out, err
	}
	slices.SortFunc(all, order)
	out.LogStreams = []logStream{}
	for i, l := range all {
		if after != nil && order(l, *after) <= 0 {
			continue
		}
		if len(out.LogStreams) == limit {
			out.NextToken = awsjson.SealToken(streamsToken, all[i-1])
			break
		}
		d, err := g.describeStream(g.streams[l.Name])
		if err != nil {
			return out, err
		}
		out.LogStreams = append(out.LogStreams, d)
	}
	return out, nil
}

func (in describeLogStreamsInput) timed() (bool, error) {
	if in.OrderBy == nil || *in.OrderBy == byName {
		return false, nil
	}
	if *in.OrderBy != byEventTime {
		return false, invalid("orderBy %q: want %s or %s", *in.OrderBy, byName, byEventTime)
	}
	if in.LogStreamNamePrefix != nil {
		return false, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	return true, nil
}

func (g *group) list(prefix *string, timed bool) (all []listed, err error) {
	for name := range maps.Keys(g.streams) {
		if prefix != nil && !strings.HasPrefix(name, *prefix) {
			continue
		}
		l := listed{Name: name}
		if timed {
			t, err := g.streams[name].times()
			if err != nil {
				return nil, err
			}
			l.Time = t.last
		}
		all = append(all, l)
	}
	return all, nil
}

func (g *group) describeStream(st *stream) (logStream, error) {
	t, err := st.times()
	if err != nil {
		return logStream{}, err
	}
	d := logStream{
		LogStreamName: st.meta.Name, CreationTime: st.meta.CreatedMS, UploadSequenceToken: sequenceToken(uint64(t.ingested)),
		ARN: arnPrefix + g.meta.Name + ":log-stream:" + st.meta.Name,
	}
	if t.ok {
		d.FirstEventTimestamp, d.LastEventTimestamp, d.LastIngestionTime = &t.first, &t.last, &t.ingested
	}
	return d, nil
}

// sequenceToken looks like one. Nobody needs it any more.
func sequenceToken(n uint64) string { return fmt.Sprintf("49%054d", n) }
