package main

import (
	"slices"
	"strings"
	"testing"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/config"
)

func TestAShellCompletes(t *testing.T) {
	const (
		files       = ":0"
		noFiles     = ":4"
		noSpace     = ":6" // and no files
		ofExtension = ":8"
		directories = ":16"
	)
	for name, c := range map[string]struct {
		typed string // words; the last one is being typed
		want  []string
		how   string
	}{
		"commands":                {"", []string{"backfill", "completion", "config", "consume", "cost", "forward", "groups", "help", "lake", "local", "logs", "pipe", "rejects", "replay", "spool", "version"}, noFiles},
		"a group to replay":       {"replay t", []string{"treasuredata"}, noFiles},
		"a time to replay to":     {"replay lake --to ", nil, noFiles},
		"commands below commands": {"consume l", []string{"lake"}, noFiles},
		"flags":                   {"pipe --t", []string{"--tag", "--tee", "--timeout"}, noFiles},
		"no arguments":            {"pipe ", nil, noFiles},
		"what to check for":       {"config check --for ", []string{"forward", "lake", "local"}, noFiles},
		"where to reset to":       {"groups reset lake --to ", []string{"trim-horizon", "latest"}, noFiles},
		"engines":                 {"lake ddl --engine ", []string{"athena", "duckdb", "glue", "spark", "trino"}, noFiles},
		"log levels":              {"local --log-level ", []string{"debug", "info", "warn", "error"}, noFiles},
		"log formats":             {"forward --log-format=", []string{"auto", "text", "json"}, noFiles},
		"keys":                    {"forward --set forward.server.l", []string{"forward.server.listen="}, noSpace},
		"no value of a key":       {"forward --set forward.server.listen=t", nil, noSpace},
		"configuration files":     {"consume lake --config ", []string{"yaml", "yml"}, ofExtension},
		"the same by the short":   {"consume lake -c ", []string{"yaml", "yml"}, ofExtension},
		"directories":             {"local --dir ", nil, directories},
		"no files for a name":     {"pipe --service ", nil, noFiles},
		"no files for a filter":   {"logs --filter ", nil, noFiles},
		"files of a secret":       {"pipe --shared-key-file ", nil, files},
		"shells":                  {"completion ", []string{"bash", "zsh", "fish", "powershell"}, noFiles},
		"schemes of an address":   {"pipe --address ", []string{"tcp://127.0.0.1:24224", "tls://", "unix:///"}, noFiles},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := execute(t, append([]string{"__completeNoDesc"}, strings.Split(c.typed, " ")...)...)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(out, "\n")
			i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, ":") })
			if i < 0 || !slices.Equal(lines[:i], c.want) || lines[i] != c.how {
				t.Fatalf("%q, want %q and %s (files would be %s)", lines, c.want, c.how, files)
			}
		})
	}
}

func TestAShellCompletesEveryKey(t *testing.T) {
	out, err := execute(t, "__completeNoDesc", "local", "--set", "")
	if err != nil {
		t.Fatal(err)
	}
	keys := config.Keys(app.Defaults())
	if len(keys) < 100 {
		t.Fatalf("only %d keys", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains("\n"+out, "\n"+key+"=\n") {
			t.Errorf("%s is not completed", key)
		}
	}
}

func TestEachShellHasAScript(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, err := execute(t, "completion", shell); err != nil || !strings.Contains(out, "__complete") {
			t.Errorf("%s: %v, %d bytes", shell, err, len(out))
		}
	}
}
