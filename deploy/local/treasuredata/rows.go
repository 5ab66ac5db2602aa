package treasuredata

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"
)

// maxDepth bounds how deep the values of a row are nested.
const maxDepth = 64

// rows decodes an import: gzip over msgpack maps, one behind the other. It writes each as a line of JSON and holds one at a time.
type rows struct {
	opts  *Options
	count int64
	*schema
	packed []byte
	line   line
	seen   map[string]*int64 // a column and the row it was last in, counted from 1
}

func newRows(opts *Options) *rows {
	return &rows{opts: opts, schema: newSchema(nil), line: line{max: int(opts.RowBytes)}, seen: make(map[string]*int64)}
}

// errWrite tells an error of the disk from one of the body.
type errWrite struct{ error }

func (e errWrite) Unwrap() error { return e.error }

// decode reads body to its end. An apiError says what is wrong with it; out then holds some rows of it.
func (d *rows) decode(body io.Reader, out io.Writer) error {
	unzipped, err := gzip.NewReader(body)
	if err != nil {
		return refuse(http.StatusBadRequest, "the body is not gzip: %v", err)
	}
	in := msgp.NewReaderSize(&bounded{unzipped, d.opts.DecodedBytes}, 64<<10)
	in.SetMaxRecursionDepth(maxDepth)
	for {
		err := d.next(in, out)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return d.told(err)
		}
		d.count++
	}
}

// next moves one row. io.EOF: there was none.
func (d *rows) next(in *msgp.Reader, out io.Writer) error {
	kind, err := in.NextType()
	if err != nil {
		return err
	}
	if kind != msgp.MapType {
		return refuse(http.StatusBadRequest, "row %d is of type %s: want msgpack maps, one behind the other and in no array", d.count, kind)
	}
	d.packed = d.packed[:0]
	if _, err := in.CopyNext((*packer)(d)); err != nil {
		if err == io.EOF { // within a row
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := d.write(); err != nil {
		return err
	}
	if _, err := out.Write(d.line.text); err != nil {
		return errWrite{err}
	}
	return nil
}

// told says what an error means for the request.
func (d *rows) told(err error) error {
	if refused, disk := (*apiError)(nil), (errWrite{}); errors.As(err, &refused) || errors.As(err, &disk) {
		return err
	}
	switch {
	case errors.Is(err, errTooLong):
		return refuse(http.StatusUnprocessableEntity, "row %d is larger than %d bytes", d.count, d.opts.RowBytes)
	case errors.Is(err, errTooMuch):
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes when it is unpacked", d.opts.DecodedBytes)
	}
	return refuse(http.StatusBadRequest, "the body is torn or is no gzip over msgpack, in row %d or behind it: %v", d.count, err)
}

// write makes the packed row a line.
func (d *rows) write() error {
	n, rest, err := msgp.ReadMapHeaderBytes(d.packed)
	if err != nil {
		return err
	}
	if int64(n) > int64(d.opts.RowColumns) {
		return refuse(http.StatusUnprocessableEntity, "row %d has %d columns: allowed are %d", d.count, n, d.opts.RowColumns)
	}
	if len(d.seen) > d.opts.RowColumns {
		clear(d.seen) // rows that share no columns
	}
	d.line.text = append(d.line.text[:0], '{')
	for i := range n {
		if i > 0 {
			d.line.text = append(d.line.text, ',')
		}
		if rest, err = d.column(rest); err != nil {
			return err
		}
	}
	if row := d.seen["time"]; row == nil || *row != d.count+1 {
		return refuse(http.StatusUnprocessableEntity, "row %d has no time: want an integer, unix seconds", d.count)
	}
	d.line.text = append(d.line.text, '}', '\n')
	if len(d.line.text) > d.line.max {
		return errTooLong
	}
	return nil
}

// column writes the first column in packed and gives the others.
func (d *rows) column(packed []byte) (rest []byte, err error) {
	if kind := msgp.NextType(packed); kind != msgp.StrType {
		return nil, refuse(http.StatusUnprocessableEntity, "row %d has a column name of type %s: want a string", d.count, kind)
	}
	name, value, err := msgp.ReadStringZC(packed)
	if err != nil {
		return nil, err
	}
	shown := name[:min(len(name), 64)]
	kind := kindOf(value)
	switch {
	case !isColumn(name):
		return nil, refuse(http.StatusUnprocessableEntity,
			"row %d has the column %q: want a name of 1 to %d of a-z, 0-9 and _ that begins with no digit and is not v", d.count, shown, maxColumn)
	case d.twice(name):
		return nil, refuse(http.StatusUnprocessableEntity, "row %d has the column %q twice", d.count, shown)
	case string(name) == "time" && kind != typeLong:
		return nil, refuse(http.StatusUnprocessableEntity, "row %d has a time of type %s: want an integer, unix seconds", d.count, msgp.NextType(value))
	case string(name) != "time" && kind != "":
		d.note(name, kind)
	}
	if err := d.line.appendString(name); err != nil {
		return nil, err
	}
	d.line.text = append(d.line.text, ':')
	if rest, err = d.line.appendValue(value); err != nil {
		if cannot := (errNoJSON{}); errors.As(err, &cannot) {
			return nil, refuse(http.StatusUnprocessableEntity, "row %d, column %q: %s", d.count, shown, cannot.what)
		}
	}
	return rest, err
}

// twice tells whether this row has had the column before.
func (d *rows) twice(name []byte) bool {
	row, ok := d.seen[string(name)]
	if !ok {
		row = new(int64)
		d.seen[string(name)] = row
	}
	again := *row == d.count+1
	*row = d.count + 1
	return again
}

// packer takes the packed row, up to the limit.
type packer rows

func (p *packer) Write(b []byte) (int, error) {
	if int64(len(p.packed)+len(b)) > p.opts.RowBytes {
		return 0, errTooLong
	}
	p.packed = append(p.packed, b...)
	return len(b), nil
}

var (
	errTooLong = errors.New("row is too large")
	errTooMuch = errors.New("body is too large")
)

// bounded fails with errTooMuch where more than left bytes come.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// errNoJSON: a value that JSON has no word for.
type errNoJSON struct{ what string }

func (e errNoJSON) Error() string { return e.what }

func noJSON(format string, args ...any) error { return errNoJSON{fmt.Sprintf(format, args...)} }
