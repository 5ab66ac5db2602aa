package contract_test

const (
	s3Put        = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"
	s3Get        = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"
	s3Head       = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html"
	s3Errors     = "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
	s3Ownership  = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-ownership-error-responses.html"
	s3Tag        = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html"
	s3Encrypted  = "Amazon S3 encrypts data with server-side encryption by using Amazon S3 managed keys (SSE-S3) by default."
	s3Encryption = "The server-side encryption algorithm used when you store this object in Amazon S3."
	s3KeyID      = "If present, indicates the ID of the KMS key that was used for object encryption."
	s3Class      = "Provides storage class information of the object. Amazon S3 returns this header for all objects except for S3 Standard storage class objects."
	s3Archived   = "If the object you are retrieving is stored in the S3 Glacier Flexible Retrieval storage class, the S3 Glacier Deep Archive storage class, … before you can retrieve the object you must first restore a copy using RestoreObject. Otherwise, this operation returns an InvalidObjectState error."
)

// s3Storage are the ways of keeping an object that versitygw does not have: it ignores what is said of class and encryption, and knows
// accounts by their access keys.
func s3Storage() (all []difference) {
	const (
		noClass      = "it has one class, STANDARD, and ignores any other"
		noEncryption = "it ignores encryption"
	)
	for _, f := range []struct{ says, does, shows, docs, url string }{
		{"an object of class REDUCED_REDUNDANCY is read at once", noClass, "class: got STANDARD, want REDUCED_REDUNDANCY", s3Class, s3Head},
		{"an object of class STANDARD_IA is read at once", noClass, "class: got STANDARD, want STANDARD_IA", s3Class, s3Head},
		{"an object of class ONEZONE_IA is read at once", noClass, "class: got STANDARD, want ONEZONE_IA", s3Class, s3Head},
		{"an object of class INTELLIGENT_TIERING is read at once", noClass, "class: got STANDARD, want INTELLIGENT_TIERING", s3Class, s3Head},
		{"an object of class GLACIER_IR is read at once", noClass, "class: got STANDARD, want GLACIER_IR", s3Class, s3Head},
		{"an object of class GLACIER is not read at once", noClass, "get object: got <nil>, want InvalidObjectState", s3Archived, s3Get},
		{"an object of class DEEP_ARCHIVE is not read at once", noClass, "get object: got <nil>, want InvalidObjectState", s3Archived, s3Get},
		{"an object of class STANDARD has no class in its head", "it tells the class STANDARD too", "class in the head: got STANDARD, want", s3Class, s3Head},
		{"an unknown class is refused", noClass, "put object: got <nil>, want InvalidStorageClass", "The storage class that you specified is not valid.", s3Errors},
		{"a put replaces class and encryption", noClass, "class: got STANDARD, want", s3Class, s3Head},
		{"an upload in parts keeps class and encryption", noEncryption, "encryption: got , want aws:kms", s3KeyID, s3Head},
		{"an object about whose encryption nothing was said is encrypted all the same", noEncryption, "encryption: got , want AES256", s3Encrypted, s3Put},
		{"an object put with AES256 says so", noEncryption, "encryption: got , want AES256", s3Encryption, s3Put},
		{"an object put with aws:kms tells its key and whether a bucket key serves it", noEncryption, "encryption: got , want aws:kms", s3KeyID, s3Put},
		{"an object put with aws:kms:dsse tells its key", noEncryption, "encryption: got , want aws:kms:dsse", s3KeyID, s3Put},
		{"the etag of an object under a key is not its MD5", noEncryption, "the etag is the MD5 of the content",
			"Objects created by the PUT Object, POST Object, or Copy operation, or through the AWS Management Console, and are encrypted by SSE-C or SSE-KMS, have ETags that are not an MD5 digest of their object data.", s3Tag},
		{"an unknown encryption is refused", noEncryption, "put object: got <nil>, want InvalidEncryptionAlgorithmError",
			"The encryption request that you specified is not valid. The valid value is AES256.", s3Errors},
		{"a key without encryption by keys is refused", noEncryption, "put object: got <nil>, want InvalidArgument",
			"If you specify x-amz-server-side-encryption with aws:kms or aws:kms:dsse, this header specifies the ID of the KMS key to use for object encryption.", s3Put},
		{"an id of a shape that no key has is refused", noEncryption, "put object: got <nil>, want KMS.NotFoundException",
			"Incorrect key specification results in an HTTP 400 Bad Request error.", s3Put},
		{"a bucket without ACLs refuses another one", "it accepts the ACL", "put object: got <nil>, want AccessControlListNotSupported",
			"Requests to set ACLs or update ACLs fail with a 400 error and return the AccessControlListNotSupported error code.", s3Ownership},
		{"an expected owner that is no account is refused", "its accounts are access keys, of any shape", "api error AccessDenied",
			"The value of the expected bucket owner parameter must be an AWS account ID.", s3Errors},
	} {
		all = append(all, difference{server: "versitygw", says: f.says, does: f.does, shows: f.shows, docs: f.docs, url: f.url})
	}
	return all
}
