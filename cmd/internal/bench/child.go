package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"tributary/cmd/internal/cluster"
)

// childArgument makes this program one of the processes it measures.
const childArgument = "bench-child"

// children are what it can be: each reads its order and returns what it found.
var children = map[string]func(ctx context.Context, order []byte) (any, error){
	"load": orderly(runLoad),
	"read": orderly(runRead),
	"put":  orderly(runPut),
	"get":  orderly(runGet),

	"judge":  orderly(runJudge),
	"rejoin": orderly(runRejoin),
	"fill":   orderly(runFill),
	"worker": orderly(runWorker),
}

// orderly reads the order of a child.
func orderly[O, F any](run func(context.Context, O) (F, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, text []byte) (any, error) {
		var order O
		if err := json.Unmarshal(text, &order); err != nil {
			return nil, fmt.Errorf("read order: %w", err)
		}
		return run(ctx, order)
	}
}

// foundMark begins the line in which a child says what it found.
const foundMark = "bench-found "

// beChild runs the child that args name: its name and its order in JSON.
func beChild(ctx context.Context, args []string) error {
	if len(args) != 2 || children[args[0]] == nil {
		return fmt.Errorf("no such child: %q", args)
	}
	found, err := children[args[0]](ctx, []byte(args[1]))
	if err != nil {
		return err
	}
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	_, err = fmt.Println(foundMark + string(text))
	return err
}

// newChild describes a child process.
func newChild(name string, order any, env []string) (*cluster.Process, error) {
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &cluster.Process{Name: name, Path: self, Args: []string{childArgument, name, string(text)}, Env: env}, nil
}

// collect waits for a child's end and reads what it found. It kills a child that
// takes too long, or when ctx ends.
func collect[F any](ctx context.Context, p *cluster.Process, within time.Duration) (found F, err error) {
	defer context.AfterFunc(ctx, p.Kill)()
	if err := p.Wait(within); err != nil {
		p.Kill()
		return found, fmt.Errorf("%w\n%s", err, p.Output())
	}
	out := p.Output()
	i := strings.LastIndex(out, foundMark)
	if i < 0 {
		return found, fmt.Errorf("%s says nothing:\n%s", p.Name, out)
	}
	text, _, _ := strings.Cut(out[i+len(foundMark):], "\n")
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return found, fmt.Errorf("read what %s found: %w", p.Name, err)
	}
	return found, nil
}
