// Package duckdb reads the lake with DuckDB, which did not write it: every value of
// generated lines of all kinds is compared, the questions in the README are asked,
// and what a search reads is measured. It is a module of its own, because DuckDB
// needs cgo and nothing of the product may.
//
// The program in copy is what "make bench" sets beside the lake's own encoder.
package duckdb
