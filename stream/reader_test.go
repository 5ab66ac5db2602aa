package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream"
)

// line is a JSON line, which a record may hold as it is.
func line(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

func lines(from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, line(n))
	}
	return all
}

func TestEveryPositionBeginsWhereItSays(t *testing.T) {
	tests := map[string]struct {
		from stream.Position
		want []string
	}{
		"trim horizon is the oldest record":     {stream.TrimHorizon(), lines(0, 9)},
		"latest is behind the newest":           {stream.Latest(), nil},
		"at a time is what came then and later": {stream.AtTime(epoch.Add(4 * time.Second)), lines(4, 9)},
		"at a sequence number includes it":      {stream.At("10"), lines(2, 9)},
		"after a sequence number excludes it":   {stream.After("10"), lines(3, 9)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newShard()
				for n := range 10 {
					api.write(line(n))
					time.Sleep(time.Second)
				}
				r := read(t, api, test.from)
				r.want(test.want...)
				api.write(line(10))
				r.want(line(10))
			})
		})
	}
}

func TestATimeAheadOfTheServiceIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		api.write(line(0))
		r := read(t, api, stream.AtTime(time.Now().Add(3*time.Second)))
		r.want()
		time.Sleep(3 * time.Second)
		api.write(line(1))
		if b := r.one(); len(b.Events) != 1 || string(b.Events[0].Line) != line(1) {
			t.Errorf("batch %+v", b)
		}
	})
}

func TestABatchCarriesItsPlaceAndWhatNobodyUnderstands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		api.write(line(1) + "\n" + line(2))
		api.write("\x00\xff nothing we know")
		r := read(t, api, stream.TrimHorizon())
		good, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if good.Shard != "shardId-0" || good.Sequence != "8" || !good.Arrival.Equal(epoch) || len(good.Events) != 2 || len(good.Rejects) != 0 || good.Bytes <= 0 {
			t.Errorf("batch %+v", good)
		}
		bad, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if bad.Sequence != "9" || len(bad.Events) != 0 || len(bad.Rejects) != 1 || string(bad.Rejects[0].Data) != "\x00\xff nothing we know" {
			t.Errorf("batch %+v", bad)
		}
	})
}

func TestAnExpiredIteratorLosesAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, from := range map[string]stream.Position{
			"trim horizon": stream.TrimHorizon(), "latest": stream.Latest(), "time": stream.AtTime(time.Now()), "at": stream.At("8"), "after": stream.After("7"),
		} {
			api := newShard()
			r := read(t, api, from)
			r.want() // the first iterator is made; nothing is there
			api.write(lines(1, 3)...)
			time.Sleep(6 * time.Minute)
			pause, err := r.Next(t.Context()) // within it the expired iterator is replaced
			if err != nil || pause.Sequence != "8" {
				t.Errorf("%s: %+v, %v", name, pause, err)
			}
			time.Sleep(6 * time.Minute) // a slow flush, with records held
			api.write(line(4))
			r.want(lines(2, 4)...)
			if n := metric(t, r.reg, "read_troubles_total", "expired"); n < 1 {
				t.Errorf("%s: %v expired iterators counted", name, n)
			}
			if last := api.lastLocated(); last.ShardIteratorType != types.ShardIteratorTypeAfterSequenceNumber || *last.StartingSequenceNumber != "10" {
				t.Errorf("%s: went on at %s", name, last.ShardIteratorType)
			}
		}
	})
}

func TestAServiceThatForgotItsIteratorsIsAskedForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		api.write(line(0))
		r := read(t, api, stream.TrimHorizon())
		r.want(line(0))
		time.Sleep(time.Second)
		api.change(func() { api.reopened = time.Now() })
		api.write(line(1))
		r.want(line(1))
	})
}

func TestARecordIsNeverHandedOutTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		api.overlap = 2
		api.write(lines(0, 4)...)
		read(t, api, stream.At("10")).want(lines(2, 4)...)
		r := read(t, api, stream.After("9"))
		r.want(lines(2, 4)...)
		api.write(lines(5, 6)...)
		time.Sleep(6 * time.Minute)
		r.want(lines(5, 6)...)
	})
}

func TestAClosedShardEndsBehindItsLastRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		api.limit = 3
		api.write(lines(0, 6)...)
		api.closed, api.children = true, []string{"shardId-1", "shardId-2"}
		r := read(t, api, stream.TrimHorizon())
		got, err := r.lines()
		if !errors.Is(err, stream.ErrShardClosed) || stream.IsPermanent(err) {
			t.Errorf("error %v", err)
		}
		if !slices.Equal(got, lines(0, 6)) {
			t.Errorf("read %v", got)
		}
		if !slices.Equal(r.Children(), []stream.ShardID{"shardId-1", "shardId-2"}) {
			t.Errorf("children %v", r.Children())
		}
		calls := len(api.made())
		if _, err := r.Next(t.Context()); !errors.Is(err, stream.ErrShardClosed) || len(api.made()) != calls {
			t.Errorf("the next call: %v, after %d more requests", err, len(api.made())-calls)
		}
	})
}

func TestPolling(t *testing.T) {
	t.Run("slows to once a second at a quiet tip", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			r := read(t, api, stream.TrimHorizon())
			for time.Since(epoch) < time.Minute {
				before := time.Now()
				r.want()
				if pause := time.Since(before); pause > 1250*time.Millisecond {
					t.Fatalf("next took %v", pause)
				}
			}
			if n := len(api.made()); n < 59 || n > 63 {
				t.Errorf("%d calls in a minute", n)
			}
		})
	})
	t.Run("makes four calls a second while records come", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			api.limit = 1
			api.write(lines(1, 40)...)
			r := read(t, api, stream.TrimHorizon())
			r.want(lines(1, 40)...)
			for i := 1; i < 40; i++ {
				if wait := api.made()[i] - api.made()[i-1]; wait != 250*time.Millisecond {
					t.Fatalf("call %d came %v after the last", i, wait)
				}
			}
		})
	})
	t.Run("does not slow in a stretch without records away from the tip", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			api.behind = 60_000
			r := read(t, api, stream.TrimHorizon())
			for range 10 {
				r.want()
			}
			if n := len(api.made()); n < 40 {
				t.Errorf("%d calls in ten seconds", n)
			}
		})
	})
	t.Run("asks for one answer ahead of what is held and no more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			api.write(lines(1, 20_000)...)
			r := read(t, api, stream.TrimHorizon())
			for range 8 {
				if _, err := r.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if got := api.made(); len(got) != 2 || got[1] != 250*time.Millisecond {
				t.Errorf("calls at %v", got)
			}
		})
	})
	t.Run("looks at the tip as often as it is told, records or not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			r := read(t, api, stream.TrimHorizon(), func(c *stream.ReaderConfig) { c.PollInterval = 250 * time.Millisecond })
			for n := range 20 {
				time.Sleep(110 * time.Millisecond)
				api.write(line(n))
				wrote := time.Now()
				r.one()
				if after := time.Since(wrote); after > 250*time.Millisecond {
					t.Errorf("record %d came after %v", n, after)
				}
			}
			for i, calls := 1, api.made(); i < len(calls); i++ {
				if gap := calls[i] - calls[i-1]; gap < 250*time.Millisecond {
					t.Errorf("call %d came %v after the last", i, gap)
				}
			}
		})
	})
}

func TestAnAnswerIsAskedToHoldAnswerBytes(t *testing.T) {
	wide := make([]string, 60)
	for i := range wide {
		wide[i] = line(i) + strings.Repeat(" ", 250<<10)
	}
	for name, c := range map[string]struct {
		written []string
		want    []int32 // limits of the calls
	}{
		"wide records: as many as fill it": {wide, []int32{8, 8, 8, 8}},
		"narrow ones: the most there may":  {lines(1, 20_000), []int32{8, 10_000, 10_000}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newShard()
				api.write(c.written...)
				r := read(t, api, stream.TrimHorizon())
				for range c.written {
					r.one()
				}
				if got := api.asked()[:len(c.want)]; !slices.Equal(got, c.want) {
					t.Errorf("asked for %v records, want %v", got, c.want)
				}
			})
		})
	}
}

func TestTroubleIsSurvivedAndShown(t *testing.T) {
	tests := map[string]struct {
		err    error
		reason string
	}{
		"a throttled shard":        {&types.ProvisionedThroughputExceededException{Message: aws.String("Rate exceeded")}, "throttled"},
		"an internal failure":      {&types.InternalFailureException{}, "internal"},
		"missing permissions":      {&types.AccessDeniedException{}, "other"},
		"a lost connection":        {errors.New("connection refused"), "other"},
		"a timeout":                {context.DeadlineExceeded, "timeout"},
		"an iterator nobody knows": {&types.InvalidArgumentException{Message: aws.String("Invalid ShardIterator.")}, "other"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newShard()
				api.write(lines(1, 2)...)
				r := read(t, api, stream.TrimHorizon())
				r.want(lines(1, 2)...)
				api.write(line(3))
				trouble := time.Now()
				api.change(func() {
					api.fail = func(int) error {
						if time.Since(trouble) < 5*time.Minute {
							return test.err
						}
						return nil
					}
				})
				before := len(api.made())
				for time.Since(trouble) < 4*time.Minute {
					r.want()
				}
				if behind := r.Behind(); behind < 3*time.Minute {
					t.Errorf("after 4 minutes of trouble it is %v behind", behind)
				}
				if n := len(api.made()) - before; n < 20 || n > 60 {
					t.Errorf("%d calls in 4 minutes", n)
				}
				if n := metric(t, r.reg, "read_troubles_total", test.reason); int(n) != len(api.made())-before {
					t.Errorf("%v troubles counted as %s, want %d", n, test.reason, len(api.made())-before)
				}
				if n := strings.Count(r.logs.String(), "level=WARN"); n < 10 || n > 25 {
					t.Errorf("%d warnings in 4 minutes", n)
				}
				for time.Since(trouble) < 6*time.Minute {
					got, err := r.lines()
					if err != nil {
						t.Fatal(err)
					}
					if slices.Equal(got, lines(3, 3)) {
						return
					}
				}
				t.Error("the record that came meanwhile was not read")
			})
		})
	}
}

func TestAShardIsPaidForBeforeItIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		big := `{"l":"` + strings.Repeat("x", 1<<20-8) + `"}`
		for range 20 {
			api.write(big)
		}
		api.limit = 10
		r := read(t, api, stream.TrimHorizon(), func(c *stream.ReaderConfig) { c.AnswerBytes = 10 << 20 })
		for range 20 { // the first call asks for 40 records of 256 KiB, later ones for 10 of a MiB
			r.one()
		}
		time.Sleep(20 * time.Second)
		if got := api.made(); len(got) != 3 || got[1] != 5*time.Second || got[2] != 10*time.Second {
			t.Errorf("calls at %v, want 5 s after each answer of 10 MiB", got)
		}
	})
}

func TestWhatTheCallerMustDecideIsPermanent(t *testing.T) {
	t.Run("a stream that is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := newShard()
			api.fail = func(int) error { return &types.ResourceNotFoundException{Message: aws.String("no stream")} }
			if _, err := read(t, api, stream.TrimHorizon()).Next(t.Context()); !stream.IsPermanent(err) {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("a sequence number of another shard", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if _, err := read(t, newShard(), stream.After("666")).Next(t.Context()); !stream.IsPermanent(err) {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := read(t, newShard(), stream.TrimHorizon())
		r.want()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || stream.IsPermanent(err) {
			t.Errorf("error %v", err)
		}
		if after := time.Since(began); after != 10*time.Millisecond {
			t.Errorf("ended after %v", after)
		}
	})
}

func TestBehindCountsWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newShard()
		for n := range 10 {
			api.write(line(n))
			time.Sleep(time.Minute)
		}
		api.limit = 8
		r := read(t, api, stream.TrimHorizon())
		for _, want := range []time.Duration{9, 8, 7, 6, 5, 4, 3, 2} {
			if _, err := r.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			// Two records lie behind the answer, the older of which came 2 minutes ago.
			if got := r.Behind(); got != want*time.Minute {
				t.Errorf("behind %v, want %v minutes", got, int(want))
			}
		}
		r.want(lines(8, 9)...)
		if got := r.Behind(); got != 0 {
			t.Errorf("behind %v at the tip", got)
		}
		if n := metric(t, r.reg, "held_bytes", "shardId-0"); n != 0 {
			t.Errorf("%v bytes held at the tip", n)
		}
	})
}

func TestForgetDropsTheSeriesOfAShard(t *testing.T) {
	reg := prometheus.NewRegistry()
	src, err := stream.NewSource(&shard{}, stream.Ref{Name: "logs"}, stream.DefaultReaderConfig(), reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []stream.ShardID{"a", "b"} {
		if _, err := src.Open(id, stream.Latest()); err != nil {
			t.Fatal(err)
		}
	}
	src.Forget("a")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(families)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"value":"a"`) || !strings.Contains(string(text), `"value":"b"`) {
		t.Errorf("series left: %s", text)
	}
}

func TestReaderRefusesWhatCannotBeRead(t *testing.T) {
	if err := stream.DefaultReaderConfig().Validate(); err != nil {
		t.Error(err)
	}
	good := stream.DefaultReaderConfig()
	fast := good
	fast.PollMin = 100 * time.Millisecond
	tests := map[string]struct {
		shard stream.ShardID
		from  stream.Position
		cfg   stream.ReaderConfig
		names string
	}{
		"no shard":                          {"", stream.Latest(), good, "shard"},
		"no position":                       {"s", stream.Position{}, good, "position"},
		"a word in place of a number":       {"s", stream.After("SHARD_END"), good, "SHARD_END"},
		"an empty sequence number":          {"s", stream.At(""), good, "sequence number"},
		"a time that is not set":            {"s", stream.AtTime(time.Time{}), good, "time"},
		"more than five calls a second":     {"s", stream.Latest(), fast, "poll_min"},
		"a configuration nobody filled out": {"s", stream.Latest(), stream.ReaderConfig{}, "max_records"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			src, err := stream.NewSource(newShard(), stream.Ref{Name: "logs"}, test.cfg, nil, slog.New(slog.DiscardHandler))
			if err == nil {
				_, err = src.Open(test.shard, test.from)
			}
			if err == nil || !strings.Contains(err.Error(), test.names) {
				t.Errorf("error %v, want one that names %s", err, test.names)
			}
		})
	}
}
