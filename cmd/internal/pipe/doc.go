// Package pipe sends what a program reads to a Forward server, line by line, as
// Docker's fluentd log driver would if the program that writes it ran in a
// container.
//
// Words: a line is the bytes between two newlines, verbatim: only the "\n" is
// taken off, a "\r" before it stays. An empty line is a line. What follows the
// last newline is a line too, if it is not empty. A piece is a part of a line of
// more than 16 KiB.
//
// # Contract
//
// Run returns nil if and only if each line it has read is acked. Each line becomes
// one entry of source stdout, or, when it is longer than 16 KiB, pieces that
// the forwarder joins again; the last piece is always sent. A batch of lines goes
// out when it has 256 KiB or its first line is 100 ms old. A line that has begun and
// does not end waits here, up to 256 KiB of it: the forwarder gives up a line
// whose next piece is late.
//
// # Memory
//
// Two blocks of 64 KiB for reading, a batch of 256 KiB and a line more, and at
// most 4 MiB of chunks that are not acked (fluent.ClientConfig). When these are
// full nothing is read: the writer waits.
package pipe
