/// Fetches what an address names; bound on the top floor, where it is guarded against reaching inside.
package protocol WebSource: Sendable {
    /// Whether the address is one that may be asked for at all, before anything is begun; throws `.invalid`.
    func check(_ address: String) throws(ImageError)
    /// Hands the body over, in order; returns behind the last byte. Throws a reason for the task's message.
    func fetch(_ address: String, into intake: WebIntake) async throws(ImageError)
}

/// Takes what a `WebSource` fetches.
package struct WebIntake: Sendable {
    let intake: ImageIntake
    let bytesMax: Int64

    /// Waits until there is room for at least one byte; throws what was refused.
    package func makeRoom() async throws(ImageError) {
        guard intake.byteCount <= bytesMax else {
            throw .tooLarge("The image is larger than it may be: \(bytesMax) bytes.")
        }
        try await intake.makeRoom()
    }

    /// Copies as many of the bytes as there is room for; after `makeRoom`.
    package func take(_ bytes: UnsafeRawBufferPointer) -> Int { unsafe intake.take(bytes) }
}

/// Nothing is fetched.
package struct NoWeb: WebSource {
    package init() {}
    package func check(_ address: String) throws(ImageError) {
        throw .invalid("Images are not fetched from addresses here.")
    }
    package func fetch(_ address: String, into intake: WebIntake) async throws(ImageError) { try check(address) }
}
