package treasuredata_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"tributary/deploy/local/treasuredata"
)

// served names the directory that the test program serves instead of testing.
const served = "TREASUREDATA_TEST_SERVES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(served); dir != "" {
		fmt.Fprintln(os.Stderr, serve(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func serve(dir string) error {
	service, err := treasuredata.Open(dir, treasuredata.Options{})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String())
	return http.Serve(ln, service)
}

// startProcess serves the world's directory in a process of its own.
func (w *world) startProcess() (kill func()) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), served+"="+w.dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	w.t.Cleanup(kill)
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = strings.TrimSpace(url)
	return kill
}

// Importers send until the process dies under them, at an import chosen by count. Whatever was answered is there, and what was not is
// sent again under its id; at the end every row is there once.
func TestKilledWhileImportingEveryRowIsThereOnce(t *testing.T) {
	w := open(t)
	w.close()
	const importers, imports = 4, 25
	answered := make([]int, importers) // how many of an importer's
	for round := 0; slices.Min(answered) < imports; round++ {
		if round > 20 {
			t.Fatalf("answered after %d rounds: %v", round, answered)
		}
		kill := w.startProcess()
		var wg sync.WaitGroup
		for i := range importers {
			wg.Go(func() {
				for n := 0; answered[i] < imports; n++ {
					if round < 3 && n == 5 && i == round {
						kill() // while the others are at theirs
					}
					number := i*imports + answered[i]
					if got := w.put(fmt.Sprintf("%x", number), row(2*number), row(2*number+1)); got.err != nil {
						return
					} else if got.status != 200 {
						t.Errorf("import %d: %d %s", number, got.status, got.body)
						return
					}
					answered[i]++
				}
			})
		}
		wg.Wait()
		kill()
		w.client.CloseIdleConnections()
	}
	var want []string
	for n := range 2 * importers * imports {
		want = append(want, fmt.Sprintf(`{"time":%d}`, n))
	}
	got := w.lines()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d, each once", len(got), len(want))
	}
}
