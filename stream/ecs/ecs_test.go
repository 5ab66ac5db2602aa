package ecs_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/schema"
	"tributary/stream/ecs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	web   = "189a8ff4b5f04affe40e5160a5ffadca395136eb5faf4950c57963c06f82c76d"
	old   = "f7f1f8a7a245c5da83aa92729bd28c6bcb004d1f6a35409e4207e1d34030e966"
	stray = "00000000a245c5da83aa92729bd28c6bcb004d1f6a35409e4207e1d34030e966"
)

// agent answers as the ECS agent's introspection endpoint does (TaskResponse of its
// introspection/v1, DeveloperGuide ecs-agent-introspection).
type agent struct {
	mu     sync.Mutex
	urls   []string
	broken bool
	late   map[string]bool // known only from the second question on
}

func (a *agent) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.urls)
}

func (a *agent) fail() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = true
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.urls = append(a.urls, r.URL.String())
	id := r.URL.Query().Get("dockerid")
	switch {
	case a.broken:
		w.WriteHeader(http.StatusInternalServerError)
	case r.URL.Path == "/v1/metadata":
		fmt.Fprint(w, `{"Cluster":"shop","ContainerInstanceArn":"arn:aws:ecs:eu-central-1:111122223333:container-instance/shop/0c1d","Version":"Amazon ECS Agent - v1.30.0 (02ff320c)"}`)
	case r.URL.Path == "/v1/tasks" && (id == web || id == web[:12]) && !a.late[id]:
		fmt.Fprintf(w, `{"Arn":"arn:aws:ecs:eu-central-1:111122223333:task/shop/0b69d5c0d6550c2c6b8d6a40b3d23a47","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Family":"front","Version":"7",
			"Containers":[{"DockerId":"%s","DockerName":"ecs-front-7-side-aa","Name":"side"},{"DockerId":"%s","DockerName":"ecs-front-7-web-86caf9bcabe3e9c61600","Name":"web"}]}`, old, web)
	case r.URL.Path == "/v1/tasks" && id == old:
		fmt.Fprintf(w, `{"Arn":"arn:aws:ecs:us-west-2:111122223333:task/090eff9b-1ce3-4db6-848a-a8d14064fd24","Family":"old","Version":"6","Containers":[{"DockerId":"%s","Name":"job"}]}`, old)
	default:
		delete(a.late, id)
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"Arn":"","Family":"","Version":"","Containers":null}`)
	}
}

// pipes is a listener whose connections lie in the bubble of a test.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// run runs an Agent against a in a bubble.
func run(t *testing.T, a *agent, test func(*ecs.Agent)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		server := &http.Server{Handler: a}
		served := make(chan struct{})
		go func() { defer close(served); _ = server.Serve(p) }()
		asking := ecs.New(ecs.Config{Introspection: "http://agent/"}, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
		asking.Dial(func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			p.conns <- theirs
			return ours, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- asking.Run(ctx) }()
		test(asking)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = server.Close()
		<-served
	})
}

func TestTheAgentIsAskedInTheBackground(t *testing.T) {
	a := &agent{}
	run(t, a, func(asking *ecs.Agent) {
		if asking.Task(web) != nil || asking.Task(old) != nil {
			t.Error("something was known before it was asked")
		}
		synctest.Wait()
		got := asking.Task(web)
		if want := (ecs.Task{Cluster: "shop", ARN: "arn:aws:ecs:eu-central-1:111122223333:task/shop/0b69d5c0d6550c2c6b8d6a40b3d23a47",
			ID: "0b69d5c0d6550c2c6b8d6a40b3d23a47", Family: "front", Revision: "7", Container: "web"}); got == nil || *got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := asking.Task(old); got == nil || got.Cluster != "shop" || got.ID != "090eff9b-1ce3-4db6-848a-a8d14064fd24" || got.Container != "job" {
			t.Errorf("of an ARN without a cluster: %+v", got)
		}
		for range 1000 {
			if asking.Task(web) != got {
				t.Fatal("another pointer for the same task")
			}
		}
		synctest.Wait()
		if len(a.asked()) != 3 {
			t.Errorf("asked %q", a.asked())
		}
		time.Sleep(61 * time.Minute)
		asking.Task(web)
		synctest.Wait()
		if asking.Task(web) != got || len(a.asked()) != 4 {
			t.Errorf("after an hour: asked %d times", len(a.asked()))
		}
	})
}

func TestWhatTheAgentDoesNotKnowIsAskedForNowAndThen(t *testing.T) {
	a := &agent{late: map[string]bool{web: true}}
	run(t, a, func(asking *ecs.Agent) {
		for range 20 { // ten seconds
			asking.Task(web)
			asking.Task(stray)
			time.Sleep(500 * time.Millisecond)
		}
		if len(a.asked()) != 2 {
			t.Errorf("asked %d times", len(a.asked()))
		}
		time.Sleep(30 * time.Second)
		asking.Task(web)
		synctest.Wait()
		if asking.Task(web) == nil {
			t.Error("not known though the agent knows it by now")
		}
		for _, id := range []string{"", "c1", "../../v1/metadata", strings.Repeat("0", 65), "0123456789ab?x=y"} {
			asking.Task(id)
		}
		synctest.Wait()
		if len(a.asked()) != 3 {
			t.Errorf("asked for what is no container: %q", a.asked())
		}
	})
}

func TestAnAgentThatFailsIsNotPressedAndForgetsNothing(t *testing.T) {
	a := &agent{}
	run(t, a, func(asking *ecs.Agent) {
		asking.Task(web)
		synctest.Wait()
		got := asking.Task(web)
		a.fail()
		time.Sleep(61 * time.Minute)
		before := len(a.asked())
		for i := range 5000 {
			asking.Task(web)
			asking.Task(fmt.Sprintf("%064x", i))
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(a.asked()) - before; n > 11 { // in 50 s, with pauses of 5
			t.Errorf("asked %d times", n)
		}
		if n := asking.Remembered(); n > 4096 {
			t.Errorf("%d containers remembered", n)
		}
		if got == nil || asking.Task(web) != got {
			t.Error("what was known is forgotten")
		}
	})
}

func TestWhatCameWithALineIsTaken(t *testing.T) {
	const id = "0b69d5c0d6550c2c6b8d6a40b3d23a47"
	for name, c := range map[string]struct {
		tag        string
		attributes []schema.Label
		want       string
	}{
		"nothing":                       {"docker.0123", nil, ""},
		"FireLens' tag":                 {"web-front-firelens-" + id, nil, "container-name=web-front task-id=" + id},
		"an older task id":              {"web-firelens-090eff9b-1ce3-4db6-848a-a8d14064fd24", nil, "container-name=web task-id=090eff9b-1ce3-4db6-848a-a8d14064fd24"},
		"a tag that only looks like it": {"web-firelens-shop", nil, ""},
		"a container of that name":      {"a-firelens-b-firelens-" + id, nil, "container-name=a-firelens-b task-id=" + id},
		"a router's keys": {"x", []schema.Label{{Name: "ecs_cluster", Value: "shop"}, {Name: "ecs_task_arn", Value: "arn"}, {Name: "ecs_task_definition", Value: "front:7"}},
			"cluster=shop task-arn=arn task-definition-family=front task-definition-version=7"},
		"labels that are there stay": {"web-firelens-" + id, []schema.Label{{Name: ecs.LabelContainer, Value: "own"}}, "task-id=" + id},
	} {
		t.Run(name, func(t *testing.T) {
			task := ecs.Given(c.tag, c.attributes)
			var got []string
			for _, l := range task.Labels(c.attributes) {
				got = append(got, strings.TrimPrefix(l.Name, "com.amazonaws.ecs.")+"="+l.Value)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestTheEndpointMustBeAURL(t *testing.T) {
	for url, ok := range map[string]bool{"": true, "http://127.0.0.1:51678": true, "http://172.17.0.1:51678/": true, "127.0.0.1:51678": false, "ftp://x": false, "http://": false} {
		if err := (ecs.Config{Introspection: url}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}
