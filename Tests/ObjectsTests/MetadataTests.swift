import Primitives
import Testing

@testable import Objects

@Suite struct MetadataTests {
    private func object(_ headers: HeaderList) throws -> HeaderList {
        var out: HeaderList = []
        let list = try MetadataHeaders.objectAttributes(headers)
        let copy = try #require(AttributeList(decoding: list.encoded()))
        #expect(copy == list)
        MetadataHeaders.show(copy, .object, isOwner: true, into: &out)
        return out
    }

    @Test func keepsMetadataAndTheAllowedHeaders() throws {
        let shown = try object([
            ("x-object-META-Color", "blue"), ("X-Object-Meta-empty", ""), ("Content-Encoding", "gzip"),
            ("X-Object-Sysmeta-Evil", "1"), ("X-Backend-Evil", "1"), ("Cache-Control", "no-store"),
            ("Content-Length", "3"),
            ("X-Container-Meta-Other", "1"), ("X-Object-Meta-Name_With-Ünicode", "日本"),
        ])
        #expect(
            shown.map(\.name) == [
                "X-Object-Meta-Color", "X-Object-Meta-Empty", "Content-Encoding", "Cache-Control",
                "X-Object-Meta-Name_with-Ünicode",
            ])
        #expect(shown.map(\.value) == ["blue", "", "gzip", "no-store", "日本"])
    }

    @Test(
        arguments: [
            [("X-Object-Meta-", "v")],
            [("X-Object-Meta-" + String(repeating: "n", count: 129), "v")],
            [("X-Object-Meta-A", String(repeating: "v", count: 257))],
            (0..<91).map { ("X-Object-Meta-K\($0)", "v") },
            (0..<17).map { ("X-Object-Meta-K\($0 + 10)", String(repeating: "v", count: 256)) },
            [("X-Whatever", String(repeating: "v", count: 8193))],
        ] as [[(String, String)]])
    func beyondALimitIsRefused(_ headers: [(String, String)]) {
        let error = #expect(throws: ObjectError.self) {
            try MetadataHeaders.objectAttributes(headers.map { (name: $0.0, value: $0.1) })
        }
        guard case .badRequest? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(
        arguments: [
            [("X-Object-Meta-" + String(repeating: "n", count: 128), String(repeating: "v", count: 256))],
            (0..<90).map { ("X-Object-Meta-K\($0)", "v") },
            (0..<16).map {
                (
                    "X-Object-Meta-" + String(repeating: "k", count: $0 / 10 + 1) + "\($0 % 10)",
                    String(repeating: "v", count: 253)
                )
            },
            [("Content-Disposition", String(repeating: "v", count: 8192))],
        ] as [[(String, String)]])
    func atALimitIsTaken(_ headers: [(String, String)]) throws {
        #expect(try object(headers.map { (name: $0.0, value: $0.1) }).count == headers.count)
    }

    @Test func containerMetadataMerges() throws {
        var list = AttributeList()
        try MetadataHeaders.merge(
            [("X-Container-Meta-A", "1"), ("X-Container-Meta-B", "2"), ("X-Container-Meta-C", "3")],
            into: &list, .container, isOwner: true)
        try MetadataHeaders.merge(
            [("x-container-meta-a", "9"), ("X-Container-Meta-B", ""), ("X-Remove-Container-Meta-C", "x")],
            into: &list, .container, isOwner: true)
        var shown: HeaderList = []
        MetadataHeaders.show(list, .container, isOwner: true, into: &shown)
        #expect(shown.map { "\($0.name)=\($0.value)" } == ["X-Container-Meta-A=9"])
    }

    @Test func signingKeysAreForOwners() throws {
        var list = AttributeList()
        try MetadataHeaders.merge([("X-Account-Meta-Temp-URL-Key", "k")], into: &list, .account, isOwner: false)
        #expect(list.attributes.isEmpty)
        try MetadataHeaders.merge([("X-Account-Meta-Temp-URL-Key", "k")], into: &list, .account, isOwner: true)
        try MetadataHeaders.merge([("X-Remove-Account-Meta-Temp-URL-Key", "k")], into: &list, .account, isOwner: false)
        var shown: HeaderList = []
        MetadataHeaders.show(list, .account, isOwner: false, into: &shown)
        #expect(shown.isEmpty)
        MetadataHeaders.show(list, .account, isOwner: true, into: &shown)
        #expect(shown.map(\.name) == ["X-Account-Meta-Temp-Url-Key"])
    }

    @Test func mergedTotalCountsToo() throws {
        var list = AttributeList()
        try MetadataHeaders.merge(
            (0..<90).map { (name: "X-Container-Meta-K\($0)", value: "v") }, into: &list, .container, isOwner: true)
        #expect(throws: ObjectError.self) {
            try MetadataHeaders.merge([("X-Container-Meta-One-More", "v")], into: &list, .container, isOwner: true)
        }
    }

    /// The worked example of Objects.docc.
    @Test func bytesAreAsDocumented() throws {
        let list = try MetadataHeaders.objectAttributes([("X-Object-Meta-Mtime", "12.5")])
        #expect(list.encoded() == [0x01, 0x00, 0x05] + Array("mtime".utf8) + [0x04, 0x00] + Array("12.5".utf8))
        #expect(try MetadataHeaders.objectAttributes([]).encoded().isEmpty)
    }

    @Test func keptHeadersTogetherHaveABound() {
        let long = String(repeating: "v", count: 8192)
        #expect(throws: ObjectError.self) {
            try MetadataHeaders.objectAttributes([
                ("Content-Disposition", long), ("Content-Encoding", long), ("Content-Language", long),
                ("Expires", long),
            ])
        }
    }

    @Test func damagedAttributesAreRefusedNotTrapped() throws {
        let good = try MetadataHeaders.objectAttributes([("X-Object-Meta-A", "value"), ("Expires", "never")]).encoded()
        for length in 1..<good.count {
            if let list = AttributeList(decoding: Array(good[..<length])) { #expect(list.attributes.count < 2) }
        }
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5_000 {
            var bytes = good
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            if let list = AttributeList(decoding: bytes) { #expect(list.encoded() == bytes, "seed \(seed)") }
        }
        #expect(AttributeList(decoding: [2]) == nil)
        #expect(AttributeList(decoding: [])?.attributes.isEmpty == true)
    }

    @Test(arguments: [
        ("X-Delete-At", "1"), ("X-Delete-After", "60"), ("X-Object-Manifest", "c/p"), ("X-Symlink-Target", "c/o"),
        ("X-Static-Large-Object", "true"),
    ])
    func unannouncedObjectFeatureIsRefused(_ name: String, _ value: String) {
        #expect(throws: ObjectError.self) { try UnannouncedFeatures.checkObject([(name, value)]) }
        #expect(throws: Never.self) { try UnannouncedFeatures.checkObject([(name, "")]) }
    }
}
