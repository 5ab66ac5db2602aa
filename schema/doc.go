// Package schema holds what the rest of Tributary speaks about: the event, the
// record format that carries events through Kinesis, and the rules that decide
// kind, service and time of a line.
//
// It does no I/O, starts no goroutine and imports nothing of the project.
package schema
