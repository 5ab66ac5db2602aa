// Package workload makes the traffic of a shop's containers: lines as a Spring
// Boot application and its audit filter write them, and a sender that hands them
// to a forwarder as the Docker log driver does.
//
// Lines are numbered and seeded: line n of a seed has the same bytes at every
// call and in every process, so whoever finds a number in a destination can make
// the line again and compare. The mix, and what the words mean here:
//
//	app     a Logstash-shaped JSON object of about 500 bytes; one in a hundred
//	        carries a stack trace of some 2 KB
//	audit   a request with its response, or a slow query, about 2.6 KB in the
//	        mean; one in fifty is longer than Docker's 16 KiB pieces
//	raw     what is no JSON: access logs, the garbage collector, a panic, some
//	        of it not UTF-8
//	slot    n modulo Slots: it decides the service of a line
//
// The text is varied: words, templates and paths repeat as in real logs, ids,
// amounts and names do not. So lines compress as those of real services do (about
// 4 to 1 in hundreds, 5 to 1 in thousands) and no range of them says anything
// about another one.
//
// A Container speaks the Forward protocol's Message mode. It follows moby's
// daemon/logger/copier.go and daemon/logger/fluentd/fluentd.go for the pieces of
// long lines, and fluent-logger-golang for acks and resends.
package workload
