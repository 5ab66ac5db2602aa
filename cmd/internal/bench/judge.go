package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
	"tributary/cmd/internal/rows"
	"tributary/cmd/internal/workload"
	"tributary/schema"
	"tributary/stream"
)

// JudgeOrder tells the child "judge" to look at every record of the stream and, when
// Lake is set, at every row of that directory.
type JudgeOrder struct {
	Stream      string
	Lines       int64  // how many there must be, numbered from 0
	Seed        uint64 // their seed
	Connections int    // line n is of container n modulo these
	Lake        string
}

// JudgeFound is what lies there. A line that is missing anywhere, a row too many, and
// a line that stands before an earlier one of its container and lane are errors.
type JudgeFound struct {
	Records int64
	Copies  int64 // of lines in the stream, beside the first of each
	Most    int64 // copies of one line, the first included
	// Swapped are rows, without a lake first copies in the stream, that stand before an
	// earlier line of their container which went through another lane.
	Swapped int64
}

// A spot is where a line stands.
type spot struct {
	line   int64
	lane   laneName
	at     stream.SequenceNumber
	behind int64 // place in the record
}

type laneName struct {
	epoch  schema.Epoch
	number uint32
}

func runJudge(ctx context.Context, o JudgeOrder) (found JudgeFound, err error) {
	cfg, err := app.AWSConfig{}.Load(ctx)
	if err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, stageWithin)
	defer cancel()
	j := &judging{order: o, lanes: make(map[stream.SequenceNumber]laneName)}
	if err := j.read(ctx, app.NewKinesis(cfg)); err != nil {
		return found, err
	}
	found.Records = int64(len(j.lanes))
	first, most, err := j.firsts()
	if err != nil {
		return found, fmt.Errorf("the stream is wrong: %w", err)
	}
	found.Most, found.Copies = most, int64(len(j.spots)-len(first))
	if found.Swapped, err = inOrder(first, o.Connections); err != nil {
		return found, fmt.Errorf("the stream is wrong: %w", err)
	}
	if o.Lake == "" {
		return found, nil
	}
	inLake, err := j.rows()
	if err != nil {
		return found, fmt.Errorf("the lake is wrong: %w", err)
	}
	if found.Swapped, err = inOrder(inLake, o.Connections); err != nil {
		return found, fmt.Errorf("the lake is wrong: %w", err)
	}
	return found, nil
}

// judging is what was found so far.
type judging struct {
	order JudgeOrder

	mu    sync.Mutex
	lanes map[stream.SequenceNumber]laneName // by record
	spots []spot                             // in the stream
}

// read takes all that the stream holds now.
func (j *judging) read(ctx context.Context, api *kinesis.Client) error {
	readers, err := openAll(ctx, api, j.order.Stream, nil)
	if err != nil {
		return err
	}
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(readers))
	for i, r := range readers {
		wg.Go(func() {
			defer r.Close()
			for errs[i] == nil && !r.Tip().After(began) {
				var b stream.Batch
				if b, errs[i] = r.Next(ctx); errs[i] == nil {
					errs[i] = j.take(b)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (j *judging) take(b stream.Batch) error {
	if b.Sequence == "" {
		return nil
	}
	if len(b.Rejects) > 0 {
		return fmt.Errorf("record %s holds rejects: %s", b.Sequence, b.Rejects[0].Reason)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	lane := laneName{b.Epoch, b.Lane}
	j.lanes[b.Sequence] = lane
	for _, e := range b.Events {
		n, err := j.number(e.Line)
		if err != nil {
			return fmt.Errorf("record %s: %w", b.Sequence, err)
		}
		j.spots = append(j.spots, spot{line: n, lane: lane, at: b.Sequence, behind: int64(e.Index)})
	}
	return nil
}

func (j *judging) number(line []byte) (int64, error) {
	seed, n, ok := workload.Number(line)
	if !ok || seed != j.order.Seed || n >= j.order.Lines {
		return 0, fmt.Errorf("a line that nobody sent: %.80q", line)
	}
	return n, nil
}

// firsts are the first copies in the stream. A line without one is an error.
func (j *judging) firsts() (first []spot, most int64, err error) {
	sortSpots(j.spots)
	seen := make([]int64, j.order.Lines)
	for _, s := range j.spots {
		if seen[s.line] == 0 {
			first = append(first, s)
		}
		seen[s.line]++
		most = max(most, seen[s.line])
	}
	if missing := j.order.Lines - int64(len(first)); missing > 0 {
		return nil, 0, fmt.Errorf("of %d lines %d are missing", j.order.Lines, missing)
	}
	return first, most, nil
}

// rows are those of the lake: each line once, or an error.
func (j *judging) rows() (all []spot, err error) {
	counted := newTally(j.order.Seed, j.order.Lines)
	var strange int
	err = filepath.WalkDir(j.order.Lake, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		return rows.Read(path, func(r rows.Row) {
			counted.line([]byte(r.Line))
			n, err := j.number([]byte(r.Line))
			lane, known := j.lanes[stream.SequenceNumber(r.Sequence)]
			if err != nil || !known {
				strange++
				return
			}
			all = append(all, spot{line: n, lane: lane, at: stream.SequenceNumber(r.Sequence), behind: r.Index})
		})
	})
	switch {
	case err != nil:
		return nil, err
	case strange > 0:
		return nil, fmt.Errorf("%d rows are of no record of the stream", strange)
	}
	sortSpots(all)
	return all, counted.verdict()
}

// sortSpots puts them in the order of the stream: its endpoint numbers the records of
// all shards in one sequence.
func sortSpots(all []spot) {
	slices.SortFunc(all, func(a, b spot) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.behind, b.behind)) })
}

// inOrder is an error if a line stands before an earlier one of its container and
// lane. It counts those that stand before an earlier one of another lane: a container
// that goes to another lane, because one was opened or closed, leaves lines behind.
func inOrder(all []spot, connections int) (swapped int64, err error) {
	type stay struct {
		container int64
		lane      laneName
	}
	latest := make(map[int64]int64)
	inLane := make(map[stay]int64)
	for _, s := range all {
		of := stay{s.line % int64(connections), s.lane}
		if before, ok := inLane[of]; ok && before > s.line {
			return 0, fmt.Errorf("line %d stands behind line %d of its container and lane, in record %s", s.line, before, s.at)
		}
		if latest[of.container] > s.line {
			swapped++
		}
		inLane[of] = s.line
		latest[of.container] = max(latest[of.container], s.line)
	}
	return swapped, nil
}

// judge judges the stream, lets a worker of the lake read all of it and end, and judges
// the rows as well.
func (b *bench) judge(ctx context.Context, w *world, worker *cluster.Node, lines int64, connections int) (JudgeFound, error) {
	o := JudgeOrder{Stream: streamName, Lines: lines, Seed: b.plan.seed, Connections: connections}
	found, err := b.judged(ctx, w, o)
	if err != nil {
		return found, err
	}
	if err := waitFor(ctx, "the lake to read all records", stageWithin, 100*time.Millisecond, func() (bool, error) {
		m, err := worker.Metrics()
		return m.Sum("tributary_consumers_events_total") >= float64(lines) && m.Sum("tributary_stream_read_records_total") >= float64(found.Records), err
	}); err != nil {
		return found, fmt.Errorf("%w\n%s", err, worker.Output())
	}
	if err := worker.Interrupt(stopWithin); err != nil {
		return found, fmt.Errorf("%w\n%s", err, worker.Output())
	}
	o.Lake = w.LakeDir()
	return b.judged(ctx, w, o)
}

func (b *bench) judged(ctx context.Context, w *world, o JudgeOrder) (JudgeFound, error) {
	child, err := newChild("judge", o, w.Env())
	if err != nil {
		return JudgeFound{}, err
	}
	defer child.Kill()
	if err := child.Start(ctx); err != nil {
		return JudgeFound{}, err
	}
	return collect[JudgeFound](ctx, child, stageWithin+10*time.Second)
}
