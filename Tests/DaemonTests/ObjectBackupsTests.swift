import Chunks
import Disks
import Objects
import Primitives
import Testing
import VolumeDrivers
import Volumes

@testable import Daemon

@Suite("Backups as objects")
struct ObjectBackupsTests {
    private final class Rig {
        let folder: ScratchFolder
        let store: ChunkStore
        let backups: ObjectBackups
        let clock = TimestampClock()
        let place = BackupPlace(projectID: "p1", container: "volumebackups")

        init() throws {
            folder = try ScratchFolder()
            store = try ChunkStore.open(
                disk: try SystemDisk(root: folder.path), indexes: SQLiteIndexes(folder: folder.path, copies: 1),
                configuration: ChunkStore.Configuration(segmentBytes: 4 << 20, reserveBytes: 0)
            ) { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) } }
            backups = ObjectBackups(store: { [store] _ in store }, clock: clock)
        }

        deinit {
            backups.stop()
            do { try store.close() } catch { print("not closed: \(error)") }
        }

        func put(_ name: String, _ pieces: [[UInt8]]) async throws {
            let writer = try await backups.write(name, in: place)
            for piece in pieces { try await writer.append(piece) }
            try await writer.finish()
        }

        func names(_ prefix: String, after marker: String? = nil) async throws -> [String] {
            try await backups.names(prefix: prefix, after: marker, in: place)
        }
    }

    @Test func whatIsWrittenIsReadInAnyPieces() async throws {
        let rig = try Rig()
        try await rig.backups.prepare(rig.place)
        try await rig.backups.prepare(rig.place)
        let bytes = (0..<(5 << 20) + 777).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
        let pieces = stride(from: 0, to: bytes.count, by: 1 << 20).map {
            Array(bytes[$0..<min(bytes.count, $0 + 1 << 20)])
        }
        try await rig.put("v/a-00001", pieces)
        try await rig.put("v/a-00002", [])
        let reader = try await rig.backups.open("v/a-00001", in: rig.place)
        #expect(reader.byteCount == bytes.count)
        for range in [0..<1, 131_071..<131_073, 0..<bytes.count, bytes.count - 1..<bytes.count, 7..<7] {
            #expect(try await reader.read(range) == Array(bytes[range]))
        }
        await #expect(throws: DriverError.self) { _ = try await reader.read(0..<bytes.count + 1) }
        #expect(try await rig.backups.open("v/a-00002", in: rig.place).byteCount == 0)
        let abandoned = try await rig.backups.write("v/a-00003", in: rig.place)
        try await abandoned.append(pieces[0])
        await abandoned.abort()
        #expect(try await rig.names("v/a-") == ["v/a-00001", "v/a-00002"])
        #expect(try await rig.names("v/a-", after: "v/a-00001") == ["v/a-00002"])
        #expect(try await rig.names("w").isEmpty)
    }

    /// They are the project's: its users see them, and others don't.
    @Test func theProjectOwnsThem() async throws {
        let rig = try Rig()
        try await rig.backups.prepare(rig.place)
        try await rig.put("v/a_metadata", [Array("{}".utf8)])
        let threads = WorkThreads(name: "test", count: 1, queueMax: 16)
        defer { threads.stop() }
        let objects = ObjectService(
            configuration: ObjectServiceConfiguration(), store: { [store = rig.store] _ in store }, clock: rig.clock,
            workThreads: threads)
        func requester(_ project: String) -> Requester {
            let named = Caller.Named(id: project, name: project)
            return Requester(
                caller: Caller(
                    user: named, userDomain: named, project: named, projectDomain: named, domain: nil,
                    isSystemScoped: false, roles: ["member"], expiresAt: .max), referer: nil)
        }
        let path = ObjectPath(account: "AUTH_p1", container: "volumebackups", object: "v/a_metadata")
        #expect(try objects.open(path, requester("p1"), isHead: true).size == 2)
        #expect(throws: ObjectError.forbidden) { _ = try objects.open(path, requester("p2"), isHead: true) }
    }

    @Test func whatIsNotThereIsAbsentOrNoFailure() async throws {
        let rig = try Rig()
        #expect(try await rig.names("v").isEmpty)
        try await rig.backups.delete("v/none", in: rig.place)
        await #expect(throws: DriverError.absent("v/none")) { _ = try await rig.backups.open("v/none", in: rig.place) }
        await #expect(throws: DriverError.self) { _ = try await rig.backups.write("v/a", in: rig.place) }
        try await rig.backups.prepare(rig.place)
        try await rig.put("v/a", [[1]])
        try await rig.backups.delete("v/a", in: rig.place)
        try await rig.backups.delete("v/a", in: rig.place)
        #expect(try await rig.names("v").isEmpty)
        await #expect(throws: DriverError.self) {
            _ = try await rig.backups.write(String(repeating: "n", count: 1_025), in: rig.place)
        }
        await #expect(throws: DriverError.self) {
            try await rig.backups.prepare(
                BackupPlace(projectID: "p1", container: String(repeating: "c", count: 257)))
        }
    }
}
