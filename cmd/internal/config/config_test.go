package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type sample struct {
	Forward struct {
		Listen []string `koanf:"listen"`
		Spool  struct {
			Dir      string        `koanf:"dir"`
			MaxBytes int64         `koanf:"max_bytes"`
			Window   time.Duration `koanf:"window"`
		} `koanf:"spool"`
	} `koanf:"forward"`
	Lake struct {
		Bucket string `koanf:"bucket"`
		APIKey string `koanf:"api_key"`
		// The names of the Forward server's secrets.
		Passwords     []string `koanf:"passwords"`
		SharedKeyFile string   `koanf:"shared_key_file"`
	} `koanf:"lake"`
	Kinds []struct {
		Field string `koanf:"field"`
	} `koanf:"kinds"`
}

func defaults() *sample {
	var s sample
	s.Forward.Listen = []string{"tcp://127.0.0.1:24224"}
	s.Forward.Spool.MaxBytes = 1 << 30
	s.Forward.Spool.Window = 5 * time.Minute
	return &s
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLaterLayersWin(t *testing.T) {
	c := defaults()
	file := write(t, "forward:\n  listen: [tcp://0.0.0.0:1]\n  spool: {dir: a, max_bytes: 2MiB}\nkinds:\n- field: marker\n")
	env := []string{"TRIBUTARY_FORWARD_SPOOL_DIR=b", "TRIBUTARY_FORWARD_SPOOL_WINDOW=7s", "TRIBUTARY_LAKE_BUCKET=logs", "PATH=/x"}
	if err := Load(c, file, env, map[string]string{"forward.spool.dir": "c"}); err != nil {
		t.Fatal(err)
	}
	if c.Forward.Spool.Dir != "c" || c.Forward.Spool.MaxBytes != 2<<20 || c.Forward.Spool.Window != 7*time.Second ||
		c.Lake.Bucket != "logs" || len(c.Forward.Listen) != 1 || c.Forward.Listen[0] != "tcp://0.0.0.0:1" || len(c.Kinds) != 1 {
		t.Fatalf("got %+v", c)
	}
}

func TestEnvironmentVariablesStandInValuesOfTheFile(t *testing.T) {
	file := write(t, "forward:\n  listen: ['tcp://${HOST}:1', '$${HOST}', 'cost $5']\n  spool: {dir: '/${A}/${NONE:-b}', max_bytes: '${SIZE}'}\nkinds:\n- field: ${A}\nlake:\n")
	c := defaults()
	if err := Load(c, file, []string{"HOST=h", "A=x", "SIZE=2MiB", "EMPTY="}, nil); err != nil {
		t.Fatal(err)
	}
	if c.Forward.Listen[0] != "tcp://h:1" || c.Forward.Listen[1] != "${HOST}" || c.Forward.Listen[2] != "cost $5" ||
		c.Forward.Spool.Dir != "/x/b" || c.Forward.Spool.MaxBytes != 2<<20 || c.Kinds[0].Field != "x" {
		t.Fatalf("got %+v", c)
	}
	err := Load(defaults(), file, []string{"HOST=h"}, nil)
	if err == nil || !strings.Contains(err.Error(), ": kinds[0]: field: environment variable A is not set") || !strings.Contains(err.Error(), "variable SIZE is not set") {
		t.Fatalf("got %v", err)
	}
}

func TestWhatIsUnsetKeepsItsDefault(t *testing.T) {
	c := defaults()
	if err := Load(c, write(t, "forward:\n  spool: {dir: a}\nlake:\n"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if c.Forward.Spool.MaxBytes != 1<<30 || c.Forward.Listen[0] != "tcp://127.0.0.1:24224" {
		t.Fatalf("got %+v", c)
	}
}

func TestFaultsSayWhatToChange(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		env  []string
		flag string
		want string
	}{
		"an unknown key names the nearest":          {file: "forward: {spool: {max_byte: 1}}", want: `unknown key "forward.spool.max_byte", did you mean "forward.spool.max_bytes"`},
		"an unknown section names the nearest":      {file: "lakes: {bucket: x}", want: `unknown key "lakes", did you mean "lake"`},
		"a bad size shows how to write one":         {file: "forward: {spool: {max_bytes: 64MX}}", want: `"64MX" is not a size, write for example 64MiB`},
		"a bad duration is named with its key":      {file: "forward: {spool: {window: 5 minutes}}", want: "forward.spool.window"},
		"a value where a section belongs":           {file: "forward: x", want: `"forward" is a section`},
		"an unknown variable names the nearest":     {file: "", env: []string{"TRIBUTARY_LAKE_BUKET=x"}, want: "did you mean TRIBUTARY_LAKE_BUCKET"},
		"text that is no YAML":                      {file: "a: [", want: "is not YAML"},
		"a negative size is refused as a size":      {file: "forward: {spool: {max_bytes: -4KiB}}", want: "is not a size"},
		"an unknown key on the command line":        {flag: "lake.bukcet", want: `command line: unknown key "lake.bukcet", did you mean "lake.bucket"`},
		"several faults are all told":               {file: "x: 1\ny: 2", want: "unknown key \"y\""},
		"a bad size in the environment is told too": {env: []string{"TRIBUTARY_FORWARD_SPOOL_MAX_BYTES=lots"}, want: `"lots" is not a size`},
	} {
		t.Run(name, func(t *testing.T) {
			file := ""
			if c.file != "" {
				file = write(t, c.file)
			}
			flags := map[string]string{}
			if c.flag != "" {
				flags[c.flag] = "1"
			}
			err := Load(defaults(), file, c.env, flags)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWhatPrintsIsReadBackAndSecretsAreMasked(t *testing.T) {
	c := defaults()
	c.Lake.APIKey, c.Lake.Passwords, c.Lake.SharedKeyFile = "1/abc", []string{"user:abc"}, "/run/key"
	text, err := Print(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "abc") || !strings.Contains(text, "max_bytes: 1GiB") || !strings.Contains(text, "window: 5m") || !strings.Contains(text, "/run/key") {
		t.Fatalf("printed:\n%s", text)
	}
	again := defaults()
	again.Forward.Spool.MaxBytes = 0
	if err := Load(again, write(t, text), nil, nil); err != nil {
		t.Fatal(err)
	}
	if again.Forward.Spool.MaxBytes != 1<<30 {
		t.Fatalf("read back %d", again.Forward.Spool.MaxBytes)
	}
}

func TestChangedKeysAreNamed(t *testing.T) {
	a, b := defaults(), defaults()
	if got := Changed(a, b); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	b.Forward.Listen = append(b.Forward.Listen, "unix:///x")
	b.Forward.Spool.Window++
	b.Lake.APIKey = "x"
	if got := strings.Join(Changed(a, b), " "); got != "forward.listen forward.spool.window lake.api_key" {
		t.Fatalf("got %s", got)
	}
}
