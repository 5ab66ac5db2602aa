package s3

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// operation is one operation of the API with what it understands. Parameters
// and headers outside these lists are refused: an ignored parameter would make
// a test pass that fails on the real service.
type operation struct {
	name    string
	method  string
	depth   int    // 0 service, 1 bucket, 2 object
	mark    string // query parameter that tells it from others
	query   []string
	headers []string // lower case; only x-amz-*, if-* and range are looked at
	do      func(*Service, http.ResponseWriter, call) error
}

var (
	uploadHeaders = []string{"x-amz-sdk-checksum-algorithm", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-checksum-*"}
	writeHeaders  = slices.Concat([]string{"if-match", "if-none-match", "x-amz-meta-*"}, storageHeaders, uploadHeaders)
	readHeaders   = []string{"range", "if-match", "if-none-match", "x-amz-checksum-mode"}
	batchHeaders  = []string{"x-amz-sdk-checksum-algorithm", "x-amz-checksum-*"}
	beginHeaders  = append([]string{"x-amz-meta-*", "x-amz-checksum-algorithm"}, storageHeaders...)
)

// operations are looked through in order: those with a mark come first.
var operations = []operation{
	{name: "ListBuckets", method: http.MethodGet, do: (*Service).listBuckets},
	{name: "ListObjectsV2", method: http.MethodGet, depth: 1, mark: "list-type", do: (*Service).listObjects,
		query: []string{"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"}},
	{name: "DeleteObjects", method: http.MethodPost, depth: 1, mark: "delete", query: []string{"delete"}, headers: batchHeaders, do: (*Service).deleteObjects},
	{name: "CreateBucket", method: http.MethodPut, depth: 1, do: (*Service).createBucket},
	{name: "HeadBucket", method: http.MethodHead, depth: 1, do: (*Service).headBucket},
	{name: "DeleteBucket", method: http.MethodDelete, depth: 1, do: (*Service).deleteBucket},
	{name: "CreateMultipartUpload", method: http.MethodPost, depth: 2, mark: "uploads", query: []string{"uploads"},
		headers: beginHeaders, do: (*Service).createUpload},
	{name: "UploadPart", method: http.MethodPut, depth: 2, mark: "uploadId", query: []string{"uploadId", "partNumber"}, headers: uploadHeaders, do: (*Service).uploadPart},
	{name: "CompleteMultipartUpload", method: http.MethodPost, depth: 2, mark: "uploadId", query: []string{"uploadId"},
		headers: []string{"if-match", "if-none-match"}, do: (*Service).completeUpload},
	{name: "AbortMultipartUpload", method: http.MethodDelete, depth: 2, mark: "uploadId", query: []string{"uploadId"}, do: (*Service).abortUpload},
	{name: "PutObject", method: http.MethodPut, depth: 2, headers: writeHeaders, do: (*Service).putObject},
	{name: "GetObject", method: http.MethodGet, depth: 2, headers: readHeaders, do: (*Service).getObject},
	{name: "HeadObject", method: http.MethodHead, depth: 2, headers: readHeaders, do: (*Service).headObject},
	{name: "DeleteObject", method: http.MethodDelete, depth: 2, do: (*Service).deleteObject},
}

// Every request may carry these: they authenticate or describe the client.
// Signatures are not verified.
var (
	anyQuery = []string{"x-id", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
		"X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}
	anyHeader = []string{"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-user-agent"}
)

func operationNamed(name string) *operation {
	i := slices.IndexFunc(operations, func(o operation) bool { return o.name == name })
	if i < 0 {
		return nil
	}
	return &operations[i]
}

// admit refuses what the operation would have to ignore.
func (o *operation) admit(r *http.Request) error {
	for name := range r.URL.Query() {
		if !slices.Contains(anyQuery, name) && !slices.Contains(o.query, name) {
			return notImplemented(fmt.Sprintf("%s with the parameter %s", o.name, name))
		}
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		if isChoice(name) && !slices.Contains(anyHeader, name) && !o.understands(name) {
			return notImplemented(fmt.Sprintf("%s with the header %s", o.name, name))
		}
	}
	return nil
}

// inBucket: the operation is about a bucket that is there, or an object in it.
func (o *operation) inBucket() bool { return o.depth > 0 && o.name != "CreateBucket" }

func isChoice(header string) bool {
	return strings.HasPrefix(header, "x-amz-") || strings.HasPrefix(header, "if-") || header == "range"
}

func (o *operation) understands(header string) bool {
	switch {
	case slices.Contains(o.headers, header):
		return true
	case header == ownerHeader:
		return o.inBucket()
	case strings.HasPrefix(header, checksumPrefix):
		return isChecksum(header) && slices.Contains(o.headers, checksumPrefix+"*")
	}
	return strings.HasPrefix(header, metaPrefix) && slices.Contains(o.headers, metaPrefix+"*")
}
