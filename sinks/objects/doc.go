// Package objects is how sinks speak to S3: objects are created once and never
// overwritten, each call is one request, and every request carries what the
// bucket's owner demands of it.
//
// No option decides an object's name or content, so none belongs to a plan. Two
// that write the same object may differ in them; the first one's stand.
package objects
