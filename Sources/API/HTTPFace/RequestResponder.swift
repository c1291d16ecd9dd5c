package import NIOCore

/// What a face does with a request.
package protocol RequestResponder: Sendable {
    /// Called on the connection's event loop when a head is complete. Must not block. Sooner or later exactly
    /// one response is sent through the exchange, from the same loop.
    func respond(to exchange: Exchange)
}

/// Why a body ended before its end.
package enum BodyFailure: Error, Sendable, Hashable {
    /// The client closed, or half-closed, or the server is shutting down. Nobody is there to answer.
    case clientGone
    /// Too slow: the connection answers 408 itself.
    case timedOut
    /// Not HTTP any more: the connection answers itself.
    case malformed
    /// More than the collector allows; the responder answers.
    case tooLarge
}

/// Takes a streamed body, on the event loop.
package protocol BodyConsumer: AnyObject {
    /// False: no more until `Exchange.resumeBody()`.
    func received(_ bytes: ByteBuffer) -> Bool
    /// The whole body was received.
    func ended()
    /// The body will never be whole; called at most once, and not after `ended`.
    func failed(_ failure: BodyFailure)
}
