package s3

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// How an object is to be kept. This endpoint encrypts nothing and has one kind of
// disk; it refuses what the service refuses and answers what the service answers.
const (
	classHeader      = "x-amz-storage-class"
	encryptionHeader = "x-amz-server-side-encryption"
	keyHeader        = encryptionHeader + "-aws-kms-key-id"
	bucketKeyHeader  = encryptionHeader + "-bucket-key-enabled"
	aclHeader        = "x-amz-acl"
	ownerHeader      = "x-amz-expected-bucket-owner"
)

var storageHeaders = []string{classHeader, encryptionHeader, keyHeader, bucketKeyHeader, aclHeader}

// accountID owns every bucket; it is the account in the ARNs of the other
// endpoints.
const accountID = "000000000000"

var accountShape = regexp.MustCompile(`^[0-9]{12}$`)

// checkOwner decides what a request expects of its bucket's owner.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
func checkOwner(h http.Header) error {
	switch want := h.Get(ownerHeader); {
	case want == "" || want == accountID:
		return nil
	case !accountShape.MatchString(want):
		return refuse(http.StatusBadRequest, "InvalidBucketOwnerAWSAccountID", "The value of the expected bucket owner parameter must be an AWS account ID, not "+want)
	}
	return refuse(http.StatusForbidden, "AccessDenied", "Access Denied")
}

const standard = "STANDARD"

// archives are the classes whose objects must be restored before they are read.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
var (
	archives = []string{"GLACIER", "DEEP_ARCHIVE"}
	classes  = append([]string{standard, "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}, archives...)
)

// keepStorage puts into kept what a write says about its object's storage. A
// default is not kept: it is what an object without a word has.
func keepStorage(kept map[string]string, h http.Header) error {
	if class := h.Get(classHeader); class != "" && class != standard {
		if !slices.Contains(classes, class) {
			return refuse(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid: "+class)
		}
		kept[classHeader] = class
	}
	if err := checkACL(h.Get(aclHeader)); err != nil {
		return err
	}
	return keepEncryption(kept, h)
}

// checkACL takes what a bucket does whose owner owns all objects, as new buckets
// are: the one ACL that changes nothing.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-ownership-error-responses.html
func checkACL(acl string) error {
	if acl != "" && acl != "bucket-owner-full-control" {
		return refuse(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	return nil
}

const (
	byS3     = "AES256" // what an object has that nothing was said about
	byKMS    = "aws:kms"
	byKMS2   = "aws:kms:dsse"
	keysHere = "arn:aws:kms:us-east-1:" + accountID + ":key/"
	// s3Key is the key aws/s3, used when a request names none.
	s3Key = keysHere + "00000000-0000-4000-8000-000000000000"
)

var keyShape = regexp.MustCompile(`^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/)?(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// keepEncryption checks the encryption asked for. There is no KMS here to know
// keys: any id of the right shape is one.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html
func keepEncryption(kept map[string]string, h http.Header) error {
	algorithm, key, bucketKey := h.Get(encryptionHeader), h.Get(keyHeader), h.Get(bucketKeyHeader)
	withKey := algorithm == byKMS || algorithm == byKMS2
	switch {
	case algorithm != "" && algorithm != byS3 && !withKey:
		return refuse(http.StatusBadRequest, "InvalidEncryptionAlgorithmError", "The encryption request that you specified is not valid: "+algorithm)
	case key != "" && !withKey:
		return invalidArgument("Server Side Encryption with KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
	case bucketKey != "" && bucketKey != "true" && bucketKey != "false":
		return invalidArgument(bucketKeyHeader + " must be true or false, not " + bucketKey)
	case bucketKey == "true" && algorithm != byKMS:
		return notImplemented("a bucket key without aws:kms")
	case strings.Contains(key, "alias/"):
		return notImplemented("the alias of a key, " + key + ",")
	case key != "" && !keyShape.MatchString(key):
		return refuse(http.StatusBadRequest, "KMS.NotFoundException", "Invalid keyId "+key)
	}
	if !withKey {
		return nil
	}
	switch {
	case key == "":
		key = s3Key
	case !strings.HasPrefix(key, "arn:"):
		key = keysHere + key
	}
	kept[encryptionHeader], kept[keyHeader] = algorithm, key
	if bucketKey == "true" {
		kept[bucketKeyHeader] = bucketKey
	}
	return nil
}

// tellEncryption writes what every answer about an object says, to writes too.
func tellEncryption(h http.Header, kept map[string]string) {
	h.Set(encryptionHeader, byS3)
	for _, name := range []string{encryptionHeader, keyHeader, bucketKeyHeader} {
		if v := kept[name]; v != "" {
			h.Set(name, v)
		}
	}
}

// sealed is the ETag of content with that MD5 under a key of KMS: the service
// gives one that is not the content's MD5.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
func sealed(etag string) string {
	sum := md5.Sum([]byte(byKMS + etag))
	return quote(hex.EncodeToString(sum[:]))
}

func (o object) class() string {
	if c := o.Headers[classHeader]; c != "" {
		return c
	}
	return standard
}

// readable refuses to read what is archived.
func (o object) readable() error {
	if slices.Contains(archives, o.class()) {
		return refuse(http.StatusForbidden, "InvalidObjectState", fmt.Sprintf("The operation is not valid for the object's storage class: %s", o.class()))
	}
	return nil
}
