import Codecs
import Testing

@testable import ISCSI

@Suite struct PDUFrameTests {
    private func parse(_ bytes: [UInt8], _ rules: PDUFrame.Rules) -> (String, Int) {
        bytes.withUnsafeBytes { bytes in
            switch PDUFrame.parse(bytes, rules) {
            case .incomplete(let needed): ("incomplete", needed)
            case .frame(let frame): (frame.isDataIntact ? "frame" : "damaged", frame.byteCount)
            case .brokenHeaderDigest: ("broken", 0)
            case .oversized: ("oversized", 0)
            }
        }
    }

    @Test func digestOfZerosIsThatOfTheStandard() {
        // RFC 7143 appendix A.4: 32 bytes of zeros.
        #expect(RawPDU.digest([UInt8](repeating: 0, count: 32)) == [0xaa, 0x36, 0x91, 0x8a])
    }

    @Test(arguments: [false, true], [false, true])
    func everyTruncationIsIncompleteAndNeverReadsOn(_ header: Bool, _ data: Bool) {
        let rules = PDUFrame.Rules(headerDigest: header, dataDigest: data, dataBytesMax: 8192)
        let whole = RawPDU(0x01, data: [1, 2, 3, 4, 5]).encoded(headerDigest: header, dataDigest: data)
        for count in 0..<whole.count {
            let (kind, needed) = parse(Array(whole[..<count]), rules)
            #expect(kind == "incomplete")
            #expect(needed > count && needed <= whole.count)
        }
        #expect(parse(whole, rules) == ("frame", whole.count))
        #expect(parse(whole + [9, 9], rules) == ("frame", whole.count))
    }

    @Test func eachFlippedBitIsFoundByItsDigest() {
        let rules = PDUFrame.Rules(headerDigest: true, dataDigest: true, dataBytesMax: 8192)
        let whole = RawPDU(0x01, data: [1, 2, 3]).encoded(headerDigest: true, dataDigest: true)
        for bit in 0..<(whole.count * 8) {
            var damaged = whole
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            let (kind, _) = parse(damaged, rules)
            // A changed header length may ask for more bytes first; it is never taken for whole.
            #expect(bit < 52 * 8 ? kind == "broken" || kind == "incomplete" : kind == "damaged")
        }
    }

    @Test func aLongerSegmentThanDeclaredIsOversizedAtOnce() {
        var pdu = RawPDU(0x01).encoded()
        pdu[5] = 0xff
        #expect(parse(pdu, PDUFrame.Rules()) == ("oversized", 0))
        pdu[5] = 0
        pdu[6] = 0x20
        #expect(parse(pdu, PDUFrame.Rules()) == ("incomplete", 48 + 8192))
        pdu[7] = 1
        #expect(parse(pdu, PDUFrame.Rules()) == ("oversized", 0))
    }

    @Test func serialNumbersWrap() {
        #expect(SerialNumber.isBefore(0xffff_ffff, 0))
        #expect(SerialNumber.isBefore(5, 6))
        #expect(!SerialNumber.isBefore(6, 6))
        #expect(!SerialNumber.isBefore(0, 0xffff_fff0))
    }
}
