package lake

import (
	"strconv"
	"strings"

	"tributary/stream"
)

// rangesFolder holds the range manifests. Engines that scan a folder for data
// skip names that begin with an underscore.
const rangesFolder = "_ranges"

// sequenceDigits pads sequence numbers in manifest names, so that a listing is
// in the stream's order. Kinesis' have 56 digits today and are documented as up
// to 128; longer ones stay as they are.
const sequenceDigits = 64

// objectKey names the object of a range in one partition. The name holds only
// the range's first number: a second range that begins at the same record would
// meet this object and be noticed, instead of doubling its rows.
func (lp *layoutPlan) objectKey(path string, r stream.Range) string {
	return lp.prefix + path + "/" + pathSegment(string(r.Shard)) + "-" + pathSegment(string(r.First)) + generation(r) + ".parquet"
}

func (lp *layoutPlan) manifestKey(r stream.Range) string {
	first := string(r.First)
	first = strings.Repeat("0", max(0, sequenceDigits-len(first))) + first
	return lp.prefix + rangesFolder + "/" + pathSegment(string(r.Shard)) + "/" + pathSegment(first) + generation(r) + ".json"
}

func generation(r stream.Range) string {
	if r.Generation == 0 {
		return ""
	}
	return ".g" + strconv.FormatUint(r.Generation, 10)
}
