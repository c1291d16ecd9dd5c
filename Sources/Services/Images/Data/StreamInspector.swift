/// Looks at an image's bytes as they pass.
protocol StreamInspector: Sendable {
    /// The next bytes; why the image is refused, once that is certain.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> ImageError?
    /// What the whole is.
    mutating func finish() -> StreamFindings
}

struct StreamFindings: Sendable, Equatable {
    /// What a disk made from it has, in bytes; nil if that can't be told.
    var virtualSize: Int64?
    /// Why the image is not taken.
    var refusal: ImageError?
}

/// For containers that nothing looks into.
struct NoInspection: StreamInspector {
    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> ImageError? { nil }
    mutating func finish() -> StreamFindings { StreamFindings(virtualSize: nil, refusal: nil) }
}
