import Primitives
import Testing

@Suite struct SecretTests {
    private struct Holder {
        let name = "holder"
        let secret: Secret
        let maybe: Secret?
    }

    @Test func noWayOfPrintingShowsASecret() {
        let secret = Secret("hunter2")
        let holder = Holder(secret: secret, maybe: secret)
        var dumped = ""
        dump(holder, to: &dumped)
        dump(secret, to: &dumped)
        let texts = [
            "\(secret)", String(describing: secret), String(reflecting: secret), secret.debugDescription,
            "\(holder)", String(reflecting: holder), "\([secret])", "\(["k": secret])", dumped,
        ]
        // As text, and as the bytes in decimal.
        for text in texts {
            #expect(text.contains("<secret>"), "\(text)")
            #expect(!text.contains("hunter2") && !text.contains("104"), "\(text)")
        }
        #expect(Mirror(reflecting: secret).children.isEmpty)
    }

    @Test func equalityLooksAtEveryByteAndAtTheLength() {
        let base: [UInt8] = Array(0..<40)
        #expect(constantTimeEquals(base, base))
        #expect(constantTimeEquals([], []))
        #expect(!constantTimeEquals(base, Array(base.dropLast())))
        #expect(!constantTimeEquals([], [0]))
        for index in base.indices {
            for bit in 0..<8 {
                var other = base
                other[index] ^= 1 << UInt8(bit)
                #expect(!constantTimeEquals(base, other))
                #expect(!Secret(base).matches(Secret(other)))
            }
        }
        #expect(Secret("a").matches(Secret([97])))
        // Canonically equal, but not the same password.
        #expect(!Secret("\u{e9}").matches(Secret("e\u{301}")))
    }
}
