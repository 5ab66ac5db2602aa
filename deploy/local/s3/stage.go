package s3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxPut is the service's limit of one PutObject or UploadPart.
const maxPut = 5 << 30

// staged is content that is safely on disk under a temporary name.
type staged struct {
	temp     string
	size     int64
	modified int64 // as the file system keeps it
	md5      []byte
	checksum map[string]string // at most one header, e.g. x-amz-checksum-crc32
}

const checksumPrefix = "x-amz-checksum-"

// checksums are the algorithms a client may send, by header.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
var checksums = map[string]func() hash.Hash{
	checksumPrefix + "crc32":  func() hash.Hash { return crc32.NewIEEE() },
	checksumPrefix + "crc32c": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	// CRC-64/NVME, in the reflected form that hash/crc64 takes.
	checksumPrefix + "crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	checksumPrefix + "sha1":      sha1.New,
	checksumPrefix + "sha256":    sha256.New,
}

// isChecksum knows the names of checksum values.
func isChecksum(header string) bool { return checksums[strings.ToLower(header)] != nil }

// stage receives a request's body into a temporary file and verifies what the
// client said about it. Nothing is visible yet, and nothing stays if it fails.
func (s *Service) stage(r *http.Request) (staged, error) {
	body, err := newPayload(r)
	if err != nil {
		return staged{}, err
	}
	return s.receive(body, r.Header.Get("Content-Md5"))
}

func (s *Service) receive(body *payload, wantMD5 string) (st staged, err error) {
	if wantMD5 != "" && !isBase64(wantMD5, md5.Size) {
		return staged{}, refuse(http.StatusBadRequest, "InvalidDigest", fmt.Sprintf("The Content-MD5 you specified is not valid: %.100q", wantMD5))
	}
	file, temp, err := s.files.create()
	if err != nil {
		return staged{}, err
	}
	st.temp = temp
	defer func() {
		if err != nil {
			err = errors.Join(err, s.files.remove(temp))
		}
	}()
	sum := md5.New()
	into := []io.Writer{file, sum}
	var check hash.Hash
	if body.checksum != "" {
		check = checksums[body.checksum]()
		into = append(into, check)
	}
	st.size, err = io.Copy(io.MultiWriter(into...), body)
	if err != nil {
		return st, errors.Join(bodyError(err), file.Close())
	}
	st.md5 = sum.Sum(nil)
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return st, fmt.Errorf("write object: %w", err)
	}
	if wantMD5 != "" && wantMD5 != base64.StdEncoding.EncodeToString(st.md5) {
		return st, refuse(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what was received.")
	}
	if st.checksum, err = body.verify(check); err != nil {
		return st, err
	}
	st.modified, err = s.stamp(temp)
	return st, err
}

// verify holds what was received against the checksum that the client sent, and
// gives that as the header to keep. check is nil when it sent none.
func (p *payload) verify(check hash.Hash) (map[string]string, error) {
	if check == nil {
		return nil, nil
	}
	want, err := p.want()
	if err != nil {
		return nil, err
	}
	if got := base64.StdEncoding.EncodeToString(check.Sum(nil)); got != want {
		return nil, refuse(http.StatusBadRequest, "BadDigest", fmt.Sprintf("The %s you specified, %q, did not match what was received, %q.", p.checksum, want, got))
	}
	return map[string]string{p.checksum: want}, nil
}

// stamp gives a file a modification time that no other file of this process
// has: together with the size it ties a file to its metadata.
func (s *Service) stamp(temp string) (int64, error) {
	s.clock.Lock()
	now := max(time.Now().UnixNano(), s.lastStamp+1)
	s.lastStamp = now
	s.clock.Unlock()
	at := time.Unix(0, now)
	if err := s.files.root.Chtimes(temp, at, at); err != nil {
		return 0, fmt.Errorf("write object: %w", err)
	}
	info, err := s.files.root.Stat(temp)
	if err != nil {
		return 0, fmt.Errorf("write object: %w", err)
	}
	return info.ModTime().UnixNano(), nil
}

func bodyError(err error) error {
	var e *apiError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return err
	case errors.As(err, &tooLarge):
		return refuse(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	}
	return fmt.Errorf("receive body: %w", err)
}

func (st staged) etag() string { return quote(hex.EncodeToString(st.md5)) }
