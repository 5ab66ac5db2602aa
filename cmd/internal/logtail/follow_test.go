package logtail_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/cmd/internal/logtail"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/logs"
)

// Writers put events that are late, the service shows them late and is throttled, pages
// are small and empty; what can be read within the overlap comes, once.
func TestEachEventOfAFollowComesOnceHoweverLateWithinTheOverlap(t *testing.T) {
	for _, delay := range []time.Duration{0, 2 * time.Second} {
		for _, filter := range []string{"", "wanted"} {
			for seed := range uint64(3) {
				t.Run(fmt.Sprintf("delay %s, filter %q, seed %d", delay, filter, seed), func(t *testing.T) {
					inWorld(t, logs.Options{VisibilityDelay: delay, ScanBytes: 2000}, func(t *testing.T, w *world) {
						random := rand.New(rand.NewPCG(seed, 1))
						if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "FilterLogEvents", Action: fault.Throttle, Every: 7}}); err != nil {
							t.Fatal(err)
						}
						groups := []string{"/g/a", "/g/b"}
						for _, g := range groups {
							w.createGroup(g)
						}
						f := w.follow(logtail.Query{Groups: patterns(t, "/g/*"), Since: serviceNow().Add(-time.Minute), Filter: filter})
						want := map[string]bool{}
						for n := range 300 {
							time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
							g, s := groups[random.IntN(2)], fmt.Sprint("s", random.IntN(3))
							message := fmt.Sprint(n, []string{" wanted", " not"}[random.IntN(2)])
							// What is stored takes 50 ms to be answered.
							late := time.Duration(random.Int64N(int64(10*time.Second - delay - 100*time.Millisecond)))
							w.put(g, s, line(serviceNow().Add(-late), message))
							if filter == "" || strings.Contains(message, filter) {
								want[g+" "+s+" "+message] = true
							}
						}
						time.Sleep(15 * time.Second)
						f.want(want)
					})
				})
			}
		}
	}
}

// Whoever writes the group was away: for a while nothing comes, then all that it missed,
// as fast as it can.
func TestAGroupThatLagsAsAWholeIsFollowedWithItsLag(t *testing.T) {
	for _, filter := range []string{"", "never", "wanted"} {
		t.Run(filter, func(t *testing.T) {
			inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
				w.createGroup("/g")
				w.put("/g", "s", line(serviceNow(), "before wanted"))
				f := w.follow(logtail.Query{Groups: patterns(t, "/g"), Since: serviceNow().Add(-time.Minute), Filter: filter})
				at := serviceNow()
				time.Sleep(10 * time.Minute)
				want := map[string]bool{"/g s before wanted": true}
				for n := range 100 {
					at = at.Add(6 * time.Second)
					message := fmt.Sprint(n, " wanted")
					w.put("/g", "s", line(at, message))
					want["/g s "+message] = true
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(5 * time.Second)
				if filter == "never" {
					clear(want)
				}
				f.want(want)
			})
		})
	}
}

func TestAFilterThatFindsNothingDoesNotSearchTheSameAgainAndAgain(t *testing.T) {
	inWorld(t, logs.Options{ScanBytes: 100}, func(t *testing.T, w *world) {
		w.createGroup("/g")
		f := w.follow(logtail.Query{Groups: patterns(t, "/g"), Since: time.Unix(0, 0), Filter: "wanted"})
		for n := range 300 {
			w.put("/g", "s", line(serviceNow(), fmt.Sprint(n, " of no interest, and long enough for a page of a few ", strings.Repeat("x", 5000))))
			time.Sleep(time.Second)
		}
		before := len(w.called("FilterLogEvents"))
		time.Sleep(10 * time.Second)
		if n := len(w.called("FilterLogEvents")) - before; n > 15 {
			t.Errorf("%d calls in ten seconds", n)
		}
		w.put("/g", "s", line(serviceNow(), "wanted"))
		time.Sleep(10 * time.Second)
		f.want(map[string]bool{"/g s wanted": true})
	})
}

func TestAnEventAheadOfTheClockHidesNothingAndComesOnce(t *testing.T) {
	inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
		w.createGroup("/g")
		f := w.follow(logtail.Query{Groups: patterns(t, "/g"), Since: serviceNow().Add(-time.Minute)})
		w.put("/g", "s", line(serviceNow().Add(time.Hour), "ahead"))
		want := map[string]bool{"/g s ahead": true}
		for n := range 30 {
			time.Sleep(5 * time.Second)
			w.put("/g", "s", line(serviceNow(), fmt.Sprint(n)))
			want[fmt.Sprint("/g s ", n)] = true
		}
		time.Sleep(5 * time.Second)
		f.want(want)
	})
}

func TestAFollowTakesUpNewGroupsAndLosesOldOnes(t *testing.T) {
	inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
		f := w.follow(logtail.Query{Groups: patterns(t, "/g/"), Since: serviceNow().Add(-time.Minute)})
		time.Sleep(10 * time.Second)
		if !slices.Contains(w.told(), "there is no such log group yet, waiting for one") {
			t.Errorf("it logged %q", w.told())
		}
		want := map[string]bool{}
		put := func(group string) {
			message := fmt.Sprint(len(want))
			w.put(group, "s", line(serviceNow(), message))
			want[group+" s "+message] = true
			time.Sleep(5 * time.Second)
		}
		w.createGroup("/g/a")
		put("/g/a")
		w.createGroup("/g/b")
		put("/g/b")
		time.Sleep(30 * time.Second)
		put("/g/b")
		gone := "/g/a"
		if _, err := w.client.DeleteLogGroup(t.Context(), &client.DeleteLogGroupInput{LogGroupName: &gone}); err != nil {
			t.Fatal(err)
		}
		put("/g/b")
		time.Sleep(time.Minute)
		put("/g/b")
		f.want(want)
	})
}

func TestAFollowOutlastsTheServicesTroubleAndEndsAtALimitOrARefusal(t *testing.T) {
	inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
		w.createGroup("/g")
		f := w.follow(logtail.Query{Groups: patterns(t, "/g"), Since: serviceNow().Add(-time.Minute)})
		time.Sleep(5 * time.Second)
		if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "FilterLogEvents", Action: fault.Error}}); err != nil {
			t.Fatal(err)
		}
		w.put("/g", "s", line(serviceNow(), "meanwhile"))
		time.Sleep(10 * time.Minute)
		if err := w.faults.Replace(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		f.want(map[string]bool{"/g s meanwhile": true})

		q := logtail.Query{Groups: patterns(t, "/g"), Since: serviceNow().Add(-time.Minute), Limit: 2}
		limited := w.follow(q)
		w.put("/g", "s", line(serviceNow(), "one"), line(serviceNow(), "two"), line(serviceNow(), "three"))
		time.Sleep(10 * time.Second)
		limited.want(map[string]bool{"/g s one": true, "/g s two": true})

		none := w.follow(logtail.Query{Groups: patterns(t, "/h"), Since: q.Since})
		synctest.Wait()
		time.Sleep(5 * time.Second)
		if err := none.stop(); err == nil {
			t.Error("it waited for a group that was named and is not there")
		} else if !errors.Is(err, logtail.ErrRefused) {
			t.Error(err)
		}
		q.Until = serviceNow()
		if err := w.reader(q).Follow(t.Context(), nil); !errors.Is(err, logtail.ErrRefused) {
			t.Error(err)
		}
	})
}

func TestMoreEventsThanAreRememberedNeverComeTwice(t *testing.T) {
	inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
		w.createGroup("/g")
		f := w.follow(logtail.Query{Groups: patterns(t, "/g"), Since: serviceNow().Add(-time.Minute)}, func(c *logtail.Config) { c.MaxGroups, c.Remember = 1, 100 })
		want := map[string]bool{}
		for n := range 200 {
			var events []types.InputLogEvent
			for i := range 10 {
				message := fmt.Sprint(n, ".", i)
				events = append(events, line(serviceNow().Add(time.Duration(i)*time.Millisecond), message))
				want["/g s "+message] = true
			}
			w.put("/g", "s", events...)
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		f.want(want) // none was late
		if !slices.Contains(w.told(), "more events than can be remembered, some that come late may be left out") {
			t.Errorf("it logged %q", w.told())
		}
	})
}
