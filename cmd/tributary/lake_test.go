package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tributary/cmd/internal/app"
	"tributary/deploy/local/fault"
	"tributary/sinks/lake"
	"tributary/stream"
)

// command runs any command over the account, ended by ctx.
func (a account) command(ctx context.Context, args ...string) (string, error) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(a.args(args...))
	err := app.Explain(root.ExecuteContext(ctx))
	return out.String(), err
}

// verify runs "lake verify", which has to end with code.
func (a account) verify(code int, args ...string) (string, error) {
	a.t.Helper()
	out, err := a.command(a.t.Context(), append([]string{"lake", "verify", "--bucket", "bucket"}, args...)...)
	if app.Code(err) != code {
		a.t.Errorf("%v: exit %d, want %d: %v\n%s", args, app.Code(err), code, err, out)
	}
	return out, err
}

// lakeFiles are the files of the lake that fit a pattern.
func (a account) lakeFiles(pattern string) []string {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(a.server.Config.Dir, "s3", "bucket", "lake", pattern))
	if err != nil || len(files) == 0 {
		a.t.Fatalf("%v: %v", pattern, err)
	}
	return files
}

func TestLakeVerifyTellsByItsExitCodeWhetherTheLakeIsWhole(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	if out, err := a.verify(2); !strings.Contains(err.Error(), "no range was ever finished") || out != "" {
		t.Errorf("of an empty lake: %v\n%s", err, out)
	}
	a.put(`{"n":1}`, "neither JSON nor anything else")
	a.until(map[string]int{`{"n":1}`: 1})
	a.put(`{"n":2}`)
	a.until(map[string]int{`{"n":2}`: 1})

	out, _ := a.verify(0, "--hash")
	for _, want := range []string{"lake s3://bucket/lake\n", "shardId-000000000000  0    ", "Whole, objects hashes compared: ", " 2 rows.", "1 reject in these ranges"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if out, _ := a.verify(0, "--since", "0s"); !strings.Contains(out, "No range was finished since then: 0 ranges") {
		t.Error(out)
	}
	var proof lake.Proof
	out, _ = a.verify(0, "--json", "--since", "1h")
	if err := json.Unmarshal([]byte(out), &proof); err != nil || !proof.Proven || len(proof.Chains) != 1 || proof.Chains[0].Rows != 2 || proof.Chains[0].Rejects != 1 {
		t.Errorf("%v: %s", err, out)
	}

	object := a.lakeFiles("kind=app/*/*/*.parquet")[0]
	if err := os.Remove(object); err != nil {
		t.Fatal(err)
	}
	out, err := a.verify(1)
	if err.Error() != "the lake is not whole: 1 fault" || !strings.Contains(out, "NOT WHOLE") || !strings.Contains(out, "missing in shardId-000000000000, generation 0: it is not there (rows: 1)\n    s3://bucket/lake/kind=app/") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _ = a.verify(1, "--json")
	if err := json.Unmarshal([]byte(out), &proof); err != nil || proof.Proven || !proof.Complete || len(proof.Faults) != 1 || proof.Faults[0].Kind != lake.FaultMissing {
		t.Errorf("%v: %s", err, out)
	}
	if err := os.Remove(a.lakeFiles("_ranges/*/*.json")[0]); err != nil {
		t.Fatal(err)
	}
	if out, _ := a.verify(1); !strings.Contains(out, "\ngap in shardId-000000000000") {
		t.Error(out)
	}
}

func TestLakeVerifyEndsWithTwoWhenItCannotLook(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(`{"n":1}`)
	a.until(map[string]int{`{"n":1}`: 1})
	for name, c := range map[string]struct {
		args string
		want string
	}{
		"another bucket":     {"--bucket elsewhere", "NoSuchBucket"},
		"no time":            {"--since yesterday", `--since is "yesterday"`},
		"a time to come":     {"--since 2062-11-22", "lies in the future"},
		"a prefix with none": {"--set lake.prefix=laek", "no range was ever finished"},
		"no bucket at all":   {"--bucket=", "lake.bucket is not set"},
		"an argument":        {"now", `takes no argument "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := a.verify(2, strings.Fields(c.args)...); !strings.Contains(app.OneLine(err), c.want) {
				t.Error(err)
			}
		})
	}
	t.Run("an interrupt", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if out, err := a.command(ctx, "lake", "verify", "--bucket", "bucket"); app.Code(err) != 2 || strings.Contains(out, "Whole") {
			t.Errorf("exit %d: %v\n%s", app.Code(err), err, out)
		}
	})
	t.Run("a manifest of a later version", func(t *testing.T) {
		file := a.lakeFiles("_ranges/*/*.json")[0]
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, bytes.Replace(text, []byte(`"format": `), []byte(`"format": 9`), 1), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.verify(2); !strings.Contains(err.Error(), "use a newer one") {
			t.Error(err)
		}
	})
	t.Run("no right to read", func(t *testing.T) {
		if err := a.server.Faults.Replace([]fault.Rule{{Service: "s3", Operation: "GetObject", Action: fault.LoseResponse}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.command(ctx, "lake", "verify", "--bucket", "bucket"); app.Code(err) != 2 {
			t.Errorf("exit %d: %v", app.Code(err), err)
		}
	})
}

// The widest names and numbers that may come. The keys of objects are not broken.
func TestAProofFits120Columns(t *testing.T) {
	long := strings.Repeat("w", 200)
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	chain := lake.Chain{Shard: "shardId-000000000000", Generation: 12, Ranges: 105_120, Objects: 1_234_567, Rows: 123_456_789_012, Faults: 12, Open: 123, ArrivalFirst: at, ArrivalLast: at, OpenSince: at}
	p := lake.Proof{Bucket: "b", Prefix: "p", Since: at, Chains: []lake.Chain{chain}, FaultCount: 1002, Faults: []lake.ProofFault{{
		Kind: lake.FaultGap, Shard: chain.Shard, Key: long, Text: "the records after " + strings.Repeat("4", 56) + ", up to " + strings.Repeat("4", 56) + ", are in no range",
	}, {Kind: lake.FaultForeign, Key: long, Text: long}}}
	p.Chains = append(p.Chains, lake.Chain{Shard: stream.ShardID(long)})
	var out bytes.Buffer
	if err := printProof(&out, &p); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns && !strings.HasPrefix(line, "    s3://") {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if !strings.Contains(out.String(), "and 1,000 more\n") {
		t.Error(out.String())
	}
}
