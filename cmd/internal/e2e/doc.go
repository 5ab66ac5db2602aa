// Package e2e starts the real binary as processes, feeds it with the client library
// that Docker itself uses, kills and troubles it, and counts numbered lines in every
// destination, read by a library that did not write it.
//
// A [System] is the processes of one test, apart or all in one. A [Schedule] is what
// happens to them, drawn from a seed: who is killed, interrupted or stopped, when
// and for how long; when the services fail, and how; when shards are split, merged or
// resized. A [Ledger] notes which lines were begun and which were acked, and judges a
// destination: every acked line is there once, byte for byte and in its kind, and one
// that was never acked is there once at most. A destination says how often it has
// each line; [Lake] is one.
//
// [Lanes] publish straight into the stream, as a crowd of forwarders would. The lake
// tells whether its rows keep the order of their lanes, and whether its ranges follow
// one another without a gap. A [Referee] watches the leases meanwhile and knows who
// had which shard when.
//
// A [Gateway] stands between one worker and the endpoints and knows the steps of a
// flush by the calls that it is made of. It lets one of them hang, so that a test kills
// or stops the worker exactly there.
//
// What a schedule does is the same for the same seed; how the processes meet it is
// not. So a failing run prints its seed, what was done and when, the figures and the
// last output of each process, and the lines that are missing or doubled.
package e2e
