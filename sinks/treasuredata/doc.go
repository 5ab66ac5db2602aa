// Package treasuredata imports events into Treasure Data, each event once as far as
// TD remembers ids.
//
// Words: a body is what one request carries, msgpack maps compressed by gzip; a part
// is a run of one table's rows that becomes a body; its path says which: "3" is the
// fourth of the table, "3.0" that one's first half.
//
// # Contract
//
// Flush is idempotent in (range, plan). The plan is text that holds everything that
// decides rows, tables, cuts and ids; a replay by another process, with other
// settings for memory, sends the same bytes under the same ids, in any order. (Bytes
// of the same build: gzip of another one may write the same rows otherwise.) An id is
// a hash of group, database, table, shard, generation, the range's first and last
// record and the part's path. TD takes a second body under a known id and drops it;
// for how long it knows one, it does not publish. A row that came twice after all has
// the same columns shard, sequence and index, for those who ask for them.
//
// Endpoints and key are no part of the plan: whoever mends them mends what is pending.
// A range marked truncated has ids of its own, because its parts hold other rows
// than those of the whole range: what TD has of that is there twice then, rather than
// missing.
//
// # Rows
//
// A row is time, in seconds; metadata, see Config.Metadata; the columns incomplete
// and part_… where they apply; and the line's members. A line that is no JSON object,
// or a part of one, goes into the column message. All columns but time, message and
// the line's own begin with Config.MetadataPrefix.
//
// A member's column is its name in lower case, with every run of other characters
// than a-z, 0-9 and _ as one underscore, and an underscore before a digit at the
// beginning; of a name that has nothing left, such as one in kanji, it is an
// underscore and a hash. Names that TD or metadata need (time, v) get a number:
// time_1. So do members of one line that want the same column: the one with that very
// name has it, the others get _1, _2 in the order of their names. Of a member that is
// there twice the last value counts. Flattened, members of objects have the names of
// all objects around them before theirs.
//
// Strings, integers from −2^63 to 2^64−1, true, false and null stay what they are;
// other integers, arrays and (unless flattened) objects become their text; numbers
// with fraction or exponent become doubles. TD decides on a column's type by itself, a
// field that changes its type included. Text that is not UTF-8 gets U+FFFD for what
// is wrong. Members above the limit go into the column rest, a JSON object.
//
// # Tables
//
// Database and table come from templates with {service} and {kind}. A service's name
// of a-z, 0-9 and single underscores stays as it is; a single hyphen becomes two
// underscores; any other name gets eight digits of a hash behind what is left of it,
// so that no two services share a table unless the template lets them. An event
// without a service is of "unknown". What is missing is created when an import
// answers 404, once for each attempt.
//
// # What TD answers
//
//	2xx            taken, if md5_hex is that of the body; else sent again
//	413            the part is halved; a single row goes to the reject store
//	400, 422       the part is halved until the bad row is alone, which goes to the
//	               reject store; after MaxHalvings in one flush a part goes as it is
//	409            the part goes to the reject store: its id stands for something else
//	404            table and database are created, then the same body is sent again
//	401, 403       an error and an alarm; the key is read again
//	429            an error; the host is left alone until Retry-After
//	the rest       an error: 405 and the like speak of the endpoint, not of the rows
//
// The engine repeats a flush after an error. What was taken is remembered and not
// sent again; halves are made of whole parts only, so that any replay asks for the
// same bodies.
//
// # Memory
//
// A sink keeps records as they came, compressed, and where each of their rows
// belongs; the engine bounds that by Size. A flush decodes records again, two thirds
// of Config.EncodeBytes at a time; bodies being made or on their way take the last
// third. All sinks together share EncodeBytes.
package treasuredata
