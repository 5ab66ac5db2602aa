package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"syscall"
)

// maxBatch is the service's limit of keys in one DeleteObjects, and of a page.
const (
	maxBatch     = 1000
	maxBatchBody = 2 << 20
)

func (s *Service) deleteObject(w http.ResponseWriter, c call) error {
	if err := s.remove(c.bucket, c.key); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// remove deletes an object; one that is not there is no error. The data goes
// first: metadata without data is no object, data without metadata would be one
// put by hand.
func (s *Service) remove(bucket, key string) error {
	s.tree.Lock()
	defer s.tree.Unlock()
	name := dataPath(bucket, key)
	if info, err := s.files.root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := s.files.remove(name); err != nil && !errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("delete object: %w", err)
	}
	s.removeEmpty(bucket, path.Dir(name))
	if err := s.files.remove(metaPath(bucket, key)); err != nil {
		return fmt.Errorf("delete metadata: %w", err)
	}
	return nil
}

type deleteRequest struct {
	XMLName xml.Name `xml:"Delete"`
	Quiet   bool
	Object  []struct {
		Key       string
		VersionId string //nolint:revive // the wire name
		ETag      string
	}
}

type deleted struct{ Key string }

type deleteFault struct{ Key, Code, Message string }

type deleteResult struct {
	XMLName xml.Name `xml:"DeleteResult"`
	Deleted []deleted
	Error   []deleteFault
}

func (s *Service) deleteObjects(w http.ResponseWriter, c call) error {
	var in deleteRequest
	if err := s.decode(c.Request, maxBatchBody, &in); err != nil {
		return err
	}
	if len(in.Object) == 0 || len(in.Object) > maxBatch {
		return refuse(http.StatusBadRequest, "MalformedXML", fmt.Sprintf("DeleteObjects takes 1 to %d keys, not %d", maxBatch, len(in.Object)))
	}
	var out deleteResult
	for _, o := range in.Object {
		err := checkKey(o.Key)
		if o.VersionId != "" || o.ETag != "" {
			err = notImplemented("DeleteObjects with VersionId or ETag")
		}
		if err == nil {
			err = s.remove(c.bucket, o.Key)
		}
		var e *apiError
		switch {
		case err == nil && !in.Quiet:
			out.Deleted = append(out.Deleted, deleted{o.Key})
		case errors.As(err, &e):
			out.Error = append(out.Error, deleteFault{o.Key, e.code, e.message})
		case err != nil:
			out.Error = append(out.Error, deleteFault{o.Key, "InternalError", err.Error()})
		}
	}
	writeXML(w, http.StatusOK, out)
	return nil
}

// decode reads a small XML body after its checksums were verified.
func (s *Service) decode(r *http.Request, limit int64, into any) error {
	st, err := s.stage(r)
	if err != nil {
		return err
	}
	raw, err := s.files.read(st.temp, limit)
	if err := errors.Join(err, s.files.remove(st.temp)); err != nil {
		return fmt.Errorf("receive body: %w", err)
	}
	if err := xml.Unmarshal(raw, into); err != nil && !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed: "+err.Error())
	}
	return nil
}
