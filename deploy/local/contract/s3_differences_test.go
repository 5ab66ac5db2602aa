package contract_test

import "slices"

const (
	s3Keys     = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"
	s3Name     = "The object key name is a sequence of Unicode characters with UTF-8 encoding of up to 1,024 bytes long."
	s3Flat     = "The Amazon S3 data model is a flat structure: You create a bucket, and the bucket stores objects. There is no hierarchy of subbuckets or subfolders."
	s3List     = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"
	s3Deletion = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"
)

var s3Differences = slices.Concat(s3Files(), s3Storage(), []difference{
	{
		server: "versitygw",
		says:   "a key over 1024 bytes is refused",
		does:   "it takes what the file system takes",
		shows:  "put object: got <nil>, want KeyTooLongError",
		docs:   s3Name,
		url:    s3Keys,
	},
	{
		server: "versitygw",
		says:   "a deletion of 1001 objects at once is refused",
		does:   "it deletes them",
		shows:  "delete objects: got <nil>, want MalformedXML",
		docs:   "The request can contain a list of up to 1,000 keys that you want to delete.",
		url:    s3Deletion,
	},
	{
		server: "versitygw",
		says:   "a quiet deletion names only what failed",
		does:   "it names what it deleted",
		shows:  "answer: got 1, want 0",
		docs:   "In quiet mode the response includes only keys where the delete operation encountered an error.",
		url:    s3Deletion,
	},
	{
		server: "versitygw",
		says:   "a list from a token that is none is refused",
		does:   "it takes any text for the key to go on behind",
		shows:  "list objects: got <nil>, want InvalidArgument",
		docs:   "ContinuationToken is obfuscated and is not a real key.",
		url:    s3List,
	},
	{
		server: "versitygw",
		says:   "a list of url encoding",
		does:   "it does not know encoding-type",
		shows:  "want %C3%A9+%26%3C%2B",
		docs:   "When using the URL encoding type, non-ASCII characters that are used in an object's key name will be percent-encoded according to UTF-8 code values.",
		url:    s3List,
	},
	{
		server: "versitygw",
		says:   "pieces are how a body travelled, not what the object is",
		does:   "it keeps aws-chunked as the object's encoding",
		shows:  "encoding: got aws-chunked, want",
		docs:   "Amazon S3 stores the resulting object without the aws-chunked value in the content-encoding header.",
		url:    "https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html",
	},
	{
		server: "versitygw",
		says:   "writers and deleters of one directory do not hinder each other",
		does:   "now and then it refuses a put with ExistingObjectIsDirectory, when a deletion removes the directory above it",
		docs:   s3Flat,
		url:    s3Keys,
		norun:  true,
	},
})

// s3Files are the keys that cannot be files. Who keeps objects as plain files, that any program may read as they are, has to refuse
// them: deploy/local says so by InvalidArgument, versitygw may keep them under another key.
func s3Files() (all []difference) {
	for _, f := range []struct{ server, says, does, shows, docs string }{
		{"local", "a key may be another's prefix at a slash", "it refuses what is a file and a directory at once", "cannot hold a key that is another key's prefix at a slash", s3Flat},
		{"local", "a key may have a slash at the end", "it refuses a component of no letters", `cannot hold a key with the component ""`, s3Flat},
		{"local", "a key may have a slash doubled", "it refuses a component of no letters", `cannot hold a key with the component ""`, s3Flat},
		{"local", "a key may have a slash at the start", "it refuses a component of no letters", `cannot hold a key with the component ""`, s3Flat},
		{"local", "a key may have a dot for a name", "it refuses a component that means the directory itself", `cannot hold a key with the component "."`, s3Name},
		{"local", "a key may have a tab", "it refuses control characters", "keys of UTF-8 without control characters only", s3Name},
		{"local", "a key may have a name of 256 bytes", "it refuses a component that is too long for a file's name", "cannot hold a component of 256 bytes", s3Name},
		{"versitygw", "a key may be another's prefix at a slash", "it refuses what is a file and a directory at once", "ObjectParentIsFile", s3Flat},
		{"versitygw", "a key may have a slash at the end", "it makes it a directory, which has no content", "DirectoryObjectContainsData", s3Flat},
		{"versitygw", "a key may have a slash doubled", "it keeps the object under the key with one slash", "list: got", s3Flat},
		{"versitygw", "a key may have a slash at the start", "it keeps the object under the key with one slash", "list: got", s3Flat},
		{"versitygw", "a key may have a dot for a name", "it keeps the object under the key without the dot", "list: got", s3Name},
		{"versitygw", "a key may have a name of 256 bytes", "it refuses what is too long for a file's name", "ExistingObjectIsDirectory", s3Name},
	} {
		all = append(all, difference{server: f.server, says: f.says, does: f.does, shows: f.shows, docs: f.docs, url: s3Keys})
	}
	return all
}
