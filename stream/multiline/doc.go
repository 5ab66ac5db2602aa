// Package multiline says which plain-text lines of a container belong together: a
// stack trace, or whatever follows a line that a pattern knows as the first.
//
// A block is the lines that become one. A Grammar is asked for each line, in order,
// and answers whether it begins a block, joins the open one, or stands alone; all but
// joining ends the block before it. An answer depends on the line's first bytes and the
// block's state and nothing else, takes time in proportion to them, and never fails. A
// JSON line always stands alone.
//
// Who joins the lines, bounds the blocks and knows the time is not here.
package multiline
