import Codecs
import Primitives
import Testing

@testable import Chunks

private let secret = HashSecret((0..<192).map { UInt8($0) })

@Test func theWorkedExampleOfTheFormatPageIsWhatTheCodeWrites() throws {
    let record = Record.putAccount(name: "AUTH_a", timestamp: Timestamp(ticks: 1), attributes: [1, 2])
    let builder = GroupBuilder(buffer: AlignedBuffer(8192))
    let built = builder.build(
        [record.encoded()][...], firstLSN: 7, syncedLSN: 6, segment: 3, offset: 4096, previousHash: 5, secret: secret)
    #expect(built.totalBytes == 4096)
    let bytes = Array(builder.buffer.range(0, 168))
    #expect(
        Hex.encode(Array(bytes[0..<0x40]))
            == "415055534752473100100000a8000000" + "01000000000000000700000000000000"
            + "06000000000000000300000000100000"
            + "01000000000000000500000000000000")
    #expect(bytes[0x40..<0x58].allSatisfy { $0 == 0 })
    #expect(Hex.encode(Array(bytes[0x60..<0x70])) == "22020000180000000000000000000000")
    #expect(bytes[0x70..<0x90].allSatisfy { $0 == 0 })
    #expect(Hex.encode(Array(bytes[0x90...])) == "06000000415554485f610100000000000000020000000102")
    let all = builder.buffer.range(0, built.totalBytes)
    let header = try #require(GroupHeader(all, segment: 3, offset: 4096, segmentBytes: 1 << 20, secret))
    let entries = try #require(GroupView(header: header, bytes: all).entries())
    #expect(entries.map { Record($0, segment: 3, groupOffset: 4096) } == [record])
}

@Test func aGroupIsRefusedAtAnotherPlaceOrWithAnyMetaBitFlipped() {
    let record = Record.putAccount(name: "AUTH_a", timestamp: Timestamp(ticks: 1), attributes: [1, 2])
    let builder = GroupBuilder(buffer: AlignedBuffer(8192))
    _ = builder.build(
        [record.encoded()][...], firstLSN: 7, syncedLSN: 6, segment: 3, offset: 4096, previousHash: 5, secret: secret)
    let all = builder.buffer.range(0, 4096)
    #expect(GroupHeader(all, segment: 4, offset: 4096, segmentBytes: 1 << 20, secret) == nil)
    #expect(GroupHeader(all, segment: 3, offset: 8192, segmentBytes: 1 << 20, secret) == nil)
    for bit in 0..<(168 * 8) {
        builder.buffer.bytes[bit / 8] ^= UInt8(1 << (bit % 8))
        #expect(GroupHeader(all, segment: 3, offset: 4096, segmentBytes: 1 << 20, secret) == nil, "bit \(bit)")
        builder.buffer.bytes[bit / 8] ^= UInt8(1 << (bit % 8))
    }
}

@Test func recordsSurviveEncodingAndEveryTruncationIsRefused() {
    let key = ContainerKey(account: "AUTH_a", name: "c")
    let row = ObjectRow(
        name: "a//b/../é", owner: 9, created: Timestamp(ticks: 5), modified: Timestamp(ticks: 6), size: 200_000,
        etag: MD5Digest(Array(0..<16)), contentType: "text/plain", attributes: [1, 2, 3], body: .mapped)
    let replaced = Record.Replaced(size: 5, owner: 3, isMapped: true)
    let records: [Record] = [
        .putAccount(name: "a", timestamp: Timestamp(ticks: 1), attributes: []),
        .putContainer(
            key, id: 4, isNew: true, created: Timestamp(ticks: 1), timestamp: Timestamp(ticks: 2), attributes: [9]),
        .deleteContainer(key, id: 4, timestamp: Timestamp(ticks: 3)),
        .putObject(key, id: 4, row, replaced: replaced), .putObject(key, id: 4, row, replaced: nil),
        .setObjectMetadata(key, id: 4, row),
        .deleteObject(key, id: 4, name: "x", timestamp: Timestamp(ticks: 4), replaced: replaced),
        .uploadLeaf(owner: 9, index: 2, entries: [UInt8](repeating: 7, count: 32)), .dropUpload(owner: 9),
    ]
    for record in records {
        let encoded = record.encoded()
        func entry(_ attributes: [UInt8]) -> GroupEntry {
            GroupEntry(
                type: encoded.type, flags: encoded.flags, lsnDelta: 0, owner: encoded.owner, logical: encoded.logical,
                rawBytes: 0,
                storedBytes: 0, payloadOffset: 0, payloadHash: 0, attributes: attributes)
        }
        #expect(Record(entry(encoded.attributes), segment: 1, groupOffset: 4096) == record)
        for count in 0..<encoded.attributes.count {
            #expect(Record(entry(Array(encoded.attributes[..<count])), segment: 1, groupOffset: 4096) == nil)
        }
    }
}

@Test func anExtentsTwoWordsHoldAllItsFields() {
    let extents = [
        Extent(segment: .max, offset: 67_108_352, storedBytes: 131_072, isLZ4: true, tag: .max),
        Extent(segment: 0, offset: 0, storedBytes: 512, isLZ4: false, tag: 0),
        Extent(segment: 77, offset: 4608, storedBytes: 1024, isLZ4: true, tag: 0xDEAD_BEEF_0000_0008),
    ]
    for extent in extents { #expect(Extent(locator: extent.locator, taggedWord: extent.taggedWord) == extent) }
    #expect(Extent(locator: 0, taggedWord: 0) == nil)
    #expect(Extent(locator: 1 << 60, taggedWord: 1) == nil)
}
