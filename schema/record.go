package schema

import "errors"

// MaxDecoded bounds what one record may decode to, in bytes as counted by
// EventSize. The encoder refuses more, the decoder rejects more.
const MaxDecoded = 8 << 20

// MaxOrigins bounds the distinct origins of one record, in bytes as counted by
// OriginSize. The encoder refuses more, the decoder rejects more. Whoever fills
// an Origin from the outside keeps a single one well below it: a batch of one
// event whose origin is larger can never be sent.
const MaxOrigins = 1 << 20

// ErrTooLarge is returned by Encoder.Append for a batch above MaxDecoded, or one
// whose origins are above MaxOrigins. Fewer events may fit.
var ErrTooLarge = errors.New("batch decodes to more than 8 MiB")

// magic begins every record of ours. F5 occurs nowhere in UTF-8, so neither JSON
// nor text begins like this; KPL aggregates begin with F3, zstd frames with 28
// or 5x, gzip with 1F. The byte after it is the version.
const magic = "\xF5TRB"

const version1 = 1

// The charges stand for what an event, an origin, a label and a reject take in
// memory beside their bytes. They are above what the encoded form adds to those
// bytes, so a batch within its bounds is, uncompressed, at most maxPlain.
const (
	eventCharge  = 96
	originCharge = 128
	labelCharge  = 32
	rejectCharge = 64

	maxPlain = MaxDecoded + MaxOrigins + 1024
)

// EventSize is what one event counts toward MaxDecoded and toward every bound on
// decoded bytes: its line and a fixed charge of 96 bytes for its metadata. The
// origin, which many events share, is counted once per record: see OriginSize.
func EventSize(e *Event) int { return len(e.Line) + eventCharge }

// OriginSize is what one origin counts toward MaxOrigins: its strings and fixed
// charges for itself and each label. A nil origin counts as an empty one.
func OriginSize(o *Origin) int {
	if o == nil {
		return originCharge
	}
	n := originCharge + len(o.Service) + len(o.ContainerID) + len(o.ContainerName) +
		len(o.Source) + len(o.Tag) + len(o.Host)
	for i := range o.Labels {
		n += labelCharge + len(o.Labels[i].Name) + len(o.Labels[i].Value)
	}
	return n
}

// The reasons of rejects. They are constant, so that they may label a metric,
// and they are stored: their text is part of the format of reject objects.
const (
	reasonFormat      = "unknown record format"
	reasonVersion     = "unknown record version"
	reasonDictionary  = "unknown dictionary"
	reasonFrame       = "bad compressed frame"
	reasonBatch       = "bad batch"
	reasonKind        = "unknown kind"
	reasonTooLarge    = "decodes to more than 8 MiB"
	reasonKPLChecksum = "bad checksum of aggregate"
	reasonKPL         = "bad aggregate"
	reasonKPLRecord   = "bad user record in aggregate"
	reasonNestedV1    = "record v1 in aggregate"
	reasonNestedKPL   = "aggregate in aggregate"
)
