package treasuredata

import (
	"bufio"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"tributary/deploy/local/disk"
)

// maxID is the longest unique id, in characters: a file is named by it.
const maxID = 200

var idShape = regexp.MustCompile(`^[0-9a-f]+$`)

type importAnswer struct {
	ElapsedTime int64  `json:"elapsed_time"`
	Database    string `json:"database"`
	MD5Hex      string `json:"md5_hex"`
	Table       string `json:"table"`
	UniqueID    string `json:"unique_id"`
}

// importRows serves imports, with an id and without.
func (c *call) importRows(w http.ResponseWriter) error {
	database, name, id := c.args[0], c.args[1], ""
	if len(c.args) > 2 {
		if id = c.args[2]; !idShape.MatchString(id) || len(id) > maxID {
			return refuse(http.StatusBadRequest, "the unique id is wrong: want 1 to %d characters of 0-9 and a-f", maxID)
		}
	}
	if err := c.admitBody(); err != nil {
		return err
	}
	t, err := c.svc.table(database, name)
	if err != nil {
		return err
	}
	opts := c.svc.opts
	if err := c.reserve(baseCost + rowCost*min(opts.RowBytes, maxRatio*c.ContentLength)); err != nil {
		return err
	}
	sum := md5.New()
	if err := c.svc.store(t, id, io.TeeReader(c.Body, sum)); err != nil {
		return err
	}
	answer := importAnswer{int64(opts.Now().Sub(c.began).Seconds()), database, hex.EncodeToString(sum.Sum(nil)), name, id}
	if id == "" {
		answer.UniqueID = answer.MD5Hex
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (c *call) admitBody() error {
	switch kind := c.Header.Get("Content-Type"); {
	case kind != "application/octet-stream" && kind != "application/gzip":
		return refuse(http.StatusUnsupportedMediaType, "the content type is %q: want application/octet-stream or application/gzip", kind)
	case c.Header.Get("Content-Encoding") != "":
		return refuse(http.StatusUnsupportedMediaType, "the local endpoint does not support imports with Content-Encoding")
	case c.ContentLength < 0:
		return refuse(http.StatusLengthRequired, "the request has no Content-Length")
	case c.ContentLength > c.svc.opts.BodyBytes:
		return refuse(http.StatusRequestEntityTooLarge, "the body has %d bytes: allowed are %d", c.ContentLength, c.svc.opts.BodyBytes)
	}
	return nil
}

// store reads body to its end and makes its rows the table's, unless the id is known.
func (s *Service) store(t *table, id string, body io.Reader) error {
	s.mu.Lock()
	known := id != "" && s.ids.has(id, s.opts.Now().UnixMilli())
	s.mu.Unlock()
	if known {
		if _, err := io.Copy(io.Discard, body); err != nil {
			return refuse(http.StatusBadRequest, "read the body: %v", err)
		}
		return nil
	}
	path, file, err := s.temp()
	if err != nil {
		return fmt.Errorf("store rows: %w", err)
	}
	decoded := newRows(s.opts)
	err = writeRows(file, body, decoded)
	if err == nil {
		err = s.commit(t, id, path, decoded)
	}
	if err == nil {
		return nil
	}
	// It is gone from there when it has its name already.
	if gone := os.Remove(path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return fmt.Errorf("store rows: %w", err)
}

// writeRows decodes body into the file, and syncs and closes it.
func writeRows(file *os.File, body io.Reader, decoded *rows) error {
	out := bufio.NewWriterSize(file, 64<<10)
	err := decoded.decode(body, out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// commit gives the file its name, by which rows and id are there. The schema is written before: one that knows more than the rows does no harm.
func (s *Service) commit(t *table, id, path string, decoded *rows) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	stamp := s.stamp()
	// Known since the body was begun: another request has brought it meanwhile. Without rows and id: a probe.
	if id != "" && s.ids.has(id, stamp) || id == "" && decoded.count == 0 {
		return os.Remove(path)
	}
	if t.schema.merge(decoded.schema) {
		t.unsaved = true
	}
	if t.unsaved {
		if err := t.save(t.dir); err != nil {
			return err
		}
		t.unsaved = false
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	name := fileName{stamp, decoded.count, id}
	if err := os.Rename(path, filepath.Join(t.dir, name.String())); err != nil {
		return err
	}
	t.add(name, info.Size())
	if id != "" {
		s.ids.add(id, stamp)
	}
	return disk.SyncDir(t.dir)
}
