package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"golang.org/x/sys/unix"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
)

// TestMain gives all tests the credentials that the embedded services take: tests
// that run side by side cannot set them.
func TestMain(m *testing.M) {
	flag.Parse()
	// They wait, for leases, flushes and other processes, more than they compute.
	err := errors.Join(flag.Set("test.parallel", "4"), os.Setenv("AWS_ACCESS_KEY_ID", "local"), os.Setenv("AWS_SECRET_ACCESS_KEY", "local"))
	if err != nil {
		panic(err)
	}
	code := m.Run()
	cluster.RemoveBuilt()
	os.Exit(code)
}

func TestEveryCommandIsWired(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for name, opts := range map[string]fx.Option{"forward": forwardOptions(nil), "consume lake": lakeOptions(), "local": localOptions(nil)} {
		if err := fx.ValidateApp(app.Base(app.LocalDefaults(), log), opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// execute runs the command line as main does.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := app.Explain(root.ExecuteContext(ctx))
	return out.String(), err
}

func TestWrongConfigurationEndsInOneLineThatSaysWhatToChange(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("lake:\n  buket: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := filepath.Join(dir, "used")
	if err := os.MkdirAll(used, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(used, "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	local := func(more ...string) []string {
		return append([]string{"local", "--log-level", "error", "--dir", filepath.Join(dir, "data"), "--listen", "tcp://127.0.0.1:0",
			"--set", "local.listen=127.0.0.1:" + freePort(t), "--set", "admin.listen=127.0.0.1:0"}, more...)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an unknown key":            {[]string{"config", "check", "--config", file}, `unknown key "lake.buket", did you mean "lake.bucket"`},
		"an unknown key by --set":   {[]string{"config", "check", "--set", "lake.buket=x"}, `did you mean "lake.bucket"`},
		"a bad size":                {[]string{"config", "check", "--set", "forward.spool.max_bytes=10XB"}, `"10XB" is not a size, write for example 64MiB`},
		"a bad duration":            {[]string{"config", "check", "--set", "forward.linger=soon"}, "forward.linger"},
		"a size out of range":       {[]string{"config", "check", "--set", "forward.record_bytes=1GiB"}, "forward.record_bytes is"},
		"no bucket named":           {[]string{"consume", "lake"}, "lake.bucket is not set"},
		"a port that is taken":      {local("--listen", "tcp://"+taken.Addr().String()), taken.Addr().String() + " is in use by another process"},
		"an endpoint port taken":    {local("--set", "local.listen="+taken.Addr().String()), taken.Addr().String() + " is in use by another process"},
		"a metrics port taken":      {local("--set", "admin.listen="+taken.Addr().String()), taken.Addr().String() + " is in use by another process"},
		"a data directory in use":   {local("--dir", used), "is in use by another process: stop that one, or set local.dir"},
		"a file that is not there":  {[]string{"forward", "--config", filepath.Join(dir, "none.yaml")}, "no such file"},
		"an unknown flag":           {[]string{"local", "--drectory", "x"}, "unknown flag: --drectory"},
		"an unknown command":        {[]string{"consume", "lakes"}, `knows no command "lakes", only lake`},
		"an argument nobody wants":  {[]string{"forward", "now"}, `takes no argument "now"`},
		"a rate of nothing":         {local("--rate", "5"), "--rate is that of --demo: add --demo"},
		"a demo without forwarder":  {local("--demo", "--endpoints-only"), "leave one of them out"},
		"a demo that is too slow":   {local("--demo", "--rate", "0"), "local.demo.rate is 0, want 0.01 to"},
		"a log level nobody knows":  {local("--log-level", "loud"), "log.level"},
		"rules that cannot be used": {[]string{"config", "check", "--set", "rules.time_zone=Mars/Phobos"}, "rules.time_zone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := execute(t, c.args...)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := app.OneLine(err); !strings.Contains(got, c.want) || strings.Contains(got, "\n") || app.Code(err) != 2 {
				t.Fatalf("exit %d: %s\nwant %q", app.Code(err), got, c.want)
			}
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestConfigCheckPrintsWhatIsInForce(t *testing.T) {
	out, err := execute(t, "config", "check", "--for", "local", "--set", "lake.group.policy.max_age=77s", "--set", "local.shards=3")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"max_age: 1m17s", "shards: 3", "max_bytes: 8GiB", "bucket: tributary"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestVersion(t *testing.T) {
	if out, err := execute(t, "version"); err != nil || !strings.HasPrefix(out, "tributary ") {
		t.Fatalf("%q %v", out, err)
	}
}
