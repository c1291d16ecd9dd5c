private import ImageFormats
import Primitives

/// Disks in formats that another program reads.
extension ImageService {
    /// By their names in records.
    static let convertible: Set<String> = ["vhd", "vhdx", "vmdk", "vdi"]

    /// Percent that are done when the image was copied out, when the other program has ended, and the rest is reading in.
    private static let copiedPercent = 20
    private static let convertedPercent = 70

    /// Through the converter into the store; answers the disk's bytes. Blocks for as long as it takes.
    func convertDisk(
        from key: String, byteCount: Int64, _ format: String, to disk: String, progress: DiskProgress
    ) throws(ImageError) -> Int64 {
        let reader = try store.open(key)
        let conversion = try converter.begin(byteCount: byteCount)
        defer { conversion.end() }
        let diskBytes = try copyOut(reader, byteCount, format, to: conversion) { part throws(ImageError) in
            try progress.report(part * Self.copiedPercent / 100)
        }
        try conversion.run(format: format, diskBytes: diskBytes) { part throws(ImageError) in
            try progress.report(Self.copiedPercent + part * (Self.convertedPercent - Self.copiedPercent) / 100)
        }
        let writer = try store.begin(disk, byteCount: diskBytes)
        var position: Int64 = 0
        func passed(_ count: Int64) throws(ImageError) {
            position += count
            let part = Int(position * 100 / diskBytes)
            try progress.report(Self.convertedPercent + part * (100 - Self.convertedPercent) / 100)
        }
        try unsafe conversion.read { bytes throws(ImageError) in
            try unsafe writer.write(bytes)
            try passed(Int64(bytes.count))
        } zeros: { count throws(ImageError) in
            try writer.skip(count)
            try passed(count)
        }
        guard position == diskBytes else { throw .storage("a converted disk has \(position) bytes, not \(diskBytes)") }
        try writer.finish()
        return diskBytes
    }

    /// The image's bytes pass the inspection once more: what the other program reads is what was looked at. Answers the
    /// disk's size, in whole sectors.
    private func copyOut(
        _ reader: any ImageReader, _ byteCount: Int64, _ format: String, to conversion: any DiskConversion,
        progress: (Int) throws(ImageError) -> Void
    ) throws(ImageError) -> Int64 {
        var inspector = ImageInspector()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.readBytes, alignment: 4_096)
        defer { unsafe buffer.deallocate() }
        var offset: Int64 = 0
        while offset < byteCount {
            let count = Int(min(Int64(buffer.count), byteCount - offset))
            let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try unsafe reader.read(at: offset, into: piece)
            unsafe inspector.feed(UnsafeRawBufferPointer(piece))
            try unsafe conversion.write(UnsafeRawBufferPointer(piece))
            offset += Int64(count)
            try progress(Int(offset * 100 / byteCount))
        }
        switch inspector.finish().verdict(declared: format, requiresMatch: true) {
        case .accepted(let bytes):
            guard let bytes, bytes > 0 else { throw .unsupported("The image does not say how large its disk is.") }
            guard bytes <= UInt64(configuration.sizeMax) else {
                throw .unsupported("No disk can be made from the image: it would have \(bytes) bytes.")
            }
            return (Int64(bytes) + 511) / 512 * 512
        case .mismatch(let found):
            throw .unsupported("No disk can be made from the image: it is no \(format), but \(found.rawValue).")
        case .unsafe(let failure):
            throw .unsupported("No disk can be made from the image: \(failure).")
        }
    }
}

/// How far a disk is read out of an image, for all who wait for it.
final class DiskProgress: Sendable {
    private let told = PosixLocked(-1)
    private let isStopping: @Sendable () -> Bool
    private let tell: @Sendable (Int) -> Void

    init(isStopping: @escaping @Sendable () -> Bool, tell: @escaping @Sendable (Int) -> Void) {
        self.isStopping = isStopping
        self.tell = tell
    }

    /// Tells each new percent once; throws when the service stops, so that nothing outlives it.
    func report(_ percent: Int) throws(ImageError) {
        guard !isStopping() else { throw .storage("the daemon stops") }
        let isNew = told.withLock { told in
            defer { told = max(told, percent) }
            return percent > told
        }
        if isNew { tell(percent) }
    }
}
