import Codecs
import Crypto
import Rings
import Testing

func md5(_ text: String) -> String { Array(text.utf8).withUnsafeBytes { MD5.hash($0) }.hex }

struct RingFileTests {
    static func refusal(_ body: () throws(RingError) -> Ring) -> RingError? {
        do throws(RingError) {
            _ = try body()
            return nil
        } catch {
            return error
        }
    }

    /// A version 1 content around that metadata and table.
    static func content(_ json: String, _ table: [UInt8]) -> [UInt8] {
        let count = json.utf8.count
        let length = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) }
        return Array("R1NG".utf8) + [0, 1] + length + Array(json.utf8) + table
    }

    static let device =
        #"{"device": "sdb", "id": 0, "ip": "h", "port": 1, "weight": 1.5, "zone": 3}"#

    @Test("The golden ring's content is the reference's, byte for byte")
    func golden() throws {
        let content = RingFile.encodeContent(try GoldenRing.ring(), byteOrder: .little)
        #expect(content.count == 1205)
        #expect(Hex.encode(Array(content.prefix(10))) == "52314e4700010000044b")
        #expect(Hex.encode(Array(content[1109..<1117])) == "0200020002000300")
        #expect(
            Hex.encode(Array(SHA256.hash(data: content)))
                == "5c56eb03f6a68a8f662cd854959327ef730b4b9bc01b58194d86f4e018352af1")
    }

    @Test("A file has the fixed time in its header and is the same each time")
    func reproducible() throws {
        let file = RingFile.encode(try GoldenRing.ring())
        #expect(Array(file.prefix(8)) == [0x1f, 0x8b, 8, 0, 0xf4, 0x2a, 0x84, 0x4d])
        #expect(file == RingFile.encode(try RingFile.decode(file)))
    }

    @Test("A ring comes back whole, in either byte order")
    func roundTrip() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            let ring = try RandomRing(
                seed: seed, partPower: Int(seed % 7), rows: 3, lastRow: 1, devices: 10
            ).ring()
            for back in [
                try RingFile.decode(RingFile.encode(ring)),
                try RingFile.decodeContent(RingFile.encodeContent(ring, byteOrder: .big)),
            ] {
                #expect(back.devices == ring.devices && back.version == 5 && back.partPower == ring.partPower)
                #expect((0..<3).allSatisfy { back.row($0) == ring.row($0) })
            }
        }
    }

    @Test("Text beyond ASCII is escaped when written and read either way")
    func text() throws {
        var device = GoldenRing.device(0, 1, 1, "h", name: "é\u{1F600}\"\\\n\u{1}/")
        device.meta = "\u{7f}"
        device.weight = 0.1
        let ring = try Ring(devices: [device], partPower: 0, table: [0], version: nil, nextPartPower: 1)
        let content = RingFile.encodeContent(ring, byteOrder: .little)
        #expect(content.dropFirst(10).prefix { $0 != 0 }.allSatisfy { 0x20..<0x80 ~= $0 })
        let text = String(decoding: content.dropFirst(10), as: UTF8.self)
        #expect(text.contains(#""device": "\u00e9\ud83d\ude00\"\\\n\u0001/""#) && text.contains(#""weight": 0.1,"#))
        let back = try RingFile.decodeContent(content)
        #expect(back.devices == ring.devices && back.nextPartPower == 1 && back.version == nil)
        let raw = Self.content(
            #"{"devs":[{"id":0,"zone":0,"ip":"é","port":0,"device":"\/","weight":2}],"part_shift":32,"replica_count":1}"#,
            [0, 0])
        #expect(try RingFile.decodeContent(raw).devices[0]?.ip == "é")
    }

    @Test("Old rings lack fields, new ones have more: defaults and indifference")
    func lenient() throws {
        let json = """
             { "devs" : [ \(Self.device), null ], "part_shift": 31, "replica_count": 1, "version": null,
              "extra": {"a": [1, -2.5e+3, true, false, null, "x", {}, []]}, "md5": "f" }\t
            """
        let ring = try RingFile.decodeContent(Self.content(json, [0, 0, 0, 0]))
        let device = try #require(ring.devices[0])
        #expect(device.region == 1 && device.meta == "" && device.weight == 1.5)
        #expect(device.replicationIP == "h" && device.replicationPort == 1)
        #expect(ring.devices.count == 2 && ring.partitionCount == 2)
    }

    @Test("Each kind of wrong content is refused by name")
    func refused() {
        let good = #"{"devs": [\#(Self.device)], "part_shift": 31, "replica_count": 1}"#
        func refusal(_ json: String, _ table: [UInt8] = [0, 0, 0, 0]) -> RingError? {
            Self.refusal { () throws(RingError) in try RingFile.decodeContent(Self.content(json, table)) }
        }
        func changed(_ old: String, _ new: String) -> RingError? {
            let parts = good.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
            return refusal(parts.joined(separator: new))
        }
        #expect(refusal(good) == nil)
        #expect(refusal(good, [0, 0, 0]) == .wrongTableSize(entries: 1))
        #expect(refusal(good, []) == .wrongTableSize(entries: 0))
        #expect(refusal(good, Array(repeating: 0, count: 6)) == .wrongTableSize(entries: 3))
        #expect(refusal(good, [0, 0, 9, 0]) == .unknownDevice(id: 9, partition: 1))
        #expect(refusal(good, [0, 0, 255, 255]) == .unassignedPartition(1))
        #expect(changed("31", "33") == .invalidField("part_shift"))
        #expect(changed("31", "7") == .invalidField("part_shift"))
        #expect(changed("31", "-1") == .invalidField("part_shift"))
        #expect(changed("31", "9223372036854775808") != nil)
        #expect(changed(#""replica_count": 1"#, #""replica_count": 0"#) == .invalidField("replica_count"))
        #expect(changed(#""replica_count": 1"#, #""replica_count": 65"#) == .invalidField("replica_count"))
        #expect(changed(#""replica_count": 1"#, #""replica_count": 2"#) == .wrongTableSize(entries: 2))
        #expect(changed(#", "replica_count": 1"#, "") == .missingField("replica_count"))
        #expect(changed(#""part_shift": 31, "#, "") == .missingField("part_shift"))
        #expect(changed(#""devs""#, #""devz""#) == .missingField("devs"))
        #expect(changed(#""id": 0"#, #""id": 1"#) == .invalidField("id"))
        #expect(changed(#""id": 0"#, #""id": 70000"#) == .invalidField("id"))
        #expect(changed(#""id": 0, "#, "") == .missingField("id"))
        #expect(changed(#""zone": 3"#, #""zone": -3"#) == .invalidField("zone"))
        #expect(changed(#""port": 1"#, #""port": 65536"#) == .invalidField("port"))
        for (old, new) in [
            ("{", "["), ("31", "031"), ("31", "31.0"), ("31", "\"31\""), ("1.5", "NaN"), ("1.5", "1e999"),
            ("1.5", "1."),
            ("sdb", "\\ud800"), ("sdb", "\\udc00x"), ("sdb", "\\x"), ("sdb", "\\u12g4"), ("sdb", "\n"),
            ("}]", "}"), ("}]", "},]"), ("[{", "[[{"),
        ] {
            guard case .malformedMetadata = changed(old, new) else {
                Issue.record("\(old) as \(new): \(String(describing: changed(old, new)))")
                continue
            }
        }
        guard case .malformedMetadata = refusal(good + "x") else { return #expect(Bool(false), "text behind the end") }
    }

    @Test("Nesting without end is refused, not followed")
    func nesting() {
        let deep = String(repeating: "[", count: 1 << 20)
        let json = #"{"x": \#(deep)"#
        let refusal = Self.refusal { () throws(RingError) in try RingFile.decodeContent(Self.content(json, [])) }
        guard case .malformedMetadata = refusal else { return #expect(Bool(false), "\(String(describing: refusal))") }
    }

    @Test("More devices than ids is refused")
    func devices() {
        let nulls = Array(repeating: "null", count: 65536).joined(separator: ",")
        let json = #"{"devs": [\#(nulls)], "part_shift": 32, "replica_count": 1}"#
        let refusal = Self.refusal { () throws(RingError) in try RingFile.decodeContent(Self.content(json, [0, 0])) }
        #expect(refusal == .invalidField("devs"))
    }

    @Test("What is no ring, a newer ring, or lies about its length is refused")
    func header() {
        func refusal(_ content: [UInt8]) -> RingError? {
            Self.refusal { () throws(RingError) in try RingFile.decodeContent(content) }
        }
        #expect(refusal([]) == .badMagic)
        #expect(refusal(Array("R2NG".utf8) + [0, 1, 0, 0, 0, 0]) == .badMagic)
        #expect(refusal(Array("R1N".utf8)) == .truncated)
        #expect(refusal(Array("R1NG".utf8) + [0, 1, 0, 0]) == .truncated)
        #expect(refusal(Array("R1NG".utf8) + [0, 2, 0, 0, 0, 0]) == .unsupportedVersion(2))
        #expect(refusal(Array("R1NG".utf8) + [0, 1, 0, 0, 0, 9]) == .truncated)
        #expect(refusal(Array("R1NG".utf8) + [0, 1, 255, 255, 255, 255]) == .metadataTooLong(0xffff_ffff))
        #expect(Self.refusal { () throws(RingError) in try RingFile.decode([1, 2, 3]) } == .gzip(.corrupt))
        #expect(Self.refusal { () throws(RingError) in try RingFile.decode([]) } == .gzip(.truncated))
    }

    @Test("Every truncation of file and content is refused, but at row ends it may be a ring of fewer replicas")
    func truncation() throws {
        let ring = try GoldenRing.ring()
        let file = RingFile.encode(ring)
        for count in 0..<file.count {
            #expect(
                Self.refusal { () throws(RingError) in try RingFile.decode(Array(file.prefix(count))) }
                    == .gzip(.truncated))
        }
        let content = RingFile.encodeContent(ring, byteOrder: .little)
        for count in 0..<content.count {
            let refusal = Self.refusal { () throws(RingError) in
                try RingFile.decodeContent(Array(content.prefix(count)))
            }
            // Inside the last row an even cut is a fractional ring; the gzip's checksum is what tells.
            let fractional = count > 1109 + 64 && count % 2 == 1
            #expect((refusal == nil) == fractional, "\(count) bytes")
        }
    }

    @Test("Damaged content is a ring that answers every question, or a typed error")
    func hostile() throws {
        var generator = SeededGenerator(seed: 51)
        let content = RingFile.encodeContent(try GoldenRing.ring(), byteOrder: .little)
        var refused = 0
        for _ in 0..<10000 {
            var damaged = content
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let index = Int.random(in: 0..<damaged.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: damaged[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: damaged.remove(at: index)
                default: damaged.insert(damaged.randomElement(using: &generator)!, at: index)
                }
            }
            do throws(RingError) {
                let ring = try RingFile.decodeContent(damaged)
                for partition in 0..<min(ring.partitionCount, 32) {
                    let primaries = ring.primaries(of: partition)
                    #expect(primaries.first?.id == ring.primaryDevice(of: partition))
                    #expect(primaries.allSatisfy { ring.device($0.id) != nil })
                    #expect(ring.handoffs(of: partition).allSatisfy { ring.device($0) != nil })
                }
            } catch {
                refused += 1
            }
        }
        #expect(refused > 3000 && refused < 10000)
    }
}
