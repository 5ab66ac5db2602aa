package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	metaDir      = ".meta"
	multipartDir = ".multipart"
	tempDir      = ".tmp"
)

var bucketShape = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func checkBucket(bucket string) error {
	if !bucketShape.MatchString(bucket) || strings.Contains(bucket, "..") {
		return refuse(http.StatusBadRequest, "InvalidBucketName",
			fmt.Sprintf("The specified bucket is not valid: %q: want 3 to 63 of a-z, 0-9, '.' and '-', beginning and ending with a letter or digit", bucket))
	}
	return nil
}

const (
	maxKey       = 1024 // the service's limit in bytes
	maxComponent = 255  // what file systems allow
)

// checkKey refuses keys that the service refuses or a directory cannot hold.
func checkKey(key string) error {
	if len(key) > maxKey {
		return refuse(http.StatusBadRequest, "KeyTooLongError", fmt.Sprintf("Your key is too long: %d bytes, allowed are %d", len(key), maxKey))
	}
	if !utf8.ValidString(key) || strings.IndexFunc(key, func(c rune) bool { return c < ' ' || c == 0x7f || c == 0xfffe || c == 0xffff }) >= 0 {
		return invalidArgument(fmt.Sprintf("key %q: this endpoint holds keys of UTF-8 without control characters only", key))
	}
	for component := range strings.SplitSeq(key, "/") {
		switch {
		case component == "" || component == "." || component == "..":
			return invalidArgument(fmt.Sprintf("key %q: this endpoint keeps objects as files and cannot hold a key with the component %q", key, component))
		case len(component) > maxComponent:
			return invalidArgument(fmt.Sprintf("key %q: this endpoint keeps objects as files and cannot hold a component of %d bytes, allowed are %d", key, len(component), maxComponent))
		}
	}
	return nil
}

// dataPath is where an object lies, relative to the service's directory.
func dataPath(bucket, key string) string { return bucket + "/" + key }

// metaPath is where an object's metadata lies. The name is a hash: a key may use
// up all that a file name can hold, and "a" and "a.json/b" must not collide.
func metaPath(bucket, key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return path.Join(metaDir, bucket, name[:2], name+".json")
}
