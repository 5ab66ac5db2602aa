package formats

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// pack makes an archive of a directory that is in use. Times go in with their
// nanoseconds, because the embedded S3 knows its files by them.
func pack(t testing.TB, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(name), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
		if d.IsDir() {
			h.Name, h.Typeflag = h.Name+"/", tar.TypeDir
			return w.WriteHeader(h)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		return errors.Join(w.WriteHeader(h), write(w, content))
	}))
	must(t, errors.Join(w.Close(), zip.Close()))
	return out.Bytes()
}

func write(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}

// unpack gives the test a copy of what an archive holds.
func unpack(t testing.TB, archive []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	must(t, err)
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		must(t, err)
		if !filepath.IsLocal(h.Name) {
			t.Fatalf("archive holds %q", h.Name)
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		content, err := io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(path, content, fs.FileMode(h.Mode)))
		must(t, os.Chtimes(path, h.ModTime, h.ModTime))
	}
}
