package consumers_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
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

func (s *site) admin() *consumers.Admin { return s.adminBy(s.server.AWS) }

func (s *site) adminBy(cfg aws.Config) *consumers.Admin {
	of := consumers.AdminConfig{Stream: stream.Ref{Name: streamName}, LeaseDuration: 2 * time.Second, AttemptTimeout: 300 * time.Millisecond}
	return consumers.NewAdmin(of, s.kinesis(), dynamodb.NewFromConfig(cfg), slog.New(slog.DiscardHandler))
}

// resetInHalf begins a reset of the shards from one to another, and dies before the
// first one's item is written. What a process has sent may be done after its death;
// this one sends nothing.
func (s *site) resetInHalf(target string, from, to int) {
	s.t.Helper()
	cfg := s.server.AWS.Copy()
	cfg.HTTPClient = withoutUpdates{cfg.HTTPClient}
	dying := s.adminBy(cfg)
	p := s.planBy(dying, target)
	p.Shards = p.Shards[from:to]
	ctx, die := context.WithTimeout(s.t.Context(), time.Second)
	defer die()
	if err := dying.Reset(ctx, p, false); err == nil {
		s.t.Fatal("nothing was cut off")
	}
}

type withoutUpdates struct{ aws.HTTPClient }

func (c withoutUpdates) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateItem") {
		return nil, errCut
	}
	return c.HTTPClient.Do(r)
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
	return s.planBy(s.admin(), to, shards...)
}

func (s *site) planBy(admin *consumers.Admin, to string, shards ...stream.ShardID) *consumers.ResetPlan {
	s.t.Helper()
	target, err := consumers.ParseTarget(to, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := admin.PlanReset(s.t.Context(), "lake", target, shards)
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
		to     func(s *site, between time.Time, b map[string]bool) string
		want   func(a, b, c, d map[string]bool) map[string]bool
		effect string
	}{
		"trim-horizon: everything again": {
			func(*site, time.Time, map[string]bool) string { return "trim-horizon" },
			func(a, b, c, d map[string]bool) map[string]bool { return join(a, b, c, d) }, "again"},
		"a time: what arrived since": {
			func(_ *site, between time.Time, _ map[string]bool) string { return between.Format(time.RFC3339Nano) },
			func(_, b, c, d map[string]bool) map[string]bool { return join(b, c, d) }, "again"},
		"a sequence number: that record and on": {
			func(s *site, _ time.Time, b map[string]bool) string { return string(s.firstRecord(b)) },
			func(_, b, c, d map[string]bool) map[string]bool { return join(b, c, d) }, "again"},
		"latest: only what comes from now on": {
			func(*site, time.Time, map[string]bool) string { return "latest" },
			func(_, _, _, d map[string]bool) map[string]bool { return d }, "skip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1)
			cfg := testConfig("a")
			first := s.wave(10)
			s.deliver(cfg, s.delivered)
			time.Sleep(20 * time.Millisecond)
			between := time.Now()
			time.Sleep(20 * time.Millisecond)
			second := s.wave(10)
			s.deliver(cfg, func() bool { return len(s.lake.in(0)) == 200 })
			unread := s.wave(10)
			if c.effect == "skip" {
				time.Sleep(1100 * time.Millisecond) // latest means a whole second
			}

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

func TestAResetToTrimHorizonReachesBehindTheGroupsFirstStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	before := s.wave(8)
	time.Sleep(20 * time.Millisecond)
	cfg := testConfig("a")
	cfg.Start, cfg.StartTime = consumers.StartTimestamp, time.Now().UTC().Format(time.RFC3339Nano)
	time.Sleep(20 * time.Millisecond)
	since := s.wave(8)
	s.deliver(cfg, func() bool { return len(s.lake.in(0)) >= len(since) })
	s.once(0, since)
	s.reset("trim-horizon")
	s.deliver(cfg, func() bool { return len(s.lake.in(1)) >= len(s.sent) })
	s.once(1, join(before, since))
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
	p.Shards = p.Shards[:1]
	s.rules(fault.Rule{Service: "dynamodb", Operation: "PutItem", Action: "lose_response", Count: 1}, fault.Rule{Service: "dynamodb", Operation: "UpdateItem", Action: "lose_response", Count: 1})
	if err := s.admin().Reset(t.Context(), p, false); err != nil {
		t.Fatal(err)
	}
	s.rules()
	s.resetInHalf("trim-horizon", 1, 3)
	rest := s.reset("trim-horizon")
	if rest.Steps() != 2 || rest.Generation != 1 {
		t.Errorf("%d steps left, generation %d", rest.Steps(), rest.Generation)
	}
	s.deliver(testConfig("b"), func() bool { return len(s.lake.in(1)) == len(lines) })
	s.once(1, lines)
}

// The reset dies between its two writes of a shard, and a worker goes on there: at
// its checkpoint, in the generation that was written. That one is not given again.
func TestAWorkerComesBetweenTheHalvesOfAReset(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	older := s.wave(8)
	s.deliver(testConfig("a"), s.delivered)
	s.resetInHalf("trim-horizon", 0, 1)
	newer := s.wave(8)
	s.deliver(testConfig("b"), s.delivered)
	s.once(0, older)
	s.once(1, newer)
	if p := s.reset("trim-horizon"); p.Generation != 2 || p.Steps() != 1 {
		t.Errorf("generation %d, %d steps", p.Generation, p.Steps())
	}
	s.deliver(testConfig("c"), func() bool { return len(s.lake.in(2)) == len(s.sent) })
	s.once(2, s.sent)
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
	// What the reset writes lands late: workers write and take shards in between.
	s.rules(fault.Rule{Service: "dynamodb", Operation: "PutItem", Action: "delay_commit", Every: 2, Delay: 200 * time.Millisecond, Count: 20},
		fault.Rule{Service: "dynamodb", Operation: "UpdateItem", Action: "error", Every: 3, Count: 20})
	if err := s.admin().Reset(t.Context(), p, true); err != nil {
		t.Fatal(err)
	}
	s.rules()
	s.wave(40)
	latest := func() map[string]bool { // of each shard, in its last generation
		s.lake.mu.Lock()
		defer s.lake.mu.Unlock()
		top, lines := map[stream.ShardID]uint64{}, map[string]bool{}
		for r := range s.lake.ranges {
			top[r.Shard] = max(top[r.Shard], r.Generation)
		}
		for r, held := range s.lake.ranges {
			for _, line := range held {
				lines[line] = lines[line] || r.Generation > 0 && r.Generation == top[r.Shard]
			}
		}
		maps.DeleteFunc(lines, func(_ string, last bool) bool { return !last })
		return lines
	}
	s.eventually("all is delivered anew", func() bool { return len(latest()) >= len(s.sent) })
	if err := errors.Join(a.stop(), b.stop()); err != nil {
		t.Error(err)
	}
	for generation := range uint64(10) {
		for line, times := range s.lake.in(generation) {
			if times > 1 {
				t.Errorf("line %s came %d times in generation %d", line, times, generation)
			}
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
