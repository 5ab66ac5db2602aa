// Package s3 is an embedded stand-in for Amazon S3 over plain HTTP, path style,
// kept in a directory. An object is a plain file, <dir>/<bucket>/<key>, that any
// program can read as it is; a file somebody else puts there is an object too.
//
// It is its own small handler rather than a backend of gofakes3, because that
// library does not hand the backend what this package is for: it overwrites in
// CompleteMultipartUpload with If-None-Match, does not verify checksums, answers
// 416 to a suffix range longer than the object, and ignores parameters it does
// not know.
//
// Promises: a PUT is visible as a whole or not at all, also after a crash or a
// power cut (temp file, sync, rename, sync of the directory), and its data and
// metadata belong together. If-None-Match: * and If-Match are decided atomically
// with the write, for PutObject and CompleteMultipartUpload. Checksums and
// Content-MD5 that a client sends are verified. Storage class, encryption and
// the owner that a request expects (account 000000000000) are decided and told as
// the service does, though every object is a plain file on one disk. Lists page in the order of the
// keys' bytes. No object is held in memory. Deletions are not synced: a power cut
// may bring a deleted object back. Signatures are not verified.
//
// What it does not do is refused with NotImplemented and the name of the
// operation, parameter or header; nothing is ignored. What a directory cannot
// hold is refused too: keys with empty, "." or ".." components, components over
// 255 bytes, control characters, and a key that is another's prefix at a slash
// ("a" beside "a/b").
//
// Metadata lies under <dir>/.meta, uploads in parts under <dir>/.multipart,
// files being written under <dir>/.tmp (swept by Open); no bucket name begins
// with a dot.
//
// Faults are injected through a fault.Set under the service name "s3", with the
// API's operation names.
package s3
