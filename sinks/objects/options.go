package objects

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Options say how objects are written and read. What is empty is left to the
// bucket.
type Options struct {
	// ServerSideEncryption is AES256, aws:kms or aws:kms:dsse.
	ServerSideEncryption string `koanf:"server_side_encryption" json:"server_side_encryption"`
	// KMSKeyID is a key's id, ARN or alias. Empty is the account's own key for S3,
	// which other accounts cannot use.
	KMSKeyID string `koanf:"kms_key_id" json:"kms_key_id"`
	// BucketKeyEnabled saves most calls of KMS; only with aws:kms.
	BucketKeyEnabled bool `koanf:"bucket_key_enabled" json:"bucket_key_enabled"`
	// StorageClass is one whose objects can be read at once.
	StorageClass string `koanf:"storage_class" json:"storage_class"`
	// ACL is a canned one, for a bucket of another account that demands it.
	ACL string `koanf:"acl" json:"acl"`
	// ExpectedBucketOwner is the account of 12 digits that the bucket must belong to.
	ExpectedBucketOwner string `koanf:"expected_bucket_owner" json:"expected_bucket_owner"`
	// AttemptTimeout bounds one request; an upload gets a second more for each MiB.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
}

// DefaultOptions leave everything to the bucket.
func DefaultOptions() Options {
	// A healthy PUT answers in well under a second.
	return Options{AttemptTimeout: 30 * time.Second}
}

var (
	encryptions = []types.ServerSideEncryption{types.ServerSideEncryptionAes256, types.ServerSideEncryptionAwsKms, types.ServerSideEncryptionAwsKmsDsse}
	classes     = []types.StorageClass{types.StorageClassStandard, types.StorageClassIntelligentTiering, types.StorageClassStandardIa,
		types.StorageClassOnezoneIa, types.StorageClassGlacierIr, types.StorageClassReducedRedundancy}
	// Objects of these must be restored, for hours, before they are read.
	archives = []types.StorageClass{types.StorageClassGlacier, types.StorageClassDeepArchive}
	acls     = []types.ObjectCannedACL{types.ObjectCannedACLBucketOwnerFullControl, types.ObjectCannedACLBucketOwnerRead, types.ObjectCannedACLPrivate}
	open     = []types.ObjectCannedACL{types.ObjectCannedACLPublicRead, types.ObjectCannedACLPublicReadWrite, types.ObjectCannedACLAuthenticatedRead}

	accountShape = regexp.MustCompile(`^[0-9]{12}$`)
	keyShape     = regexp.MustCompile(`^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?(alias/[a-zA-Z0-9/_-]+|(key/)?(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}))$`)
)

// Validate joins all faults.
func (o Options) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	encryption := types.ServerSideEncryption(o.ServerSideEncryption)
	if encryption != "" && !slices.Contains(encryptions, encryption) {
		add("server_side_encryption %q is none of %q", encryption, encryptions)
	}
	if o.KMSKeyID != "" && encryption != types.ServerSideEncryptionAwsKms && encryption != types.ServerSideEncryptionAwsKmsDsse {
		add("kms_key_id needs server_side_encryption aws:kms or aws:kms:dsse")
	}
	if o.KMSKeyID != "" && !keyShape.MatchString(o.KMSKeyID) {
		add("kms_key_id %q is no key's id, ARN or alias/name", o.KMSKeyID)
	}
	if o.BucketKeyEnabled && encryption != types.ServerSideEncryptionAwsKms {
		add("bucket_key_enabled needs server_side_encryption aws:kms")
	}
	switch class := types.StorageClass(o.StorageClass); {
	case class == "" || slices.Contains(classes, class):
	case slices.Contains(archives, class):
		add("storage_class %s cannot be read at once, and objects are read back after the write: let a lifecycle rule move them there", class)
	case slices.Contains(class.Values(), class):
		add("storage_class %s belongs to buckets of another sort: leave it empty there", class)
	default:
		add("storage_class %q is none of %q", class, classes)
	}
	switch acl := types.ObjectCannedACL(o.ACL); {
	case acl == "" || slices.Contains(acls, acl):
	case slices.Contains(open, acl):
		add("acl %s would open the objects to others than the bucket's owner", acl)
	default:
		add("acl %q is none of %q", acl, acls)
	}
	if o.ExpectedBucketOwner != "" && !accountShape.MatchString(o.ExpectedBucketOwner) {
		add("expected_bucket_owner %q is not the 12 digits of an account, which YAML wants in quotes", o.ExpectedBucketOwner)
	}
	if o.AttemptTimeout < 100*time.Millisecond || o.AttemptTimeout > 10*time.Minute {
		add("attempt_timeout %v is not within 100ms and 10m", o.AttemptTimeout)
	}
	return errors.Join(errs...)
}

// Or fills what is left to the bucket from those of another writer to the same
// bucket; the three keys of encryption go together.
func (o Options) Or(other Options) Options {
	if o.ServerSideEncryption == "" && o.KMSKeyID == "" && !o.BucketKeyEnabled {
		o.ServerSideEncryption, o.KMSKeyID, o.BucketKeyEnabled = other.ServerSideEncryption, other.KMSKeyID, other.BucketKeyEnabled
	}
	if o.StorageClass == "" {
		o.StorageClass = other.StorageClass
	}
	if o.ACL == "" {
		o.ACL = other.ACL
	}
	if o.ExpectedBucketOwner == "" {
		o.ExpectedBucketOwner = other.ExpectedBucketOwner
	}
	return o
}
