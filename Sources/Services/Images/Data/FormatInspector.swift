/// Placeholder until ImageFormats is merged.
struct FormatInspector: StreamInspector {
    let declared: String
    let requiresMatch: Bool
    private var count: Int64 = 0

    init(declared: String, requiresMatch: Bool) {
        self.declared = declared
        self.requiresMatch = requiresMatch
    }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> ImageError? {
        count += Int64(bytes.count)
        return nil
    }

    mutating func finish() -> StreamFindings {
        StreamFindings(virtualSize: declared == "raw" ? count : nil, refusal: nil)
    }
}
