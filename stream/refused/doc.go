// Package refused keeps on disk what the stream refuses for good, so that one line
// never holds up those behind it.
//
// Words. A reject is one event, as the record that was refused. Its id is (epoch, lane,
// offset), as consumers know it; its position is the spool's, of the entry that
// completed it. A segment is one file of rejects. A lot is all that was there at one
// moment, to be sent again.
//
// Contract.
//   - An Add that returned nil survives SIGKILL and a power cut. One that failed may be
//     found all the same, and adding it again is right: of two with one id, one counts.
//   - The bound holds: for a new reject the oldest are dropped, in whole segments,
//     counted and logged.
//   - What lies behind the cursor of a spool is still in the spool, and is offered
//     again. Has tells of it, so that what was decided once stays decided: the rest of
//     its lane went on without it.
//   - What is sent again goes under the epoch Again of its own: consumers have seen
//     higher offsets of the lane it comes from, and would drop it. Refused once more, it
//     is a reject of that epoch, and its next is Again of that. So sending twice after a
//     crash gives the same ids in the same order, and consumers drop the second copy.
//   - Damaged bytes are counted and skipped; what lies behind them is still read.
package refused
