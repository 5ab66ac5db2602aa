// Package treasuredata is an embedded stand-in for Treasure Data's API, as far as a streaming import needs it, over plain HTTP and a
// directory: streaming imports with and without an id, databases and tables created, listed and shown, and the tail of a table. Both
// of the service's hosts, api and api-import, are this one.
//
// What it promises:
//
//   - An import is stored as a whole or not at all, and its id with it: the rows are written aside, synced and then given their name, of
//     which the id is a part. What was answered survives kill -9 and a power cut. An import whose id is known is answered as
//     a success, with the MD5 of the body it came with, and stores nothing.
//   - Ids are remembered for ever, or as long as Options.IDMemory and Options.IDAge say. An id counts in all tables alike.
//   - Rows are plain files, one an import, of JSON lines: <dir>/<database>/<table>/<ms of the import>-<rows>-<id>.jsonl, the id missing
//     where none was given. Values are stored as they came; strings that are not UTF-8 are mended with U+FFFD.
//   - Memory is bounded by Options.InFlightBytes, some 100 bytes for each remembered id, and the schemas. Bodies are never held.
//   - Every error carries the whole envelope: error, message, text, severity and status_code.
//   - Requests, formats and parameters it does not support are refused with 400 and their name, nothing is ignored. It asks for what the
//     service's clients always send: Content-Length (else 411) and one of their two content types (else 415).
//
// The service does not publish everything. Decided here:
//
//   - Limits and their answers. A body above Options.BodyBytes or unpacked above Options.DecodedBytes: 413. A body that is not gzip over
//     msgpack maps: 400. A row without an integer time, of more than Options.RowColumns columns or Options.RowBytes, or with a column that
//     is twice there, is named v or breaks the naming rule: 422, and the message names the row, counted from 0.
//   - The scope of ids (the account), the answer to a known one (200), and that an import without an id is never compared with others,
//     although its answer gives the MD5 for the id as the service's does.
//   - A schema names a table's first 512 columns, without time, as long, double or string; a boolean or nested value counts as string.
//     A column that comes with values of two types is a string in the schema; its values are stored as they came.
//   - A database name is of 3 to 255 characters where the service's message says 256: a directory's name has no more. A wrong
//     name is told when something is created; in any other request it is something that does not exist.
//   - last_log_timestamp is null. estimated_storage_size is the size of the table's files. Tail gives rows as maps, in the order of
//     their imports. A table that is missing is told in the words of a missing database.
//   - Keys: any, or Options.APIKeys; a wrong one gets 401. One of Options.WriteOnlyKeys may only import; all else gets 403.
//
// Words: an import is one request that brings rows; a stamp is the milliseconds in which something was made, each given once.
//
// Databases and tables are directories, to be deleted while nobody has theirs open. Faults are injected through a fault.Set under the
// service name "td", with the names of operations that this package gives.
package treasuredata
