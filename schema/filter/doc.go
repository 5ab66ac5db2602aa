// Package filter says which events go on, by rules, and of what level a line is.
//
// # Words
//
// A path is the names from the outermost object of a line to a member with dots
// between, so that {"log":{"level":…}} and {"log.level":…} have one path. A Condition
// is what an event must be to be meant; a Rule is a condition and what becomes of the
// events that meet it. Rules are plain data; Compile makes a Filter of them.
//
// # Contract
//
// The first rule whose condition an event meets decides; an event that meets none goes
// on. A verdict depends on the rules, the event and nothing else: two workers, a
// restart and a later version judge alike.
//
// A line is looked at once, for the level and all fields of all rules, and not at all
// when no rule that is reached asks and the level is not wanted. Only a whole line that
// is a JSON object (see schema.WalkObject) has fields and a level: raw lines and parts
// of lines have none, so they meet no condition on fields, and of those on levels only
// NONE.
//
// Of a member that stands twice in an object the last one counts, with all that lies in
// it. Of members that share a path without being the same, the one whose outer name is
// the longest: of {"a":{"b":1},"a.b":2} the 2. A null is not there. The text of a member
// is that of a string, or a number, true or false as they are written; a list or an
// object has none.
//
// # Levels
//
// The level is that of the first of the level paths whose value is one. Names are those
// of the loggers in use, in any case, with white space around them: slf4j, java.util.logging,
// syslog, Python, Go, Serilog, winston; where two give one name to different levels the
// higher counts, so that a rule drops less. A number behind a name is ignored (slog's
// INFO+2, OpenTelemetry's WARN3). Numbers are those of pino and bunyan, 10 for trace to 60
// for fatal, custom ones between them the lower. Only in a member called severityNumber,
// severity_number or SeverityNumber they are OpenTelemetry's, 1 to 24. Any other value,
// such as syslog's 0 to 7, is no level.
//
// # Sampling
//
// A sample rule lets an event go on if h < rate × 2⁶⁴. h is the 64-bit FNV-1a hash of the
// first of these that there is, finished by MurmurHash3's fmix64:
//
//	the text, if not empty, of the first member of the rule's key that has one
//	of a part, the 16 bytes of its line's id: parts of a line stay together
//	epoch (16 bytes), lane (4), offset (8) of an event of a forwarder
//	the record's name and the index (4) of an event of another producer
//	the line
//
// with numbers in big-endian order. So lines of one trace go together, what a low rate
// chooses a higher one chooses too, and rules that sample by one key agree.
package filter
