import Testing
import VolumeDrivers

@testable import Volumes

@Suite struct BackupFormatTests {
    private static let prefix = "volume_v/20260101000000/az_nova_backup_b"

    private static func manifest() -> BackupManifest {
        BackupManifest(
            backupID: "b", volumeID: "v", parentID: "p", name: "caf\u{e9} \"x\"\\\n\u{1F600}", description: nil,
            createdAt: "20260101000000", bytes: 1 << 30,
            objects: [
                .init(name: prefix + "-00001", extents: [0..<512], sha256: String(repeating: "a", count: 64)),
                .init(
                    name: prefix + "-00002", extents: [4_096..<8_192, 1 << 20..<2 << 20],
                    sha256: String(repeating: "b", count: 64)),
            ], zeros: [8_192..<12_288],
            volume: .init(
                name: "n", description: "d", bootable: true, typeID: "t", metadata: ["k": "v"],
                imageMetadata: ["os": "\u{0}"]))
    }

    @Test func whatIsWrittenIsRead() throws {
        let manifest = Self.manifest()
        #expect(BackupManifest(manifest.utf8, prefix: Self.prefix) == manifest)
    }

    /// The users of a project may write what they like to its containers.
    @Test(arguments: [
        "", "{}", "[", "nul", "{\"backup_id\":\"b\",\"volume_id\":\"v\",\"volume_bytes\":0,\"objects\":[]}",
        "{\"backup_id\":\"b\",\"volume_id\":\"v\",\"volume_bytes\":1.5,\"objects\":[]}",
    ])
    func whatIsNoManifestIsRefused(_ text: String) {
        #expect(BackupManifest(Array(text.utf8), prefix: Self.prefix) == nil)
    }

    @Test(arguments: [
        ("\"offset\":0,\"length\":512", "\"offset\":100,\"length\":512"),
        ("\"offset\":0,\"length\":512", "\"offset\":0,\"length\":1073742336"),
        ("\"offset\":0,\"length\":512", "\"offset\":-512,\"length\":512"),
        ("[4096,4096]", "[4096,9223372036854775807]"), ("[4096,4096]", "[4096,8192]"), ("[8192,4096]", "[8192,0]"),
        ("_b-00001", "_c-00001"), ("\"compression\":\"none\"", "\"compression\":\"zlib\""),
        ("\"volume_bytes\":1073741824", "\"volume_bytes\":4096"),
    ])
    func bytesThatTheVolumeDoesNotHaveAreRefused(_ change: (from: String, to: String)) throws {
        let text = String(decoding: Self.manifest().utf8, as: UTF8.self)
        let changed = text.replacing(change.from, with: change.to)
        #expect(changed != text)
        #expect(BackupManifest(Array(changed.utf8), prefix: Self.prefix) == nil)
    }

    @Test func aTextThatNestsTooDeepOrHasTooManyValuesIsRefused() {
        #expect(BackupText(Array(String(repeating: "[", count: 100_000).utf8)) == nil)
        let many = [UInt8](repeating: UInt8(ascii: "1"), count: Limits.backupManifestValuesMax + 1)
        let list = Array("[".utf8) + many.flatMap { [$0, UInt8(ascii: ",")] }.dropLast() + Array("]".utf8)
        #expect(BackupText(list) == nil)
    }

    @Test func rangesAgreeWithAModelOfBytes() {
        var generator = SystemRandomNumberGenerator()
        func random() -> (ByteRanges, Set<UInt64>) {
            let ranges = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                let start = UInt64.random(in: 0..<40, using: &generator)
                return start..<start + UInt64.random(in: 0..<12, using: &generator)
            }
            return (ByteRanges(ranges), Set(ranges.flatMap { Array($0) }))
        }
        func bytes(_ ranges: ByteRanges) -> [UInt64] { ranges.ranges.flatMap { Array($0) } }
        for _ in 0..<2_000 {
            let ((a, inA), (b, inB)) = (random(), random())
            #expect(bytes(a) == inA.sorted())
            #expect(bytes(a.union(b)) == inA.union(inB).sorted())
            #expect(bytes(a.subtracting(b)) == inA.subtracting(inB).sorted())
            #expect(bytes(a.intersection(b)) == inA.intersection(inB).sorted())
            for range in a.ranges { #expect(b.overlaps(range) == range.contains { inB.contains($0) }) }
        }
    }

    /// Whatever is written, lost and compared by in between, every backup of a chain comes back as the volume was.
    @Test(arguments: 0..<6) func everyBackupOfAChainIsTheVolumeAsItWas(_ round: Int) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let span: UInt64 = 6_000
        var generator = SystemRandomNumberGenerator()
        var taken: [(id: String, content: [UInt8?])] = []
        for step in 0..<5 {
            for _ in 0..<Int.random(in: 0...40, using: &generator) {
                let block = UInt64.random(in: 0..<span, using: &generator)
                fixture.write(volume.id, [block * 7: UInt8.random(in: 0...3, using: &generator)])
            }
            if step > 0, Bool.random(using: &generator) {
                for id in fixture.driver.snapshotIDs(of: volume.id) {
                    try await fixture.driver.deleteSnapshot(id, of: volume.id)
                }
            }
            let backup = try await fixture.backup(volume.id) { $0.isIncremental = step > 0 }
            #expect(backup.status == .available)
            taken.append((backup.id, (0..<span).map { fixture.first(volume.id, $0 * 7) }))
        }
        for backup in taken {
            let copy = try await fixture.restored(backup.id)
            #expect((0..<span).map { fixture.first(copy.id, $0 * 7) } == backup.content)
            try await fixture.service.deleteVolume(copy.id, cascade: false, force: false, for: fixture.ann)
            await fixture.service.settle()
        }
    }
}
