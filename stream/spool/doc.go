// Package spool is the disk buffer between the Forward server and the lanes: an
// append-only log of segments with one reader and one cursor. A request is
// acknowledged once it is in here; what happens behind may crash and start over.
//
// Words. An entry is an opaque payload with a lane and an offset. A frame is
// what one request became on disk: all of its entries and its chunk id, or none.
// A segment is one file of frames; its name is the log position of its first
// byte. A position grows along the log and over restarts, so the position of an
// entry names it for ever. An epoch is one life of the spool, from Open to the
// end of the process; (epoch, lane, offset) is unique for all time. The cursor
// is the position before which everything is done. A mark is an entry the reader
// itself appends, such as "this line was given up".
//
// Contract.
//   - An Append that returned nil survives SIGKILL, and with ack "synced" a power
//     cut as well. It is read again after every restart until the cursor passed it.
//   - An Append waits while the disk is full, read-only or failing, and goes on by
//     itself. One that gave up waiting may be stored all the same: the same chunk id
//     may be sent again.
//   - Entries are read in the order of the log; in one lane offsets only grow.
//   - A chunk id is stored once within the chunk window.
//   - What is dropped because the spool is full (on_full) is dropped in whole
//     segments from the old end, counted, and stays dropped.
//   - Corrupt bytes are copied to quarantine, counted and skipped; what lies
//     behind them is still read.
//
// Deleting a segment loses nothing that is still needed, because every segment
// begins with a snapshot of the lane keys and chunk ids known until then.
package spool
