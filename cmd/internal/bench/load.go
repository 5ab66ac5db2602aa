package main

import (
	"context"
	"fmt"
	"time"

	"tributary/cmd/internal/workload"
)

// Source says which lines are sent. Two processes with the same Source make the
// same bytes.
type Source struct {
	Seed uint64
	Size int
	Base time.Time
	Step time.Duration
}

func (s Source) lines() *workload.Lines {
	return workload.NewLines(s.Seed, s.Base, s.Step).Sized(s.Size)
}

// LoadOrder tells the child "load" what to send. It sends as Docker does: one
// write per message, pieces of 16 KiB.
type LoadOrder struct {
	Address     string // host:port
	Lines       Source
	First       int64
	Count       int64 // 0: until Duration is over
	Duration    time.Duration
	Rate        float64 // lines per second; 0: as fast as they are taken
	Connections int
	Ack         bool // one line under way per connection, acknowledged
}

// LoadFound is what was sent.
type LoadFound struct {
	Lines   int64
	Resent  int64
	Seconds float64
	Slowest float64 // seconds that the slowest message took until its ack
}

func runLoad(ctx context.Context, o LoadOrder) (LoadFound, error) {
	cfg := workload.DefaultConfig()
	cfg.Address = "tcp://" + o.Address
	cfg.Containers, cfg.First, cfg.Count, cfg.Duration, cfg.Rate = o.Connections, o.First, o.Count, o.Duration, o.Rate
	cfg.Ack = o.Ack
	// Without acks a write that is given up and made again may double a line: wait
	// for as long as a stage may take.
	cfg.Timeout = stageWithin
	sender, err := workload.NewSender(cfg, o.Lines.lines())
	if err != nil {
		return LoadFound{}, err
	}
	r := sender.Run(ctx)
	if r.Resent > 0 {
		return LoadFound{}, fmt.Errorf("%d messages had to be sent again: the forwarder closed connections", r.Resent)
	}
	return LoadFound{Lines: r.Lines, Resent: r.Resent, Seconds: r.Elapsed.Seconds(), Slowest: r.Slowest.Seconds()}, nil
}
