package contract_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go"
)

// A check is to a case what testing.T is to a test, except that what it finds does not fail the test by itself: it may be expected.
type check struct {
	ctx context.Context

	mu       sync.Mutex
	faults   []string
	cleanups []func(context.Context)
}

// cleanupPatience bounds what a case undoes at its end, when its own time may be over.
const cleanupPatience = 2 * time.Minute

// A check is the one place where a context is kept: it stands for the test's, and lives as long as one call of run.
func newCheck(ctx context.Context, patience time.Duration) *check {
	c := &check{}
	ctx, cancel := context.WithTimeout(ctx, patience)
	c.ctx = ctx
	c.Cleanup(func(context.Context) { cancel() })
	return c
}

// run gives what prove found. A panic is a finding: a server that leaves out a field makes one.
func (c *check) run(prove func(*check)) []string {
	done := make(chan struct{})
	go func() { // so that Fatalf can end it
		defer close(done)
		defer c.cleanUp()
		defer func() {
			if p := recover(); p != nil {
				c.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		prove(c)
	}()
	<-done
	return c.faults
}

func (c *check) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupPatience)
	defer cancel()
	for _, f := range slices.Backward(c.cleanups) {
		f(ctx)
	}
}

// Context ends with the case's time.
func (c *check) Context() context.Context { return c.ctx }

// Cleanup has f called when the case has ended, the last one first, with a context of its own.
func (c *check) Cleanup(f func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanups = append(c.cleanups, f)
}

// Errorf notes a fault and goes on.
func (c *check) Errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// Fatalf notes a fault and ends the case. Only the case's own goroutine may call it.
func (c *check) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// Must ends the case if err is not nil; what names the action.
func (c *check) Must(what string, err error) {
	if err != nil {
		c.Fatalf("%s: %v", what, err)
	}
}

// Code notes a fault unless err is an answer of the service with one of these error codes. More than one stands where the documentation
// leaves open which.
func (c *check) Code(what string, err error, codes ...string) {
	var api smithy.APIError
	if !errors.As(err, &api) || !slices.Contains(codes, api.ErrorCode()) {
		c.Errorf("%s: got %v, want %s", what, err, strings.Join(codes, " or "))
	}
}

// Equal notes a fault unless got and want read the same.
func (c *check) Equal(what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		c.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// Sleep waits, or ends the case when its time is over.
func (c *check) Sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
		c.Fatalf("the case's time is over")
	}
}

var (
	namePrefix  = fmt.Sprintf("tributary-contract-%08x", rand.Uint32())
	namesIssued atomic.Uint64
)

// Name gives a name that nothing else has, for a stream, a table or a bucket.
func (c *check) Name() string { return fmt.Sprintf("%s-%d", namePrefix, namesIssued.Add(1)) }
