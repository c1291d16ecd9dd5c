private import ImageFormats

/// Holds an image's bytes against the format that its record declares.
struct FormatInspector: StreamInspector {
    private let declared: String
    private let requiresMatch: Bool
    private var inspector = ImageInspector()

    init(declared: String, requiresMatch: Bool) {
        self.declared = declared
        self.requiresMatch = requiresMatch
    }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> ImageError? {
        unsafe inspector.feed(bytes)
        return nil
    }

    mutating func finish() -> StreamFindings {
        switch inspector.finish().verdict(declared: declared, requiresMatch: requiresMatch) {
        case .accepted(let bytes):
            StreamFindings(virtualSize: bytes.flatMap { Int64(exactly: $0) }, refusal: nil)
        case .mismatch(let found):
            StreamFindings(
                virtualSize: nil,
                refusal: .unsupported(
                    "Declared format '\(declared)' does not match the detected format '\(found.rawValue)'."))
        case .unsafe(let failure):
            StreamFindings(virtualSize: nil, refusal: .unsupported("Image failed safety checks: \(failure)."))
        }
    }
}
