package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/cmd/internal/app"
)

const sampleRules = `
forward:
  hash_secret: 0123456789abcdef
  rules:
  - {name: errors, action: keep, levels: [">=ERROR"]}
  - {name: health, action: drop, fields: [{path: url.path, glob: ["/health*"]}]}
  - {name: debug, action: sample, rate: 0, levels: ["<=DEBUG"]}
  - {name: stacks, action: truncate, paths: [stack_trace], max_bytes: 16B}
  - {name: personal, action: mask, kinds: [audit], paths: [request_body.email, "**.password"]}
  - {name: cards, action: mask, presets: [card], with: last}
realtime:
  filter:
    rules:
    - {name: noinfo, action: exclude, levels: [INFO]}
`

const sampleLines = `{"level":"INFO","message":"paid by 4111 1111 1111 1111"}
{"level":"ERROR","url":{"path":"/healthz"},"@timestamp":"2026-11-22T15:00:00+09:00"}
{"url":{"path":"/healthz"}}
{"level":"debug"}
{"marker":"AUDIT","request_body":"{\"email\":\"a@b.com\",\"n\":1}","x":[{"password":1}]}
{"level":"WARN","stack_trace":"at com.example.Shop.buy(Shop.java:1)\nat com.example.Shop.main(Shop.java:2)"}
plain text
{"password":"x
`

func sampleFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tributary.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigTestShowsWhatRulesDo(t *testing.T) {
	const want = `1  app  shop  INFO  2026-11-22T15:04:05Z  masked by "cards" (19 bytes); not to CloudWatch Logs by "noinfo"
   {"level":"INFO","message":"paid by ***1111"}
2  app  shop  ERROR  2026-11-22T06:00:00Z  kept by "errors"
   {"level":"ERROR","url":{"path":"/healthz"},"@timestamp":"2026-11-22T15:00:00+09:00"}
3  app  shop  NONE  2026-11-22T15:04:05Z  dropped by "health"
4  app  shop  DEBUG  2026-11-22T15:04:05Z  dropped by "debug"
5  audit  shop  NONE  2026-11-22T15:04:05Z  masked by "personal" (10 bytes)
   {"marker":"AUDIT","request_body":"{\"email\":\"***\",\"n\":1}","x":[{"password":"***"}]}
6  app  shop  WARN  2026-11-22T15:04:05Z  truncated by "stacks" (58 bytes)
   {"level":"WARN","stack_trace":"at com.example.S[... 58 bytes cut]"}
7  raw  shop  NONE  2026-11-22T15:04:05Z  as it is
   plain text
8  raw  shop  NONE  2026-11-22T15:04:05Z  unparsed by "personal" (14 bytes)
   ***

8 lines: 2 dropped, 4 changed, 5 to CloudWatch Logs
404 bytes, 296 go on: 26.7 % saved

rule      action    events  bytes
errors    keep      1       0
health    drop      1       27
debug     sample    1       17
stacks    truncate  1       58
personal  mask      2       24
cards     mask      1       19
`
	out, said, err := executeOn(t.Context(), strings.NewReader(sampleLines), "config", "test", sampleFile(t, sampleRules), "--service", "shop", "--time", "2026-11-22T15:04:05Z")
	if err != nil || said != "" {
		t.Fatal(err, said)
	}
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestConfigTestPrintsJSONLines(t *testing.T) {
	const want = `{"line":1,"kind":"audit","service":"unknown","level":"INFO","time":"2026-11-22T15:04:05Z","forward":{"sent":true,` +
		`"changes":[{"rule":"cards","what":"masked","values":1,"bytes":19}],"result":"{\"level\":\"INFO\",\"message\":\"<***1111>\"}"},"realtime":{"sent":false,"rule":"noinfo"}}
{"line":2,"kind":"audit","service":"unknown","level":"DEBUG","time":"2026-11-22T15:04:05Z","forward":{"sent":false,"rule":"debug"}}
{"summary":{"lines":2,"dropped":1,"changed":1,"bytes":67,"result_bytes":38,"realtime_lines":0,"rules":[` +
		`{"rule":"errors","action":"keep","events":0,"bytes":0},{"rule":"health","action":"drop","events":0,"bytes":0},{"rule":"debug","action":"sample","events":1,"bytes":17},` +
		`{"rule":"stacks","action":"truncate","events":0,"bytes":0},{"rule":"personal","action":"mask","events":0,"bytes":0},{"rule":"cards","action":"mask","events":1,"bytes":19}]}}
`
	in := strings.NewReader(`{"level":"INFO","message":"<4111-1111-1111-1111>"}` + "\n" + `{"level":"DEBUG"}`)
	out, _, err := executeOn(t.Context(), in, "config", "test", sampleFile(t, sampleRules), "--kind", "audit", "--json", "--time", "2026-11-22T15:04:05Z")
	if err != nil {
		t.Fatal(err)
	}
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestConfigTestWithoutRulesSaysSo(t *testing.T) {
	out, _, err := executeOn(t.Context(), strings.NewReader("{}\n"), "config", "test", sampleFile(t, ""))
	if err != nil || !strings.HasSuffix(out, "1 line: 0 dropped, 0 changed\n2 bytes, 2 go on: 0.0 % saved\n\nforward.rules has no rules\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestConfigTestEndsWithTwoWhenItIsCalledWrongly(t *testing.T) {
	good := sampleFile(t, sampleRules)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"without a file":           {nil, "takes one configuration file"},
		"with a file not there":    {[]string{good + "x"}, "no such file"},
		"with an unknown key":      {[]string{sampleFile(t, "forward: {rule: []}")}, `unknown key "forward.rule", did you mean "forward.rules"`},
		"with an unknown rule key": {[]string{sampleFile(t, "forward: {rules: [{action: mask, path: a}]}")}, "invalid keys: path"},
		"with rules that are bad":  {[]string{sampleFile(t, "forward: {rules: [{action: mask, paths: [a], with: hash}]}")}, "forward.rules[0].with: hash needs hash_secret"},
		"with two secrets":         {[]string{sampleFile(t, "forward: {hash_secret: 0123456789abcdef, hash_secret_file: x}")}, "leave one of them out"},
		"with a secret not there":  {[]string{sampleFile(t, "forward: {hash_secret_file: /nowhere}")}, "forward.hash_secret_file: open /nowhere"},
		"with another kind":        {[]string{good, "--kind", "audits"}, `--kind is "audits", want app, audit or raw`},
		"with no time":             {[]string{good, "--time", "noon"}, `--time is "noon"`},
		"with two files":           {[]string{good, "--config", good}, "--config is not for this command"},
		"with a line too long":     {[]string{good, "--set", "forward.max_line_bytes=64KiB"}, "line 2 is longer than forward.max_line_bytes (65536)"},
	} {
		t.Run(name, func(t *testing.T) {
			in := strings.NewReader("{}\n" + strings.Repeat("x", 70<<10) + "\n")
			_, _, err := executeOn(t.Context(), in, append([]string{"config", "test"}, c.args...)...)
			if err == nil || app.Code(err) != 2 || !strings.Contains(app.OneLine(err), c.want) {
				t.Errorf("exit %d: %v, want %s", app.Code(err), err, c.want)
			}
		})
	}
}
