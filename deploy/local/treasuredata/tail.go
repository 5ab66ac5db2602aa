package treasuredata

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

// tail answers the rows of the last imports, as msgpack maps one behind the other.
func (c *call) tail(w http.ResponseWriter) error {
	query := c.URL.Query()
	if format := query.Get("format"); format != "msgpack" {
		return refuse(http.StatusBadRequest, "the local endpoint does not support the format %q: want msgpack", format)
	}
	count, err := strconv.ParseInt(query.Get("count"), 10, 64)
	if err != nil || count < 1 {
		return refuse(http.StatusBadRequest, "count is %q: want 1 or more", query.Get("count"))
	}
	t, err := c.svc.table(c.args[0], c.args[1])
	if err != nil {
		return err
	}
	if err := c.reserve(c.svc.opts.largestCall()); err != nil {
		return err
	}
	files, skip, err := t.last(count)
	if err != nil {
		return fmt.Errorf("list imports: %w", err)
	}
	w.Header().Set("Content-Type", "application/x-msgpack")
	for _, file := range files {
		if err := copyRows(w, filepath.Join(t.dir, file.String()), skip); err != nil {
			c.svc.opts.Log.Error("a tail was cut off", "table", t.name, "err", err)
			panic(http.ErrAbortHandler) // the answer has begun
		}
		skip = 0
	}
	return nil
}

// last finds the files of the last count rows, in the order of their imports, and how many rows of the first are too many.
func (t *table) last(count int64) (files []fileName, skip int64, err error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range slices.Backward(entries) { // sorted by name, that is by stamp
		if n, ok := parseName(e.Name()); ok {
			files = append(files, n)
			if count -= n.rows; count <= 0 {
				break
			}
		}
	}
	slices.Reverse(files)
	return files, max(-count, 0), nil
}

func copyRows(w io.Writer, path string, skip int64) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open rows: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	for skip > 0 {
		switch _, err := in.ReadSlice('\n'); {
		case err == nil:
			skip--
		case !errors.Is(err, bufio.ErrBufferFull): // else a long line goes on
			return fmt.Errorf("read rows: %w", err)
		}
	}
	rows := json.NewDecoder(in)
	rows.UseNumber()
	for packed := []byte(nil); rows.More(); packed = packed[:0] {
		if packed, err = appendPacked(packed, rows); err != nil {
			return fmt.Errorf("read rows: %w", err)
		}
		if _, err := w.Write(packed); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	return nil
}

const (
	array32 = 0xdd
	map32   = 0xdf
)

// appendPacked packs the next value. It goes by token: a row as Go values would be many times its size.
func appendPacked(dst []byte, in *json.Decoder) ([]byte, error) {
	token, err := in.Token()
	if err != nil {
		return dst, err
	}
	switch v := token.(type) {
	case json.Delim:
		return appendNested(dst, in, v)
	case string:
		return msgp.AppendString(dst, v), nil
	case bool:
		return msgp.AppendBool(dst, v), nil
	case json.Number:
		return appendNumber(dst, v.String())
	}
	return msgp.AppendNil(dst), nil
}

func appendNested(dst []byte, in *json.Decoder, open json.Delim) (_ []byte, err error) {
	head, each := byte(array32), 1
	if open == '{' {
		head, each = map32, 2
	}
	start := len(dst)
	dst = append(dst, head, 0, 0, 0, 0)
	var n uint32
	for in.More() {
		for range each {
			if dst, err = appendPacked(dst, in); err != nil {
				return dst, err
			}
		}
		n++
	}
	binary.BigEndian.PutUint32(dst[start+1:], n)
	_, err = in.Token() // the closing one
	return dst, err
}

func appendNumber(dst []byte, text string) ([]byte, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return msgp.AppendInt64(dst, i), nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return msgp.AppendUint64(dst, u), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	return msgp.AppendFloat64(dst, f), err
}
