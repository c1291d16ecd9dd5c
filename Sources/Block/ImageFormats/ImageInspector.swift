/// Looks at an image's bytes as they pass, and keeps few of them: the beginning, one table farther behind (VHDX has one), and
/// the last sectors. How the stream is cut into pieces makes no difference.
package struct ImageInspector: Sendable {
    private var head: [UInt8] = []
    private var tail: [UInt8] = []
    private var window: Window?
    private var position: UInt64 = 0

    /// Bytes from a place that is known only once the beginning was seen.
    private struct Window: Sendable {
        var start: UInt64
        var bytes: [UInt8] = []
    }

    package init() {}

    package mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        if head.count < ImageFormatLimits.headBytes {
            head += bytes.prefix(ImageFormatLimits.headBytes - head.count)
            if head.count == ImageFormatLimits.headBytes, let start = VHDX.metadataStart(head) {
                window = Window(start: start)
            }
        }
        if let window { keep(bytes, of: window) }
        if bytes.count >= ImageFormatLimits.tailBytes {
            tail = Array(bytes.suffix(ImageFormatLimits.tailBytes))
        } else {
            tail += bytes
            if tail.count > ImageFormatLimits.tailBytes { tail.removeFirst(tail.count - ImageFormatLimits.tailBytes) }
        }
        position += UInt64(bytes.count)
    }

    private mutating func keep(_ bytes: UnsafeRawBufferPointer, of window: Window) {
        let wanted = window.start + UInt64(window.bytes.count)
        let end = window.start + UInt64(ImageFormatLimits.windowBytes)
        guard wanted >= position, wanted < position + UInt64(bytes.count), wanted < end else { return }
        let from = Int(wanted - position)
        let count = Int(min(UInt64(bytes.count - from), end - wanted))
        self.window?.bytes += bytes[from..<from + count]
    }

    /// What the whole is.
    package func finish() -> Inspection {
        let stream = Stream(
            head: Fields(head), tail: Fields(tail), window: Fields(window?.bytes ?? []), byteCount: position)
        var findings = [
            QCOW2.look(stream), QED.look(stream), VHD.look(stream), VHDX.look(stream), VMDK.look(stream),
            VDI.look(stream), ISO.look(stream), PartitionTable.look(stream), LUKS.look(stream),
        ].compactMap { $0 }
        // A disc that also boots from a disk has a partition table in its unused first sectors.
        if findings.contains(where: { $0.format == .iso }) { findings.removeAll { $0.format == .gpt } }
        if findings.count > 1 {
            return Inspection(
                format: findings[0].format, virtualBytes: nil, streamBytes: position,
                failure: .ambiguous(findings.map(\.format)))
        }
        guard let found = findings.first else {
            return Inspection(format: .raw, virtualBytes: position, streamBytes: position, failure: nil)
        }
        return Inspection(
            format: found.format, virtualBytes: found.virtualBytes, streamBytes: position, failure: found.failure)
    }
}

/// What the formats are looked for in.
struct Stream {
    let head: Fields
    let tail: Fields
    let window: Fields
    let byteCount: UInt64
}

/// One format, found.
struct Finding {
    var format: ImageFormat
    var virtualBytes: UInt64?
    var failure: SafetyFailure?

    init(_ format: ImageFormat, virtualBytes: UInt64? = nil, failure: SafetyFailure? = nil) {
        self.format = format
        // No disk is larger; what claims to be would trip whoever computes with it.
        self.virtualBytes = virtualBytes.flatMap { $0 <= UInt64(Int64.max) ? $0 : nil }
        self.failure = failure
        if failure == nil, let virtualBytes, virtualBytes > UInt64(Int64.max) {
            self.failure = .malformed(format, "its size")
        }
    }
}

/// Bytes with numbers in them; nil for what lies beyond the end.
struct Fields {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var count: Int { bytes.count }

    func slice(_ start: Int, _ count: Int) -> ArraySlice<UInt8>? {
        guard start >= 0, count >= 0, start <= bytes.count, count <= bytes.count - start else { return nil }
        return bytes[start..<start + count]
    }

    func starts(with text: String, at start: Int = 0) -> Bool {
        slice(start, text.utf8.count).map { $0.elementsEqual(text.utf8) } ?? false
    }

    func big32(_ start: Int) -> UInt32? { slice(start, 4)?.reduce(0) { $0 << 8 | UInt32($1) } }
    func big64(_ start: Int) -> UInt64? { slice(start, 8)?.reduce(0) { $0 << 8 | UInt64($1) } }
    func little16(_ start: Int) -> UInt16? { slice(start, 2)?.reversed().reduce(0) { $0 << 8 | UInt16($1) } }
    func little32(_ start: Int) -> UInt32? { slice(start, 4)?.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    func little64(_ start: Int) -> UInt64? { slice(start, 8)?.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
}
