package dynamodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"tributary/deploy/local/fault"
)

const (
	targetPrefix = "DynamoDB_20120810."
	serviceName  = "dynamodb"
	// maxBody is well above an item of 400 KB in its most wasteful JSON.
	maxBody = 16 << 20
)

// Service is one DynamoDB endpoint over one directory. It is an http.Handler;
// all methods may be called concurrently.
type Service struct {
	dir     string
	faults  *fault.Set
	handler http.Handler

	mu     sync.RWMutex // guards tables; held for writing by create and delete only
	tables map[string]*table
}

// Open reads the tables under dir, creating it if need be. It finishes what a
// crash left half done, and fails if a journal is damaged otherwise. Nobody else
// may use dir until Close. faults may be nil: no faults.
func Open(dir string, faults *fault.Set) (*Service, error) {
	s := &Service{dir: dir, faults: faults, tables: map[string]*table{}}
	s.handler = faults.Handler(serviceName, operationOf, func(w http.ResponseWriter) { writeError(w, throttled()) }, http.HandlerFunc(s.serve))
	// A deleted table is first renamed into the trash, then removed.
	if err := os.RemoveAll(s.trash()); err != nil {
		return nil, fmt.Errorf("open dynamodb: %w", err)
	}
	for _, d := range []string{s.trash(), s.tableDir("")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("open dynamodb: %w", err)
		}
	}
	names, err := os.ReadDir(s.tableDir(""))
	if err != nil {
		return nil, fmt.Errorf("open dynamodb: %w", err)
	}
	for _, entry := range names {
		t, err := openTable(s.tableDir(entry.Name()))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open dynamodb: %w", err), s.Close())
		}
		if t != nil {
			s.tables[t.Name] = t
		}
	}
	return s, nil
}

// Close closes the journals. Requests under way end with an error or are done
// before it returns.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	for name, t := range s.tables {
		faults = append(faults, t.close())
		delete(s.tables, name)
	}
	return errors.Join(faults...)
}

func (s *Service) tableDir(name string) string { return filepath.Join(s.dir, "tables", name) }
func (s *Service) trash() string               { return filepath.Join(s.dir, "trash") }

// ServeHTTP answers one call of the DynamoDB API.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func operationOf(r *http.Request) string {
	operation, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	return operation
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	answer, err := s.answer(operationOf(r), http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Service) answer(operation string, body io.Reader) (any, error) {
	switch operation {
	case "CreateTable":
		return call(body, s.createTable)
	case "DescribeTable":
		return call(body, s.describeTable)
	case "DeleteTable":
		return call(body, s.deleteTable)
	case "ListTables":
		return call(body, s.listTables)
	case "GetItem":
		return call(body, s.getItem)
	case "PutItem":
		return call(body, s.putItem)
	case "UpdateItem":
		return call(body, s.updateItem)
	case "DeleteItem":
		return call(body, s.deleteItem)
	case "Scan":
		return call(body, s.scan)
	}
	return nil, &apiError{status: http.StatusBadRequest, kind: serializerPrefix + "UnknownOperationException",
		message: fmt.Sprintf("operation %q is not supported by this endpoint", operation)}
}

// call decodes the request and refuses parameters that In does not have: an
// ignored parameter would make a test pass that fails on the real service.
func call[In, Out any](body io.Reader, do func(In) (Out, error)) (any, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, &apiError{status: http.StatusBadRequest, kind: serializerPrefix + "SerializationException", message: "read body: " + err.Error()}
	}
	var in In
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
			return nil, validation("parameter or type " + name + " is not supported by this endpoint")
		}
		return nil, &apiError{status: http.StatusBadRequest, kind: serializerPrefix + "SerializationException", message: err.Error()}
	}
	return do(in)
}

// with runs do while no other operation touches the table.
func (s *Service) with(name string, do func(*table) error) error {
	if name == "" {
		return validation("1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	}
	s.mu.RLock()
	t := s.tables[name]
	s.mu.RUnlock()
	if t == nil {
		return tableNotFound(name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return tableNotFound(name)
	}
	return do(t)
}
