// Package contract judges deploy/local: one suite of cases over the AWS SDK, run against the embedded endpoints and against servers
// that others wrote. It has tests only.
//
// Words: a case is one sentence about a service and what proves it; a server is an implementation under judgement; a difference is a
// case in which a server does not do what the sentence says.
//
// Kinesis is asked of local, kinesis-local and aws; DynamoDB of local, dynalite and aws; S3 of local, versitygw and aws; Logs of local and aws:
//
//   - local runs always, in process.
//   - kinesis-local, dynalite and versitygw run when TRIBUTARY_CONTRACT_SERVERS names the directory with their node_modules and bin;
//     make test-contract installs them and sets it. The tests start and end them.
//   - aws runs with TRIBUTARY_AWS_CONTRACT=1, with the credentials and the region that the SDK finds. Everything it makes is named
//     tributary-contract-<random>-… and deleted when its case ends, failed or not; a table and a bucket, which the cases of their
//     service share, when the last of those ends. Only a killed test leaves something behind.
//
// On AWS a stream takes half a minute to be made and each split as long, so run several cases at once:
//
//	TRIBUTARY_AWS_CONTRACT=1 go test -count=1 -v -parallel 8 -timeout 60m -run /aws ./deploy/local/contract
//
// That is some half an hour and less than five dollars: some 300 shards, each billed for an hour at 0.015 $, consumers of some 20 of
// them at the same, tables on demand and objects of a few MiB. No case may take longer than 15 minutes, and none has more than seven shards open.
//
// Whoever disagrees with the documentation stands in the table of differences with the documentation's word. Such a case is run all the
// same and has to fail in the way the table says: a difference that is gone is an error, so the table stays true. TestDifferences
// prints it.
//
// A new case is a row in the service's list of cases: its sentence and its proof.
package contract
