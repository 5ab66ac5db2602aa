package cloudwatch_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// outage makes a bubble in which puts to some groups are answered with an error.
func outage(t *testing.T, w *world, code string, groups ...string) {
	t.Helper()
	w.setHook(func(action, g string, _ any) error {
		for _, failing := range groups {
			if action == "PutLogEvents" && (g == failing || failing == "*") {
				return answered(code)
			}
		}
		return nil
	})
}

func TestAStreamThatFailsForTenMinutesIsParkedUntilItTakesSomeAgain(t *testing.T) {
	for code, reason := range map[string]string{
		"AccessDeniedException":     "log stream parked after AccessDeniedException: ",
		"InternalFailure":           "log stream parked after InternalFailure: ",
		"ResourceNotFoundException": "log stream parked after ResourceNotFoundException: ",
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t)
				outage(t, w, code, group)
				broken, healthy := w.open(), w.openShard("shardId-000000000003")
				n := 0
				flushHealthy := func() {
					n++
					b := record(n, eventOf("cart", time.Now(), "x"))
					b.Shard = "shardId-000000000003"
					appendAll(t, healthy, b)
					r := rangeOf(n, n)
					r.Shard = b.Shard
					if err := healthy.Flush(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				appendAll(t, broken, record(1, event(began, "1"), eventOf("cart", began, "2"), event(began, "3")))
				for tries := 0; ; tries++ {
					flushHealthy()
					err := broken.Flush(t.Context(), rangeOf(1, 1))
					if err == nil {
						break
					}
					if tries == 20 { // stuck: the engine drops it and reads again
						broken = w.open()
						appendAll(t, broken, record(1, event(began, "1"), event(began, "3")))
					}
					time.Sleep(10 * time.Second)
				}
				if d := time.Since(began); d < 10*time.Minute || d > 10*time.Minute+20*time.Second {
					t.Errorf("parked after %v", d)
				}
				wantLines(t, "rejects", w.kept.lines(t), []string{reason + "1", reason + "3"})
				wantLines(t, "cart", w.stored("/tributary/cart"), []string{"2"})
				flushHealthy()
				puts := w.count("PutLogEvents", group)
				mustFlush(t, broken, record(2, event(time.Now(), "4")))
				if got := w.count("PutLogEvents", group) - puts; got < 1 || got > 2 {
					t.Errorf("%d tries of a parked stream", got)
				}
				if parked, now, said := w.metric("parked_events_total"), w.metric("parked_streams"), w.log.count("level=ERROR"); parked != 3 || now != 1 || said != 1 {
					t.Errorf("%v events parked, %v streams, said %d times", parked, now, said)
				}
				w.setHook(nil)
				mustFlush(t, broken, record(3, event(time.Now(), "5")))
				if got := w.stored(group); len(got) != 1 || got[0] != "5" {
					t.Errorf("stored %q", got)
				}
				if now := w.metric("parked_streams"); now != 0 {
					t.Errorf("%v streams parked", now)
				}
				outage(t, w, code, group)
				if err := flush(t, broken, record(4, event(time.Now(), "6"))); err == nil {
					t.Error("a first failure parks at once")
				}
			})
		})
	}
}

func TestWhenTheServiceIsDownNothingIsParked(t *testing.T) {
	for _, code := range []string{"InternalFailure", "ThrottlingException", "ExpiredTokenException"} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t)
				s := w.open()
				mustFlush(t, s, record(1, event(time.Now(), "1"), eventOf("cart", time.Now(), "2")))
				outage(t, w, code, "*")
				appendAll(t, s, record(2, event(time.Now(), "3"), eventOf("cart", time.Now(), "4")))
				for range 100 {
					if err := s.Flush(t.Context(), rangeOf(2, 2)); err == nil {
						t.Fatal("no error")
					}
					time.Sleep(20 * time.Second)
				}
				w.setHook(nil)
				if err := s.Flush(t.Context(), rangeOf(2, 2)); err != nil {
					t.Fatal(err)
				}
				wantLines(t, "shop", w.stored(group), []string{"1", "3"})
				wantLines(t, "cart", w.stored("/tributary/cart"), []string{"2", "4"})
				if len(w.kept.items) > 0 {
					t.Errorf("%d rejects", len(w.kept.items))
				}
			})
		})
	}
}

func TestAFailureLongAfterAnotherStartsTheTimeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		outage(t, w, "AccessDeniedException", group)
		s := w.open()
		appendAll(t, s, record(1, event(time.Now(), "1")))
		if s.Flush(t.Context(), rangeOf(1, 1)) == nil {
			t.Fatal("no error")
		}
		time.Sleep(time.Hour) // the lease was elsewhere
		if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnEventThatTwoStreamsRefuseIsOneReject(t *testing.T) {
	w, now := start(t), time.Now()
	mustFlush(t, w.open(), record(1, event(now.Add(-400*time.Hour), `{"level":"error"}`), event(now, `{"level":"ERROR"}`)))
	wantLines(t, "rejects", w.kept.lines(t), []string{`older than CloudWatch Logs takes (14 days): {"level":"error"}`})
	wantLines(t, "shop", w.stored(group), []string{`{"level":"ERROR"}`})
	wantLines(t, "errors", w.stored(group+"/errors"), []string{`{"level":"ERROR"}`})
}
