package treasuredata

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Prefix is what the path of every request begins with.
const Prefix = "/v3/"

// An operation is one kind of request. A star in its path is one segment, whatever it says.
type operation struct {
	name    string
	method  string
	path    string
	query   []string // parameters it understands
	imports bool     // allowed to write-only keys; has a body of its own
	do      func(*call, http.ResponseWriter) error
}

// The names are this package's own: the service gives none.
var operations = []operation{
	{name: "ImportWithID", method: http.MethodPut, path: "table/import_with_id/*/*/*/msgpack.gz", imports: true, do: (*call).importRows},
	{name: "Import", method: http.MethodPut, path: "table/import/*/*/msgpack.gz", imports: true, do: (*call).importRows},
	{name: "CreateDatabase", method: http.MethodPost, path: "database/create/*", do: (*call).createDatabase},
	{name: "CreateTable", method: http.MethodPost, path: "table/create/*/*/log", do: (*call).createTable},
	{name: "ListDatabases", method: http.MethodGet, path: "database/list", do: (*call).listDatabases},
	{name: "ListTables", method: http.MethodGet, path: "table/list/*", do: (*call).listTables},
	{name: "ShowTable", method: http.MethodGet, path: "table/show/*/*", do: (*call).showTable},
	{name: "TailTable", method: http.MethodGet, path: "table/tail/*/*", query: []string{"count", "format"}, do: (*call).tail},
}

// match finds the request's operation, and what its path says for the stars.
func match(r *http.Request) (*operation, []string, error) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), Prefix)
	segments := strings.Split(path, "/")
	wrongMethod := false
	for i := range operations {
		o := &operations[i]
		args, fits := o.fits(segments)
		switch {
		case !ok || !fits:
		case o.method == r.Method:
			return o, args, nil
		default:
			wrongMethod = true
		}
	}
	if wrongMethod {
		return nil, nil, refuse(http.StatusMethodNotAllowed, "the local endpoint does not support %s %s", r.Method, r.URL.Path)
	}
	// Not 404: clients take that for a table that is missing.
	return nil, nil, refuse(http.StatusBadRequest, "the local endpoint does not support %s %s", r.Method, r.URL.Path)
}

func (o *operation) fits(segments []string) (args []string, ok bool) {
	pattern := strings.Split(o.path, "/")
	if len(pattern) != len(segments) {
		return nil, false
	}
	for i, want := range pattern {
		if want != "*" {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		arg, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, false
		}
		args = append(args, arg)
	}
	return args, true
}

func operationOf(r *http.Request) string {
	o, _, err := match(r)
	if err != nil {
		return ""
	}
	return o.name
}

// cutKey takes the API key out of an Authorization header.
func cutKey(header string) (key string, ok bool) {
	key, ok = strings.CutPrefix(header, "TD1 ")
	return key, ok && key != "" && strings.IndexFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// admitParameters refuses what the operation would have to ignore, in the query or in a form.
func (c *call) admitParameters() error {
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "read the query: %v", err)
	}
	for name := range query {
		if !slices.Contains(c.op.query, name) {
			return refuse(http.StatusBadRequest, "the local endpoint does not support %s with the parameter %s", c.op.name, name)
		}
	}
	if c.op.imports {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(c.Body, maxForm+1))
	switch {
	case err != nil:
		return fmt.Errorf("read request body: %w", err)
	case len(body) > maxForm:
		return refuse(http.StatusRequestEntityTooLarge, "the form is larger than %d bytes", maxForm)
	case len(body) == 0:
		return nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || c.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return refuse(http.StatusUnsupportedMediaType, "the local endpoint reads no body of %s but a form", c.op.name)
	}
	for name := range form {
		return refuse(http.StatusBadRequest, "the local endpoint does not support %s with the parameter %s", c.op.name, name)
	}
	return nil
}
