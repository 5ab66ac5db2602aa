package consumers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/consumers"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

func (s *site) admin() *consumers.Admin {
	cfg := consumers.AdminConfig{Stream: stream.Ref{Name: streamName}, LeaseDuration: 2 * time.Second, AttemptTimeout: 300 * time.Millisecond}
	return consumers.NewAdmin(cfg, s.kinesis(), dynamodb.NewFromConfig(s.server.AWS), slog.New(slog.DiscardHandler))
}

// in counts how often each line was delivered in a generation.
func (l *lake) in(generation uint64) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[string]int{}
	for r, lines := range l.ranges {
		if r.Generation == generation {
			for _, line := range lines {
				count[line]++
			}
		}
	}
	return count
}

// once fails unless a generation holds exactly these lines, each once.
func (s *site) once(generation uint64, want map[string]bool) {
	s.t.Helper()
	got := s.lake.in(generation)
	for line := range want {
		if got[line] != 1 {
			s.t.Errorf("generation %d has line %s %d times", generation, line, got[line])
		}
	}
	if len(got) != len(want) {
		s.t.Errorf("generation %d has %d lines, want %d", generation, len(got), len(want))
	}
}

// wave sends records and returns their lines.
func (s *site) wave(records int) map[string]bool {
	before := s.sent
	s.sent = map[string]bool{}
	s.send(records)
	fresh := s.sent
	s.sent = join(before, fresh)
	return fresh
}

func join(sets ...map[string]bool) map[string]bool {
	all := map[string]bool{}
	for _, set := range sets {
		for line := range set {
			all[line] = true
		}
	}
	return all
}

// deliver runs one worker until done, then stops it.
func (s *site) deliver(cfg consumers.Config, done func() bool) {
	s.t.Helper()
	w := s.start(cfg)
	s.eventually("everything is delivered", done)
	if err := w.stop(); err != nil {
		s.t.Error(err)
	}
}

// plan plans a reset of the group.
func (s *site) plan(to string, shards ...stream.ShardID) *consumers.ResetPlan {
	s.t.Helper()
	target, err := consumers.ParseTarget(to, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := s.admin().PlanReset(s.t.Context(), "lake", target, shards)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) reset(to string, shards ...stream.ShardID) *consumers.ResetPlan {
	s.t.Helper()
	p := s.plan(to, shards...)
	if err := s.admin().Reset(s.t.Context(), p, false); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func effects(p *consumers.ResetPlan) string {
	var all []string
	for _, s := range p.Shards {
		if e := s.Effect + s.Skip; !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return strings.Join(all, ", ")
}

func (s *site) firstRecord(of map[string]bool) stream.SequenceNumber {
	s.t.Helper()
	s.lake.mu.Lock()
	defer s.lake.mu.Unlock()
	var first stream.SequenceNumber
	for r, lines := range s.lake.ranges {
		if len(lines) > 0 && of[lines[0]] && (first == "" || r.First.Compare(first) < 0) {
			first = r.First
		}
	}
	return first
}

func TestAResetDeliversWhatItsTargetSays(t *testing.T) {
	for name, c := range map[string]struct {
		start  string
		to     func(s *site, between time.Time, b map[string]bool) string
		want   func(a, b, c, d map[string]bool) map[string]bool
		effect string
	}{
		"trim-horizon: everything again": {consumers.StartTrimHorizon,
			func(*site, time.Time, map[string]bool) string { return "trim-horizon" },
			func(a, b, c, d map[string]bool) map[string]bool { return join(a, b, c, d) }, "again"},
		"trim-horizon: also what came before the group": {consumers.StartLatest,
			func(*site, time.Time, map[string]bool) string { return "trim-horizon" },
			func(a, b, c, d map[string]bool) map[string]bool { return join(a, b, c, d) }, "again"},
		"a time: what arrived since": {consumers.StartTrimHorizon,
			func(_ *site, between time.Time, _ map[string]bool) string { return between.Format(time.RFC3339Nano) },
			func(_, b, c, d map[string]bool) map[string]bool { return join(b, c, d) }, "again"},
		"a sequence number: that record and on": {consumers.StartTrimHorizon,
			func(s *site, _ time.Time, b map[string]bool) string { return string(s.firstRecord(b)) },
			func(_, b, c, d map[string]bool) map[string]bool { return join(b, c, d) }, "again"},
		"latest: only what comes from now on": {consumers.StartTrimHorizon,
			func(*site, time.Time, map[string]bool) string { return "latest" },
			func(_, _, _, d map[string]bool) map[string]bool { return d }, "skip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1)
			cfg := testConfig("a")
			cfg.Start = c.start
			first := s.wave(10)
			before := func() bool { return len(s.lake.in(0)) == 100 }
			s.deliver(cfg, before)
			time.Sleep(20 * time.Millisecond)
			between := time.Now()
			time.Sleep(20 * time.Millisecond)
			second := s.wave(10)
			s.deliver(cfg, func() bool { return len(s.lake.in(0)) == 200 })
			unread := s.wave(10)
			time.Sleep(1100 * time.Millisecond) // latest means a whole second

			p := s.reset(c.to(s, between, second), "shardId-000000000000")
			if got := effects(p); got != c.effect || p.Generation != 1 {
				t.Errorf("effect %s, generation %d", got, p.Generation)
			}
			after := s.wave(10)
			want := c.want(first, second, unread, after)
			s.deliver(cfg, func() bool { return len(s.lake.in(1)) >= len(want) })
			s.once(1, want)
			s.once(0, join(first, second))
		})
	}
}

func TestAResetPlannedAgainFindsItDone(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.wave(8)
	s.deliver(testConfig("a"), s.delivered)
	s.reset("trim-horizon")
	again := s.plan("trim-horizon")
	if got := effects(again); again.Steps() != 0 || !strings.Contains(got, "at the target already") {
		t.Errorf("%d steps, %s", again.Steps(), got)
	}
	if other := s.plan("-1h"); other.Steps() != 2 || other.Generation != 2 {
		t.Errorf("%d steps, generation %d", other.Steps(), other.Generation)
	}
}

// The process that resets three shards dies in the middle of the second. The same
// command finishes what is left, in the same generation.
func TestAResetCutOffIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	lines := s.wave(24)
	s.deliver(testConfig("a"), s.delivered)
	p := s.plan("trim-horizon")
	part := func(from, to int) *consumers.ResetPlan {
		some := *p
		some.Shards = slices.Clone(p.Shards[from:to])
		return &some
	}
	s.rules(fault.Rule{Service: "dynamodb", Operation: "PutItem", Action: "lose_response", Count: 1}, fault.Rule{Service: "dynamodb", Operation: "UpdateItem", Action: "lose_response", Count: 1})
	if err := s.admin().Reset(t.Context(), part(0, 1), false); err != nil {
		t.Fatal(err)
	}
	s.rules(fault.Rule{Service: "dynamodb", Operation: "UpdateItem", Action: "error"})
	ctx, die := context.WithTimeout(t.Context(), time.Second)
	defer die()
	if err := s.admin().Reset(ctx, part(1, 3), false); err == nil {
		t.Fatal("nothing was cut off")
	}
	s.rules()
	rest := s.reset("trim-horizon")
	if rest.Steps() != 2 || rest.Generation != 1 {
		t.Errorf("%d steps left, generation %d", rest.Steps(), rest.Generation)
	}
	s.deliver(testConfig("b"), func() bool { return len(s.lake.in(1)) == len(lines) })
	s.once(1, lines)
}

func (s *site) rules(rules ...fault.Rule) {
	s.t.Helper()
	if err := s.server.Faults.Replace(rules); err != nil {
		s.t.Fatal(err)
	}
}

func TestAResetIsRefusedWhileAWorkerLives(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	a := s.start(testConfig("a"))
	s.eventually("all shards are read", func() bool { return held(a) == 2 })
	living, err := s.admin().Living(t.Context(), "lake")
	if err != nil || !slices.Equal(living, []string{"a"}) {
		t.Errorf("living %v, %v", living, err)
	}
	p := s.plan("trim-horizon")
	time.Sleep(time.Second) // renewals go on
	if err := s.admin().Reset(t.Context(), p, false); !errors.Is(err, consumers.ErrRefused) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("error %v", err)
	}
	a.cut() // and dead
	living, err = s.admin().Living(t.Context(), "lake")
	if err != nil || len(living) > 0 {
		t.Errorf("living %v, %v", living, err)
	}
	s.reset("trim-horizon")
}

// Two workers deliver all the while. What they lose they notice, and each line
// comes once in the old generation at most and once in the new one.
func TestAForcedResetUnderLivingWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.lake.slow = 100 * time.Millisecond // flushes are under way at any moment
	a, b := s.start(testConfig("a")), s.start(testConfig("b"))
	s.eventually("all shards are read", func() bool { return held(a)+held(b) == 3 })
	s.wave(40)
	s.eventually("something is delivered", func() bool { return len(s.lake.in(0)) > 0 })
	p := s.plan("trim-horizon")
	s.wave(40)
	if err := s.admin().Reset(t.Context(), p, true); err != nil {
		t.Fatal(err)
	}
	s.wave(40)
	top := func() (lines map[string]int) { return s.lake.in(p.Generation) }
	s.eventually("all is delivered anew", func() bool { return len(top()) >= len(s.sent) })
	if err := errors.Join(a.stop(), b.stop()); err != nil {
		t.Error(err)
	}
	s.once(p.Generation, s.sent)
	for line, times := range s.lake.in(0) {
		if times > 1 {
			t.Errorf("line %s came %d times in the old generation", line, times)
		}
	}
	for _, f := range s.lake.faults {
		t.Error(f)
	}
}

// A worker dies in the middle of a flush. The reset gives the pending range up:
// nobody replays it in its old generation.
func TestAResetGivesUpWhatIsPending(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.lake.slow = time.Minute
	a := s.start(testConfig("a"))
	lines := s.wave(10)
	s.eventually("a range is pending", func() bool {
		v, err := s.admin().Describe(t.Context(), "lake")
		return err == nil && v.Totals.Pending == 1
	})
	a.cut()
	if living, err := s.admin().Living(t.Context(), "lake"); err != nil || len(living) > 0 {
		t.Fatalf("living %v, %v", living, err)
	}
	p := s.reset("trim-horizon")
	if step := p.Shards[0]; step.Pending == nil || !strings.Contains(step.Note, "pending is given up") {
		t.Errorf("step %+v", step)
	}
	s.lake.slow = 0
	s.deliver(testConfig("b"), func() bool { return len(s.lake.in(1)) == len(lines) })
	s.once(1, lines)
	s.once(0, nil)
}

func (s *site) split(id string) {
	s.t.Helper()
	_, err := s.kinesis().SplitShard(s.t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String(streamName), ShardToSplit: &id, NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestAResetOfASplitStreamReadsParentsFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	older := s.wave(16)
	a := s.start(testConfig("a"))
	s.eventually("everything is delivered", s.delivered)
	s.split("shardId-000000000000")
	newer := s.wave(16)
	s.eventually("everything is delivered", s.delivered)
	if err := a.stop(); err != nil {
		t.Error(err)
	}

	p := s.reset("trim-horizon")
	if p.Steps() != 3 || len(p.Waiting) > 0 {
		t.Errorf("%d steps, waiting %v", p.Steps(), p.Waiting)
	}
	s.deliver(testConfig("b"), func() bool { return len(s.lake.in(1)) == len(older)+len(newer) })
	s.once(1, join(older, newer))

	p = s.reset("trim-horizon", "shardId-000000000000")
	if p.Steps() != 1 || p.Generation != 2 || !slices.Equal(p.Waiting, []string{"shardId-000000000001", "shardId-000000000002"}) {
		t.Errorf("%d steps, generation %d, waiting %v", p.Steps(), p.Generation, p.Waiting)
	}
	last := s.wave(16)
	s.deliver(testConfig("c"), func() bool { return len(s.lake.in(2)) == len(older) && len(s.lake.in(1)) == len(s.sent) })
	s.once(2, older)
	s.once(1, join(older, newer, last))

	if p := s.plan("latest"); p.Shards[0].Skip == "" || p.Steps() != 2 {
		t.Errorf("plan %+v", p.Shards)
	}
}

func TestWhatCannotBeReset(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	table := func(name, key string) {
		_, err := dynamodb.NewFromConfig(s.server.AWS).CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &name, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	table("legacy", "ShardID")
	table("orders", "OrderID")
	s.send(8)
	s.deliver(testConfig("a"), s.delivered)
	for name, c := range map[string]struct {
		group, to string
		shards    []stream.ShardID
		want      string
	}{
		"no such group":                     {"nobody", "latest", nil, "there is no group"},
		"no name of a table":                {"x", "latest", nil, "3 to 249 characters"},
		"a table of something else":         {"orders", "latest", nil, "no lease table"},
		"a group of another library":        {"legacy", "latest", nil, "never started here"},
		"a shard that is not there":         {"lake", "latest", []stream.ShardID{"shardId-000000000009"}, "has no shard"},
		"a sequence number without a shard": {"lake", "49590338271490256608559692538361571095921575989136588802", nil, "--shard"},
		"a sequence number of nobody":       {"lake", "12345678901234567890", []stream.ShardID{"shardId-000000000000"}, "has no position"},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := consumers.ParseTarget(c.to, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.admin().PlanReset(t.Context(), c.group, target, c.shards)
			if !errors.Is(err, consumers.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("a stream that was created anew", func(t *testing.T) {
		if _, err := s.kinesis().DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String(streamName)}); err != nil {
			t.Fatal(err)
		}
		s.eventually("the stream is created anew", func() bool {
			_, err := s.kinesis().CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(streamName), ShardCount: aws.Int32(1)})
			return err == nil
		})
		target, _ := consumers.ParseTarget("trim-horizon", time.Now())
		if _, err := s.admin().PlanReset(t.Context(), "lake", target, nil); !errors.Is(err, consumers.ErrRefused) || !strings.Contains(err.Error(), "was created at") {
			t.Errorf("error %v", err)
		}
		if v, err := s.admin().Describe(t.Context(), "lake"); err != nil || len(v.Problems) != 1 || !strings.Contains(v.Problems[0], "was created at") {
			t.Errorf("view %+v, %v", v, err)
		}
	})
}

func TestTargetsAreReadAsWritten(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, ok := range map[string]bool{
		"trim-horizon": true, "trim_horizon": true, "latest": true, "2026-11-22T11:00:00Z": true, "2026-11-22T12:30:00+01:00": true, "-90m": true,
		"49590338271490256608559692538361571095921575989136588802": true,
		"": false, "LATEST": false, "yesterday": false, "90m": false, "2026-11-22": false, "2026-11-22T12:00:01Z": false, "12": false,
	} {
		got, err := consumers.ParseTarget(text, now)
		if (err == nil) != ok || ok && got.String() != text || err != nil && !errors.Is(err, consumers.ErrRefused) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// One shard's sink refuses for good: another process sees which one, and why.
func TestDescribeShowsAParkedShardAndItsReason(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.lake.refuse = func(r stream.Range) error {
		if r.Shard == "shardId-000000000001" {
			return stream.Permanent(errors.New("the bucket says no"))
		}
		return nil
	}
	cfg := testConfig("a")
	cfg.Policy.ParkedRetry = time.Hour
	a := s.start(cfg)
	s.send(16)
	var v consumers.GroupView
	s.eventually("the shard is parked", func() bool {
		var err error
		v, err = s.admin().Describe(t.Context(), "lake")
		return err == nil && v.Totals.States[consumers.StateParked] == 1 && v.Totals.States[consumers.StateReading] == 1
	})
	parked := v.Shards[1]
	if parked.Shard != "shardId-000000000001" || !strings.Contains(parked.Problem, "the bucket says no") || parked.Owner != "a" ||
		parked.Pending == nil || parked.LagMS == nil || *parked.LagMS <= 0 || parked.Since.IsZero() || time.Since(parked.Since) > time.Minute {
		t.Errorf("shard %+v", parked)
	}
	if v.Totals.Problems != 1 || v.Totals.Workers != 1 || v.Totals.Pending != 1 || v.Totals.MaxLagOf != parked.Shard {
		t.Errorf("totals %+v", v.Totals)
	}
	if healthy := v.Shards[0]; healthy.Problem != "" || healthy.State != consumers.StateReading {
		t.Errorf("shard %+v", healthy)
	}
	lines, err := s.admin().List(t.Context(), false)
	if err != nil || len(lines) != 1 || lines[0].Group != "lake" || lines[0].Held != 2 || lines[0].Workers != 1 || lines[0].Pending != 1 || !strings.HasSuffix(lines[0].Stream, "/"+streamName) {
		t.Errorf("list %+v, %v", lines, err)
	}
	a.cut()
	s.eventually("its worker is silent", func() bool {
		v, err = s.admin().Describe(t.Context(), "lake")
		return err == nil && v.Totals.States[consumers.StateSilent] == 2 && v.Totals.Workers == 0
	})
	if problem := v.Shards[1].Problem; !strings.Contains(problem, "the bucket says no") {
		t.Errorf("problem %q", problem)
	}
}

func TestDescribeShowsAFamilyOfShards(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.wave(8)
	s.deliver(testConfig("a"), s.delivered)
	s.split("shardId-000000000000")
	got := func() string {
		v, err := s.admin().Describe(t.Context(), "lake")
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, sh := range v.Shards {
			lag := "none"
			if sh.LagMS != nil {
				lag = fmt.Sprint(*sh.LagMS > 0)
			}
			all = append(all, fmt.Sprintf("%s %s closed %t behind %s, %d parents, %d children", sh.Shard[18:], sh.State, sh.Closed, lag, len(sh.Parents), len(sh.Children)))
		}
		return strings.Join(all, "; ")
	}
	if g, w := got(), "00 free closed true behind false, 0 parents, 2 children; 01 waiting closed false behind false, 1 parents, 0 children; 02 waiting closed false behind false, 1 parents, 0 children"; g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	s.wave(8)
	s.deliver(testConfig("b"), s.delivered)
	s.wave(8)
	time.Sleep(5 * time.Millisecond)
	if g, w := got(), "00 finished closed true behind none, 0 parents, 2 children; 01 free closed false behind true, 1 parents, 0 children; 02 free closed false behind true, 1 parents, 0 children"; g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// What --json prints is read by programs: names stay, and nothing is a bare null
// but what is documented so.
func TestTheNamesInJSONStay(t *testing.T) {
	lag := int64(5)
	v := consumers.GroupView{Problems: []string{}, Shards: []consumers.ShardView{{
		Shard: "s", State: consumers.StateFree, LagMS: &lag, Parents: []stream.ShardID{}, Children: []stream.ShardID{}, Pending: &consumers.PendingView{},
		Since: time.Unix(0, 0), Owner: "w", Claim: "c", Checkpoint: "1", Problem: "p",
	}}}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"group", "at", "foreign", "stream", "totals", "shards", "problems", "states", "workers", "pending", "max_lag_ms",
		"shard", "state", "since", "owner", "claim", "checkpoint", "first", "last", "generation", "plan", "lag_ms", "closed", "parents", "children", "problem",
	} {
		if !strings.Contains(string(data), `"`+name+`":`) {
			t.Errorf("%s is not in %s", name, data)
		}
	}
}
