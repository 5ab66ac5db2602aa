package treasuredata_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/deploy/local/fault"
	local "tributary/deploy/local/treasuredata"
	"tributary/schema"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

func TestMemoryOfBodiesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		noise := make([]byte, 45<<10)
		rng := rand.NewChaCha8([32]byte{1})
		rng.Read(noise)
		text := base64.StdEncoding.EncodeToString(noise)
		im := w.importer(func(c *treasuredata.Config) {
			c.EncodeBytes, c.Parallel, c.BodyBytes, c.AttemptTimeout = 16<<20, 8, 2<<20, 10*time.Minute
		})
		s := open(t, im, nil)
		for n := range 15 {
			var events []schema.Event
			for i := range 10 {
				events = append(events, event(schema.KindApp, "cart", fmt.Sprintf(`{"i":%d,"x":"%s"}`, i, text[n*100+i*7:])))
			}
			if err := s.Append(record(t, n+1, events...)); err != nil {
				t.Fatal(err)
			}
		}
		w.instead = func(r *http.Request) *http.Response {
			time.Sleep(time.Minute) // so that bodies pile up as far as they may
			return response(200, `{"md5_hex":"`+md5Of(w, r.URL.Path)+`"}`)
		}
		if err := s.Flush(t.Context(), rangeOf(1, 15)); err != nil {
			t.Fatal(err)
		}
		all := 0
		for _, r := range w.imports() {
			all += len(r.body)
		}
		if limit := int64(16 << 20 / 3); w.most > limit || int64(all) <= limit || w.mostPut < 2 {
			t.Errorf("%d bytes of bodies at once, %d altogether, %d bodies", w.most, all, w.mostPut)
		}
		if n := w.metric("rows_total"); n != 150 {
			t.Errorf("%v rows", n)
		}
	})
}

func TestUploadsOfAllShardsTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		im := w.importer(func(c *treasuredata.Config) { c.Parallel, c.BodyRows, c.AttemptTimeout = 3, 50, 10*time.Minute })
		batches, r := traffic(t, 600)
		w.set(fault.Rule{Service: "td", Operation: "ImportWithID", Action: fault.Delay, Delay: time.Minute})
		var wg sync.WaitGroup
		for i := range 3 {
			id := stream.ShardID(fmt.Sprint("shardId-00000000000", i))
			s, err := im.Open(t.Context(), id, im.Plan())
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range batches[i*2 : i*2+2] {
				b.Shard = id
				if err := s.Append(b); err != nil {
					t.Fatal(err)
				}
			}
			wg.Go(func() {
				r := r
				r.Shard = id
				if err := s.Flush(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if w.mostPut != 3 {
			t.Errorf("%d uploads at once", w.mostPut)
		}
		w.wantOnce(600)
	})
}

func TestAnAlarmEndsWhenATableWasCreatedByHand(t *testing.T) {
	const admin = "1/admin"
	w := newWorld(t, func(o *local.Options) { o.APIKeys, o.WriteOnlyKeys = []string{admin}, []string{key} })
	s := open(t, w.importer(), []stream.Batch{record(t, 1, event(schema.KindApp, "cart", `{"n":"#0"}`))})
	watched := w.reg
	if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil || w.metric("key_refused") != 1 {
		t.Fatalf("%v, alarm %v", err, w.metric("key_refused"))
	}
	byHand := w.importer(func(c *treasuredata.Config) { c.APIKey = admin })
	flush(t, byHand, rangeOf(2, 2), record(t, 2, event(schema.KindApp, "cart", `{"n":"#1"}`)))
	if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	w.wantOnce(2)
	if w.reg = watched; w.metric("key_refused") != 0 {
		t.Error("the alarm goes on")
	}
}
