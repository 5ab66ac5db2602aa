package s3

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Limits of uploads in parts.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	maxParts     = 10_000
	minPart      = 5 << 20 // all but the last
	maxComplete  = 4 << 20 // a list of 10,000 parts with checksums
	uploadRecord = "upload.json"
)

// upload is an upload's record, beside its parts. A part is a file named by its
// number and its MD5, so that the name says all there is to know about it.
type upload struct {
	Version  int               `json:"version"`
	Bucket   string            `json:"bucket"`
	Key      string            `json:"key"`
	Headers  map[string]string `json:"headers,omitempty"`
	Checksum string            `json:"checksum,omitempty"` // the header of what the parts must be completed with
}

var uploadShape = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func uploadDir(id string) string { return path.Join(multipartDir, id) }

func partName(number int, md5 string) string { return fmt.Sprintf("%05d-%s", number, md5) }

func (s *Service) createUpload(w http.ResponseWriter, c call) error {
	headers, err := storedHeaders(c.Header)
	if err != nil {
		return err
	}
	checksum := ""
	if a := c.Header.Get("X-Amz-Checksum-Algorithm"); a != "" {
		if checksum = checksumPrefix + strings.ToLower(a); !isChecksum(checksum) {
			return notImplemented("the checksum algorithm " + a)
		}
	}
	record, err := json.Marshal(upload{1, c.bucket, c.key, headers, checksum})
	if err != nil {
		return fmt.Errorf("create upload: %w", err)
	}
	id := rand.Text()
	if err := s.files.write(path.Join(uploadDir(id), uploadRecord), record); err != nil {
		return err
	}
	tellEncryption(w.Header(), headers)
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadId string //nolint:revive // the wire name
	}{Bucket: c.bucket, Key: c.key, UploadId: id})
	return nil
}

// sweepUploads removes uploads that a crash left without their record: nobody
// knows their ids.
func (s *Service) sweepUploads() error {
	entries, err := s.files.list(multipartDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := s.files.root.Stat(path.Join(uploadDir(e.Name()), uploadRecord)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := s.files.root.RemoveAll(uploadDir(e.Name())); err != nil {
			return fmt.Errorf("sweep uploads: %w", err)
		}
	}
	return nil
}

// upload finds the upload a request names.
func (s *Service) upload(c call) (id string, u upload, err error) {
	id = c.URL.Query().Get("uploadId")
	if !uploadShape.MatchString(id) {
		return id, u, noSuchUpload(id)
	}
	raw, err := s.files.read(path.Join(uploadDir(id), uploadRecord), maxMeta)
	if errors.Is(err, fs.ErrNotExist) {
		return id, u, noSuchUpload(id)
	}
	if err != nil {
		return id, u, fmt.Errorf("read upload: %w", err)
	}
	if err := json.Unmarshal(raw, &u); err != nil || u.Version != 1 {
		return id, u, fmt.Errorf("read upload %s: version %d: %w", id, u.Version, err)
	}
	if u.Bucket != c.bucket || u.Key != c.key {
		return id, u, noSuchUpload(id)
	}
	return id, u, nil
}

func (s *Service) uploadPart(w http.ResponseWriter, c call) error {
	number, err := strconv.Atoi(c.URL.Query().Get("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return invalidArgument(fmt.Sprintf("Part number must be an integer between 1 and %d, inclusive", maxParts))
	}
	id, u, err := s.upload(c)
	if err != nil {
		return err
	}
	st, err := s.stage(c.Request)
	if err != nil {
		return err
	}
	if err := s.keepPart(id, number, st); err != nil {
		return errors.Join(err, s.files.remove(st.temp))
	}
	for name, value := range st.checksum {
		w.Header().Set(name, value)
	}
	tellEncryption(w.Header(), u.Headers)
	w.Header().Set("ETag", st.etag())
	w.WriteHeader(http.StatusOK)
	return nil
}

// keepPart puts a part in its place and removes the one it replaces.
func (s *Service) keepPart(id string, number int, st staged) error {
	defer s.lockUpload(id)()
	// The upload may have ended meanwhile; placing would make its directory anew.
	if _, err := s.files.root.Stat(path.Join(uploadDir(id), uploadRecord)); err != nil {
		return noSuchUpload(id)
	}
	name := partName(number, hex.EncodeToString(st.md5))
	if err := s.files.place(st.temp, path.Join(uploadDir(id), name)); err != nil {
		return err
	}
	entries, err := s.files.list(uploadDir(id))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partName(number, "")) && e.Name() != name {
			if err := s.files.remove(path.Join(uploadDir(id), e.Name())); err != nil {
				return fmt.Errorf("remove replaced part: %w", err)
			}
		}
	}
	return nil
}

type completedPart struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

// checksums are those the client sent, by header.
func (p completedPart) checksums() map[string]string {
	sent := map[string]string{
		checksumPrefix + "crc32": p.ChecksumCRC32, checksumPrefix + "crc32c": p.ChecksumCRC32C, checksumPrefix + "crc64nvme": p.ChecksumCRC64NVME,
		checksumPrefix + "sha1": p.ChecksumSHA1, checksumPrefix + "sha256": p.ChecksumSHA256,
	}
	maps.DeleteFunc(sent, func(_, sum string) bool { return sum == "" })
	return sent
}

type completeRequest struct {
	XMLName xml.Name `xml:"CompleteMultipartUpload"`
	Part    []completedPart
}

func (s *Service) completeUpload(w http.ResponseWriter, c call) error {
	want, err := conditionsOf(c.Request)
	if err != nil {
		return err
	}
	id, u, err := s.upload(c)
	if err != nil {
		return err
	}
	var in completeRequest
	if err := s.decode(c.Request, maxComplete, &in); err != nil {
		return err
	}
	defer s.lockUpload(id)()
	o, temp, err := s.join(id, u, in)
	if err != nil {
		return err
	}
	o.Headers = u.Headers
	if err := s.commit(c.bucket, c.key, temp, o, want); err != nil {
		return errors.Join(err, s.files.remove(temp))
	}
	// After a crash here the object is there and the upload too: completing it
	// again gives the same object.
	if err := s.files.root.RemoveAll(uploadDir(id)); err != nil {
		return fmt.Errorf("remove upload: %w", err)
	}
	tellEncryption(w.Header(), u.Headers)
	writeXML(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket  string
		Key     string
		ETag    string
	}{Bucket: c.bucket, Key: c.key, ETag: o.ETag})
	return nil
}

// join copies the parts, in order, into one temporary file.
func (s *Service) join(id string, u upload, in completeRequest) (o object, temp string, err error) {
	names, err := s.partsOf(id, u, in)
	if err != nil {
		return o, "", err
	}
	file, temp, err := s.files.create()
	if err != nil {
		return o, "", err
	}
	sum := md5.New()
	for i, name := range names {
		if err = s.appendPart(file, name, in.Part[i]); err != nil {
			break
		}
		digest, _ := hex.DecodeString(path.Base(name)[len(partName(0, "")):])
		_, _ = sum.Write(digest)
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return o, "", errors.Join(fmt.Errorf("join parts: %w", err), s.files.remove(temp))
	}
	o.ETag = quote(fmt.Sprintf("%x-%d", sum.Sum(nil), len(names)))
	if o.Modified, err = s.stamp(temp); err == nil {
		var info os.FileInfo
		if info, err = s.files.root.Stat(temp); err == nil {
			o.Size = info.Size()
		}
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("join parts: %w", err), s.files.remove(temp))
	}
	return o, temp, err
}

// partsOf checks the list of parts and gives their files.
func (s *Service) partsOf(id string, u upload, in completeRequest) ([]string, error) {
	if len(in.Part) == 0 || len(in.Part) > maxParts {
		return nil, refuse(http.StatusBadRequest, "MalformedXML", fmt.Sprintf("an upload has 1 to %d parts, not %d", maxParts, len(in.Part)))
	}
	for i := range len(in.Part) - 1 {
		if in.Part[i].PartNumber < in.Part[i+1].PartNumber {
			continue
		}
		return nil, refuse(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order.")
	}
	names := make([]string, len(in.Part))
	for i, p := range in.Part {
		names[i] = path.Join(uploadDir(id), partName(p.PartNumber, strings.Trim(p.ETag, `"`)))
		info, err := s.files.root.Stat(names[i])
		if err != nil || path.Dir(names[i]) != uploadDir(id) {
			return nil, refuse(http.StatusBadRequest, "InvalidPart", fmt.Sprintf("Part %d with ETag %s could not be found.", p.PartNumber, p.ETag))
		}
		if u.Checksum != "" && p.checksums()[u.Checksum] == "" {
			return nil, refuse(http.StatusBadRequest, "InvalidRequest", fmt.Sprintf("The upload was created with %s; it is missing for part %d.", u.Checksum, p.PartNumber))
		}
		if i < len(in.Part)-1 && info.Size() < minPart {
			return nil, refuse(http.StatusBadRequest, "EntityTooSmall", fmt.Sprintf("Part %d has %d bytes; all parts but the last must have %d.", p.PartNumber, info.Size(), minPart))
		}
	}
	return names, nil
}

// appendPart verifies the checksums that the completion says the part has.
func (s *Service) appendPart(to *os.File, name string, p completedPart) error {
	part, err := s.files.root.Open(name)
	if err != nil {
		return err
	}
	into, sums := []io.Writer{to}, map[string]hash.Hash{}
	for header := range p.checksums() {
		sums[header] = checksums[header]()
		into = append(into, sums[header])
	}
	if _, err := io.Copy(io.MultiWriter(into...), part); err != nil {
		return errors.Join(err, part.Close())
	}
	for header, want := range p.checksums() {
		if got := base64.StdEncoding.EncodeToString(sums[header].Sum(nil)); got != want {
			return errors.Join(refuse(http.StatusBadRequest, "InvalidPart", fmt.Sprintf("Part %d has the %s %q, not %q.", p.PartNumber, header, got, want)), part.Close())
		}
	}
	return part.Close()
}

func (s *Service) abortUpload(w http.ResponseWriter, c call) error {
	id, _, err := s.upload(c)
	if err != nil {
		return err
	}
	defer s.lockUpload(id)()
	if err := s.files.root.RemoveAll(uploadDir(id)); err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
