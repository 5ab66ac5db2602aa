package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// MaxBody is the largest request body, in bytes, of a call that a rule hits. It is read as a whole, so that a client that leaves
// cannot leave half a request behind; a larger one is answered with 413 and not done.
const MaxBody = 512 << 20

// Handler puts the rules for whole calls in front of next. operationOf names a request's operation from its line and headers;
// it must not read the body. throttle writes the service's throttling error. A call that no rule hits goes to next untouched.
//
// DelayCommit and LoseResponse run next with a context that does not end with the client, and always to its end.
func (s *Set) Handler(service string, operationOf func(*http.Request) string, throttle func(http.ResponseWriter), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, hurry := s.enter(service, operationOf(r))
		if f.Action == "" {
			next.ServeHTTP(w, r)
			return
		}
		defer s.leave()
		// Also before an error: a server that answers while the client still writes makes the client see a broken pipe instead.
		if !holdBody(w, r) {
			return
		}
		switch f.Action {
		case Throttle:
			throttle(w)
		case Error:
			writeError(w, r, service, f.Status)
		case Delay:
			if wait(r.Context(), f.Delay, hurry) {
				next.ServeHTTP(w, r)
			}
		case DelayCommit:
			ctx := context.WithoutCancel(r.Context())
			wait(ctx, f.Delay, hurry)
			// Writing to a client that has left fails inside w and harms nobody.
			next.ServeHTTP(w, r.WithContext(ctx))
		case LoseResponse:
			next.ServeHTTP(lostResponse{}, r.WithContext(context.WithoutCancel(r.Context())))
			panic(http.ErrAbortHandler)
		}
	})
}

// Drain ends every wait at once, so that delayed calls happen now, and returns when no hit call is under way any more, or with
// ctx's error. The set stays usable. An endpoint drains before it closes its stores: nothing may commit into a closed store.
func (s *Set) Drain(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if s.hurry != nil {
		close(s.hurry)
		s.hurry = nil
	}
	s.mu.Unlock()
	return s.Wait(ctx)
}

// Wait waits for the calls under way that met a rule, without hurrying them.
func (s *Set) Wait(ctx context.Context) error {
	s.mu.Lock()
	if s.inFlight == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for delayed calls: %w", ctx.Err())
	}
}

// enter is Next, and counts a call that is hit as under way in the same step: once a hit can be seen, Drain knows of its call.
func (s *Set) enter(service, operation string) (f Fault, hurry <-chan struct{}) {
	if s == nil {
		return Fault{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.count(service, operation, Rule.befallsCall)
	if f.Action == "" {
		return f, nil
	}
	if s.hurry == nil {
		s.hurry = make(chan struct{})
	}
	s.inFlight++
	return f, s.hurry
}

func (s *Set) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if s.inFlight == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// wait reports whether ctx was still alive after d or after being hurried.
func wait(ctx context.Context, d time.Duration, hurry <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// holdBody reads the whole body into memory. False: it could not, and the answer is written as far as anyone listens.
func holdBody(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return false
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("read request body: %v", err), http.StatusBadRequest)
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// writeError answers 500, or status, in the dialect of the service: Treasure Data's envelope, JSON where the call is named by
// X-Amz-Target, XML otherwise.
func writeError(w http.ResponseWriter, r *http.Request, service string, status int) {
	const message = "injected by a fault rule"
	if service == treasureData {
		if status == 0 {
			status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"message":%q,"text":%q,"severity":"error","status_code":%d}`, message, message, message, status)
		return
	}
	if r.Header.Get("X-Amz-Target") != "" {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("X-Amzn-Errortype", "InternalFailure")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"__type":"InternalFailure","message":%q}`, message)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>%s</Message></Error>`, message)
}

// lostResponse takes an answer that nobody will see.
type lostResponse struct{}

func (lostResponse) Header() http.Header         { return http.Header{} }
func (lostResponse) Write(p []byte) (int, error) { return len(p), nil }
func (lostResponse) WriteHeader(int)             {}
