package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// A Gateway stands between one worker and the endpoints. It knows the steps of a
// flush by the calls the worker makes, and can let one of them hang: before the
// endpoints see it, or when they have done it and before the worker learns of it.
type Gateway struct {
	Addr string // host:port that the worker takes for the endpoints

	endpoints string
	server    *http.Server
	client    *http.Client
	served    chan struct{}

	mu    sync.Mutex
	calls []string // those that are steps, in their order
	trap  *Trap
}

// A Trap is a call that is to hang. From that moment on all others of the worker hang
// too, before the endpoints see them: what a test sees and does next meets no other
// state than that.
type Trap struct {
	Sprung chan struct{} // closed when the call hangs

	from  string                 // the step at which counting begins
	due   func(step string) bool // asked for each step from then on
	after bool                   // the call is done, and its answer hangs
	armed bool                   // counting has begun
	shut  bool                   // the call has come
	open  chan struct{}
	calls sync.WaitGroup // that were let go and are done
}

// NewGateway starts a gateway to the endpoints at an address.
func NewGateway(endpoints string) (*Gateway, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		Addr: ln.Addr().String(), endpoints: endpoints, served: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}},
	}
	g.server = &http.Server{Handler: g}
	go func() {
		defer close(g.served)
		_ = g.server.Serve(ln) // ends with Close
	}()
	return g, nil
}

// Close cuts all connections. Calls that hang are not done any more.
func (g *Gateway) Close() {
	_ = g.server.Close()
	<-g.served
	g.client.CloseIdleConnections()
}

// Set lays a trap for a step by its place, counted from the next step of the name of
// from, which is 0.
func (g *Gateway) Set(from string, place int, after bool) *Trap {
	return g.set(from, after, func(string) bool {
		place--
		return place < 0
	})
}

// SetBefore lays a trap before the nth step of a name, from 1, in the next flush or
// in those that follow it.
func (g *Gateway) SetBefore(name string, nth int) *Trap {
	return g.set(stepPrepare, false, func(step string) bool {
		if step == name {
			nth--
		}
		return nth <= 0
	})
}

func (g *Gateway) set(from string, after bool, due func(string) bool) *Trap {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trap = &Trap{Sprung: make(chan struct{}), from: from, due: due, after: after, open: make(chan struct{})}
	return g.trap
}

// Release lets what hangs go on, and returns when the endpoints have done it.
func (g *Gateway) Release(t *Trap) {
	g.mu.Lock()
	g.trap = nil
	g.mu.Unlock()
	close(t.open)
	t.calls.Wait()
}

// Calls are the steps that the worker has made so far.
func (g *Gateway) Calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// Count is how often the worker has made a step so far.
func (g *Gateway) Count(step string) (n int) {
	for _, call := range g.Calls() {
		if call == step {
			n++
		}
	}
	return n
}

// arrive notes a call and says whether it hangs, and where: the last of the two
// before it is done. A call that hangs is among those that its trap waits for.
func (g *Gateway) arrive(name string) (t *Trap, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t = g.trap
	caught := t != nil && t.shut
	if !background(name) && !caught {
		g.calls = append(g.calls, name)
		if t != nil && (t.armed || name == t.from) {
			t.armed = true
			t.shut = t.due(name)
			first, caught = t.shut, t.shut
		}
	}
	if !caught {
		return nil, false
	}
	t.calls.Add(1)
	return t, first
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the worker has left
	}
	t, first := g.arrive(callName(r, body))
	if t != nil {
		defer t.calls.Done()
	}
	if t != nil && !(first && t.after) && !t.hang(r.Context(), first) {
		return
	}
	answer, err := g.forward(r, body)
	if err != nil {
		panic(http.ErrAbortHandler) // as if the endpoints were away
	}
	if t != nil && first && t.after && !t.hang(r.Context(), first) {
		return
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(answer.body) // the worker may have left
}

// hang waits; false means that the worker has left, and takes the call with it.
func (t *Trap) hang(ctx context.Context, first bool) bool {
	if first {
		close(t.Sprung)
	}
	select {
	case <-t.open:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer is one that has come to its end.
type answer struct {
	*http.Response
	body []byte
}

// forward does the call, to its end, whether or not the worker is still there.
func (g *Gateway) forward(r *http.Request, body []byte) (answer, error) {
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", g.endpoints, ""
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	resp, err := g.client.Do(out)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp, content}, err
}

// Steps that tests speak of. All others have names as well.
const (
	stepPrepare    = "prepare"
	stepRejects    = "put rejects"
	stepObject     = "put object"
	stepReadBack   = "read object"
	stepManifest   = "put manifest"
	stepMap        = "put map"
	stepCheckpoint = "checkpoint"
	stepGap        = "mark gap"
)

// background tells what a worker does beside its flushes, whenever it is time.
func background(name string) bool {
	return strings.HasPrefix(name, "kinesis ") || slices.Contains([]string{"renew", "read lease", "claim", "Scan", "use plan"}, name)
}

// callName says what a call is for, without what differs from flush to flush.
func callName(r *http.Request, body []byte) string {
	service, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case ok && strings.HasPrefix(service, "Kinesis"):
		return "kinesis " + operation
	case ok:
		return tableCall(operation, body)
	}
	verb := map[string]string{http.MethodPut: "put ", http.MethodGet: "read ", http.MethodHead: "look at "}[r.Method]
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, ".parquet"):
		return verb + "object"
	case strings.Contains(path, "/_ranges/"):
		return verb + "manifest"
	case strings.Contains(path, "/rejects/"):
		return verb + "rejects"
	}
	return verb + r.URL.Path
}

// tableCall names a call of DynamoDB.
func tableCall(operation string, body []byte) string {
	var in struct {
		UpdateExpression string
		Item, Key        map[string]struct{ S string }
	}
	// Values of other types than text stay empty; nobody asks for them.
	_ = json.Unmarshal(body, &in)
	kind, _, _ := strings.Cut(in.Item["Key"].S+in.Key["Key"].S, "/") // of a state item
	set, remove, _ := strings.Cut(in.UpdateExpression, "REMOVE")
	sets, removes := func(a string) bool { return strings.Contains(set, "#"+a+" =") }, func(a string) bool { return strings.Contains(remove, "#"+a) }
	switch {
	case operation == "UpdateItem" && kind == "plan":
		return "use plan"
	case operation == "UpdateItem" && sets("Pending"):
		return stepPrepare
	case operation == "UpdateItem" && sets("Checkpoint"):
		return stepCheckpoint
	case operation == "UpdateItem" && sets("Gap"):
		return stepGap
	case operation == "UpdateItem" && sets("AssignedTo"):
		return "acquire"
	case operation == "UpdateItem" && removes("AssignedTo"):
		return "release"
	case operation == "UpdateItem" && sets("ClaimRequest"):
		return "claim"
	case operation == "UpdateItem" && sets("Counter"):
		return "renew"
	case operation == "PutItem" && kind != "":
		return "put " + kind
	case operation == "GetItem" && kind != "":
		return "read " + kind
	case operation == "GetItem":
		return "read lease" // what came of a write that was not answered in time
	case operation == "DeleteItem" && kind != "":
		return "sweep " + kind
	}
	return operation
}
