package treasuredata_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"testing"

	"github.com/klauspost/compress/gzip"

	"tributary/stream"
)

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func gunzip(t testing.TB, body []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// md5Of is that of a body sent to a path.
func md5Of(w *world, path string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range slices.Backward(w.sent) {
		if r.path == path {
			sum := md5.Sum(r.body)
			return hex.EncodeToString(sum[:])
		}
	}
	return "nothing was sent there"
}

func isPermanent(err error) bool { return stream.IsPermanent(err) }
