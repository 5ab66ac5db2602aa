// Package logtail reads CloudWatch Logs as people do: across the log streams of a group
// and across groups, in the order of time, once or for as long as events come.
//
// # Contract
//
// Search gives each event of the time range once, ordered by timestamp. A page may be
// empty although there is more: it goes on until the service gives no token.
//
// Follow does so again and again, from a little before the newest event it knows, and
// gives each event once. None is missed that can be read at most Overlap after its
// timestamp. When a whole group lags, as after an outage of what writes it, the place
// to go on from lags with it, and nothing is missed either. Events that are found late
// come late, out of the order of time. The machine's clock does not matter: the place
// is never later than when the search before began, by the service's clock.
//
// An answer that would stay the same is ErrRefused and reads as its reason. Whatever
// else goes wrong is tried again, for Patience; by Follow, once it had found its events,
// until its context ends.
//
// # Memory
//
// A page of each group, 1 MB of messages and 3 MB around them at most, of MaxGroups
// groups. Follow remembers Remember events by 24 bytes each: all that it may be given
// again. When there are more, it leaves a part of the overlap out rather than give an
// event twice, and says so.
package logtail
