import Testing
import VolumeDrivers
import Volumes

/// What any `VolumeDriver` has to do: the sentences of its contract, one by one, on a driver that holds nothing yet.
///
/// - Parameters:
///   - read, write: one block of a volume, past the driver; nil where a test has no way to the bytes.
func checkVolumeDriver(
    _ driver: any VolumeDriver, write: ((String, UInt64, [UInt8]) async throws -> Void)?,
    read: ((String, UInt64) async throws -> [UInt8]?)?
) async throws {
    let gibibyte: UInt64 = 1 << 30
    let (a, b, c, s, t) = (
        "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b",
        "00000000-0000-4000-8000-00000000000c", "00000000-0000-4000-8000-000000000051",
        "00000000-0000-4000-8000-000000000052"
    )
    let blockBytes = driver.traits.blockSizes[0]
    func new(_ id: String, _ bytes: UInt64) -> NewVolume {
        NewVolume(id: id, bytes: bytes, blockBytes: blockBytes, writeCache: false)
    }
    func fails(_ body: () async throws(DriverError) -> Void) async -> DriverError? {
        do throws(DriverError) {
            try await body()
            return nil
        } catch { return error }
    }
    func sizes() async throws -> [String: UInt64] {
        var sizes: [String: UInt64] = [:]
        for volume in try await driver.inventory().volumes { if let id = volume.id { sizes[id] = volume.bytes } }
        return sizes
    }
    let ones = [UInt8](repeating: 1, count: blockBytes)
    let twos = [UInt8](repeating: 2, count: blockBytes)
    let zeros = [UInt8](repeating: 0, count: blockBytes)

    // Creating: listed, repeated without harm, refused under another size, zeros.
    try await driver.create(new(a, gibibyte))
    try await driver.create(new(a, gibibyte))
    #expect(try await sizes() == [a: gibibyte])
    #expect(await fails { () async throws(DriverError) in try await driver.create(new(a, 2 * gibibyte)) } != nil)
    if let read { #expect(try await read(a, 0) == zeros) }

    // Snapshots keep their moment; all of a list are made or none.
    try await write?(a, 0, ones)
    try await driver.snapshot([SnapshotCut(id: s, volume: a)])
    try await driver.snapshot([SnapshotCut(id: s, volume: a)])
    try await write?(a, 0, twos)
    let half = await fails { () async throws(DriverError) in
        try await driver.snapshot([SnapshotCut(id: t, volume: a), SnapshotCut(id: t, volume: c)])
    }
    #expect(half != nil)
    #expect(try await driver.inventory().snapshots.compactMap(\.id) == [s])

    // Clones: of a snapshot, of a volume; never smaller; zeros beyond.
    try await driver.clone(new(b, 2 * gibibyte), from: .snapshot(s, of: a))
    try await driver.clone(new(b, 2 * gibibyte), from: .snapshot(s, of: a))
    try await driver.clone(new(c, gibibyte), from: .volume(a))
    #expect(try await sizes() == [a: gibibyte, b: 2 * gibibyte, c: gibibyte])
    if let read {
        #expect(try await read(b, 0) == ones)
        #expect(try await read(b, gibibyte / UInt64(blockBytes)) == zeros)
        #expect(try await read(c, 0) == twos)
    }
    try await driver.delete(c)
    #expect(
        await fails { () async throws(DriverError) in
            try await driver.clone(new(c, gibibyte), from: .volume(b))
        } != nil)
    #expect(
        await fails { () async throws(DriverError) in
            try await driver.clone(new(c, gibibyte), from: .snapshot(t, of: a))
        } != nil)
    #expect(try await sizes().keys.contains(c) == false)

    // Growing, never shrinking.
    try await driver.extend(b, to: 3 * gibibyte)
    try await driver.extend(b, to: 3 * gibibyte)
    #expect(await fails { () async throws(DriverError) in try await driver.extend(b, to: gibibyte) } != nil)
    #expect(await fails { () async throws(DriverError) in try await driver.extend(c, to: gibibyte) } == .absent(c))
    #expect(try await sizes()[b] == 3 * gibibyte)
    if let read { #expect(try await read(b, 3 * gibibyte / UInt64(blockBytes) - 1) == zeros) }

    // Going back; the snapshot stays.
    try await driver.revert(a, to: s)
    if let read { #expect(try await read(a, 0) == ones) }
    #expect(try await driver.inventory().snapshots.compactMap(\.id) == [s])

    // Deleting: not with snapshots, the absent without complaint, and the clone outlives its source.
    #expect(await fails { () async throws(DriverError) in try await driver.delete(a) } == .hasSnapshots(a))
    try await driver.deleteSnapshot(s, of: a)
    try await driver.deleteSnapshot(s, of: a)
    try await driver.delete(a)
    try await driver.delete(a)
    if let read { #expect(try await read(b, 0) == ones) }
    try await driver.create(new(a, gibibyte))
    if let read { #expect(try await read(a, 0) == zeros) }
    let statistics = try await driver.statistics()
    #expect(statistics.freeBytes <= statistics.totalBytes)
    try await driver.delete(a)
    try await driver.delete(b)
    #expect(try await driver.inventory() == Inventory(volumes: [], snapshots: []))
}

@Suite struct MemoryVolumesTests {
    @Test func itKeepsTheContractOfDrivers() async throws {
        let driver = MemoryVolumes()
        try await checkVolumeDriver(
            driver, write: { driver.write($0, block: $1, $2) }, read: { driver.read($0, block: $1) })
    }

    @Test func whatItHoldsUnderAnotherNameIsAdopted() async throws {
        let driver = MemoryVolumes()
        driver.plant("lv-7", bytes: 5 << 30)
        #expect(
            try await driver.inventory().volumes == [
                .init(reference: "lv-7", id: nil, bytes: 5 << 30, blockBytes: 512, writeCache: false)
            ])
        #expect(try await driver.adopt("lv-7", as: "id-1") == 5 << 30)
        #expect(try await driver.adopt("lv-7", as: "id-1") == 5 << 30)
        #expect(
            try await driver.inventory().volumes == [
                .init(reference: "id-1", id: "id-1", bytes: 5 << 30, blockBytes: 512, writeCache: false)
            ])
        await #expect(throws: DriverError.absent("lv-8")) { _ = try await driver.adopt("lv-8", as: "id-2") }
    }
}
