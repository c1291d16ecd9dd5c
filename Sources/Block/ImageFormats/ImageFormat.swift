/// What an image's bytes turn out to be.
package enum ImageFormat: String, Sendable, CaseIterable {
    case raw, qcow2, qed, vhd, vhdx, vmdk, vdi, iso, gpt, luks
}

/// Why an image is not taken, whatever it claims to be.
package enum SafetyFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// It reads other files: a backing file, an external data file, a parent, extents.
    case reachesOutside(ImageFormat, String)
    /// It uses something that nobody here knows the meaning of.
    case unknownFeature(ImageFormat, String)
    /// No image of that format is taken.
    case banned(ImageFormat)
    /// Its structures contradict themselves, or end before their end.
    case malformed(ImageFormat, String)
    /// It is several things at once.
    case ambiguous([ImageFormat])

    package var description: String {
        switch self {
        case .reachesOutside(let format, let what): "the \(format.rawValue) image reaches outside itself: \(what)"
        case .unknownFeature(let format, let what): "the \(format.rawValue) image uses what is not known here: \(what)"
        case .banned(let format): "images of the format \(format.rawValue) are not taken"
        case .malformed(let format, let what): "the \(format.rawValue) image is malformed: \(what)"
        case .ambiguous(let formats):
            "the image is several things at once: \(formats.map(\.rawValue).joined(separator: ", "))"
        }
    }
}

/// What was found in a whole stream.
package struct Inspection: Sendable, Equatable {
    package var format: ImageFormat
    /// What a disk made from it has, in bytes; nil if that isn't said, or can't be right.
    package var virtualBytes: UInt64?
    package var streamBytes: UInt64
    package var failure: SafetyFailure?

    /// What becomes of an upload.
    package enum Verdict: Sendable, Equatable {
        case accepted(virtualBytes: UInt64?)
        case mismatch(found: ImageFormat)
        case unsafe(SafetyFailure)
    }

    /// Formats that a record may declare and nothing looks into: their bytes are anything.
    private static let opaque: Set<String> = ["ami", "ari", "aki", "ploop"]

    /// - Parameters:
    ///   - declared: the record's `disk_format`.
    ///   - requiresMatch: whether another format than the declared one is refused. What is unsafe is in any case.
    package func verdict(declared: String, requiresMatch: Bool) -> Verdict {
        if let failure { return .unsafe(failure) }
        if declared == format.rawValue { return .accepted(virtualBytes: virtualBytes) }
        // A disk's bytes may look like anything: what is in them is the guest's business.
        if declared == "raw" { return .accepted(virtualBytes: streamBytes) }
        if format == .raw, Self.opaque.contains(declared) { return .accepted(virtualBytes: nil) }
        return requiresMatch ? .mismatch(found: format) : .accepted(virtualBytes: nil)
    }
}
