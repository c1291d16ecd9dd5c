import Images

/// Answers calls: decode, one call of the service, encode.
struct Handlers: Sendable {
    let images: ImageService
}
