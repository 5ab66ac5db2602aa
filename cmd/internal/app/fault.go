package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Fault is an error that the person who started the program can mend by changing
// the configuration or the surroundings. The process says so in one line and
// exits with 2.
type Fault struct{ err error }

func (f Fault) Error() string { return f.err.Error() }

// Unwrap returns the wrapped error.
func (f Fault) Unwrap() error { return f.err }

// Faultf makes a Fault.
func Faultf(format string, args ...any) error { return Fault{fmt.Errorf(format, args...)} }

// Explain turns the errors that a person can mend into Faults that say how. What was
// interrupted says so: a service ends without an error then, but any other command
// has not done what it was asked for.
func Explain(err error) error {
	var fault Fault
	var op *net.OpError
	switch {
	case err == nil || errors.As(err, &fault):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted: %w", err)
	case errors.As(err, &op) && op.Op != "listen":
		return err
	case errors.Is(err, syscall.EADDRINUSE) && errors.As(err, &op):
		return Faultf("%s is in use by another process: stop that one, or choose another address (%s)", op.Addr, addressKeys)
	case errors.Is(err, syscall.EACCES) && errors.As(err, &op):
		return Faultf("not allowed to listen on %s: choose a port above 1023 (%s)", op.Addr, addressKeys)
	case errors.Is(err, syscall.EADDRNOTAVAIL) && errors.As(err, &op):
		return Faultf("%s is no address of this machine (%s)", op.Addr, addressKeys)
	}
	return err
}

const addressKeys = "forward.server.listen, admin.listen, local.listen"

// Code is the exit code for err: 0, 2 for a Fault, 1 for the rest.
func Code(err error) int {
	var fault Fault
	switch {
	case err == nil:
		return 0
	case errors.As(err, &fault):
		return 2
	}
	return 1
}
