package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/cluster"
)

// TestPipedLinesBecomeRowsOnceThoughTheForwarderIsKilled kills the process that
// takes the lines while they come, and counts its rows.
func TestPipedLinesBecomeRowsOnceThoughTheForwarderIsKilled(t *testing.T) {
	t.Parallel()
	binary, err := cluster.Built()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	node, err := c.Local("--set", "lake.group.policy.max_age=1s",
		"--set", "lake.group.lease_duration=2s", "--set", "lake.group.attempt_timeout=400ms") // the next life need not wait
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Kill)
	if err := node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	const lines, kills = 60_000, 3
	line := func(i int) string {
		if i%1000 == 7 {
			return fmt.Sprint(i, " ", strings.Repeat("long ", 8<<10)) // in pieces
		}
		return fmt.Sprint(i, " a line of the ordinary kind")
	}
	in, out := io.Pipe()
	go func() {
		defer out.Close()
		back := make(chan error, 1)
		back <- nil
		for i := range lines {
			if i%(lines/(kills+1)) == lines/(kills+1)-1 && i < lines-1 {
				if err := <-back; err != nil {
					t.Error(err)
				}
				node.Kill()
				go func() { back <- startWhenMissed(t.Context(), node) }()
			}
			if _, err := io.WriteString(out, line(i)+"\n"); err != nil {
				return
			}
		}
		if err := <-back; err != nil {
			t.Error(err)
		}
	}()
	_, said, err := executeOn(t.Context(), in, "pipe", "--service", "condor", "--address", "tcp://"+node.Forward)
	if err != nil || !strings.HasSuffix(said, "tributary: 60,000 lines, all acked\n") {
		t.Fatalf("%v, said %s\n%s", err, said, node.Output())
	}
	if !strings.Contains(said, "trying again") {
		t.Fatalf("no kill met lines under way: %s", said)
	}
	if err := node.Interrupt(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, node.Output())
	}
	rows := rowsByLine(t, c.LakeDir())
	for i := range lines {
		if paths := rows[line(i)]; len(paths) != 1 {
			t.Fatalf("line %d is %d rows", i, len(paths))
		}
	}
	if len(rows) != lines {
		t.Fatalf("%d different rows for %d lines", len(rows), lines)
	}
}

// startWhenMissed starts a killed node again once a client with lines for it has
// tried to reach it.
func startWhenMissed(ctx context.Context, node *cluster.Node) error {
	l, err := net.Listen("tcp", node.Forward)
	if err != nil {
		return err
	}
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
	conn, err := l.Accept()
	if err != nil {
		return errors.Join(fmt.Errorf("wait for a client with lines: %w", err), l.Close())
	}
	if err := errors.Join(conn.Close(), l.Close()); err != nil {
		return err
	}
	return node.Start(ctx)
}
