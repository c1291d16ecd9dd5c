private import Crypto

/// The Object API's ETag: not a protection against anybody.
package struct MD5Digest: Sendable, Hashable {
    /// Exactly 16.
    package let bytes: [UInt8]
    package init(_ bytes: [UInt8]) {
        precondition(bytes.count == 16)
        self.bytes = bytes
    }
    /// 32 lower-case hex digits.
    package var hex: String { Hex.encode(bytes) }
}

/// MD5 over a stream of buffers (BoringSSL by swift-crypto).
package struct MD5: Sendable {
    private var state = Insecure.MD5()
    package init() {}
    package mutating func update(_ bytes: UnsafeRawBufferPointer) { state.update(bufferPointer: bytes) }
    package func finalize() -> MD5Digest { MD5Digest(Array(state.finalize())) }
    package static func hash(_ bytes: UnsafeRawBufferPointer) -> MD5Digest {
        var md5 = MD5()
        md5.update(bytes)
        return md5.finalize()
    }
}
