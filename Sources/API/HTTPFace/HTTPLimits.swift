/// Every bound that a face puts on a connection. All are configuration; the defaults are object-api.md 1.3's.
///
/// Time is counted in ticks of `tickMilliseconds`, one timer a connection, so that a request on a busy
/// connection never reads a clock for its time-outs; each time-out is exact to one tick.
package struct HTTPLimits: Sendable, Hashable {
    /// A longer request line is answered with 414.
    package var requestLineBytesMax = 8192
    /// A longer header line is answered with 400.
    package var headerLineBytesMax = 8192
    /// More header fields are answered with 400: 90 of metadata and 36 others.
    package var headerCountMax = 126
    /// The whole head, request line included; more is answered with 400. At most 65,535.
    package var headBytesMax = 65_535
    /// A chunk's size line with its extensions.
    package var chunkLineBytesMax = 256
    /// All trailer lines of one chunked body.
    package var trailerBytesMax = 8192
    /// Requests that wait unparsed behind the one being served; reading stops above it.
    package var pipelinedBytesMax = 65_536
    /// A body that a refusal left unread is read to its end up to this size, else the connection closes.
    package var drainBytesMax = 65_536
    /// What is read and dropped after a closing refusal, so that the client can still read it.
    package var lingerBytesMax = 1 << 20
    /// Connections of this listener; further ones are closed at once.
    package var connectionsMax = 4096
    /// Of these, those from one address.
    package var connectionsPerAddressMax = 3072

    package var tickMilliseconds: Int64 = 1000
    /// Between requests: closed without a word.
    package var idleMilliseconds: Int64 = 75_000
    /// From a request's first byte to the end of its head: 408.
    package var headMilliseconds: Int64 = 30_000
    /// A body that comes slower than `bodyRateMin` on the average of a window of this length: 408.
    package var bodyMilliseconds: Int64 = 60_000
    /// Bytes a second.
    package var bodyRateMin = 1024
    /// A client that takes nothing of a response for this long is cut off.
    package var writeMilliseconds: Int64 = 60_000
    /// How long a refused client may go on sending before the connection is closed on it.
    package var lingerMilliseconds: Int64 = 2000
    /// How long `shutdown` waits for the requests under way.
    package var graceMilliseconds: Int64 = 20_000

    package init() {}
}
