/// VMware's disk ("Virtual Disk Format 5.0"): only those that hold their data themselves.
enum VMDK {
    private static let descriptorStart = 512
    private static let endOfStream: UInt64 = .max

    static func look(_ stream: Stream) -> Finding? {
        if stream.head.starts(with: "KDMV") { return sparse(stream) }
        // A text on its own describes data that lie in other files.
        guard isText(stream.head), descriptor(stream.head.bytes)?.contains("createtype=\"") == true else { return nil }
        return Finding(.vmdk, failure: .reachesOutside(.vmdk, "it is a description of other files"))
    }

    private static func isText(_ head: Fields) -> Bool {
        let start = head.bytes.prefix(512)
        return !start.isEmpty && start.allSatisfy { (0x20...0x7E).contains($0) || (0x09...0x0D).contains($0) }
    }

    /// Up to the first NUL, in lower case; nil unless it is ASCII.
    private static func descriptor(_ bytes: some Sequence<UInt8>) -> String? {
        let text = bytes.prefix { $0 != 0 }
        guard text.allSatisfy({ $0 < 0x80 }) else { return nil }
        return String(decoding: text, as: UTF8.self).lowercased()
    }

    // MARK: The sparse format

    private struct Header: Equatable {
        var version: UInt32
        var sectors: UInt64
        var descriptorSector: UInt64
        var descriptorSectors: UInt64
        var directory: UInt64

        init?(_ fields: Fields, at start: Int) {
            guard fields.starts(with: "KDMV", at: start), let version = fields.little32(start + 4),
                let sectors = fields.little64(start + 12), let sector = fields.little64(start + 28),
                let count = fields.little64(start + 36), let directory = fields.little64(start + 56)
            else { return nil }
            self.version = version
            self.sectors = sectors
            descriptorSector = sector
            descriptorSectors = count
            self.directory = directory
        }
    }

    private static func sparse(_ stream: Stream) -> Finding {
        func malformed(_ why: String) -> Finding { Finding(.vmdk, failure: .malformed(.vmdk, why)) }
        guard let header = Header(stream.head, at: 0) else { return malformed("its header is cut off") }
        guard (1...3).contains(header.version) else {
            return Finding(.vmdk, failure: .unknownFeature(.vmdk, "version \(header.version)"))
        }
        guard header.descriptorSector == 1 else { return malformed("its description is not where it should be") }
        let room = UInt64(ImageFormatLimits.headBytes - descriptorStart) / 512
        guard (1...room).contains(header.descriptorSectors) else { return malformed("its description is too long") }
        guard
            let bytes = stream.head.slice(descriptorStart, Int(header.descriptorSectors) * 512)
                ?? stream.head.slice(descriptorStart, max(0, stream.head.count - descriptorStart)),
            let text = descriptor(bytes)
        else { return malformed("its description is no text") }
        if let failure = check(text) { return Finding(.vmdk, failure: failure) }
        if header.directory == endOfStream, let failure = checkFooter(stream, header) {
            return Finding(.vmdk, failure: failure)
        }
        let (size, overflow) = header.sectors.multipliedReportingOverflow(by: 512)
        return overflow ? malformed("its size") : Finding(.vmdk, virtualBytes: size)
    }

    /// - Parameter text: in lower case.
    private static func check(_ text: String) -> SafetyFailure? {
        guard let start = text.firstRange(of: "createtype=\"") else {
            return .malformed(.vmdk, "it does not say its kind")
        }
        let kind = text[start.upperBound...].prefix { $0 != "\"" }
        guard kind == "monolithicsparse" || kind == "streamoptimized" else {
            return .reachesOutside(.vmdk, "it is of the kind \(kind.prefix(32))")
        }
        var extents = 0
        for line in text.split(whereSeparator: \.isNewline).map({ $0.trimmed }) where !line.isEmpty {
            let name = line.prefix { $0 != "=" }
            if line.hasPrefix("#") || line.hasPrefix("ddb") { continue }
            if line.contains("="), !name.contains(" ") {
                // Whose data are read where the image has none.
                if name.hasPrefix("parentfilenamehint") { return .reachesOutside(.vmdk, "it has a parent") }
                continue
            }
            guard ["rw", "rdonly", "noaccess"].contains(line.prefix { $0 != " " }) else {
                return .malformed(.vmdk, "a line of its description")
            }
            guard !line.contains("/"), !line.contains("\\") else {
                return .reachesOutside(.vmdk, "the name of an extent is a path")
            }
            extents += 1
        }
        return extents == 1 ? nil : .reachesOutside(.vmdk, "it has \(extents) extents")
    }

    /// The last three sectors: a marker, the header again, the end of the stream.
    private static func checkFooter(_ stream: Stream, _ header: Header) -> SafetyFailure? {
        let tail = stream.tail
        guard tail.count == ImageFormatLimits.tailBytes, let footer = Header(tail, at: 512) else {
            return .malformed(.vmdk, "it has no footer")
        }
        guard footer.version == header.version, footer.descriptorSector == header.descriptorSector,
            footer.descriptorSectors == header.descriptorSectors, footer.directory != endOfStream
        else { return .malformed(.vmdk, "its footer is of another image") }
        guard tail.little32(8) == 0, tail.little32(12) == 3, tail.slice(16, 496)?.allSatisfy({ $0 == 0 }) == true,
            tail.slice(1_024, 512)?.allSatisfy({ $0 == 0 }) == true
        else { return .malformed(.vmdk, "the marks around its footer") }
        return nil
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        let start = drop { $0 == " " || $0 == "\t" }
        guard let last = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return start.prefix(0) }
        return start[...last]
    }
}
