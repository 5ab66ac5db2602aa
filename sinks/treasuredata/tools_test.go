package treasuredata_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
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

// md5Of is that of the body sent last.
func md5Of(w *world) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := md5.Sum(w.sent[len(w.sent)-1].body)
	return hex.EncodeToString(sum[:])
}

func isPermanent(err error) bool { return stream.IsPermanent(err) }
