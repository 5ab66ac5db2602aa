// Package cost tells what CloudWatch Logs costs by service, and what rules save of it:
// of what workers have sent, by their metrics, or of what is in the stream, by trying
// rules on it.
//
// # Contract
//
// A Scraper asks workers and changes nothing. A Sampler reads the stream as it is: no
// lease, no checkpoint, one of the five calls that a shard answers a second. It judges
// each event as the sink of CloudWatch Logs would, but knows of no event whether it was
// delivered before: what a producer put twice counts twice.
//
// Money is exact: bytes times the price as it is written, rounded when it is printed,
// half a cent up. Totals are those of all bytes, not of rounded rows. What it is in a
// month follows from the time in which it was seen: of each worker since its start, or
// between two looks; of each shard the time that was read.
//
// # Memory
//
// A row for each of the services that the sink tells apart, 201 at most, of each worker
// or of each of Parallel shards; the answers of those, ReadBytes in all; one worker's
// metrics, 32 MiB at most.
package cost
