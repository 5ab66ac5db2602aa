// Package cluster runs the product as it is deployed, as processes of the real
// binary on this machine: the embedded endpoints, forwarders, lake workers, or all
// in one. Each can be killed, stopped, continued and started again over the same
// addresses and directories, and tells what it took of the machine. Tests and
// benchmarks are built on it; it knows nothing of either.
package cluster
