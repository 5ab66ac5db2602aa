package local_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/deploy/local"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
)

// callTD calls Treasure Data; body is msgpack before it is zipped.
func callTD(t *testing.T, srv *localtest.Server, method, path, body string) (int, string) {
	t.Helper()
	var sent bytes.Buffer
	if method == http.MethodPut {
		gz := gzip.NewWriter(&sent)
		_, _ = io.WriteString(gz, body) // into memory
		_ = gz.Close()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, &sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "TD1 1/right")
	req.Header.Set("Content-Type", "application/octet-stream")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestTreasureDataSharesThePortAndSurvivesARestart(t *testing.T) {
	const row, path = "\x81\xa4time\x01", "/v3/table/import_with_id/shop/audit/ab/msgpack.gz"
	srv := localtest.Start(t, func(c *local.Config) {
		c.TDAPIKeys, c.TDIDMemory, c.TDBodyBytes = []string{"1/right"}, 1, 1<<10
	})
	fill(t, srv)
	if _, err := os.Stat(filepath.Join(srv.Config.Dir, "td")); !os.IsNotExist(err) {
		t.Errorf("the directory of databases that nobody uses: %v", err)
	}
	for _, path := range []string{"/v3/database/create/shop", "/v3/table/create/shop/audit/log"} {
		if status, body := callTD(t, srv, "POST", path, ""); status != 200 {
			t.Fatal(path, status, body)
		}
	}
	for range 2 {
		if status, body := callTD(t, srv, "PUT", path, row); status != 200 {
			t.Error(status, body)
		}
		srv.Restart()
	}
	if status, _ := callTD(t, srv, "PUT", strings.Replace(path, "/ab/", "/cd/", 1), row); status != 200 {
		t.Error(status)
	}
	if status, _ := callTD(t, srv, "PUT", path, row); status != 200 { // the id that was pushed out
		t.Error(status)
	}
	files, err := filepath.Glob(filepath.Join(srv.Config.Dir, "td", "shop", "audit", "*.jsonl"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %q, %v, want 3: one import doubled, for it was forgotten", files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || string(text) != "{\"time\":1}\n" {
		t.Errorf("rows %q, %v", text, err)
	}
	if status, body := call(t, "GET", srv.URL+"/v3/database/list", ""); status != 401 || !strings.Contains(body, `"status_code":401`) {
		t.Errorf("without a key: %d %s", status, body)
	}
	// A key below v3/ in a bucket is S3's.
	_, err = s3.NewFromConfig(srv.AWS).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String("v3/database/list"), Body: strings.NewReader("object")})
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(srv.Config.Dir, "s3", name, "v3", "database", "list")); err != nil {
		t.Error(err)
	}
}

func TestAFaultRuleReachesTreasureData(t *testing.T) {
	srv := localtest.Start(t)
	if err := srv.Faults.Replace([]fault.Rule{{Service: "td", Operation: "ListDatabases", Action: fault.Error, Status: 503, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{503, 200} {
		if status, body := callTD(t, srv, "GET", "/v3/database/list", ""); status != want {
			t.Errorf("got %d %s, want %d", status, body, want)
		}
	}
}
