package multiline_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tributary/stream/multiline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func compile(t testing.TB, rules ...multiline.Rule) multiline.Grammars {
	t.Helper()
	g, err := multiline.Rules(rules).Compile()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// blocks joins lines as the grammar says.
func blocks(t testing.TB, g *multiline.Grammar, lines []string) (out []string) {
	t.Helper()
	state := multiline.Closed
	for _, line := range lines {
		verdict, next := g.Next(state, []byte(line))
		if (verdict == multiline.Alone) != (next == multiline.Closed) || state == multiline.Closed && verdict == multiline.Joins {
			t.Fatalf("%q in state %d: verdict %d, state %d", line, state, verdict, next)
		}
		if verdict == multiline.Joins {
			out[len(out)-1] += "\n" + line
		} else {
			out = append(out, line)
		}
		state = next
	}
	return out
}

// The files hold what real programs printed; a line of three dashes stands between
// two blocks.
func TestPresetsKeepRealTracesWhole(t *testing.T) {
	for _, preset := range []string{"java", "python", "go"} {
		t.Run(preset, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", preset+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n---\n")
			g := compile(t, multiline.Rule{Service: "*", Preset: preset}).Of("web")
			for name, ending := range map[string]string{"as printed": "", "with carriage returns": "\r"} {
				var lines []string
				for _, b := range want {
					lines = append(lines, strings.Split(b, "\n")...)
				}
				for i := range lines {
					lines[i] += ending
				}
				got := blocks(t, g, lines)
				for i := range got {
					got[i] = strings.ReplaceAll(got[i], "\r", "")
				}
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("%s: block %d is\n%s\nwant\n%s", name, i, got[i], want[i])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%s: %d blocks, want %d", name, len(got), len(want))
				}
			}
		})
	}
}

func TestAStartPatternCutsBeforeItsLines(t *testing.T) {
	g := compile(t, multiline.Rule{Service: "*", Start: `^\d{4}-\d\d-\d\d`}).Of("x")
	got := blocks(t, g, []string{"rest of something", "and more", "2026-11-22 one", "  two", "", "three", `{"a":1}`, "four", "2026-11-22 five", "2026-11-22 six"})
	want := []string{"rest of something\nand more", "2026-11-22 one\n  two\n\nthree", `{"a":1}`, "four", "2026-11-22 five", "2026-11-22 six"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestTheFirstRuleThatNamesTheServiceDecides(t *testing.T) {
	g := compile(t,
		multiline.Rule{Service: "web-*-v2", Preset: "go"}, multiline.Rule{Service: "web", Preset: "python"},
		multiline.Rule{Service: "a*b*c", Preset: "go"}, multiline.Rule{Service: "*-web", Preset: "java"})
	for service, trace := range map[string]string{
		"web-shop-v2": "panic: x", "web": "Traceback (most recent call last):", "shop/web-web": "java.lang.Error: x", "abc": "panic: x", "aXbYbZc": "panic: x",
	} {
		grammar := g.Of(service)
		if grammar == nil {
			t.Errorf("no rule for %s", service)
			continue
		}
		if v, _ := grammar.Next(multiline.Closed, []byte(trace)); v != multiline.Begins {
			t.Errorf("%s got another rule's grammar", service)
		}
	}
	for _, service := range []string{"", "web2", "web-v2", "web-shop-v3", "ab", "ac", "cba"} {
		if g.Of(service) != nil {
			t.Errorf("a rule for %q", service)
		}
	}
}

func TestFaultsAreToldTogether(t *testing.T) {
	err := multiline.Rules{
		{Service: "", Preset: "go"}, {Service: "a"}, {Service: "a", Preset: "go", Start: "x"}, {Service: "a", Preset: "cobol"},
		{Service: "a", Start: "("}, {Service: "a", Start: "a*"}, {Service: "a", Start: strings.Repeat("a", 1025)},
	}.Validate()
	for _, want := range []string{
		"multiline[0].service", "multiline[1]: set either", "multiline[2]: set either", "multiline[3].preset", "multiline[4].start: ",
		"multiline[5].start: ", "multiline[6].start: has 1025",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, preset := range []string{"java", "python", "go"} {
		text, err := os.ReadFile(filepath.Join("testdata", preset+".txt"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	var all []*multiline.Grammar
	for _, r := range []multiline.Rule{{Preset: "java"}, {Preset: "python"}, {Preset: "go"}, {Start: `^\S`}} {
		r.Service = "*"
		all = append(all, compile(f, r).Of("x"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, g := range all {
			joined := strings.Join(blocks(t, g, strings.Split(string(text), "\n")), "\n")
			if !bytes.Equal([]byte(joined), text) {
				t.Fatal("a line is missing")
			}
		}
	})
}
