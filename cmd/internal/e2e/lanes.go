package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/stream"
)

// Lanes publishes numbered lines as a crowd of forwarders would: each lane is an
// ordered sequence of records under one partition key, one record at a time. Now and
// then a lane sends its latest lines once more, cut otherwise, as a forwarder does
// that was killed before it had saved its cursor.
type Lanes struct {
	Seed  uint64
	Count int
	// Rate is lines per second of all lanes together, repeated ones aside. A lane does
	// not make up for the time in which it was throttled.
	Rate int
	// Line makes the lines; nil: Line.
	Line func(n int) (line string, kind schema.Kind)
}

// Of tells the lane of a line. Within a lane lines are sent in the order of their
// numbers.
func (l Lanes) Of(line int) int { return line % l.Count }

// A record has 8 lines on average.
const recordLines = 15

// Feed publishes until ctx ends and returns when every line begun is stored. client
// is used as the forwarder uses it.
func (l Lanes) Feed(ctx context.Context, client *kinesis.Client, ledger *Ledger) error {
	cfg := stream.DefaultProducerConfig()
	cfg.AttemptTimeout = time.Second
	producer, err := stream.NewProducer(client, stream.Ref{Name: streamName}, cfg, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var run, lanes errgroup.Group
	run.Go(func() error { return producer.Run(running) })
	for number := range l.Count {
		lanes.Go(func() error { return l.lane(number, producer).feed(ctx, ledger) })
	}
	err = lanes.Wait()
	stop()
	if ended := run.Wait(); err == nil {
		err = ended
	}
	return err
}

// lane is one of them. A line's offset is its place in the lane, from 1.
type lane struct {
	Lanes
	dice
	number   int
	producer *stream.Producer
	encoder  *schema.Encoder
	origin   *schema.Origin
}

func (l Lanes) lane(number int, p *stream.Producer) *lane {
	name := fmt.Sprintf("lane-%d", number)
	return &lane{
		Lanes: l, dice: newDice(l.Seed, name), number: number, producer: p, encoder: schema.NewEncoder(),
		origin: &schema.Origin{Service: "shop", ContainerID: name, ContainerName: name, Source: "stdout", Tag: "docker." + name, Host: "crowd"},
	}
}

func (l *lane) feed(ctx context.Context, ledger *Ledger) error {
	mean := time.Duration(float64(l.Count*(recordLines+1)/2) / float64(l.Rate) * float64(time.Second))
	for next := 1; sleep(ctx, l.within(Span{0, 2 * mean})) == nil; {
		until := next + 1 + l.IntN(recordLines)
		for offset := next; offset < until; offset++ {
			ledger.Begin(l.line(offset))
		}
		if err := l.publish(next, until); err != nil {
			return err
		}
		for offset := next; offset < until; offset++ {
			ledger.Ack(l.line(offset))
		}
		next = until
		if l.IntN(20) > 0 {
			continue
		}
		if err := l.again(ctx, max(1, next-1-l.IntN(4*recordLines)), next); err != nil {
			return err
		}
	}
	return nil
}

// again publishes lines once more. The pauses let a shard be split or merged between
// their first time and their second.
func (l *lane) again(ctx context.Context, first, behind int) error {
	for first < behind {
		if sleep(ctx, l.within(Span{0, time.Second})) != nil {
			return nil
		}
		until := min(behind, first+1+l.IntN(recordLines))
		if err := l.publish(first, until); err != nil {
			return err
		}
		first = until
	}
	return nil
}

func (l Lanes) text(n int) (line string, kind schema.Kind) {
	if l.Line != nil {
		return l.Line(n)
	}
	return Line(n)
}

// line is the number of the line with that offset.
func (l *lane) line(offset int) int { return l.number + (offset-1)*l.Count }

// publish returns when the record is stored: however long that takes, its outcome is
// to be known.
func (l *lane) publish(first, behind int) error {
	batch := schema.Batch{Epoch: schema.Epoch{1: byte(l.Seed), 2: 1}, Lane: uint32(l.number)}
	for offset := first; offset < behind; offset++ {
		text, kind := l.text(l.line(offset))
		batch.Events = append(batch.Events, schema.Event{
			Time: time.Now().UnixNano(), Kind: kind, Origin: l.origin, Line: []byte(text), Offset: uint64(offset),
		})
	}
	data, err := l.encoder.Append(nil, &batch)
	if err != nil {
		return err
	}
	key := fmt.Sprintf("%d-%d", l.Seed, l.number)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return l.producer.Publish(ctx, stream.Record{Key: key, Data: data})
}
