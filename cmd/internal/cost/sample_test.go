package cost_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/deploy/local/fault"
	"tributary/schema/filter"
	"tributary/stream"
)

// The lines have 974 bytes: with what is billed for each event 1,000.
func padded(service, level string) string {
	head := fmt.Sprintf(`{"service":%q,"level":%q,"pad":"`, service, level)
	return head + strings.Repeat("x", 974-len(head)-2) + `"}`
}

// tenth is the price by which such a line costs 0.10.
const tenth = float64(1<<30) / 10_000

func TestRulesAreTriedOnWhatArrived(t *testing.T) {
	inBubble(t, 3, func(w *world) {
		w.put(first, padded("old", "INFO"), 5)
		w.pass(20 * time.Minute)
		w.put(first, padded("shop", "INFO"), 10)
		w.put(last, padded("shop", "DEBUG"), 20)
		w.put(first, padded("shop", "ERROR"), 3)
		w.put(last, padded("pay", "ERROR"), 2)
		w.put(last, w.addressed("tributary-realtime", `{"level":"INFO"}`), 1)
		w.put(last, w.addressed("tributary-lake", `{"level":"INFO"}`), 4)
		w.put(last, "\xf3\x89\x9a\xc2 no record of a KPL", 1)
		w.pass(4 * time.Minute)
		w.dest.Filter.Rules = []filter.Rule{
			{Name: "debug", Action: filter.Exclude, Condition: filter.Condition{Levels: []string{"<=DEBUG"}}},
			{Name: "mistyped", Action: filter.Exclude, Condition: filter.Condition{Services: []string{"mial"}}},
			{Name: "pay", Action: filter.Exclude, Condition: filter.Condition{Services: []string{"pay"}}},
			{Action: filter.Include, Condition: filter.Condition{Services: []string{"shop"}}},
		}
		w.dest.Price.PerGB = tenth
		r := w.sample()
		if r.Sample == nil {
			t.Fatal("no sample")
		}
		if r.Sample.Elsewhere != 4 || r.Sample.Shards != 3 || r.Sample.Cut != 0 || r.Sample.Fraction != 1 || r.Sample.Rejects+r.Total.Events != 37 {
			t.Errorf("%+v, %d events", *r.Sample, r.Total.Events)
		}
		if span := r.Sample.Until.Sub(r.Sample.From); span != 10*time.Minute {
			t.Errorf("it read %v", span)
		}
		for _, l := range r.Services {
			if l.Service != "shop" {
				continue
			}
			if l.Events != 34 || l.Errors != 3 || l.SentBytes != 16_000+42 || l.SavedBytes != 20_000 {
				t.Errorf("%+v", l)
			}
			// 4,380 times ten minutes are 730 h.
			if got := l.SavedPerMonth.String(); l.SavedMoney.String() != "2.00" || got != "8,760.00" {
				t.Errorf("saved %s, a month %s", l.SavedMoney, got)
			}
		}
		var rules strings.Builder
		for _, l := range r.Rules {
			fmt.Fprintln(&rules, l.Rule, l.Action, l.Events, l.KeptBack, l.SavedBytes, l.SavedPerMonth)
		}
		const want = "debug exclude 20 20 20000 8,760.00\nmistyped exclude 0 0 0 0.00\npay exclude 2 2 4000 1,752.00\n3 include 14 0 0 0.00\n"
		if got := rules.String(); got != want {
			t.Errorf("rules are\n%swant\n%s", got, want)
		}
	})
}

func TestClosedShardsAreReadToo(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		w.put(first, padded("before", "INFO"), 3)
		shards, err := stream.ListShards(w.t.Context(), w.api, stream.Ref{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.api.SplitShard(w.t.Context(), &kinesis.SplitShardInput{StreamName: aws.String(name), ShardToSplit: aws.String(string(shards[0].ID)), NewStartingHashKey: aws.String("1000")})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.put(first, padded("after", "INFO"), 2)
		w.put(last, padded("after", "INFO"), 2)
		w.pass(time.Second)
		r := w.sample()
		if r.Sample.Shards != 3 || r.Total.Events != 7 || r.Total.SentBytes != 7000 {
			t.Errorf("%+v %+v", *r.Sample, r.Total)
		}
	})
}

func TestPastTheBytesItSaysHowMuchWasReadAndAMonthFollowsFromThat(t *testing.T) {
	inBubble(t, 2, func(w *world) {
		// One shard gets a line of 4 KB every second, the other one every minute.
		pad := strings.Repeat("x", 4<<10)
		for second := range 600 {
			w.put(first, fmt.Sprintf(`{"service":"loud","n":%d,"pad":%q}`, second, pad), 1)
			if second%60 == 0 {
				w.put(last, padded("quiet", "INFO"), 1)
			}
			w.pass(time.Second)
		}
		whole := w.sample()
		w.cfg.MaxBytes, w.cfg.Parallel = 1<<20, 1
		cut := w.sample()
		if whole.Sample.Cut != 0 || cut.Sample.Cut != 1 {
			t.Fatalf("%+v %+v", *whole.Sample, *cut.Sample)
		}
		if cut.Sample.Bytes > 1<<20 || cut.Sample.Bytes < 500<<10 || cut.Sample.Fraction < 0.55 || cut.Sample.Fraction > 0.8 {
			t.Errorf("%+v", *cut.Sample)
		}
		if cut.Total.SentBytes >= whole.Total.SentBytes {
			t.Errorf("%d of %d bytes", cut.Total.SentBytes, whole.Total.SentBytes)
		}
		for i, l := range cut.Services {
			all := whole.Services[i]
			var got, want float64
			if _, err := fmt.Sscan(plain(l.SentPerMonth.String())+" "+plain(all.SentPerMonth.String()), &got, &want); err != nil {
				t.Fatal(err)
			}
			if l.Service != all.Service || got < want*0.97-0.01 || got > want*1.03+0.01 {
				t.Errorf("%s is %v a month by a part, %s %v by all", l.Service, got, all.Service, want)
			}
		}
	})
}

func plain(money string) string { return strings.ReplaceAll(strings.TrimPrefix(money, "<"), ",", "") }

func TestAStreamYoungerThanTheSpanCountsSinceItWasMade(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		w.put(first, padded("shop", "INFO"), 73)
		w.cfg.Span, w.dest.Price.PerGB = 24*time.Hour, tenth
		w.pass(13 * time.Hour)
		r := w.sample()
		// 14 hours: the hour before the first line, and those since.
		if span := r.Sample.Until.Sub(r.Sample.From).Round(time.Second); span != 14*time.Hour || r.Total.SentMoney.String() != "7.30" || r.Total.SentPerMonth.String() != "380.64" {
			t.Errorf("%v: %s, a month %s", span, r.Total.SentMoney, r.Total.SentPerMonth)
		}
	})
}

func TestASampleIsPoliteAndAnEmptyStreamCostsNothing(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		began := time.Now()
		s := w.sampler()
		r, err := s.Sample(w.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if bytes, done, shards := s.Progress(); bytes != 0 || done != 1 || shards != 1 {
			t.Errorf("%d bytes, %d of %d shards", bytes, done, shards)
		}
		if len(r.Services) != 0 || r.Total.SentPerMonth.String() != "0.00" || r.Sample.Bytes != 0 || time.Since(began) > 5*time.Second {
			t.Errorf("%+v after %v", r, time.Since(began))
		}
		// A shard gives 2 MiB a second. The first answer has eight of these lines: more than
		// two seconds by half of that.
		big := padded("shop", "INFO") + strings.Repeat(" ", 300<<10)
		for range 9 {
			w.put(first, big, 1)
			w.pass(time.Second)
		}
		began = time.Now()
		if r = w.sample(); r.Total.Events != 9 || time.Since(began) < 3*time.Second {
			t.Errorf("%d events in %v", r.Total.Events, time.Since(began))
		}
	})
}

func TestWhatCannotBeReadIsToldInTime(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		w.cfg.Span = 48 * time.Hour
		if _, err := w.sampler().Sample(w.t.Context()); err == nil || !strings.Contains(err.Error(), "keeps records for 24h") {
			t.Error(err)
		}
		w.cfg.Span = time.Minute
		if err := w.faults.Replace([]fault.Rule{{Service: "kinesis", Operation: "GetRecords", Action: fault.Throttle}}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := w.sampler().Sample(w.t.Context()); err == nil || !strings.Contains(err.Error(), "nothing in 1m0s") || time.Since(began) > 2*time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if _, err := w.api.DeleteStream(w.t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String(name)}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if _, err := w.sampler().Sample(w.t.Context()); !stream.IsPermanent(err) {
			t.Error(err)
		}
	})
}
