// Package docker tests Tributary with the real Docker. It has a daemon of its own,
// which it starts in a temporary directory and ends again with everything that the
// daemon has started; the one that may run on this machine is left alone, because
// some of what is tried here makes a daemon crash.
//
// Each test prints numbered lines from containers through Docker's fluentd driver
// to a forwarder of its own and counts them twice: as the forwarder's counters say
// and as rows in the lake. What the forwarder has received must be rows, each line
// once and byte for byte. What Docker itself has dropped on the way is measured and
// printed as a table at the end.
//
// The tests need root and are skipped unless TRIBUTARY_DOCKER_TEST is 1, which
// "make test-docker" sets.
package docker
