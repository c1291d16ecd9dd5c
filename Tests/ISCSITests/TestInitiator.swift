import Codecs
import Glibc
import Primitives
import Testing

@testable import ISCSI

/// One PDU as the tests see it.
struct RawPDU {
    var header = [UInt8](repeating: 0, count: 48)
    var data: [UInt8] = []

    init(_ opcode: UInt8, flags: UInt8 = 0x80, tag: UInt32 = reservedTag, data: [UInt8] = []) {
        header[0] = opcode
        header[1] = flags
        self.data = data
        put(tag, 16)
    }

    init(header: [UInt8], data: [UInt8]) {
        self.header = header
        self.data = data
    }

    var opcode: UInt8 { header[0] & 0x3f }
    var flags: UInt8 { header[1] }
    func word(_ at: Int) -> UInt32 { header[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    func half(_ at: Int) -> UInt16 { UInt16(header[at]) << 8 | UInt16(header[at + 1]) }
    mutating func put(_ value: UInt32, _ at: Int) {
        for index in 0..<4 { header[at + index] = UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32(index))) }
    }

    var tag: UInt32 { word(16) }
    var transferTag: UInt32 { word(20) }
    var statusNumber: UInt32 { word(24) }
    var expectedCommand: UInt32 { word(28) }
    var maximumCommand: UInt32 { word(32) }
    var number: UInt32 { word(36) }
    var offset: UInt32 { word(40) }
    var residual: UInt32 { word(44) }
    var text: [String: String] {
        var found: [String: String] = [:]
        for pair in texts { found[pair.0] = pair.1 }
        return found
    }
    var texts: [(String, String)] {
        data.split(separator: 0).map { bytes in
            let parts = String(decoding: bytes, as: UTF8.self).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
    }

    func encoded(headerDigest: Bool = false, dataDigest: Bool = false) -> [UInt8] {
        var bytes = header
        bytes[5] = UInt8(data.count >> 16)
        bytes[6] = UInt8(data.count >> 8 & 0xff)
        bytes[7] = UInt8(data.count & 0xff)
        if headerDigest { bytes += Self.digest(bytes) }
        let segment = data + [UInt8](repeating: 0, count: padded(data.count) - data.count)
        bytes += segment
        if dataDigest, !segment.isEmpty { bytes += Self.digest(segment) }
        return bytes
    }

    static func digest(_ bytes: [UInt8]) -> [UInt8] {
        let sum = bytes.withUnsafeBytes { CRC32C.checksum($0) }
        return (0..<4).map { UInt8(truncatingIfNeeded: sum >> (8 * UInt32($0))) }
    }
}

/// Bytes to the target and back.
protocol Wire: AnyObject {
    func send(_ bytes: [UInt8])
    /// Exactly so many; nil if the target closed the connection, or has nothing more to say.
    func receive(_ count: Int) -> [UInt8]?
}

/// A connection's state machine without a socket, driven by hand.
final class MemoryWire: Wire {
    let connection: Connection
    private var incoming: [UInt8] = []
    private var position = 0
    /// The largest piece that is fed at once.
    var pieceMax = Int.max

    init(context: ISCSIContext, address: String) {
        connection = Connection(
            context: context, inbox: ConnectionInbox(event: -1),
            endpoints: Connection.Endpoints(peer: address, local: "192.0.2.1"), now: 1_000)
    }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard connection.wantsInput else { break }
            let space = connection.receiveSpace()
            let piece = rest.prefix(min(space.count, pieceMax))
            piece.withUnsafeBytes { space.copyMemory(from: $0) }
            rest = rest.dropFirst(piece.count)
            connection.received(piece.count)
            turn()
        }
    }

    /// Lets the connection work until it has nothing more to do, and takes what it sends.
    func turn() {
        connection.runInbox()
        var more = true
        while more {
            more = connection.process()
            takeOutput()
        }
        _ = connection.tick(connection.now)
        _ = connection.leave()
    }

    func advance(_ milliseconds: UInt64) {
        _ = connection.tick(connection.now + milliseconds)
        takeOutput()
        _ = connection.leave()
    }

    private func takeOutput() {
        let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 8)
        defer { vectors.deallocate() }
        while !connection.output.isEmpty {
            var total = 0
            for vector in vectors[..<connection.output.fill(vectors)] {
                incoming += UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len)
                total += vector.iov_len
            }
            connection.sent(total)
        }
    }

    func receive(_ count: Int) -> [UInt8]? {
        if incoming.count - position < count { turn() }
        guard incoming.count - position >= count else { return nil }
        defer {
            position += count
            if position == incoming.count {
                incoming = []
                position = 0
            }
        }
        return Array(incoming[position..<position + count])
    }

    var isEnded: Bool { connection.phase == .ended }
}

/// A real socket; `receive` waits at most ten seconds.
final class SocketWire: Wire, Sendable {
    let socket: Int32

    init(port: UInt16) {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(result == 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        // What is sent is there when `send` returns.
        var isOn: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close(socket) }

    func hangUp() { _ = shutdown(socket, Int32(SHUT_RDWR)) }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    func receive(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var have = 0
        while have < count {
            let got = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + have, count - have, 0) }
            guard got > 0 else { return nil }
            have += got
        }
        return bytes
    }
}

/// The initiator's side, by hand: it sends what the tests say, right or wrong.
final class TestInitiator {
    let wire: any Wire
    var name = Names.initiator
    var target: String? = Names.target
    var isDiscovery = false
    var isid: UInt64 = 1
    var tsih: UInt16 = 0
    var connectionID: UInt16 = 0
    var commandNumber: UInt32 = 100
    var expectedStatus: UInt32 = 0
    var tag: UInt32 = 0
    var headerDigest = false
    var dataDigest = false
    /// What the target answered in login.
    var agreed: [String: String] = [:]

    init(_ wire: any Wire) { self.wire = wire }

    /// Only for those without a socket.
    var memory: MemoryWire {
        guard let memory = wire as? MemoryWire else { preconditionFailure("this one has a socket") }
        return memory
    }

    func send(_ pdu: RawPDU) { wire.send(pdu.encoded(headerDigest: headerDigest, dataDigest: dataDigest)) }

    /// The next PDU; nil if the target has closed, or (without a socket) has nothing to say.
    func receive() -> RawPDU? {
        guard let header = wire.receive(48) else { return nil }
        if headerDigest { #expect(wire.receive(4) == RawPDU.digest(header)) }
        let count = Int(header[5]) << 16 | Int(header[6]) << 8 | Int(header[7])
        guard count > 0 else { return RawPDU(header: header, data: []) }
        guard let segment = wire.receive(padded(count)) else { return nil }
        if dataDigest { #expect(wire.receive(4) == RawPDU.digest(segment)) }
        #expect(segment[count...].allSatisfy { $0 == 0 })
        return RawPDU(header: header, data: Array(segment[..<count]))
    }

    // MARK: Login

    func loginPDU(_ stage: UInt8, _ next: UInt8?, _ keys: [(String, String)], continues: Bool = false) -> RawPDU {
        var text: [UInt8] = []
        for (key, value) in keys { TextPairs.append(key, value, to: &text) }
        return loginPDU(stage, next, text: text, continues: continues)
    }

    func loginPDU(_ stage: UInt8, _ next: UInt8?, text: [UInt8], continues: Bool = false) -> RawPDU {
        var flags = stage << 2
        if let next { flags |= 0x80 | next }
        if continues { flags |= 0x40 }
        var pdu = RawPDU(0x43, flags: flags, tag: 0x77, data: text)
        for index in 0..<6 { pdu.header[8 + index] = UInt8(truncatingIfNeeded: isid >> (40 - 8 * UInt64(index))) }
        pdu.header[14] = UInt8(tsih >> 8)
        pdu.header[15] = UInt8(tsih & 0xff)
        pdu.header[20] = UInt8(connectionID >> 8)
        pdu.header[21] = UInt8(connectionID & 0xff)
        pdu.put(commandNumber, 24)
        return pdu
    }

    /// Sends a Login Request and answers the response.
    func loginStep(_ stage: UInt8, _ next: UInt8?, _ keys: [(String, String)]) throws -> RawPDU {
        send(loginPDU(stage, next, keys))
        let answer = try #require(receive())
        #expect(answer.opcode == 0x23)
        for (key, value) in answer.text { agreed[key] = value }
        return answer
    }

    var openingKeys: [(String, String)] {
        var keys = [("InitiatorName", name)]
        if isDiscovery { keys.append(("SessionType", "Discovery")) }
        if let target, !isDiscovery { keys.append(("TargetName", target)) }
        return keys
    }

    /// The status of a login in one step, without authentication.
    @discardableResult
    func tryLogIn(_ offers: [(String, String)] = []) throws -> UInt16 {
        let answer = try loginStep(1, 3, openingKeys + offers)
        let status = answer.half(36)
        if status == 0 { entered(answer) }
        return status
    }

    func logIn(_ offers: [(String, String)] = []) throws {
        #expect(try tryLogIn(offers) == 0)
    }

    func entered(_ answer: RawPDU) {
        #expect(answer.flags & 0x83 == 0x83)
        #expect(answer.half(14) != 0)
        expectedStatus = answer.statusNumber &+ 1
        headerDigest = agreed["HeaderDigest"] == "CRC32C"
        dataDigest = agreed["DataDigest"] == "CRC32C"
    }

    /// Logs in by CHAP; answers the status of where it ended.
    func logInByCHAP(
        name: String = Names.account.name, secret: String = "sixteen-or-more-1", algorithms: String = "5",
        mutual: [UInt8]? = nil, reflect: Bool = false
    ) throws -> (status: UInt16, last: RawPDU) {
        var answer = try loginStep(0, 1, openingKeys + [("AuthMethod", "CHAP,None")])
        guard answer.half(36) == 0 else { return (answer.half(36), answer) }
        #expect(answer.text["AuthMethod"] == "CHAP")
        #expect(answer.flags & 0x80 == 0)
        answer = try loginStep(0, nil, [("CHAP_A", algorithms)])
        guard answer.half(36) == 0 else { return (answer.half(36), answer) }
        let algorithm = try #require(CHAP.Algorithm(rawValue: UInt8(answer.text["CHAP_A"] ?? "") ?? 0))
        let identifier = try #require(UInt8(answer.text["CHAP_I"] ?? ""))
        let challengeText = try #require(answer.text["CHAP_C"])
        let challenge = try #require(TextPairs.binary(challengeText))
        let response = algorithm.respond(identifier, Secret(secret), challenge)
        var keys = [("CHAP_N", name), ("CHAP_R", "0x" + Hex.encode(response))]
        if reflect { keys += [("CHAP_I", String(identifier)), ("CHAP_C", challengeText)] }
        if let mutual { keys += [("CHAP_I", "9"), ("CHAP_C", "0x" + Hex.encode(mutual))] }
        answer = try loginStep(0, 1, keys)
        guard answer.half(36) == 0 else { return (answer.half(36), answer) }
        #expect(answer.flags & 0x83 == 0x81)
        let proof = answer
        answer = try loginStep(1, 3, [])
        entered(answer)
        return (answer.half(36), proof)
    }

    // MARK: Full feature

    func nextTag() -> UInt32 {
        tag += 1
        return tag
    }

    /// A SCSI Command with the next number.
    func command(
        _ cdb: [UInt8], read: Int? = nil, write: Int? = nil, data: [UInt8] = [], final: Bool = true, lun: UInt8 = 0,
        immediate: Bool = false
    ) -> RawPDU {
        var flags: UInt8 = final ? 0x81 : 0x01
        if read != nil { flags |= 0x40 }
        if write != nil { flags |= 0x20 }
        var pdu = RawPDU(immediate ? 0x41 : 0x01, flags: flags, tag: nextTag(), data: data)
        pdu.header[9] = lun
        pdu.put(UInt32(read ?? write ?? 0), 20)
        number(&pdu)
        for (index, byte) in cdb.enumerated() { pdu.header[32 + index] = byte }
        return pdu
    }

    /// Gives a request its CmdSN and ExpStatSN.
    func number(_ pdu: inout RawPDU) {
        pdu.put(commandNumber, 24)
        pdu.put(expectedStatus, 28)
        if pdu.header[0] & 0x40 == 0 { commandNumber &+= 1 }
    }

    static func cdb(_ opcode: UInt8, block: Int, count: Int) -> [UInt8] {
        [
            opcode, 0, UInt8(block >> 24 & 0xff), UInt8(block >> 16 & 0xff), UInt8(block >> 8 & 0xff),
            UInt8(block & 0xff), 0, UInt8(count >> 8), UInt8(count & 0xff), 0,
        ]
    }

    /// Sends TEST UNIT READY and answers its response.
    func testUnitReady() -> RawPDU? {
        send(command([0]))
        return receive()
    }

    struct Done {
        var status: UInt8
        var flags: UInt8
        var residual: UInt32
        var data: [UInt8]
        var dataPDUs: Int
        var sense: [UInt8]
    }

    /// Gathers Data-In and status of a command.
    func finish(_ tag: UInt32) throws -> Done {
        var data: [UInt8] = []
        var pdus = 0
        while true {
            let pdu = try #require(receive())
            try #require(pdu.tag == tag)
            if pdu.opcode == 0x25 {
                #expect(pdu.number == UInt32(pdus))
                #expect(Int(pdu.offset) == data.count)
                data += pdu.data
                pdus += 1
                guard pdu.flags & 0x01 != 0 else { continue }
                #expect(pdu.flags & 0x80 != 0)
                return Done(
                    status: pdu.header[3], flags: pdu.flags & 0x06, residual: pdu.residual, data: data, dataPDUs: pdus,
                    sense: [])
            }
            try #require(pdu.opcode == 0x21)
            return Done(
                status: pdu.header[3], flags: pdu.flags & 0x06, residual: pdu.residual, data: data, dataPDUs: pdus,
                sense: Array(pdu.data.dropFirst(2)))
        }
    }

    func read(block: Int, count: Int, expected: Int? = nil) throws -> Done {
        let pdu = command(Self.cdb(0x28, block: block, count: count), read: expected ?? count * 512)
        send(pdu)
        return try finish(pdu.tag)
    }

    /// Data-Out for a command.
    func dataOut(
        _ tag: UInt32, transferTag: UInt32 = reservedTag, number: UInt32, offset: Int, _ data: some Sequence<UInt8>,
        final: Bool
    ) -> RawPDU {
        var pdu = RawPDU(0x05, flags: final ? 0x80 : 0, tag: tag, data: Array(data))
        pdu.put(transferTag, 20)
        pdu.put(expectedStatus, 28)
        pdu.put(number, 36)
        pdu.put(UInt32(offset), 40)
        return pdu
    }

    /// Writes, with so much of the data immediate and unsolicited, and in answer to R2Ts in PDUs of `piece` bytes.
    func write(block: Int, _ data: [UInt8], immediate: Int, unsolicited: Int, piece: Int) throws -> (Done, r2ts: [Int])
    {
        let isFinal = unsolicited == immediate
        let pdu = command(
            Self.cdb(0x2a, block: block, count: data.count / 512), write: data.count, data: Array(data[..<immediate]),
            final: isFinal)
        send(pdu)
        func sendRange(_ range: Range<Int>, _ transferTag: UInt32) {
            var offset = range.lowerBound
            var number: UInt32 = 0
            while offset < range.upperBound {
                let end = min(offset + piece, range.upperBound)
                send(
                    dataOut(
                        pdu.tag, transferTag: transferTag, number: number, offset: offset, data[offset..<end],
                        final: end == range.upperBound))
                number += 1
                offset = end
            }
        }
        if !isFinal { sendRange(immediate..<unsolicited, reservedTag) }
        var r2ts: [Int] = []
        while r2ts.reduce(unsolicited, +) < data.count {
            let r2t = try #require(receive())
            try #require(r2t.opcode == 0x31)
            #expect(r2t.number == UInt32(r2ts.count))
            let start = Int(r2t.offset)
            r2ts.append(Int(r2t.residual))
            sendRange(start..<start + Int(r2t.residual), r2t.transferTag)
        }
        return (try finish(pdu.tag), r2ts)
    }

    func management(_ function: UInt8, lun: UInt8 = 0, referenced: UInt32 = reservedTag, refNumber: UInt32 = 0)
        -> RawPDU
    {
        var pdu = RawPDU(0x42, flags: 0x80 | function, tag: nextTag())
        pdu.header[9] = lun
        pdu.put(referenced, 20)
        pdu.put(refNumber, 32)
        number(&pdu)
        return pdu
    }

    func logout(reason: UInt8 = 0, connection: UInt16 = 0) -> RawPDU {
        var pdu = RawPDU(0x46, flags: 0x80 | reason, tag: nextTag())
        pdu.header[20] = UInt8(connection >> 8)
        pdu.header[21] = UInt8(connection & 0xff)
        number(&pdu)
        return pdu
    }

    func textPDU(_ keys: [(String, String)], flags: UInt8 = 0x80, tag: UInt32? = nil, transferTag: UInt32 = reservedTag)
        -> RawPDU
    {
        var text: [UInt8] = []
        for (key, value) in keys { TextPairs.append(key, value, to: &text) }
        var pdu = RawPDU(0x04, flags: flags, tag: tag ?? nextTag(), data: text)
        pdu.put(transferTag, 20)
        number(&pdu)
        return pdu
    }
}
