// Package edit drops, samples, shortens and masks lines by rules, for cost and privacy.
//
// # Rules
//
// A Rule is a filter.Condition and what becomes of the events that meet it. Of the rules
// that keep, drop and sample the first whose condition an event meets decides; an event
// that meets none goes on. Of those that mask and truncate all that it meets apply. All
// conditions, and keys of samples, see the line as it came. A verdict depends on the rules,
// the event and nothing else, and samples choose as filter's do.
//
// Rules see a whole line, before it is cut into parts for records. They change the line
// alone: what Docker tells beside it (labels, names), and the service, kind and time that
// were taken out of it before, stay.
//
// # Paths
//
// A path is names with dots between, from the outermost object to a member: each list on
// the way means all its elements, and a name with dots in it is that many names, so that
// user.email is in {"user":{"email":…}}, {"user":[{"email":…}]} and {"user.email":…}. A *
// stands for any text within one name, ** for any names, also none: **.password is any
// member of that name. A member that stands twice is meant twice; names are compared
// without their escapes.
//
// A text that is itself JSON, an object or a list, is looked into like one:
// request_body.email is in {"request_body":"{\"email\":…}"}, to any depth of text in text
// (at 16 it counts as no JSON). It stays a text, with its escapes.
//
// # Masks
//
// What is masked becomes a JSON string: "***", or "***" and the last characters of the
// text, of at most half of it, or "hmac:" and 32 hex digits, the first half of HMAC-SHA256
// of the text under the secret, so that equal values stay equal. The text of a number, true
// or false is as it is written, that of an object or a list too, spaces included. A null
// stays. Where rules mask one value in different ways stars win over the hash, and that
// over last characters. A value inside of one that is masked goes with it.
//
// Presets and patterns mask what they find in texts and numbers, at the rule's paths and
// below, or without paths in all of the line, also one that is no JSON; in a number they
// mask all of it. They see one value at a time, without escapes; names are no values. The
// preset card is 13 to 19 digits that begin with 2 to 6, in groups by spaces or dashes or
// in one, with a valid check digit; email is local@domain.tld, the @ also as %40. Patterns
// are RE2 (linear time); of one with a group only what the group matches is masked. Of
// matches that overlap all together are masked once.
//
// # What cannot be parsed
//
// A line whose JSON is broken hides its kind and its members from rules. By on_unparsed a
// mask rule then
//
//	mask_line  masks all of the line, if the event is of one of the rule's services: the
//	           default, since such a line may be the half of an audit line (a service
//	           that only a field of the line names is not known then)
//	pass       leaves it, or finds presets and patterns in it if its kind raw is meant
//
// Broken is a line that begins as JSON does ({" or [ and a quote, { or [) and is not, that
// is nested deeper than 128, or of which pieces are missing. Any other that is no JSON is
// plain text, in which paths find nothing. A rule that has presets or patterns and no
// paths masks such a line whole only if there is a backslash in it, which may hide what it
// looks for. The same goes for a text in a line that begins as JSON does and is not: it
// is masked whole. And a path whose next name would lie in a text, where all names before
// that are without stars, takes it for JSON: if it is not, it is masked whole
// (request_body.email masks "request_body":"email=…").
//
// A line that masks would make more than three times as long, and 64 KiB, is masked whole.
//
// # Truncation
//
// A truncate rule cuts texts at its paths that are longer than max_bytes, before a
// character, and says how much: "[... 1234 bytes cut]" follows. Masks come first. What the
// mark would make longer is left alone. Of an object or a list that is too long remains a
// text, the beginning of how it was written. Without paths it cuts lines that are no JSON.
//
// Bytes outside of what is masked or cut stay as they are.
package edit
