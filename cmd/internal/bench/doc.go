// Command bench measures the product as it runs in production: the real binary as
// processes, fed by a load generator of its own process, in front of the embedded
// endpoints. "make bench" runs it.
//
// The words of its report:
//
//	stage      a part of the flow that is measured alone, or all of it
//	run        one execution of a stage; figures are medians of the runs
//	yardstick  CPU seconds for zstd of the same lines, as the forwarder compresses
//	           them, on one thread; measured before and after each stage
//	ratio      a process's CPU seconds by the yardstick beside them: what stays
//	           the same from one machine, and from one hour, to the next
//	ceiling    what the endpoints do when the SDK does nothing else
//
// A stage whose result is wrong (a line missing, doubled, or a row that nobody
// sent) fails the benchmark.
package main
