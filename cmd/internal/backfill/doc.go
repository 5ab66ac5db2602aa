// Package backfill imports what lies in a bucket into Treasure Data: Parquet of the
// lake, and files of JSON lines that Fluentd wrote. It is a command's work: it begins,
// goes on after whatever ended it, and ends.
//
// # Words
//
// A job is what one command line means; its inventory is the list of its objects as
// they were when it began. A batch is a run of the inventory that one goroutine reads;
// a range is a run of a batch's lines that is imported as one, through the same sink
// that imports ranges of the stream. A step says that a range is imported, and where
// the next one begins.
//
// # Contract
//
// Each line is imported once as far as Treasure Data remembers ids, whatever kills the
// process and however often: objects are pinned by their ETags in the inventory, where
// batches and ranges are cut follows from the inventory, the lines and the job alone,
// and the ids from those cuts. A job that goes on skips the ranges that have a step
// and sends those that were under way again, under their ids. Its configuration, as
// far as it decides rows and cuts, is stored with the job; another one is refused.
//
// What cannot be imported is told and never tried for ever: a torn object gives the
// lines before the tear, one that changed or went is left alone, a line too long for
// an event and a row that Treasure Data refuses go to the reject store. A job with any
// of that ends with an error, and what it could import is imported.
//
// # State
//
// All state is objects, or files, that are created once:
//
//	job.json                          what the job means
//	inventory-<attempt>/<n>.jsonl.gz  its objects, in the order of their keys, with batches
//	inventory.json                    the attempt that counts, and its sums
//	steps/<batch>-<range>.json        a range that is imported
//	done.json                         the end
//
// # Memory
//
// Config.Memory is dealt out to the sink and to as many batches as fit beside it. No
// number or size of objects changes that: listings are read page by page, an inventory
// batch by batch, objects as they come. Only a Parquet object of more than half a
// megabyte lies in a temporary file while it is read.
package backfill
