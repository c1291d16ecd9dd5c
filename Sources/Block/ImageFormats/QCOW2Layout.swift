/// A qcow2 file, version 3, for a disk of which it is known where it holds anything: all tables first, then the clusters with
/// data in the disk's order, so that it can be written from its beginning to its end (QEMU's docs/interop/qcow2.txt).
package struct QCOW2Layout: Sendable {
    /// Of the disk and of the file.
    package static let clusterBytes = 1 << 16
    /// Entries of a second table.
    private static let entries = clusterBytes / 8
    /// Clusters that one block of 16-bit reference counts is about.
    private static let counts = clusterBytes / 2

    package let virtualBytes: UInt64
    /// A bit for each of the disk's clusters: whether the file has it.
    private let used: [UInt64]
    /// Clusters with data before each second table's, and in all.
    private let before: [Int]
    /// The second tables that there are, by the number of the disk's stretch.
    private let tables: [Int]
    private let countTableClusters: Int
    private let countBlocks: Int
    private let firstTableClusters: Int

    /// Marks where a disk holds something.
    package struct Map: Sendable {
        fileprivate var words: [UInt64]

        package init(virtualBytes: UInt64) {
            let clusters = Int((virtualBytes + UInt64(QCOW2Layout.clusterBytes) - 1) / UInt64(QCOW2Layout.clusterBytes))
            words = [UInt64](repeating: 0, count: (clusters + 63) / 64)
        }

        package mutating func mark(cluster: Int) { words[cluster / 64] |= 1 << UInt64(cluster % 64) }
    }

    package init(virtualBytes: UInt64, map: Map) {
        self.virtualBytes = virtualBytes
        used = map.words
        let stretches = (map.words.count * 64 + Self.entries - 1) / Self.entries
        var before = [0]
        var tables: [Int] = []
        for stretch in 0..<stretches {
            let words = map.words[
                min(
                    stretch * Self.entries / 64, map.words.count)..<min(
                        (stretch + 1) * Self.entries / 64, map.words.count)]
            let count = words.reduce(0) { $0 + $1.nonzeroBitCount }
            if count > 0 { tables.append(stretch) }
            before.append(before[stretch] + count)
        }
        self.before = before
        self.tables = tables
        let firstTableClusters = max(1, (stretches * 8 + Self.clusterBytes - 1) / Self.clusterBytes)
        self.firstTableClusters = firstTableClusters
        // The counts are about their own clusters too.
        var blocks = 1
        var countTable = 1
        while true {
            let all = 1 + countTable + blocks + firstTableClusters + tables.count + before[stretches]
            let needed = (all + Self.counts - 1) / Self.counts
            let neededTable = (needed * 8 + Self.clusterBytes - 1) / Self.clusterBytes
            if needed == blocks, neededTable == countTable { break }
            blocks = max(blocks, needed)
            countTable = max(countTable, neededTable)
        }
        countBlocks = blocks
        countTableClusters = countTable
    }

    /// Clusters before the first with data.
    package var metadataClusters: Int { 1 + countTableClusters + countBlocks + firstTableClusters + tables.count }
    package var dataClusters: Int { before.last ?? 0 }
    package var fileBytes: UInt64 { UInt64(metadataClusters + dataClusters) * UInt64(Self.clusterBytes) }

    /// The disk's clusters with data, in order.
    package func forEachDataCluster<E>(_ body: (Int) async throws(E) -> Void) async throws(E) {
        for (index, word) in used.enumerated() {
            var left = word
            while left != 0 {
                try await body(index * 64 + left.trailingZeroBitCount)
                left &= left - 1
            }
        }
    }

    /// One of the clusters before the data.
    package func metadata(_ index: Int) -> [UInt8] {
        var words = [UInt64]()
        let countTable = 1
        let firstCounts = countTable + countTableClusters
        let firstTable = firstCounts + countBlocks
        let secondTables = firstTable + firstTableClusters
        switch index {
        case 0: return header(countTable: countTable, firstTable: firstTable)
        case countTable..<firstCounts:
            let start = (index - countTable) * Self.entries
            words = (start..<start + Self.entries).map { $0 < countBlocks ? Self.offset(firstCounts + $0) : 0 }
        case firstCounts..<firstTable:
            let all = metadataClusters + dataClusters
            let left = max(0, min(Self.counts, all - (index - firstCounts) * Self.counts))
            return (0..<Self.counts).flatMap { $0 < left ? [0, 1] as [UInt8] : [0, 0] }
        case firstTable..<secondTables:
            words = [UInt64](repeating: 0, count: Self.entries)
            let start = (index - firstTable) * Self.entries
            for (number, stretch) in tables.enumerated() where stretch >= start && stretch < start + Self.entries {
                words[stretch - start] = Self.offset(secondTables + number) | 1 << 63
            }
        default:
            let stretch = tables[index - secondTables]
            var next = metadataClusters + before[stretch]
            words = (0..<Self.entries).map { entry in
                let cluster = stretch * Self.entries + entry
                guard cluster / 64 < used.count, used[cluster / 64] & 1 << UInt64(cluster % 64) != 0 else { return 0 }
                defer { next += 1 }
                return Self.offset(next) | 1 << 63
            }
        }
        return words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } }
    }

    private static func offset(_ cluster: Int) -> UInt64 { UInt64(cluster) * UInt64(clusterBytes) }

    private func header(countTable: Int, firstTable: Int) -> [UInt8] {
        var bytes = Array("QFI".utf8) + [0xFB]
        func put(_ value: UInt64, _ count: Int) {
            for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - index)))) }
        }
        put(3, 4)
        put(0, 8)  // no backing file
        put(0, 4)
        put(16, 4)
        put(virtualBytes, 8)
        put(0, 4)  // no encryption
        put(UInt64(max(1, before.count - 1)), 4)
        put(Self.offset(firstTable), 8)
        put(Self.offset(countTable), 8)
        put(UInt64(countTableClusters), 4)
        put(0, 4)  // no snapshots
        put(0, 8)
        put(0, 24)  // no features
        put(4, 4)
        put(104, 4)
        return bytes + [UInt8](repeating: 0, count: Self.clusterBytes - bytes.count)
    }
}
