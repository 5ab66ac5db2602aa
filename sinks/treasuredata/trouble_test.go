package treasuredata_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tributary/deploy/local/fault"
	local "tributary/deploy/local/treasuredata"
	"tributary/schema"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

// status makes the endpoint answer imports with a status.
func status(code, every, count int) fault.Rule {
	return fault.Rule{Service: "td", Operation: "ImportWithID", Every: every, Count: count, Action: fault.Error, Status: code}
}

func TestOnlyTheBadRowGoesToTheRejectStore(t *testing.T) {
	w := newWorld(t, func(o *local.Options) { o.RowBytes = 2000 })
	batches, r := traffic(t, 500)
	bad := event(schema.KindApp, "cart", `{"n":"#500","x":"`+strings.Repeat("long", 600)+`"}`)
	bad.Origin = &schema.Origin{Service: "cart", Host: "ip-10-0-0-1"}
	good := event(schema.KindApp, "cart", `{"n":"#501"}`)
	batches = append(batches, record(t, 90, good, bad))
	r.Last = sequence(90)
	s := open(t, w.importer(), batches)
	w.kept.fail = 1
	if err := s.Flush(t.Context(), r); err == nil || stream.IsPermanent(err) {
		t.Fatalf("without a reject store: %v", err)
	}
	before := w.requests()
	if err := s.Flush(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if w.requests() != before {
		t.Errorf("%d bodies were sent again", w.requests()-before)
	}
	w.wantOnce(502)
	kept := w.kept.events(t)
	if len(kept) != 1 {
		t.Fatalf("%d rejects", len(kept))
	}
	e := kept[0].Events[0]
	if kept[0].Epoch != (schema.Epoch{1}) || kept[0].Lane != 7 || e.Offset != 90_001 || string(e.Line) != string(bad.Line) || e.Origin.Host != "ip-10-0-0-1" || e.Time != bad.Time {
		t.Errorf("reject %+v of epoch %v, lane %d", e, kept[0].Epoch, kept[0].Lane)
	}
	for _, it := range w.kept.items {
		if it.Sequence != sequence(90) || it.Reject.Index != 1 || it.Reject.Reason != "refused by treasure data" || !it.Arrival.Equal(noon.Add(90*time.Second)) {
			t.Errorf("item %+v", it)
		}
	}
	if w.metric("rejects_total") != 1 || w.metric("splits_total") < 6 {
		t.Errorf("%v rejects, %v splits", w.metric("rejects_total"), w.metric("splits_total"))
	}
}

func TestTheSearchForBadRowsIsBounded(t *testing.T) {
	for _, c := range []struct{ halvings, rejects int }{{0, 100}, {1, 50}, {3, 13}, {100, 1}} {
		t.Run(fmt.Sprint(c.halvings, " halvings"), func(t *testing.T) {
			for range 2 { // a replay decides alike
				w := newWorld(t, func(o *local.Options) { o.RowBytes = 2000 })
				var events []schema.Event
				for i := range 100 {
					line := fmt.Sprintf(`{"n":"#%d"}`, i)
					if i == 42 {
						line = fmt.Sprintf(`{"n":"#%d","x":"%s"}`, i, strings.Repeat("long", 600))
					}
					events = append(events, event(schema.KindApp, "cart", line))
				}
				flush(t, w.importer(func(c2 *treasuredata.Config) { c2.MaxHalvings = c.halvings }), rangeOf(1, 1), record(t, 1, events...))
				w.wantOnce(100)
				if n := len(w.kept.items); n != c.rejects {
					t.Errorf("%d rejects, want %d", n, c.rejects)
				}
			}
		})
	}
}

func TestARowThatIsTooLargeAloneIsSetAside(t *testing.T) {
	w := newWorld(t, func(o *local.Options) { o.BodyBytes = 3000 })
	noise := make([]byte, 0, 8000)
	for i := range 2000 {
		noise = fmt.Appendf(noise, "%x", uint32(i)*2654435761)
	}
	flush(t, w.importer(), rangeOf(1, 1), record(t, 1,
		event(schema.KindApp, "cart", `{"n":"#0"}`), event(schema.KindApp, "cart", `{"n":"#1","x":"`+string(noise)+`"}`), event(schema.KindApp, "cart", `{"n":"#2"}`)))
	w.wantOnce(3)
	for _, it := range w.kept.items {
		if it.Reject.Reason != "too large for treasure data" || it.Reject.Index != 1 {
			t.Errorf("reject %d: %s", it.Reject.Index, it.Reject.Reason)
		}
	}
	if len(w.kept.items) != 1 {
		t.Errorf("%d rejects", len(w.kept.items))
	}
}

func TestAnIDInConflictIsSetAsideAsAWhole(t *testing.T) {
	w := newWorld(t)
	im := w.importer()
	flush(t, im, rangeOf(1, 1), record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`)))
	w.set(status(409, 1, 1))
	flush(t, im, rangeOf(2, 2), record(t, 2, event(schema.KindApp, "cart", `{"n":"#1"}`), event(schema.KindApp, "cart", `{"n":"#2"}`)))
	w.wantOnce(3)
	if len(w.kept.items) != 2 {
		t.Errorf("%d rejects", len(w.kept.items))
	}
}

func TestARefusedKeyLosesNothingAndIsReadAgain(t *testing.T) {
	for _, code := range []int{401, 403} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			w := newWorld(t)
			var current atomic.Value
			current.Store("wrong/secret")
			im := w.importerWith(func(context.Context) (string, error) { return current.Load().(string) + "\n", nil })
			w.instead = func(r *http.Request) *http.Response {
				if r.Header.Get("Authorization") == "TD1 "+key {
					return nil
				}
				return response(code, `{"message":"no account for wrong/secret"}`)
			}
			batches, r := traffic(t, 200)
			s := open(t, im, batches)
			for range 2 {
				err := s.Flush(t.Context(), r)
				if err == nil || stream.IsPermanent(err) {
					t.Fatalf("%v", err)
				}
				for _, want := range []string{"import.local", fmt.Sprint(code), "check that it is whole", "***"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in %v", want, err)
					}
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the key is told: %v", err)
				}
				if w.metric("key_refused") != 1 {
					t.Error("no alarm")
				}
			}
			current.Store(key)
			if err := s.Flush(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if w.metric("key_refused") != 0 || len(w.kept.items) > 0 {
				t.Errorf("alarm %v, %d rejects", w.metric("key_refused"), len(w.kept.items))
			}
			w.wantOnce(200)
			if strings.Contains(w.log.String(), "secret") || strings.Contains(w.log.String(), key) {
				t.Error("the key is in the log")
			}
		})
	}
}

func response(code int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestTheKeyComesFromAFileAndIsReadAgain(t *testing.T) {
	w := newWorld(t, func(o *local.Options) { o.APIKeys = []string{key} })
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	im := w.importer(func(c *treasuredata.Config) { c.APIKey, c.APIKeyFile = "", file })
	s := open(t, im, []stream.Batch{record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`))})
	for _, step := range []struct{ content, want string }{
		{"", "read the API key: api_key_file: open"},
		{"\n", "read the API key: it is empty"},
		{"two words", "characters that no key has"},
		{"1234/stale", "refused the API key with 401"},
		{key + "\n", ""},
	} {
		if step.content != "" {
			write(step.content)
		}
		err := s.Flush(t.Context(), rangeOf(1, 1))
		if step.want == "" {
			if err != nil {
				t.Error(err)
			}
		} else if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), step.want) || strings.Contains(err.Error(), "stale") {
			t.Errorf("%q: %v", step.content, err)
		}
	}
	w.wantOnce(1)
}

func TestWhatIsMissingIsCreatedOnce(t *testing.T) {
	one := func(t *testing.T) stream.Batch { return record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`)) }
	t.Run("unless creation is switched off", func(t *testing.T) {
		w := newWorld(t)
		s := open(t, w.importer(func(c *treasuredata.Config) { c.CreateMissing = false }), []stream.Batch{one(t)})
		err := s.Flush(t.Context(), rangeOf(1, 1))
		if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "tributary.cart_app: database or table is missing: create it") || w.requests() != 1 {
			t.Errorf("%v after %d requests", err, w.requests())
		}
	})
	t.Run("and a key that may only import is told so", func(t *testing.T) {
		w := newWorld(t, func(o *local.Options) { o.WriteOnlyKeys = []string{key} })
		s := open(t, w.importer(), []stream.Batch{one(t)})
		err := s.Flush(t.Context(), rangeOf(1, 1))
		if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "create table tributary.cart_app: api.local refused the API key with 403") {
			t.Errorf("%v", err)
		}
	})
	t.Run("and a table that stays missing ends the attempt", func(t *testing.T) {
		w := newWorld(t)
		w.set(status(404, 1, 0))
		s := open(t, w.importer(), []stream.Batch{one(t)})
		for range 2 {
			before := w.requests()
			err := s.Flush(t.Context(), rangeOf(1, 1))
			if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "same region") || w.requests()-before > 5 {
				t.Errorf("%v after %d requests", err, w.requests()-before)
			}
		}
		w.set()
		if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
			t.Error(err)
		}
		w.wantOnce(1)
	})
	t.Run("and a place without databases is told", func(t *testing.T) {
		w := newWorld(t)
		w.instead = func(*http.Request) *http.Response { return response(404, "<html>nothing here</html>") }
		s := open(t, w.importer(), []stream.Batch{one(t)})
		err := s.Flush(t.Context(), rangeOf(1, 1))
		if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "is api_endpoint of the right region?") {
			t.Errorf("%v", err)
		}
	})
}

func TestAHostIsLeftAloneUntilTheTimeThatItTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name, header string
			code         int
			wait         time.Duration
		}{
			{"a date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 429, time.Minute}, // of now: the first one
			{"seconds", "7", 429, 7 * time.Second},
			{"a server in trouble", "3", 503, 3 * time.Second},
			{"longer than an hour", "999999", 429, time.Hour},
			{"none", "", 429, 0},
			{"nonsense", "soon", 429, 0},
		} {
			w := newWorld(t)
			im := w.importer()
			w.instead = func(*http.Request) *http.Response {
				return response(c.code, `{"message":"too many"}`, "Retry-After", c.header)
			}
			s := open(t, im, []stream.Batch{record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`))})
			if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "too many") {
				t.Fatalf("%s: %v", c.name, err)
			}
			w.instead = nil
			if c.wait > 0 {
				time.Sleep(c.wait - time.Millisecond)
				if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil || !strings.Contains(err.Error(), "import.local asked not to be called") {
					t.Errorf("%s: %v", c.name, err)
				}
				if w.requests() != 1 {
					t.Errorf("%s: %d requests", c.name, w.requests())
				}
				time.Sleep(time.Millisecond)
			}
			if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			w.wantOnce(1)
		}
	})
}

func TestTheKeyIsNotCarriedElsewhere(t *testing.T) {
	for name, c := range map[string]struct{ to, want string }{
		"to the other endpoint it is":        {"http://api.local/v3/table/import_with_id/x", ""},
		"to a stranger it is not":            {"http://evil.local/", "points at http://evil.local, which is not followed"},
		"nor to the same host otherwise":     {"https://import.local/", "points at https://import.local, which is not followed"},
		"nor in circles":                     {"/v3/again", "sends in circles"},
		"and an answer without a place ends": {"", "no Location header"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			im := w.importer()
			s := open(t, im, []stream.Batch{record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`))})
			var to []string
			w.instead = func(r *http.Request) *http.Response {
				to = append(to, r.URL.Host)
				if r.URL.Host == "api.local" {
					return response(200, `{"md5_hex":"`+md5Of(w, r.URL.Path)+`"}`)
				}
				if c.to == "" {
					return response(308, "")
				}
				return response(308, "", "Location", c.to)
			}
			err := s.Flush(t.Context(), rangeOf(1, 1))
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || stream.IsPermanent(err)) {
				t.Errorf("%v", err)
			}
			for _, h := range to {
				if h != "api.local" && h != "import.local" {
					t.Errorf("asked %s", h)
				}
			}
		})
	}
}

func TestAnAnswerWithoutTheRightMD5IsNotBelieved(t *testing.T) {
	for name, body := range map[string]string{
		"another one": `{"md5_hex":"00000000000000000000000000000000"}`,
		"none":        `{}`,
		"no JSON":     `<html>welcome</html>`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			im := w.importer()
			s := open(t, im, []stream.Batch{record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`))})
			w.instead = func(*http.Request) *http.Response { return response(200, body) }
			if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil || stream.IsPermanent(err) {
				t.Fatalf("%v", err)
			}
			w.instead = nil
			if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
				t.Fatal(err)
			}
			w.wantOnce(1)
			if len(w.imports()) != 1 {
				t.Errorf("%d ids", len(w.imports()))
			}
		})
	}
}

func TestAnswersThatSpeakOfTheEndpointSetNothingAside(t *testing.T) {
	for _, code := range []int{302, 405, 408, 415, 418, 500, 502, 503} {
		w := newWorld(t)
		im := w.importer()
		s := open(t, im, []stream.Batch{record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`))})
		w.instead = func(*http.Request) *http.Response { return response(code, `{"error":"told so"}`) }
		if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "told so") {
			t.Errorf("%d: %v", code, err)
		}
		w.instead = nil
		if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
			t.Error(err)
		}
		w.wantOnce(1)
	}
}

func TestAFlushEndsWithItsLease(t *testing.T) {
	w := newWorld(t)
	batches, r := traffic(t, 300)
	s := open(t, w.importer(), batches)
	lost := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.set(fault.Rule{Service: "td", Action: fault.Delay, Delay: time.Minute})
	w.instead = func(*http.Request) *http.Response { cancel(lost); return nil }
	if err := s.Flush(ctx, r); err == nil || stream.IsPermanent(err) {
		t.Fatalf("%v", err)
	}
	w.set()
	w.instead = nil
	if err := s.Flush(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.wantOnce(300)
	if w.metric("encoding_bytes") != 0 {
		t.Errorf("%v bytes reserved", w.metric("encoding_bytes"))
	}
}
