import Foundation
import Images
import Logging
import Testing

@testable import Daemon

@Suite("Disks that qemu-img reads") struct QEMUConverterTests {
    private static let program: String? =
        ["/usr/bin/qemu-img", "/usr/local/bin/qemu-img", "/bin/qemu-img"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func converter(_ scratch: ScratchFolder, named: String? = nil, reserve: Int64 = 0) throws
        -> QEMUConverter
    {
        let folder = scratch.path + "/" + QEMUConverter.folderName
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return QEMUConverter(
            named: named ?? program ?? "", searchPath: "/usr/bin:/bin", folder: folder, reserveBytes: reserve,
            logger: logger)
    }

    /// Random, zeros, random.
    private static let disk: [UInt8] = {
        var generator = SystemRandomNumberGenerator()
        let noise = (0..<(1 << 20)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        return noise + [UInt8](repeating: 0, count: 3 << 20) + noise
    }()

    @Test(
        "an image that qemu-img wrote becomes the disk that it holds, holes left out",
        .enabled(if: program != nil, "NOT RUN: there is no qemu-img (Debian: qemu-utils)"),
        arguments: [
            ("vmdk", "vmdk", "subformat=monolithicSparse"), ("vmdk", "vmdk", "subformat=streamOptimized"),
            ("vhdx", "vhdx", "subformat=dynamic"), ("vdi", "vdi", "static=off"),
            ("vhd", "vpc", "subformat=dynamic,force_size=on"), ("vhd", "vpc", "subformat=fixed,force_size=on"),
        ])
    func disks(format: String, driver: String, options: String) throws {
        let scratch = try ScratchFolder()
        let raw = scratch.path + "/raw", image = scratch.path + "/image"
        try Data(Self.disk).write(to: URL(fileURLWithPath: raw))
        let made = try Program.run(
            try #require(Self.program), ["convert", "-f", "raw", "-O", driver, "-o", options, raw, image])
        try #require(made.code == 0, "\(made.errors)")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: image))
        let converter = try Self.converter(scratch)
        let conversion = try converter.begin(byteCount: Int64(bytes.count))
        try bytes.withUnsafeBytes { try conversion.write($0) }
        try conversion.run(format: format, diskBytes: Int64(Self.disk.count)) { _ in }
        var read: [UInt8] = []
        var holes: Int64 = 0
        try conversion.read {
            read += Array($0)
        } zeros: { count in
            read += [UInt8](repeating: 0, count: Int(count))
            holes += count
        }
        #expect(read == Self.disk)
        #expect(holes >= 2 << 20)
        conversion.end()
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/conversions") == [])
    }

    @Test(
        "bytes that are not of the format that is given make no disk: nothing is guessed",
        .enabled(if: program != nil, "NOT RUN: there is no qemu-img (Debian: qemu-utils)"))
    func nothingGuessed() throws {
        let scratch = try ScratchFolder()
        let converter = try Self.converter(scratch)
        let conversion = try converter.begin(byteCount: 4_096)
        defer { conversion.end() }
        // A qcow2's beginning.
        var bytes: [UInt8] = [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3]
        bytes += [UInt8](repeating: 0, count: 4_096 - bytes.count)
        try bytes.withUnsafeBytes { try conversion.write($0) }
        #expect(throws: ImageError.self) { try conversion.run(format: "vdi", diskBytes: 4_096) { _ in } }
        #expect(throws: ImageError.self) { try conversion.run(format: "qcow2", diskBytes: 4_096) { _ in } }
    }

    @Test(
        "an image longer than announced, and one that there is no space for, are refused",
        .enabled(if: program != nil, "NOT RUN: there is no qemu-img (Debian: qemu-utils)"))
    func bounds() throws {
        let scratch = try ScratchFolder()
        let conversion = try Self.converter(scratch).begin(byteCount: 10)
        defer { conversion.end() }
        #expect(throws: ImageError.self) {
            try [UInt8](repeating: 0, count: 11).withUnsafeBytes { try conversion.write($0) }
        }
        #expect(throws: ImageError.full) { try Self.converter(scratch, reserve: 1 << 60).begin(byteCount: 10) }
    }

    @Test("what a crash left is removed at the start", .enabled(if: program != nil, "NOT RUN: there is no qemu-img"))
    func leftovers() throws {
        let scratch = try ScratchFolder()
        let converter = try Self.converter(scratch)
        let conversion = try converter.begin(byteCount: 10)
        try [UInt8](repeating: 0, count: 10).withUnsafeBytes { try conversion.write($0) }
        let folder = scratch.path + "/conversions"
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(names.count == 1)
        for part in ["", "/work", "/root"] { #expect(try scratch.mode("conversions/\(names[0])\(part)") == 0o700) }
        #expect(try scratch.mode("conversions/\(names[0])/work/image") == 0o600)
        try converter.removeUnfinished()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }

    @Test("without the program it says what is missing", arguments: ["", "no-such-program", "/nowhere/qemu-img"])
    func missing(name: String) throws {
        let scratch = try ScratchFolder()
        let converter = try Self.converter(scratch, named: name)
        let why = #expect(throws: ImageError.self) { try converter.check() }?.description ?? ""
        #expect(why.contains(name.isEmpty ? "turned off" : name), "\(why)")
        #expect(throws: ImageError.self) { try converter.begin(byteCount: 1) }
    }

    @Test func percentsAreReadFromWhatItPrints() {
        #expect(QEMUConversion.percent("") == 0)
        #expect(QEMUConversion.percent("    (0.00/100%)\r    (42.51/100%)\r") == 42)
        #expect(QEMUConversion.percent("    (42.51/100%)\r    (50.0") == 42)
        #expect(QEMUConversion.percent("(999/100%)") == 100)
        #expect(QEMUConversion.percent("(x/100%)") == 0)
    }
}
