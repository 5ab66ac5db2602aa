// Package columns takes a line apart into the columns of a table and puts it
// together again.
//
// # Words
//
// A member is a name and a value in a JSON object; its path is the names from the
// outermost object to it with dots between, so that {"log":{"level":…}} and
// {"log.level":…} have one path. A Mapping says which paths fill which column.
// Attributes are all other members, under their paths. The shape of a line is the
// line with its values taken out: lines that one logger wrote share it.
//
// # Contract
//
// Nothing of a line is lost. A value goes into a column only if it can be told from
// the column again, to the letter of a number and the character of a text; every
// other value stays an attribute, and counts as a misfit if a column had asked for
// it. Cells.Line makes from a row's cells a JSON text equal to the line: the same
// members with the same values, of a name that stood twice the last. A line of which
// even that cannot be said (bytes that are not UTF-8, half a surrogate pair) is
// Verbatim: whoever stores the row stores the line's bytes beside it.
//
// A shape is JSON itself: in place of each value stands a text that says where the
// value went.
//
//	""              a text, in attributes
//	"json"          any other value, in attributes, as it was written
//	"message"       the text of that column
//	"user_id json"  the column has a number or a word as it was written
//	"level lower"   the text was the column's in lower case; "level title" likewise
//	"status"        the number of that column; "status text" a text of digits
//	"service"         the row's service
//	"time T3Z"      the row's time, written so: see timeForm
//	null, {}        themselves
//
// Two members with one path, such as in {"a.b":1,"a":{"b":2}}, have attributes of
// different names: the later one's ends in a tilde.
package columns
