package s3

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"

	"tributary/deploy/local/fault"
)

const serviceName = "s3"

// Service is one S3 endpoint over one directory. It is an http.Handler that must
// see the request's path as it came; all methods may be called concurrently.
type Service struct {
	files   files
	handler http.Handler

	// tree is held for writing by what removes directories, for reading by what
	// needs them to stay: a PUT makes "a/", a DELETE of the last object under it
	// removes it, and the PUT's rename would find no place.
	tree  sync.RWMutex
	locks [256]sync.Mutex // one object's data and metadata change together under its lock
	seed  maphash.Seed

	uploads [64]sync.Mutex // an upload's parts change under its lock, taken before any of the above

	handmade handmade

	clock     sync.Mutex
	lastStamp int64
}

// Open makes dir ready, creating it if need be, and removes files that a crash
// left half written. Nobody else may write in dir's dot directories until Close.
// faults may be nil: no faults.
func Open(dir string, faults *fault.Set) (*Service, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open s3: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open s3: %w", err)
	}
	s := &Service{files: files{root}, seed: maphash.MakeSeed()}
	s.handler = faults.Handler(serviceName, operationOf, writeSlowDown, http.HandlerFunc(s.serve))
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open s3: %w", err), root.Close())
	}
	return s, nil
}

// prepare sweeps what a crash left and makes the directories beside the buckets.
func (s *Service) prepare() error {
	if err := s.files.root.RemoveAll(tempDir); err != nil {
		return err
	}
	for _, d := range []string{tempDir, metaDir, multipartDir} {
		if err := s.files.mkdir(d); err != nil {
			return err
		}
	}
	return s.sweepUploads()
}

// Close ends the service. Requests still under way fail.
func (s *Service) Close() error { return s.files.root.Close() }

// ServeHTTP answers one call of the S3 API, path style.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// lock takes an object's lock and keeps the directories in place meanwhile.
func (s *Service) lock(bucket, key string) (unlock func()) {
	s.tree.RLock()
	l := &s.locks[maphash.String(s.seed, dataPath(bucket, key))%uint64(len(s.locks))]
	l.Lock()
	return func() { l.Unlock(); s.tree.RUnlock() }
}

func (s *Service) lockUpload(id string) (unlock func()) {
	l := &s.uploads[maphash.String(s.seed, id)%uint64(len(s.uploads))]
	l.Lock()
	return l.Unlock
}

// call is one request, told apart.
type call struct {
	*http.Request
	operation string
	bucket    string
	key       string
}

// split cuts a path into bucket and key.
func split(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

// operationOf names the API's operation by method, path and query; "" for one
// that this endpoint does not know.
func operationOf(r *http.Request) string {
	bucket, key := split(r)
	query := r.URL.Query()
	for _, o := range operations {
		if o.method != r.Method || o.depth != depth(bucket, key) {
			continue
		}
		if o.mark == "" || query.Has(o.mark) {
			return o.name
		}
	}
	return ""
}

func depth(bucket, key string) int {
	switch {
	case key != "":
		return 2
	case bucket != "":
		return 1
	}
	return 0
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	if err := s.route(w, r); err != nil {
		writeError(w, r, err)
	}
}

func (s *Service) route(w http.ResponseWriter, r *http.Request) error {
	c := call{Request: r, operation: operationOf(r)}
	c.bucket, c.key = split(r)
	o := operationNamed(c.operation)
	if o == nil {
		return notImplemented(fmt.Sprintf("%s %s", r.Method, r.URL.RequestURI()))
	}
	if err := o.admit(r); err != nil {
		return err
	}
	if c.bucket != "" {
		if err := checkBucket(c.bucket); err != nil {
			return err
		}
	}
	if c.key != "" {
		if err := checkKey(c.key); err != nil {
			return err
		}
	}
	if o.inBucket() {
		if err := s.bucketExists(c.bucket); err != nil {
			return err
		}
		if err := checkOwner(r.Header); err != nil {
			return err
		}
	}
	return o.do(s, w, c)
}

func (s *Service) bucketExists(bucket string) error {
	info, err := s.files.root.Stat(bucket)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return noSuchBucket(bucket)
	}
	if err != nil {
		return fmt.Errorf("look up bucket: %w", err)
	}
	return nil
}

// removeEmpty removes the directories that an object's deletion left empty, up
// to the bucket. tree is held for writing.
func (s *Service) removeEmpty(bucket, dir string) {
	for ; dir != bucket && dir != "."; dir = path.Dir(dir) {
		// Remove would take a file too: the key "a/b" is deleted though "a" is one.
		if info, err := s.files.root.Lstat(dir); err == nil && !info.IsDir() {
			return
		}
		if s.files.root.Remove(dir) != nil {
			return // not empty: somebody else's objects live there
		}
	}
}
