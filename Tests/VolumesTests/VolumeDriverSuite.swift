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
    let gone = await fails { () async throws(DriverError) in try await driver.extend(c, to: gibibyte) }
    guard case .absent? = gone else { throw gone ?? .failed("an absent volume was extended") }
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

/// The same of what reads images and fills volumes.
func checkVolumeImages(
    _ driver: any VolumeDriver, write: (String, UInt64, [UInt8]) async throws -> Void
) async throws {
    let mebibyte: UInt64 = 1 << 20
    let (a, s, t, u) = (
        "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-000000000051",
        "00000000-0000-4000-8000-000000000052", "00000000-0000-4000-8000-000000000053"
    )
    let blockBytes = driver.traits.blockSizes[0]
    func fails(_ body: () async throws(DriverError) -> Void) async -> DriverError? {
        do throws(DriverError) {
            try await body()
            return nil
        } catch { return error }
    }
    /// The runs in order and apart, each once.
    func runs(_ image: any VolumeImage) async throws -> [ImageChanges.Run] {
        var runs: [ImageChanges.Run] = []
        var offset: UInt64? = 0
        while let from = offset {
            let page = try await image.changes(from: from)
            runs += page.runs
            offset = page.next
            if let next = offset { #expect(next > from) }
        }
        for (one, next) in zip(runs, runs.dropFirst()) { #expect(one.range.upperBound <= next.range.lowerBound) }
        return runs
    }
    func isChanged(_ runs: [ImageChanges.Run], _ at: UInt64) -> Bool { runs.contains { $0.range.contains(at) } }
    func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: blockBytes) }
    let unit = UInt64(blockBytes)
    func first(_ image: any VolumeImage, _ at: UInt64) async throws -> UInt8 {
        let start = at / 4_096 * 4_096
        let data = try await image.read(start..<start + 4_096)
        #expect(data.count == 4_096)
        return data[Int(at - start)]
    }

    // A volume that nobody wrote to has nothing to read; its end can be read, and nothing beyond.
    try await driver.create(NewVolume(id: a, bytes: 1 << 40, blockBytes: blockBytes, writeCache: false))
    let blank = try await driver.openImage(.volume(a), since: nil)
    #expect(blank.bytes == 1 << 40)
    #expect(try await runs(blank).isEmpty)
    #expect(try await first(blank, (1 << 40) - 1) == 0)
    #expect(await fails { () async throws(DriverError) in _ = try await blank.read(1 << 40..<1 << 40 + 4_096) } != nil)
    #expect(
        await fails { () async throws(DriverError) in
            _ = try await blank.read(0..<UInt64(ImageLimits.readBytesMax) + 4_096)
        } != nil)

    // What was written is named, near the start and far out, and the snapshot keeps its moment.
    let far: UInt64 = 700 << 30
    try await write(a, 0, block(1))
    try await write(a, far / unit, block(2))
    try await driver.snapshot([SnapshotCut(id: s, volume: a)])
    try await write(a, 0, block(3))
    let old = try await driver.openImage(.snapshot(s, of: a), since: nil)
    let held = try await runs(old)
    #expect(isChanged(held, 0) && isChanged(held, far) && !isChanged(held, 64 * mebibyte))
    #expect(held.reduce(0) { $0 + $1.range.count } <= 2 * 4_096)
    #expect(try await first(old, 0) == 1)
    #expect(try await first(old, far) == 2)

    // Between two snapshots: what was written, what became zeros, and nothing else.
    try await driver.openFilling(a).zero(far..<far + mebibyte)
    try await write(a, 5 * mebibyte / unit, block(4))
    try await driver.snapshot([SnapshotCut(id: t, volume: a)])
    try await write(a, 9 * mebibyte / unit, block(5))
    let new = try await driver.openImage(.snapshot(t, of: a), since: s)
    let changed = try await runs(new)
    #expect(isChanged(changed, 0) && isChanged(changed, 5 * mebibyte) && isChanged(changed, far))
    #expect(!isChanged(changed, 9 * mebibyte) && !isChanged(changed, 64 * mebibyte))
    #expect(changed.first { $0.range.contains(far) }?.isZero == true)
    #expect(changed.first { $0.range.contains(0) }?.isZero == false)
    #expect(try await first(new, 0) == 3)
    #expect(try await first(new, far) == 0)
    #expect(try await runs(driver.openImage(.snapshot(s, of: a), since: s)).isEmpty)

    #expect(try await driver.snapshotsLeft(of: a) > 0)
    #expect(await fails { () async throws(DriverError) in _ = try await driver.openFilling(u) } != nil)

    // The volume itself, since its latest snapshot.
    let live = try await runs(driver.openImage(.volume(a), since: t))
    #expect(isChanged(live, 9 * mebibyte) && !isChanged(live, 0))

    // A base that is not there, or that the volume has gone back behind.
    #expect(
        await fails { () async throws(DriverError) in
            _ = try await driver.openImage(.snapshot(t, of: a), since: u)
        } != nil)
    #expect(
        await fails { () async throws(DriverError) in _ = try await driver.openImage(.snapshot(u, of: a), since: nil) }
            != nil)

    // An image whose snapshot is deleted answers rightly or not at all.
    try await driver.deleteSnapshot(s, of: a)
    if await fails({ () async throws(DriverError) in _ = try await old.read(0..<4_096) }) == nil {
        #expect(try await first(old, 0) == 1)
    }

    // Filling: zeros, writes up to the end, nothing beyond; durable and seen behind `finish`.
    let filling = try await driver.openFilling(a)
    try await filling.zero(0..<1 << 40)
    let piece = (0..<ImageLimits.readBytesMax).map { UInt8(truncatingIfNeeded: $0 / 512 + 1) }
    try await filling.write(piece, at: (1 << 40) - mebibyte)
    #expect(await fails { () async throws(DriverError) in try await filling.write(piece, at: 1 << 40) } != nil)
    try await filling.finish()
    let filled = try await driver.openImage(.volume(a), since: nil)
    #expect(try await filled.read((1 << 40) - mebibyte..<1 << 40) == piece)
    #expect(try await first(filled, 5 * mebibyte) == 0)
    #expect(await fails { () async throws(DriverError) in _ = try await driver.openFilling(u) } != nil)
    try await driver.deleteSnapshot(t, of: a)
    try await driver.delete(a)
}

@Suite struct MemoryVolumesTests {
    @Test func itKeepsTheContractOfImages() async throws {
        let driver = MemoryVolumes()
        try await checkVolumeImages(driver) { driver.write($0, block: $1, $2) }
    }

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
