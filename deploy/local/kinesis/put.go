package kinesis

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"tributary/deploy/local/fault"
)

const (
	maxKeyRunes     = 256
	maxKeyBytes     = maxKeyRunes * utf8.UTFMax
	maxPutRecords   = 500
	maxRequestBytes = 10 << 20 // of data and keys together

	encryptionNone = "NONE"
)

type putEntry struct {
	Data            []byte
	PartitionKey    *string
	ExplicitHashKey *string
}

// hash validates the entry and says where it goes. at names it in messages.
func (e putEntry) hash(at string, maxBytes int) (hashKey, error) {
	if e.Data == nil {
		return hashKey{}, validation("Data%s is missing", at)
	}
	if e.PartitionKey == nil {
		return hashKey{}, validation("PartitionKey%s is missing", at)
	}
	if n := utf8.RuneCountInString(*e.PartitionKey); n < 1 || n > maxKeyRunes {
		return hashKey{}, validation("PartitionKey%s has %d characters: want 1 to %d", at, n, maxKeyRunes)
	}
	if n := len(e.Data) + len(*e.PartitionKey); n > maxBytes {
		return hashKey{}, validation("Data and PartitionKey%s have %d bytes: the stream takes at most %d", at, n, maxBytes)
	}
	if e.ExplicitHashKey == nil {
		return hashOf(*e.PartitionKey), nil
	}
	return parseHashKey("ExplicitHashKey"+at, *e.ExplicitHashKey)
}

type putRecordsInput struct {
	streamRef
	Records []putEntry
	DryRun  bool
}

type putRecordOutput struct {
	SequenceNumber string `json:",omitempty"`
	ShardID        string `json:"ShardId,omitempty"`
	EncryptionType string `json:",omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

type putRecordsOutput struct {
	FailedRecordCount int
	EncryptionType    string
	Records           []putRecordOutput
}

func (c *call) putRecords(body []byte) ([]byte, error) {
	in, err := decodePutRecords(body)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, unsupported("DryRun")
	}
	if n := len(in.Records); n < 1 || n > maxPutRecords {
		return nil, validation("Records has %d entries: want 1 to %d", n, maxPutRecords)
	}
	st, unlock, err := c.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer unlock()
	hashes, err := st.check(in.Records)
	if err != nil {
		return nil, err
	}
	out := putRecordsOutput{EncryptionType: encryptionNone, Records: make([]putRecordOutput, len(in.Records))}
	puts := c.route(st, in.Records, hashes, out.Records)
	for i, p := range puts {
		st.outcome(p, &out.Records[i])
		if out.Records[i].ErrorCode != "" {
			out.FailedRecordCount++
		}
	}
	return json.Marshal(out)
}

// check refuses the request as a whole if any of its records is wrong, as the service does.
func (st *stream) check(records []putEntry) ([]hashKey, error) {
	hashes := make([]hashKey, len(records))
	total := 0
	for i, e := range records {
		h, err := e.hash(fmt.Sprintf(" of records.%d", i+1), st.meta.MaxRecordKiB<<10)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
		total += len(e.Data) + len(*e.PartitionKey)
	}
	if total > maxRequestBytes {
		return nil, invalidArgument("Records have %d bytes with their keys: a request takes at most %d", total, maxRequestBytes)
	}
	return hashes, nil
}

// route appends the records to their shards, each shard's in one go and in the request's order, and names the shards in out.
func (c *call) route(st *stream, records []putEntry, hashes []hashKey, out []putRecordOutput) []put {
	puts := make([]put, len(records))
	byShard := make(map[*shard][]*put)
	for i, e := range records {
		p := &puts[i]
		p.key, p.data = *e.PartitionKey, e.Data
		sh := st.owner(hashes[i])
		out[i].ShardID = sh.meta.ID
		if c.svc.opts.Faults.Strikes(fault.ThrottleRecords, "kinesis", "PutRecords") {
			p.throttled = true
			continue
		}
		if c.svc.opts.Faults.Strikes(fault.FailRecords, "kinesis", "PutRecords") {
			p.err = errInjected
			continue
		}
		byShard[sh] = append(byShard[sh], p)
	}
	for sh, mine := range byShard {
		sh.append(mine, c.now)
		for _, p := range mine {
			if p.err != nil {
				c.svc.opts.Log.Error("records were not stored", "stream", st.meta.Name, "shard", sh.meta.ID, "err", p.err)
				break
			}
		}
	}
	return puts
}

// outcome writes what became of p. A failed entry names no shard beside its message.
func (st *stream) outcome(p put, out *putRecordOutput) {
	switch {
	case p.throttled:
		*out = putRecordOutput{ErrorCode: codeThrottled, ErrorMessage: throttled(st, out.ShardID)}
	case p.err != nil:
		*out = putRecordOutput{ErrorCode: codeInternal, ErrorMessage: "Internal Service Failure"}
	default:
		out.SequenceNumber = st.sequence(p.number)
	}
}

func throttled(st *stream, shard string) string {
	return fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", shard, st.meta.Name, accountID)
}

type putRecordInput struct {
	streamRef
	putEntry
	DryRun                    bool
	SequenceNumberForOrdering *string
}

func (c *call) putRecord(in putRecordInput) (putRecordOutput, error) {
	if in.DryRun {
		return putRecordOutput{}, unsupported("DryRun")
	}
	st, unlock, err := c.stream(in.streamRef)
	if err != nil {
		return putRecordOutput{}, err
	}
	defer unlock()
	h, err := in.hash("", st.meta.MaxRecordKiB<<10)
	if err != nil {
		return putRecordOutput{}, err
	}
	if in.SequenceNumberForOrdering != nil {
		if err := wellFormed("SequenceNumberForOrdering", *in.SequenceNumberForOrdering); err != nil {
			return putRecordOutput{}, err
		}
		// Every number given from now on is greater than any earlier one: that is all the parameter asks for.
		if _, err := st.number(*in.SequenceNumberForOrdering); err != nil {
			return putRecordOutput{}, invalidArgument("SequenceNumberForOrdering %s is invalid: %v", *in.SequenceNumberForOrdering, err)
		}
	}
	sh := st.owner(h)
	p := put{key: *in.PartitionKey, data: in.Data}
	sh.append([]*put{&p}, c.now)
	if p.throttled {
		return putRecordOutput{}, refuse(codeThrottled, "%s", throttled(st, sh.meta.ID))
	}
	if p.err != nil {
		return putRecordOutput{}, p.err
	}
	return putRecordOutput{SequenceNumber: st.sequence(p.number), ShardID: sh.meta.ID, EncryptionType: encryptionNone}, nil
}
