package import NIOCore

/// What the connections of one event loop share. Touched on that loop only.
package final class LoopContext: @unchecked Sendable {
    // SAFETY: everything mutable here is read and written on `loop` only; `HTTPServer` enters through `execute`.
    package let loop: any EventLoop
    package let sink: LoopSink
    var date = DateHeader()
    var ids: IDGenerator
    var connections: [ObjectIdentifier: HTTPConnection] = [:]
    var isDraining = false

    package init(loop: any EventLoop, seed: UInt64) {
        self.loop = loop
        sink = LoopSink(loop)
        ids = IDGenerator(seed: seed)
    }

    /// Ends what is idle now, and the rest after the request under way.
    func drain() {
        isDraining = true
        for connection in Array(connections.values) { connection.drain() }
    }

    func closeAll() {
        for connection in Array(connections.values) { connection.closeNow() }
    }
}
