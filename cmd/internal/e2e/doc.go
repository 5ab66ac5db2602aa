// Package e2e starts the real binary as processes, feeds it with the client
// library that Docker itself uses, kills and troubles it, and counts numbered
// lines in the lake, read by a library that did not write it.
package e2e
