// Package fault makes the embedded endpoints misbehave on demand, the way the real services do now and then.
//
// A [Set] holds rules. Each [Rule] names calls by service and operation and says what happens to every Nth of them, or to a share
// of them that a seed picks. Rules count, and their dice are loaded: the same calls in the same order meet the same faults, so a
// test that fails once fails again.
//
// Words: a call is one HTTP request; a hit is a call (or a record, a read, or an event) to which a rule did something.
//
// Two kinds of action exist. [Throttle], [Error], [Delay], [LoseResponse] and [DelayCommit] befall a whole call and are applied by
// [Set.Handler], in front of a service. [ThrottleRecords], [FailRecords], [Stale] and [Cut] only make sense inside a service, which asks
// [Set.Strikes] at the place where it matters.
package fault
