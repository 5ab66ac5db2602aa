package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"syscall"
)

const (
	metaPrefix = "x-amz-meta-"
	// maxUserMeta is the service's limit of all user metadata, in bytes.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
	maxUserMeta = 2 << 10
)

// systemHeaders are stored with the object and given back.
var systemHeaders = []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires"}

// conditions are what a write demands of the object it replaces.
type conditions struct {
	ifMatch     string // an ETag, "" for none
	ifNoneMatch bool   // there must be no object
}

func conditionsOf(r *http.Request) (c conditions, err error) {
	c.ifMatch = r.Header.Get("If-Match")
	switch v := r.Header.Get("If-None-Match"); v {
	case "":
	case "*":
		c.ifNoneMatch = true
	default:
		return c, notImplemented("a write with If-None-Match other than *")
	}
	if c.ifNoneMatch && c.ifMatch != "" {
		return c, notImplemented("a write with both If-Match and If-None-Match")
	}
	return c, nil
}

// admit decides against the object that is there, nil for none.
func (c conditions) admit(key string, current *object) error {
	switch {
	case c.ifNoneMatch && current != nil:
		return preconditionFailed("If-None-Match")
	case c.ifMatch != "" && current == nil:
		return noSuchKey(key)
	case c.ifMatch != "" && c.ifMatch != "*" && !sameETag(c.ifMatch, current.ETag):
		return preconditionFailed("If-Match")
	}
	return nil
}

func sameETag(a, b string) bool { return strings.Trim(a, `"`) == strings.Trim(b, `"`) }

func (s *Service) putObject(w http.ResponseWriter, c call) error {
	want, err := conditionsOf(c.Request)
	if err != nil {
		return err
	}
	headers, err := storedHeaders(c.Header)
	if err != nil {
		return err
	}
	st, err := s.stage(c.Request)
	if err != nil {
		return err
	}
	for name, value := range st.checksum {
		headers[name] = value
		w.Header().Set(name, value)
	}
	o := object{Size: st.size, Modified: st.modified, ETag: st.etag(), Headers: headers}
	if headers[keyHeader] != "" {
		o.ETag = sealed(o.ETag)
	}
	if err := s.commit(c.bucket, c.key, st.temp, o, want); err != nil {
		return errors.Join(err, s.files.remove(st.temp))
	}
	tellEncryption(w.Header(), headers)
	w.Header().Set("ETag", o.ETag)
	w.WriteHeader(http.StatusOK)
	return nil
}

// commit makes a staged file the object, if the conditions hold. The rename of
// the data is the one moment at which everything changes: the metadata written
// before it is that of the new object and that of the old one.
func (s *Service) commit(bucket, key, temp string, o object, want conditions) error {
	defer s.lock(bucket, key)()
	// The bucket may be gone since the request was admitted; making its directory
	// anew would bring it back.
	if err := s.bucketExists(bucket); err != nil {
		return err
	}
	current, err := s.current(bucket, key)
	if err != nil {
		return err
	}
	if err := want.admit(key, current); err != nil {
		return err
	}
	// The directory first: metadata of what cannot be stored would stay behind.
	if err := s.files.mkdir(path.Dir(dataPath(bucket, key))); err != nil {
		return misplaced(key, err)
	}
	versions := []object{o}
	if current != nil {
		versions = append(versions, *current)
	}
	if err := s.writeMeta(bucket, key, versions...); err != nil {
		return err
	}
	return misplaced(key, s.files.place(temp, dataPath(bucket, key)))
}

// current is the object's metadata, nil if there is none.
func (s *Service) current(bucket, key string) (*object, error) {
	info, err := s.files.root.Stat(dataPath(bucket, key))
	if err == nil && info.IsDir() {
		return nil, misplaced(key, syscall.EISDIR)
	}
	file, o, err := s.open(bucket, key)
	var e *apiError
	if errors.As(err, &e) && e.code == "NoSuchKey" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &o, file.Close()
}

// misplaced tells what a directory cannot hold from other errors.
func misplaced(key string, err error) error {
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrExist) {
		return invalidArgument(fmt.Sprintf("key %q: this endpoint keeps objects as files and cannot hold a key that is another key's prefix at a slash", key))
	}
	return err
}

// storedHeaders picks from a request what is kept with the object.
func storedHeaders(h http.Header) (map[string]string, error) {
	kept := map[string]string{}
	size := 0
	for name := range h {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, metaPrefix) {
			continue
		}
		kept[lower] = h.Get(name)
		size += len(lower) - len(metaPrefix) + len(kept[lower])
	}
	if size > maxUserMeta {
		return nil, refuse(http.StatusBadRequest, "MetadataTooLarge", fmt.Sprintf("Your metadata headers exceed the maximum allowed metadata size: %d bytes, allowed are %d", size, maxUserMeta))
	}
	for _, name := range systemHeaders {
		if v := h.Get(name); v != "" {
			kept[name] = v
		}
	}
	// aws-chunked is how the body travelled, not what the object is.
	encoding := strings.TrimSuffix(strings.TrimPrefix(kept["Content-Encoding"], "aws-chunked"), "aws-chunked")
	if kept["Content-Encoding"] = strings.Trim(encoding, ", "); kept["Content-Encoding"] == "" {
		delete(kept, "Content-Encoding")
	}
	return kept, keepStorage(kept, h)
}
