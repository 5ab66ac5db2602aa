package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

const (
	iteratorLife   = 5 * time.Minute
	maxGetRecords  = 10_000
	maxAnswerBytes = 10 << 20 // of data and keys
	// recordTextBytes is what a record takes in an answer beside its data and key.
	recordTextBytes = 192
)

type getShardIteratorInput struct {
	streamRef
	ShardID                string `json:"ShardId"`
	ShardIteratorType      string
	StartingSequenceNumber *string
	Timestamp              *timestamp
	DryRun                 bool
}

type getShardIteratorOutput struct{ ShardIterator string }

// An iterator is the content of a ShardIterator.
type iterator struct {
	Stream    string
	CreatedMS int64
	Shard     string
	Position  uint64
	AtMS      int64 // when it was given
}

func (c *call) getShardIterator(in getShardIteratorInput) (getShardIteratorOutput, error) {
	if in.DryRun {
		return getShardIteratorOutput{}, unsupported("DryRun")
	}
	st, unlock, err := c.stream(in.streamRef)
	if err != nil {
		return getShardIteratorOutput{}, err
	}
	defer unlock()
	sh, ok := st.shard(in.ShardID)
	if !ok || sh.meta.expired(st.horizon(c.now)) {
		return getShardIteratorOutput{}, noShard(st, in.ShardID)
	}
	position, err := c.position(st, sh, in)
	if err != nil {
		return getShardIteratorOutput{}, err
	}
	return getShardIteratorOutput{st.iterator(sh, position, c.now)}, nil
}

func (st *stream) iterator(sh *shard, position uint64, now time.Time) string {
	return sealToken(iteratorToken, iterator{st.meta.Name, st.meta.CreatedMS, sh.meta.ID, position, now.UnixMilli()})
}

func (c *call) position(st *stream, sh *shard, in getShardIteratorInput) (uint64, error) {
	bySequence := in.ShardIteratorType == "AT_SEQUENCE_NUMBER" || in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER"
	if (in.StartingSequenceNumber != nil) != bySequence {
		return 0, invalidArgument("StartingSequenceNumber goes with AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER and with no other type; the type is %s", in.ShardIteratorType)
	}
	if (in.Timestamp != nil) != (in.ShardIteratorType == "AT_TIMESTAMP") {
		return 0, invalidArgument("Timestamp goes with AT_TIMESTAMP and with no other type; the type is %s", in.ShardIteratorType)
	}
	switch in.ShardIteratorType {
	case "TRIM_HORIZON":
		return 0, nil // whatever is oldest when it is used
	case "LATEST":
		return sh.tip(), nil
	case "AT_TIMESTAMP":
		return c.positionAt(st, sh, *in.Timestamp)
	case "AT_SEQUENCE_NUMBER":
		return st.positionOf(sh, *in.StartingSequenceNumber)
	case "AFTER_SEQUENCE_NUMBER":
		n, err := st.positionOf(sh, *in.StartingSequenceNumber)
		return n + 1, err
	default:
		return 0, validation("ShardIteratorType %q is unknown", in.ShardIteratorType)
	}
}

// positionOf refuses numbers of other streams and shards. Those of expired records are right: reading starts at the oldest there is.
func (st *stream) positionOf(sh *shard, sequence string) (uint64, error) {
	if err := wellFormed("StartingSequenceNumber", sequence); err != nil {
		return 0, err
	}
	n, err := st.number(sequence)
	if err == nil && (n < sh.meta.Start || sh.meta.closed() && n > sh.meta.End) {
		err = fmt.Errorf("it did not come from shard %s", sh.meta.ID)
	}
	if err != nil {
		return 0, invalidArgument("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s is invalid: %v", sequence, sh.meta.ID, st.meta.Name, err)
	}
	return n, nil
}

func (c *call) positionAt(st *stream, sh *shard, at timestamp) (uint64, error) {
	if int64(at) > c.now.UnixMilli() {
		return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", int64(at), c.now.UnixMilli())
	}
	position := sh.tip()
	_, _, err := sh.read(0, max(int64(at), st.horizon(c.now)), func(rec frame) bool {
		position = rec.number
		return false
	})
	return position, err
}

type getRecordsInput struct {
	ShardIterator string
	Limit         *int
	StreamARN     string
	DryRun        bool
}

func (c *call) getRecords(body []byte) ([]byte, error) {
	var in getRecordsInput
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	it, err := c.openIterator(in)
	if err != nil {
		return nil, err
	}
	limit := maxGetRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	ref := streamRef{StreamName: it.Stream, StreamARN: in.StreamARN}
	room, err := c.room(ref, it, limit)
	if err != nil {
		return nil, err
	}
	// Before the stream's lock: a put holds memory and waits for the lock, which it does not get while a split waits for us.
	if err := c.reserve(room); err != nil {
		return nil, err
	}
	st, sh, unlock, err := c.shard(ref, it)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !sh.admits(c.now) {
		return nil, refuse(codeThrottled, "%s", throttled(st, sh.meta.ID))
	}
	return c.collect(st, sh, it.Position, limit, room)
}

// shard finds the shard an iterator was given for, and holds its stream's lock shared.
func (c *call) shard(ref streamRef, it iterator) (*stream, *shard, func(), error) {
	st, unlock, err := c.stream(ref)
	if err != nil {
		return nil, nil, nil, err
	}
	sh, ok := st.shard(it.Shard)
	if !ok || it.CreatedMS != st.meta.CreatedMS || sh.meta.expired(st.horizon(c.now)) {
		unlock()
		return nil, nil, nil, noShard(st, it.Shard)
	}
	return st, sh, unlock, nil
}

// room is how large the answer's text may become, from what is stored now.
func (c *call) room(ref streamRef, it iterator, limit int) (int64, error) {
	_, sh, unlock, err := c.shard(ref, it)
	if err != nil {
		return 0, err
	}
	defer unlock()
	return answerRoom(sh.unread(it.Position), maxAnswerBytes, limit), nil
}

func answerRoom(unread, largest int64, limit int) int64 {
	records := min(unread/(frameBytes+bodyBytes), int64(limit))
	return min(unread, largest)*4/3 + records*recordTextBytes + 4<<10
}

func (c *call) openIterator(in getRecordsInput) (iterator, error) {
	var it iterator
	if in.DryRun {
		return it, unsupported("DryRun")
	}
	if in.Limit != nil && (*in.Limit < 1 || *in.Limit > maxGetRecords) {
		return it, invalidArgument("Limit %d: want 1 to %d", *in.Limit, maxGetRecords)
	}
	if err := openToken(in.ShardIterator, iteratorToken, &it); err != nil {
		return it, invalidArgument("Invalid ShardIterator: %v", err)
	}
	if given := time.UnixMilli(it.AtMS); c.now.Sub(given) > iteratorLife {
		return it, refuse("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
			given.UTC().Format(time.RFC3339), c.now.UTC().Format(time.RFC3339), iteratorLife.Milliseconds())
	}
	return it, nil
}

func (sh *shard) admits(now time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.limits.read(now)
}

func (sh *shard) answered(bytes int, full bool, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.limits.answered(bytes, full, now)
}

// collect writes the answer while it reads: the records are held once, in their final form.
func (c *call) collect(st *stream, sh *shard, position uint64, limit int, room int64) ([]byte, error) {
	a := answer{buf: make([]byte, 0, room), st: st, limit: limit, maxBytes: maxAnswerBytes}
	next, atTip, err := a.read(sh, position, c.now)
	if err != nil {
		return nil, err
	}
	sh.answered(a.bytes, a.full, c.now)
	if !atTip || !sh.meta.closed() {
		a.buf = append(a.buf, `,"NextShardIterator":"`...)
		a.buf = append(a.buf, st.iterator(sh, next, c.now)...)
		a.buf = append(a.buf, '"')
	} else if err := a.children(sh); err != nil {
		return nil, err
	}
	return append(a.buf, '}'), nil
}

// An answer collects records as JSON, for GetRecords or an event of SubscribeToShard.
type answer struct {
	buf      []byte
	st       *stream
	limit    int
	maxBytes int
	records  int
	bytes    int // of data and keys
	full     bool
	lastMS   int64
}

// read begins the answer with the records at and behind position and how far they are behind, and gives the position behind them.
// The caller holds the stream's lock.
func (a *answer) read(sh *shard, position uint64, now time.Time) (next uint64, atTip bool, err error) {
	a.buf = append(a.buf, `{"Records":[`...)
	tip := sh.tip()
	next, atTip, err = sh.read(position, a.st.horizon(now), a.add)
	if err != nil {
		return 0, false, err
	}
	behind := int64(0)
	if atTip {
		next = max(next, tip)
	} else {
		behind = max(1, now.UnixMilli()-a.lastMS)
	}
	a.buf = append(a.buf, `],"MillisBehindLatest":`...)
	a.buf = strconv.AppendInt(a.buf, behind, 10)
	return next, atTip, nil
}

// children adds the shards that follow the closed one.
func (a *answer) children(sh *shard) error {
	children := a.st.children(sh.meta.ID)
	if children == nil {
		return nil
	}
	text, err := json.Marshal(children)
	if err != nil {
		return fmt.Errorf("write child shards: %w", err)
	}
	a.buf = append(append(a.buf, `,"ChildShards":`...), text...)
	return nil
}

func (a *answer) add(rec frame) bool {
	size := len(rec.data) + len(rec.key)
	if a.records > 0 && a.bytes+size > a.maxBytes {
		a.full = true
		return false
	}
	// What arrived since the room was measured waits for the next call, as do keys with more escapes than text.
	noRoom := len(a.buf)+base64.StdEncoding.EncodedLen(size)+recordTextBytes > cap(a.buf)
	if a.records == a.limit || a.records > 0 && noRoom {
		return false
	}
	if a.records > 0 {
		a.buf = append(a.buf, ',')
	}
	a.buf = append(a.buf, `{"SequenceNumber":"`...)
	a.buf = a.st.appendSequence(a.buf, rec.number)
	a.buf = append(a.buf, `","ApproximateArrivalTimestamp":`...)
	a.buf = timestamp(rec.ms).appendTo(a.buf)
	a.buf = append(a.buf, `,"EncryptionType":"NONE","PartitionKey":`...)
	key, _ := json.Marshal(string(rec.key)) // strings always marshal
	a.buf = append(a.buf, key...)
	a.buf = append(a.buf, `,"Data":"`...)
	a.buf = base64.StdEncoding.AppendEncode(a.buf, rec.data)
	a.buf = append(a.buf, `"}`...)
	a.records++
	a.bytes += size
	a.lastMS = rec.ms
	return true
}
