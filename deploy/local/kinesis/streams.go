package kinesis

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tributary/deploy/local/disk"
)

const (
	defaultRetentionHours = 24
	maxRetentionHours     = 8760
	defaultRecordKiB      = 1024
	maxRecordKiB          = 10240
	maxRecordBytes        = maxRecordKiB << 10
	maxShards             = 10_000
)

type streamMode struct{ StreamMode string }

type createStreamInput struct {
	StreamName         string
	ShardCount         *int
	MaxRecordSizeInKiB *int
	StreamModeDetails  *streamMode
}

func (in createStreamInput) validate() error {
	if !streamNames.MatchString(in.StreamName) {
		return validation("StreamName %q: want 1 to 128 of a-z, A-Z, 0-9, _, . and -", in.StreamName)
	}
	if in.StreamModeDetails != nil && in.StreamModeDetails.StreamMode != "PROVISIONED" {
		return unsupported("StreamMode %q: shards are provisioned, give ShardCount", in.StreamModeDetails.StreamMode)
	}
	if in.ShardCount == nil || *in.ShardCount < 1 {
		return validation("ShardCount: want 1 or more")
	}
	if *in.ShardCount > maxShards {
		return limitExceeded("ShardCount %d exceeds the limit of %d", *in.ShardCount, maxShards)
	}
	if in.MaxRecordSizeInKiB != nil {
		return validateRecordKiB(*in.MaxRecordSizeInKiB)
	}
	return nil
}

func validateRecordKiB(kib int) error {
	if kib < defaultRecordKiB || kib > maxRecordKiB {
		return validation("MaxRecordSizeInKiB %d: want %d to %d", kib, defaultRecordKiB, maxRecordKiB)
	}
	return nil
}

func (c *call) createStream(in createStreamInput) (none, error) {
	if err := in.validate(); err != nil {
		return none{}, err
	}
	s := c.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return none{}, errClosed
	}
	if _, exists := s.streams[in.StreamName]; exists {
		return none{}, inUse("Stream %s under account %s already exists.", in.StreamName, accountID)
	}
	// A stream made anew must be told from the deleted one, even when both are made within a millisecond.
	s.made = max(s.made+1, c.now.UnixMilli())
	meta := streamMeta{
		Name: in.StreamName, CreatedMS: s.made,
		RetentionHours: defaultRetentionHours, MaxRecordKiB: defaultRecordKiB,
	}
	if in.MaxRecordSizeInKiB != nil {
		meta.MaxRecordKiB = *in.MaxRecordSizeInKiB
	}
	st, err := createStream(s.opts, s.dir, meta, *in.ShardCount)
	if err != nil {
		return none{}, err
	}
	s.streams[in.StreamName] = st
	return none{}, nil
}

type deleteStreamInput struct {
	streamRef
	EnforceConsumerDeletion bool
}

func (c *call) deleteStream(in deleteStreamInput) (none, error) {
	st, unlock, err := c.change(in.streamRef)
	if err != nil {
		return none{}, err
	}
	// "If this parameter is unset (null) or if you set it to false, and the stream has registered consumers, the call to DeleteStream
	// fails with a ResourceInUseException."
	if n := len(st.meta.Consumers); n > 0 && !in.EnforceConsumerDeletion {
		unlock()
		return none{}, inUse("Stream %s under account %s has %d registered consumers.", st.meta.Name, accountID, n)
	}
	// One rename is the deletion: a crash leaves the whole stream, or something that open sweeps.
	doomed := filepath.Join(c.svc.dir, fmt.Sprintf("%s%s-%d", sweptPrefix, st.meta.Name, st.meta.CreatedMS))
	err = os.Rename(st.dir, doomed)
	st.deleted = err == nil
	unlock()
	if err != nil {
		return none{}, fmt.Errorf("delete stream: %w", err)
	}
	c.svc.mu.Lock()
	if c.svc.streams[st.meta.Name] == st {
		delete(c.svc.streams, st.meta.Name)
	}
	c.svc.mu.Unlock()
	st.subscriptions.end(anySubscription, noStream(st.meta.Name))
	if err := errors.Join(st.close(), disk.SyncDir(c.svc.dir), os.RemoveAll(doomed)); err != nil {
		return none{}, fmt.Errorf("delete stream: %w", err)
	}
	return none{}, nil
}

type streamSummary struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       streamMode
	StreamCreationTimestamp timestamp
}

func (st *stream) summary() streamSummary {
	return streamSummary{
		StreamName: st.meta.Name, StreamARN: arn(st.meta.Name), StreamStatus: st.status(),
		StreamModeDetails: streamMode{"PROVISIONED"}, StreamCreationTimestamp: timestamp(st.meta.CreatedMS),
	}
}

type streamDescription struct {
	streamSummary
	RetentionPeriodHours int
	OpenShardCount       int
	ConsumerCount        int
	MaxRecordSizeInKiB   int
	EncryptionType       string
	EnhancedMonitoring   []metrics
}

type metrics struct{ ShardLevelMetrics []string }

type describeStreamSummaryOutput struct{ StreamDescriptionSummary streamDescription }

func (c *call) describeStreamSummary(in streamRef) (describeStreamSummaryOutput, error) {
	st, unlock, err := c.stream(in)
	if err != nil {
		return describeStreamSummaryOutput{}, err
	}
	defer unlock()
	return describeStreamSummaryOutput{streamDescription{
		streamSummary:        st.summary(),
		RetentionPeriodHours: st.meta.RetentionHours,
		OpenShardCount:       st.open(),
		ConsumerCount:        len(st.meta.Consumers),
		MaxRecordSizeInKiB:   st.meta.MaxRecordKiB,
		EncryptionType:       encryptionNone,
		EnhancedMonitoring:   []metrics{{ShardLevelMetrics: []string{}}},
	}}, nil
}

type listStreamsInput struct {
	ExclusiveStartStreamName string
	Limit                    *int
	NextToken                string
}

type listStreamsOutput struct {
	StreamNames     []string
	StreamSummaries []streamSummary
	HasMoreStreams  bool
	NextToken       string `json:",omitempty"`
}

func (c *call) listStreams(in listStreamsInput) (listStreamsOutput, error) {
	limit := 100
	if in.Limit != nil {
		if *in.Limit < 1 || *in.Limit > 10_000 {
			return listStreamsOutput{}, validation("Limit %d: want 1 to 10000", *in.Limit)
		}
		limit = min(limit, *in.Limit)
	}
	if in.NextToken != "" && in.ExclusiveStartStreamName != "" {
		return listStreamsOutput{}, invalidArgument("NextToken and ExclusiveStartStreamName cannot be provided together.")
	}
	after := in.ExclusiveStartStreamName
	if in.NextToken != "" {
		if err := openToken(in.NextToken, streamsToken, &after); err != nil {
			return listStreamsOutput{}, invalidArgument("NextToken is invalid: %v", err)
		}
	}
	out := listStreamsOutput{StreamNames: []string{}, StreamSummaries: []streamSummary{}}
	listed, more := c.svc.streamsAfter(after, limit)
	for _, st := range listed {
		st.resizeOn(c.now)
		st.mu.RLock()
		out.StreamNames = append(out.StreamNames, st.meta.Name)
		out.StreamSummaries = append(out.StreamSummaries, st.summary())
		st.mu.RUnlock()
	}
	if out.HasMoreStreams = more; more {
		out.NextToken = sealToken(streamsToken, out.StreamNames[limit-1])
	}
	return out, nil
}

// streamsAfter gives up to limit streams by name, and whether there are more.
func (s *Service) streamsAfter(after string, limit int) (listed []*stream, more bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		switch {
		case name <= after:
		case len(listed) == limit:
			return listed, true
		default:
			listed = append(listed, s.streams[name])
		}
	}
	return listed, false
}

type updateMaxRecordSizeInput struct {
	StreamARN          string
	MaxRecordSizeInKiB *int
}

// updateMaxRecordSize holds for every call that comes after it; until the next step is due the stream says that it is UPDATING.
func (c *call) updateMaxRecordSize(in updateMaxRecordSizeInput) (none, error) {
	if in.MaxRecordSizeInKiB == nil {
		return none{}, validation("MaxRecordSizeInKiB is missing")
	}
	if err := validateRecordKiB(*in.MaxRecordSizeInKiB); err != nil {
		return none{}, err
	}
	st, unlock, err := c.change(streamRef{StreamARN: in.StreamARN})
	if err != nil {
		return none{}, err
	}
	defer unlock()
	if err := st.active(); err != nil {
		return none{}, err
	}
	before, largest := st.meta.MaxRecordKiB, st.meta.LargestRecordKiB
	st.meta.MaxRecordKiB = *in.MaxRecordSizeInKiB
	if st.meta.MaxRecordKiB < before {
		st.meta.LargestRecordKiB = max(largest, before)
	}
	if err := st.save(); err != nil {
		st.meta.MaxRecordKiB, st.meta.LargestRecordKiB = before, largest
		return none{}, err
	}
	st.updating = true
	st.stepAt.Store(c.now.Add(st.opts.ReshardStep).UnixMilli())
	return none{}, nil
}

type retentionInput struct {
	streamRef
	RetentionPeriodHours *int
}

func (c *call) increaseRetention(in retentionInput) (none, error) {
	return none{}, c.setRetention(in, func(have, want int) error {
		if want < have {
			return invalidArgument("Requested retention period (%d hours) for stream must not be shorter than existing retention period (%d hours).", want, have)
		}
		return nil
	})
}

func (c *call) decreaseRetention(in retentionInput) (none, error) {
	return none{}, c.setRetention(in, func(have, want int) error {
		if want > have {
			return invalidArgument("Requested retention period (%d hours) for stream must not be longer than existing retention period (%d hours).", want, have)
		}
		return nil
	})
}

func (c *call) setRetention(in retentionInput, allow func(have, want int) error) error {
	if h := in.RetentionPeriodHours; h == nil || *h < defaultRetentionHours || *h > maxRetentionHours {
		return validation("RetentionPeriodHours: want %d to %d", defaultRetentionHours, maxRetentionHours)
	}
	st, unlock, err := c.change(in.streamRef)
	if err != nil {
		return err
	}
	defer unlock()
	if err := st.active(); err != nil {
		return err
	}
	before := st.meta.RetentionHours
	if err := allow(before, *in.RetentionPeriodHours); err != nil {
		return err
	}
	st.meta.RetentionHours = *in.RetentionPeriodHours
	// What has expired stays out of reach when the period grows: the floor rises to the old horizon.
	floor := c.now.Add(-time.Duration(before) * time.Hour).UnixMilli()
	previous := st.meta.FloorMS
	st.meta.FloorMS = max(previous, floor)
	if err := st.save(); err != nil {
		st.meta.RetentionHours, st.meta.FloorMS = before, previous
		return err
	}
	return nil
}
