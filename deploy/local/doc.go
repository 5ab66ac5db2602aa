// Package local serves the AWS services Tributary needs and Treasure Data, embedded in the process, on one port and over plain HTTP.
//
// The production clients talk to it unchanged; only their endpoint differs (AWS_ENDPOINT_URL). Services are told apart as the SDK
// tells them: by the X-Amz-Target header (Kinesis_20131202.*, DynamoDB_20120810.*, Logs_20140328.*), and S3 by its path. Signatures are not checked.
// A path below /v3/ is Treasure Data's (Authorization: TD1 <key>): no bucket hides behind it, for a bucket's name has three characters or more.
// What the endpoints do not support they refuse loudly, naming it; nothing is ignored.
//
// State lives under one directory, which a lock keeps to one process. A write is in the file before it is answered: it survives
// kill -9 of the process. The services' own packages say what survives a power cut.
//
// GET, PUT and DELETE on /_local/faults show, replace and remove the rules of package fault. POST on
// /_local/expire makes records leave a stream before their time.
//
// The package and its parts import nothing of the project, so that they can judge it.
package local
