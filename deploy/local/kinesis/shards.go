package kinesis

import (
	"time"
)

// tokenLife is how long a NextToken of ListShards may be used.
const tokenLife = 300 * time.Second

type shardFilter struct {
	Type      string
	ShardID   *string `json:"ShardId"`
	Timestamp *timestamp
}

type listShardsInput struct {
	streamRef
	ExclusiveStartShardID   string `json:"ExclusiveStartShardId"`
	MaxResults              *int
	NextToken               string
	ShardFilter             *shardFilter
	StreamCreationTimestamp *timestamp
}

type hashKeyRange struct{ StartingHashKey, EndingHashKey string }

type sequenceNumberRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardOutput struct {
	ShardID               string `json:"ShardId"`
	ParentShardID         string `json:"ParentShardId,omitempty"`
	AdjacentParentShardID string `json:"AdjacentParentShardId,omitempty"`
	HashKeyRange          hashKeyRange
	SequenceNumberRange   sequenceNumberRange
}

type listShardsOutput struct {
	Shards    []shardOutput
	NextToken string `json:",omitempty"`
}

// shardsPage is the content of a NextToken: which listing goes on, and where.
type shardsPage struct {
	Stream    string
	CreatedMS int64
	AtMS      int64 // when the token was given
	After     string
	Filter    *shardFilter
}

func (c *call) listShards(in listShardsInput) (listShardsOutput, error) {
	if in.MaxResults != nil && (*in.MaxResults < 1 || *in.MaxResults > 10_000) {
		return listShardsOutput{}, validation("MaxResults %d: want 1 to 10000", *in.MaxResults)
	}
	page, ref, err := c.page(in)
	if err != nil {
		return listShardsOutput{}, err
	}
	st, unlock, err := c.stream(ref)
	if err != nil {
		return listShardsOutput{}, err
	}
	defer unlock()
	if page.CreatedMS != 0 && page.CreatedMS != st.meta.CreatedMS {
		return listShardsOutput{}, notFound("Stream %s created at %s not found.", st.meta.Name, timestamp(page.CreatedMS))
	}
	listed, err := st.filter(page.Filter, c.now)
	if err != nil {
		return listShardsOutput{}, err
	}
	limit := 1000 // "if you specify a value greater than 1000, at most 1000 results are returned"
	if in.MaxResults != nil {
		limit = min(limit, *in.MaxResults)
	}
	out := listShardsOutput{Shards: []shardOutput{}}
	for _, sh := range st.shards {
		if sh.meta.ID <= page.After || !listed(sh.meta) {
			continue
		}
		if len(out.Shards) == limit {
			page.Stream, page.CreatedMS, page.AtMS = st.meta.Name, st.meta.CreatedMS, c.now.UnixMilli()
			page.After = out.Shards[limit-1].ShardID
			out.NextToken = sealToken(shardsToken, page)
			break
		}
		out.Shards = append(out.Shards, st.describe(sh.meta))
	}
	return out, nil
}

// page reads which listing is asked for, new or going on. A token names the stream, so most else may not stand beside it.
func (c *call) page(in listShardsInput) (shardsPage, streamRef, error) {
	if in.NextToken == "" {
		page := shardsPage{After: in.ExclusiveStartShardID, Filter: in.ShardFilter}
		if in.StreamCreationTimestamp != nil {
			page.CreatedMS = int64(*in.StreamCreationTimestamp)
		}
		return page, in.streamRef, nil
	}
	for name, given := range map[string]bool{
		"StreamName": in.StreamName != "", "StreamCreationTimestamp": in.StreamCreationTimestamp != nil,
		"ExclusiveStartShardId": in.ExclusiveStartShardID != "", "ShardFilter": in.ShardFilter != nil,
	} {
		if given {
			return shardsPage{}, streamRef{}, invalidArgument("NextToken and %s cannot be provided together.", name)
		}
	}
	var page shardsPage
	if err := openToken(in.NextToken, shardsToken, &page); err != nil {
		return shardsPage{}, streamRef{}, invalidArgument("NextToken is invalid: %v", err)
	}
	if age := c.now.Sub(time.UnixMilli(page.AtMS)); age > tokenLife {
		return shardsPage{}, streamRef{}, refuse("ExpiredNextTokenException", "NextToken expired: it was given %s ago, its life is %s", age, tokenLife)
	}
	return page, streamRef{StreamName: page.Stream, StreamARN: in.StreamARN}, nil
}

// filter says which shards a listing includes. Shards whose records have all expired are never listed.
func (st *stream) filter(f *shardFilter, now time.Time) (func(shardMeta) bool, error) {
	horizon := st.horizon(now)
	all := func(m shardMeta) bool { return !m.expired(horizon) }
	if f == nil {
		return all, nil
	}
	if err := f.validate(); err != nil {
		return nil, err
	}
	// Before the stream there was no shard; before the horizon nothing can be read.
	oldest := max(horizon, st.meta.CreatedMS)
	// "whose start timestamp is less than or equal to the given timestamp and end timestamp is greater than or equal": at the moment of
	// a split these are parent and children.
	openAt := func(ms int64) func(shardMeta) bool {
		return func(m shardMeta) bool { return all(m) && m.OpenedMS <= ms && (!m.closed() || m.ClosedMS >= ms) }
	}
	switch f.Type {
	case "AFTER_SHARD_ID":
		return func(m shardMeta) bool { return all(m) && m.ID > *f.ShardID }, nil
	case "AT_TRIM_HORIZON":
		return openAt(oldest), nil
	case "AT_LATEST":
		return func(m shardMeta) bool { return !m.closed() }, nil
	case "AT_TIMESTAMP":
		return openAt(max(oldest, int64(*f.Timestamp))), nil
	case "FROM_TIMESTAMP":
		return func(m shardMeta) bool { return all(m) && (!m.closed() || m.ClosedMS >= int64(*f.Timestamp)) }, nil
	default: // FROM_TRIM_HORIZON, see validate
		return all, nil
	}
}

func (f *shardFilter) validate() error {
	var wantsID, wantsTime bool
	switch f.Type {
	case "FROM_TRIM_HORIZON", "AT_TRIM_HORIZON", "AT_LATEST":
	case "AFTER_SHARD_ID":
		wantsID = true
	case "AT_TIMESTAMP", "FROM_TIMESTAMP":
		wantsTime = true
	default:
		return validation("ShardFilter.Type %q is unknown", f.Type)
	}
	if (f.ShardID != nil) != wantsID {
		return invalidArgument("ShardFilter.ShardId goes with AFTER_SHARD_ID and with no other type; the type is %s", f.Type)
	}
	if (f.Timestamp != nil) != wantsTime {
		return invalidArgument("ShardFilter.Timestamp goes with AT_TIMESTAMP and FROM_TIMESTAMP and with no other type; the type is %s", f.Type)
	}
	return nil
}

func (st *stream) describe(m shardMeta) shardOutput {
	out := shardOutput{
		ShardID: m.ID, ParentShardID: m.Parent, AdjacentParentShardID: m.AdjacentParent,
		HashKeyRange:        hashKeyRange{m.From.String(), m.To.String()},
		SequenceNumberRange: sequenceNumberRange{StartingSequenceNumber: st.sequence(m.Start)},
	}
	if m.closed() {
		out.SequenceNumberRange.EndingSequenceNumber = st.sequence(m.End)
	}
	return out
}
