package contract_test

// kinesisAPI is where the API reference lies. Where it leaves something open, the service's own answers are cited.
const kinesisAPI = "https://docs.aws.amazon.com/kinesis/latest/APIReference/"

var kinesisDifferences = append(subscribeDifferences(), []difference{
	{
		server: "kinesis-local", says: "a stream name with a slash is not valid",
		does: "answers InvalidArgumentException", shows: "InvalidArgumentException",
		docs: "StreamName: Pattern: [a-zA-Z0-9_.-]+; ValidationError: The input fails to satisfy the constraints specified by an AWS service.",
		url:  kinesisAPI + "API_CreateStream.html",
	},
	{
		server: "kinesis-local", says: "a stream has at least one shard",
		does: "answers LimitExceededException", shows: "LimitExceededException",
		docs: "ShardCount: Valid Range: Minimum value of 1.",
		url:  kinesisAPI + "API_CreateStream.html",
	},
	{
		server: "kinesis-local", says: "a sequence number of a deleted stream is refused by its namesake",
		does: "takes it", shows: "got <nil>",
		docs: "InvalidArgumentException: A specified parameter exceeds its restrictions, is not supported, or can't be used. The service adds: … is invalid because it did not come from this stream.",
		url:  "https://github.com/amazon-archives/amazon-kinesis-connectors/issues/8",
	},
	{
		server: "kinesis-local", says: "an iterator of a deleted stream is refused by its namesake",
		does: "reads the new stream with it", shows: "got <nil>",
		docs: "If an application attempts to operate on a deleted stream, it receives the exception ResourceNotFoundException.",
		url:  kinesisAPI + "API_DeleteStream.html",
	},
	{
		server: "kinesis-local", says: "shards listed by the creation time of a deleted stream are not its namesake's",
		does: "lists the new stream's shards", shows: "got <nil>",
		docs: "if you create a data stream and then delete it, and you later create another data stream with the same name, you can use this input parameter to specify which of the two streams you want to list the shards for",
		url:  kinesisAPI + "API_ListShards.html",
	},
	{
		server: "kinesis-local", says: "a hash key that is not decimal is not valid",
		does: "answers HTTP 500", shows: "StatusCode: 500",
		docs: "ExplicitHashKey: Pattern: 0|([1-9]\\d{0,38})",
		url:  kinesisAPI + "API_PutRecordsRequestEntry.html",
	},
	{
		server: "kinesis-local", says: "a partition key has at least one character",
		does: "answers InvalidArgumentException", shows: "InvalidArgumentException",
		docs: "PartitionKey: Length Constraints: Minimum length of 1. Maximum length of 256.",
		url:  kinesisAPI + "API_PutRecordsRequestEntry.html",
	},
	{
		server: "kinesis-local", says: "a partition key has at most 256 characters",
		does: "answers InvalidArgumentException", shows: "InvalidArgumentException",
		docs: "PartitionKey: Length Constraints: Minimum length of 1. Maximum length of 256.",
		url:  kinesisAPI + "API_PutRecordsRequestEntry.html",
	},
	{
		server: "kinesis-local", says: "a request has at least one record",
		does: "takes none", shows: "got <nil>",
		docs: "Records: Array Members: Minimum number of 1 item. Maximum number of 500 items.",
		url:  kinesisAPI + "API_PutRecords.html",
	},
	{
		server: "kinesis-local", says: "a request has at most 500 records",
		does: "takes and stores 501", shows: "got <nil>",
		docs: "Each PutRecords request can support up to 500 records.",
		url:  kinesisAPI + "API_PutRecords.html",
	},
	{
		server: "kinesis-local", says: "data and key have at most 1 MiB together",
		does: "takes a byte more: it counts the data only", shows: "got <nil>",
		docs: "The record size limit applies to the total size of the partition key and data blob.",
		url:  kinesisAPI + "API_PutRecords.html",
	},
	{
		server: "kinesis-local", says: "a request has at most 10 MiB",
		does: "takes 11 MiB, which needs half a minute", norun: true,
		docs: "up to a limit of 10 MiB for the entire request, including partition keys",
		url:  kinesisAPI + "API_PutRecords.html",
	},
	{
		server: "kinesis-local", says: "a stream made for larger records takes them",
		does: "takes a byte more than the stream was made for: it counts the data only", shows: "got <nil>",
		docs: "The record size limit applies to the total size of the partition key and data blob.",
		url:  kinesisAPI + "API_PutRecords.html",
	},
	{
		server: "kinesis-local", says: "a record's limit is 1 to 10 MiB",
		does: "answers InvalidArgumentException", shows: "InvalidArgumentException",
		docs: "If you specify a value that is out of this range, UpdateMaxRecordSize sends back an ValidationException message.",
		url:  kinesisAPI + "API_UpdateMaxRecordSize.html",
	},
	{
		server: "kinesis-local", says: "a record's limit is changed only while the stream is ACTIVE",
		does: "changes it during an UpdateShardCount", shows: "got <nil>",
		docs: "ResourceInUseException: The resource is not available for this operation. For successful operation, the resource must be in the ACTIVE state.",
		url:  kinesisAPI + "API_UpdateMaxRecordSize.html",
	},
	{
		server: "kinesis-local", says: "an answer holds at most 10 MiB",
		does: "does that, but needs half a minute to store 12 MiB", norun: true,
		docs: "The maximum size of data that GetRecords can return is 10 MiB.",
		url:  kinesisAPI + "API_GetRecords.html",
	},
	{
		server: "kinesis-local", says: "an iterator that nobody gave is an invalid argument",
		does: "answers HTTP 500", shows: "StatusCode: 500",
		docs: "InvalidArgumentException: A specified parameter exceeds its restrictions, is not supported, or can't be used.",
		url:  kinesisAPI + "API_GetRecords.html",
	},
	{
		server: "kinesis-local", says: "an unknown iterator type is not valid",
		does: "answers SerializationException", shows: "SerializationException",
		docs: "ShardIteratorType: Valid Values: AT_SEQUENCE_NUMBER | AFTER_SEQUENCE_NUMBER | TRIM_HORIZON | LATEST | AT_TIMESTAMP",
		url:  kinesisAPI + "API_GetShardIterator.html",
	},
	{
		server: "kinesis-local", says: "a sequence number that is no number is not valid",
		does: "answers InvalidArgumentException", shows: "InvalidArgumentException",
		docs: "1 validation error detected: Value … at 'startingSequenceNumber' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\\d{0,128}), says the service",
		url:  "https://github.com/mcohen01/amazonica/issues/468",
	},
	{
		server: "kinesis-local", says: "a sequence number of no stream is an invalid argument",
		does: "takes it", shows: "got <nil>",
		docs: "StartingSequenceNumber: The sequence number of the data record in the shard from which to start reading.",
		url:  kinesisAPI + "API_GetShardIterator.html",
	},
	{
		server: "kinesis-local", says: "AT_TIMESTAMP of a time to come is an invalid argument",
		does: "takes it", shows: "got <nil>",
		docs: "InvalidArgumentException: The timestampInMillis parameter cannot be greater than the currentTimestampInMillis, says the service",
		url:  "https://github.com/harlow/kinesis-consumer/issues/116",
	},
	{
		server: "kinesis-local", says: "LATEST with a sequence number is an invalid argument",
		does: "ignores the number", shows: "got <nil>",
		docs: "StartingSequenceNumber: Used with shard iterator type AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER.",
		url:  kinesisAPI + "API_GetShardIterator.html",
	},
	{
		server: "kinesis-local", says: "AT_TRIM_HORIZON lists the shards that were open then",
		does: "lists all shards", shows: "got [00 01 02 03 04], want [00]",
		docs: "AT_TRIM_HORIZON - the response includes all the shards that were open at TRIM_HORIZON.",
		url:  kinesisAPI + "API_ShardFilter.html",
	},
	{
		server: "kinesis-local", says: "AT_TIMESTAMP lists the shards that were open then",
		does: "takes whole seconds of the time, so that its answer depends on the moment", norun: true,
		docs: "A timestamp is a Unix epoch date with precision in milliseconds.",
		url:  kinesisAPI + "API_ShardFilter.html",
	},
	{
		server: "kinesis-local", says: "FROM_TIMESTAMP lists the shards that were open then and all later ones",
		does: "takes whole seconds of the time, so that its answer depends on the moment", norun: true,
		docs: "A timestamp is a Unix epoch date with precision in milliseconds.",
		url:  kinesisAPI + "API_ShardFilter.html",
	},
	{
		server: "kinesis-local", says: "AT_LATEST takes no time",
		does: "ignores the time", shows: "got <nil>",
		docs: "Timestamp: This property can only be used if FROM_TIMESTAMP or AT_TIMESTAMP shard types are specified.",
		url:  kinesisAPI + "API_ShardFilter.html",
	},
	{
		server: "kinesis-local", says: "FROM_TRIM_HORIZON takes no shard",
		does: "ignores the shard", shows: "got <nil>",
		docs: "ShardId: This property can only be used if the AFTER_SHARD_ID shard type is specified.",
		url:  kinesisAPI + "API_ShardFilter.html",
	},
	{
		server: "kinesis-local", says: "children begin after their parent's end",
		does: "ends every closed shard at 2^63-1, before its records", shows: "9223372036854775807",
		docs: "EndingSequenceNumber: The ending sequence number for the range.",
		url:  kinesisAPI + "API_SequenceNumberRange.html",
	},
	{
		server: "kinesis-local", says: "a parent's sequence number is refused by its child",
		does: "takes it", shows: "got <nil>",
		docs: "InvalidArgumentException: Invalid StartingSequenceNumber. It encodes shardId-…, while it was used in a call to shardId-…, says the service",
		url:  "https://github.com/boto/boto3/issues/1478",
	},
	{
		server: "kinesis-local", says: "a child's sequence number is refused by its parent",
		does: "takes it", shows: "got <nil>",
		docs: "InvalidArgumentException: Invalid StartingSequenceNumber. It encodes shardId-…, while it was used in a call to shardId-…, says the service",
		url:  "https://github.com/boto/boto3/issues/1478",
	},
	{
		server: "kinesis-local", says: "a shard is not split at the start of its hash range",
		does: "splits it", shows: "got <nil>",
		docs: "NewStartingHashKey: … is not both greater than one plus the shard's StartingHashKey … and less than the shard's EndingHashKey …, says the service (in records of its answers)",
		url:  "https://github.com/mhart/kinesalite/blob/master/test/splitShard.js",
	},
	{
		server: "kinesis-local", says: "a shard is not split one behind the start of its hash range",
		does: "splits it", shows: "got <nil>",
		docs: "NewStartingHashKey: … is not both greater than one plus the shard's StartingHashKey … and less than the shard's EndingHashKey …, says the service (in records of its answers)",
		url:  "https://github.com/mhart/kinesalite/blob/master/test/splitShard.js",
	},
	{
		server: "kinesis-local", says: "a shard is not split at the end of its hash range",
		does: "splits it", shows: "got <nil>",
		docs: "NewStartingHashKey: … is not both greater than one plus the shard's StartingHashKey … and less than the shard's EndingHashKey …, says the service (in records of its answers)",
		url:  "https://github.com/mhart/kinesalite/blob/master/test/splitShard.js",
	},
	{
		server: "kinesis-local", says: "a split at what is not decimal is not valid",
		does: "answers HTTP 500", shows: "StatusCode: 500",
		docs: "NewStartingHashKey: Pattern: 0|([1-9]\\d{0,38})",
		url:  kinesisAPI + "API_SplitShard.html",
	},
	{
		server: "kinesis-local", says: "a merged shard begins after both its parents' ends",
		does: "ends every closed shard at 2^63-1, before its records", shows: "9223372036854775807",
		docs: "EndingSequenceNumber: The ending sequence number for the range.",
		url:  kinesisAPI + "API_SequenceNumberRange.html",
	},
	{
		server: "kinesis-local", says: "UpdateShardCount answers at once with both counts",
		does: "leaves out the ARN", shows: "ARN: got ,",
		docs: "The following data is returned in JSON format by the service: CurrentShardCount, StreamARN, StreamName, TargetShardCount",
		url:  kinesisAPI + "API_UpdateShardCount.html",
	},
	{
		server: "kinesis-local", says: "UpdateShardCount makes equal shards of a count that is no multiple",
		does: "splits one shard and leaves the others as they are", shows: "keys larger than",
		docs: "ScalingType: Uniform scaling creates shards of equal size.",
		url:  kinesisAPI + "API_UpdateShardCount.html",
	},
	{
		server: "kinesis-local", says: "a stream is at most halved at once",
		does: "rounds the half of an odd count down", shows: "got <nil>",
		docs: "you cannot … Scale down below half your current shard count for a stream",
		url:  kinesisAPI + "API_UpdateShardCount.html",
	},
	{
		server: "kinesis-local", says: "a stream is resized to at least one shard",
		does: "takes 0", shows: "got <nil>",
		docs: "TargetShardCount: Valid Range: Minimum value of 1.",
		url:  kinesisAPI + "API_UpdateShardCount.html",
	},
	{
		server: "kinesis-local", says: "a stream is resized in no other way than uniformly",
		does: "answers SerializationException", shows: "SerializationException",
		docs: "ScalingType: Valid Values: UNIFORM_SCALING; ValidationError: The input fails to satisfy the constraints specified by an AWS service.",
		url:  kinesisAPI + "API_UpdateShardCount.html",
	},
	{
		server: "kinesis-local", says: "a stream is resized ten times a day",
		does: "takes an eleventh", shows: "got <nil>",
		docs: "you cannot … Scale more than ten times per rolling 24-hour period per stream",
		url:  kinesisAPI + "API_UpdateShardCount.html",
	},
	{
		server: "kinesis-local", says: "consumers are listed page by page",
		does: "leaves out the last one", shows: "got map[a:1 b:1]",
		docs: "NextToken: … You can specify this NextToken value in a subsequent call to ListStreamConsumers to list the next set of registered consumers.",
		url:  kinesisAPI + "API_ListStreamConsumers.html",
	},
	{
		server: "kinesis-local", says: "a stream with consumers is deleted only with EnforceConsumerDeletion",
		does: "answers ResourceInUseException, and a moment later the stream is gone", norun: true,
		docs: "If this parameter is unset (null) or if you set it to false, and the stream has registered consumers, the call to DeleteStream fails with a ResourceInUseException.",
		url:  kinesisAPI + "API_DeleteStream.html",
	},
}...)

// subscribeDifferences are all cases of SubscribeToShard: the SDK does not get as far as its events.
func subscribeDifferences() (all []difference) {
	for _, c := range subscribeCases {
		all = append(all, difference{
			server: "kinesis-local", says: c.says,
			does: "sends events without an initial response, which the SDK refuses", shows: "expected initial-response",
			docs: "In RPC protocols (AWS JSON 1.0, AWS JSON 1.1, …), initial messages take the form of message events with the event types … initial-response for response streams.",
			url:  "https://smithy.io/2.0/aws/amazon-eventstream.html",
		})
	}
	return all
}
