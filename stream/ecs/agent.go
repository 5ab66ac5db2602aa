package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where the agent is.
type Config struct {
	// Introspection is the agent's endpoint, http://127.0.0.1:51678 on an instance;
	// empty: it is not asked.
	Introspection string `koanf:"introspection" json:"introspection"`
}

// Validate asks for a URL, or nothing.
func (c Config) Validate() error {
	if c.Introspection == "" {
		return nil
	}
	u, err := url.Parse(c.Introspection)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("ecs.introspection: %q must be a URL such as http://127.0.0.1:51678", c.Introspection)
	}
	return nil
}

const (
	// maxContainers bounds what is remembered; an instance runs some hundred.
	maxContainers = 4096
	// maxWaiting bounds the questions not asked yet. What does not fit is asked at one
	// of the container's next lines.
	maxWaiting = 256
	// maxAnswer bounds an answer; that of a task of ten containers has some 4 KiB.
	maxAnswer   = 1 << 20
	callTimeout = 2 * time.Second
	// A container's place never changes, but its id may be asked for before the agent
	// has taken it over.
	keepKnown   = time.Hour
	keepUnknown = 30 * time.Second
	// pause is waited after a call that failed: the agent is restarting, or absent.
	pause = 5 * time.Second
)

// Agent asks the ECS agent of the instance. Task is for any goroutine; Run must be
// running.
type Agent struct {
	base   string
	client *http.Client
	log    *slog.Logger
	calls  *prometheus.CounterVec
	queue  chan string

	mu    sync.Mutex
	known map[string]*container
}

// container is what is known of one.
type container struct {
	task  *Task
	until time.Time // it is asked again afterwards
	asked bool      // a question is on its way
}

// New makes no call.
func New(cfg Config, reg prometheus.Registerer, log *slog.Logger) *Agent {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_ecs_agent_calls_total", Help: "Calls of the ECS agent's introspection endpoint, by result.",
	}, []string{"result"})
	reg.MustRegister(calls)
	return &Agent{
		base: strings.TrimSuffix(cfg.Introspection, "/"), client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConns: 1}},
		log: log, calls: calls, queue: make(chan string, maxWaiting), known: make(map[string]*container),
	}
}

// Task is what is known now of the container, nil if nothing is; the same pointer until
// something else is known. It never waits.
func (a *Agent) Task(id string) *Task {
	if !isContainerID(id) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.known[id]
	if c == nil {
		a.makeRoom()
		c = &container{}
		a.known[id] = c
	}
	if !c.asked && time.Now().After(c.until) {
		select {
		case a.queue <- id:
			c.asked = true
		default:
		}
	}
	return c.task
}

// makeRoom forgets, first what the agent does not know. a.mu is held.
func (a *Agent) makeRoom() {
	if len(a.known) < maxContainers {
		return
	}
	maps.DeleteFunc(a.known, func(_ string, c *container) bool { return c.task == nil })
	if len(a.known) > maxContainers/2 {
		clear(a.known)
	}
}

// isContainerID holds for Docker's ids: nothing else is asked for.
func isContainerID(id string) bool {
	return len(id) >= 12 && len(id) <= 64 && strings.Trim(id, "0123456789abcdef") == ""
}

// Run asks until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	defer a.client.CloseIdleConnections()
	failing := false
	for {
		var id string
		select {
		case <-ctx.Done():
			return nil
		case id = <-a.queue:
		}
		task, err := a.ask(ctx, id)
		if ctx.Err() != nil {
			return nil
		}
		a.learn(id, task, err)
		if err == nil {
			failing = false
			continue
		}
		if !failing {
			a.log.Warn("ECS agent not asked, lines go without its metadata", "err", err)
		}
		failing = true
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// learn takes an answer. What was known stays when there is none.
func (a *Agent) learn(id string, task *Task, err error) {
	result, keep := "known", keepKnown
	switch {
	case err != nil:
		result, keep = "failed", keepUnknown
	case task == nil:
		result, keep = "unknown", keepUnknown
	}
	a.calls.WithLabelValues(result).Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.known[id]
	if c == nil {
		return // forgotten meanwhile
	}
	c.asked, c.until = false, time.Now().Add(keep)
	if task != nil && (c.task == nil || *c.task != *task) {
		c.task = task
	}
}

// ask returns nil when the agent does not know the container.
func (a *Agent) ask(ctx context.Context, id string) (*Task, error) {
	var said struct {
		Arn, Family, Version string
		Containers           []struct{ DockerId, Name string }
	}
	switch found, err := a.get(ctx, "/v1/tasks?dockerid="+id, &said); {
	case err != nil:
		return nil, err
	case !found || said.Arn == "":
		return nil, nil
	}
	t := &Task{ARN: said.Arn, Family: said.Family, Revision: said.Version}
	for _, c := range said.Containers {
		if strings.HasPrefix(c.DockerId, id) {
			t.Container = c.Name
		}
	}
	// arn:aws:ecs:region:account:task/cluster/id; an older one names no cluster.
	parts := strings.Split(said.Arn, "/")
	t.ID = parts[len(parts)-1]
	if len(parts) == 3 {
		t.Cluster = parts[1]
		return t, nil
	}
	var instance struct{ Cluster string }
	if _, err := a.get(ctx, "/v1/metadata", &instance); err != nil {
		return nil, err
	}
	t.Cluster = instance.Cluster[strings.LastIndexByte(instance.Cluster, '/')+1:] // a name, or an ARN
	return t, nil
}

// get reports whether there is what path names.
func (a *Agent) get(ctx context.Context, path string, into any) (found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return false, fmt.Errorf("ask the ECS agent: %w", err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask the ECS agent: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusBadRequest: // it knows no such container, or several
		return false, nil
	default:
		return false, fmt.Errorf("ask the ECS agent: it answers %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too large")
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return false, fmt.Errorf("read the ECS agent's answer: %w", err)
	}
	return true, nil
}
