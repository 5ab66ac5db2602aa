package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"

	"tributary/schema"
)

const (
	unfinishedLines = 5000
	unfinishedBytes = 40_000
	// maxUnfinishedRSS is what a forwarder may take for it. Fluent Bit takes 189 MB
	// and loses 1,531 of the lines.
	maxUnfinishedRSS = 64 << 20
)

// Every second line of 40 KB never gets its last piece, as of a container that crashed
// or was killed in the middle of it. All are delivered, these marked.
func TestLinesThatAreNeverFinishedComeMarked(t *testing.T) {
	t.Parallel()
	s := NewSystem(t)
	s.Add(s.Endpoints())
	f := s.Add(s.Forwarder("forwarder"))
	n := lines(unfinishedLines)
	start := time.Now()
	if err := feedUnfinished(f.Forward, 8, n); err != nil {
		t.Fatal(err)
	}
	sent := time.Since(start)
	found := make(map[int]bool) // by number, and whether it is marked
	reader := newStreamReader(s.kinesis)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := untilDone(ctx, func() (bool, error) {
		err := reader.read(ctx, func(e schema.Event) error { return noteUnfinished(found, e) })
		return len(found) == n, err
	})
	used := f.Usage()
	marked := 0
	for _, incomplete := range found {
		if incomplete {
			marked++
		}
	}
	t.Logf("%d lines of %d B, every second without its end, sent in %v: %d delivered, %d of them marked; the forwarder took %.1f CPU seconds, %d MiB at its peak",
		n, unfinishedBytes, sent.Round(time.Millisecond), len(found), marked, used.CPU.Seconds(), used.PeakRSS>>20)
	if err != nil {
		t.Fatal(err)
	}
	if marked != n/2 {
		t.Errorf("%d marked, want %d", marked, n/2)
	}
	if used.PeakRSS >= maxUnfinishedRSS {
		t.Errorf("%d MiB at its peak, want less than %d", used.PeakRSS>>20, maxUnfinishedRSS>>20)
	}
}

// unfinishedLine is whole for an even number; of an odd one only two pieces are sent.
func unfinishedLine(number int) string {
	text := fmt.Sprintf(`{"number":"%08d","marker":"AUDIT","body":"`, number)
	for i := 0; len(text) < unfinishedBytes-2; i++ {
		text += strings.Repeat(strconv.FormatUint(uint64(number)*0x9e3779b97f4a7c15+uint64(i), 36), 50)
	}
	return text[:unfinishedBytes-2] + `"}`
}

func feedUnfinished(addr string, connections, n int) error {
	var group errgroup.Group
	for i := range connections {
		c, err := NewContainer(addr, i, false)
		if err != nil {
			return err
		}
		group.Go(func() error {
			for number := i; number < n; number += connections {
				if err := c.logPieces(unfinishedLine(number), number%2 == 0); err != nil {
					return err
				}
			}
			return c.Close()
		})
	}
	return group.Wait()
}

// logPieces sends a cut line, without its last piece if it is not to be finished.
func (c *Container) logPieces(line string, finish bool) error {
	id := randomHex()
	for ordinal := 1; ; ordinal++ {
		last := len(line) <= pieceBytes
		if last && !finish {
			return nil
		}
		err := c.post(time.Now(), map[string]string{
			"source": "stdout", "log": line[:min(len(line), pieceBytes)],
			"partial_message": "true", "partial_id": id, "partial_ordinal": strconv.Itoa(ordinal), "partial_last": strconv.FormatBool(last),
		})
		if err != nil || last {
			return err
		}
		line = line[pieceBytes:]
	}
}

// noteUnfinished demands that a line is as it was sent, marked if it lacks its end, and
// there once.
func noteUnfinished(found map[int]bool, e schema.Event) error {
	_, rest, _ := bytes.Cut(e.Line, []byte(`"number":"`))
	number, err := strconv.Atoi(string(rest[:min(len(rest), 8)]))
	if err != nil {
		return fmt.Errorf("a line that was never sent: %.60q", e.Line)
	}
	if _, twice := found[number]; twice {
		return fmt.Errorf("line %d comes twice", number)
	}
	want, incomplete := unfinishedLine(number), e.Flags&schema.FlagIncomplete != 0
	if number%2 == 1 {
		want = want[:len(want)/pieceBytes*pieceBytes]
	}
	if string(e.Line) != want || incomplete != (number%2 == 1) {
		return fmt.Errorf("line %d has %d of %d bytes, marked: %v", number, len(e.Line), len(want), incomplete)
	}
	found[number] = incomplete
	return nil
}

// streamReader reads the stream from its beginning and drops, as consumers do, what a
// lane sends again.
type streamReader struct {
	client    *kinesis.Client
	decoder   *schema.Decoder
	iterators map[string]*string // by shard
	highest   map[string]uint64  // by lane
}

func newStreamReader(client *kinesis.Client) *streamReader {
	return &streamReader{client: client, decoder: schema.NewDecoder(), highest: make(map[string]uint64)}
}

// read gives what has come since the last call.
func (r *streamReader) read(ctx context.Context, take func(schema.Event) error) error {
	if r.iterators == nil {
		if err := r.begin(ctx); err != nil {
			return err
		}
	}
	for shard, at := range r.iterators {
		for more := true; more; {
			out, err := r.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at})
			if err != nil {
				return err
			}
			for _, record := range out.Records {
				if err := r.decode(record, take); err != nil {
					return err
				}
			}
			at, more = out.NextShardIterator, len(out.Records) > 0
			r.iterators[shard] = at
		}
	}
	return nil
}

func (r *streamReader) begin(ctx context.Context) error {
	shards, err := r.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(streamName)})
	if err != nil {
		return err
	}
	r.iterators = make(map[string]*string)
	for _, shard := range shards.Shards {
		out, err := r.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: aws.String(streamName), ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			return err
		}
		r.iterators[*shard.ShardId] = out.ShardIterator
	}
	return nil
}

func (r *streamReader) decode(record types.Record, take func(schema.Event) error) error {
	batch, rejects, _ := r.decoder.Decode(record.Data, *record.ApproximateArrivalTimestamp)
	if len(rejects) > 0 {
		return fmt.Errorf("a record has %d rejects: %s", len(rejects), rejects[0].Reason)
	}
	lane := fmt.Sprint(batch.Epoch, batch.Lane)
	for _, e := range batch.Events {
		if e.Offset <= r.highest[lane] {
			continue
		}
		r.highest[lane] = e.Offset
		if err := take(e); err != nil {
			return err
		}
	}
	return nil
}
