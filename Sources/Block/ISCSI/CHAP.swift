private import Codecs
private import Crypto
import Primitives

/// How an initiator proves who it is, and this target to it: RFC 1994 in the form of RFC 7143 12.1.3.
///
/// One value serves one login: its challenge is used once, whatever comes of it.
struct CHAP {
    /// The registered numbers of the digest.
    enum Algorithm: UInt8 {
        case md5 = 5
        case sha256 = 7

        var digestBytes: Int { self == .md5 ? 16 : 32 }

        /// The digest of identifier, secret and challenge.
        func respond(_ identifier: UInt8, _ secret: Secret, _ challenge: [UInt8]) -> [UInt8] {
            let message = [identifier] + secret.bytes + challenge
            switch self {
            case .md5: return message.withUnsafeBytes { MD5.hash($0).bytes }
            case .sha256:
                return message.withUnsafeBytes { bytes in
                    var hash = SHA256()
                    hash.update(bufferPointer: bytes)
                    return Array(hash.finalize())
                }
            }
        }
    }

    enum Refusal: Error, Equatable {
        /// A key is missing, comes out of turn, or is not what it should be.
        case malformed
        case noCommonAlgorithm
        /// Wrong name, wrong secret: nobody is told which.
        case wrong
        /// The initiator sent this target's own challenge back, to have it answered.
        case reflected
        /// The initiator wants proof, and this account has none to give, or would give the same secret's.
        case noMutualSecret
    }

    private let allowsMD5: Bool
    private let identifier: UInt8
    private let challenge: [UInt8]
    private var algorithm: Algorithm?

    /// - Parameter random: from the system's generator (CVE-2024-45751 was a challenge from one that started alike).
    init(allowsMD5: Bool, random: [UInt8]) {
        precondition(random.count == ISCSILimits.challengeBytes + 1)
        self.allowsMD5 = allowsMD5
        identifier = random[0]
        challenge = Array(random[1...])
    }

    var isChallenged: Bool { algorithm != nil }

    /// Takes CHAP_A and answers the choice with a challenge. SHA-256 wherever it is offered, not the initiator's first.
    mutating func choose(_ offered: String) throws(Refusal) -> [(String, String)] {
        guard algorithm == nil else { throw .malformed }
        let numbers = offered.split(separator: ",").compactMap { TextPairs.number(String($0)) }
        let chosen: Algorithm
        if numbers.contains(UInt64(Algorithm.sha256.rawValue)) {
            chosen = .sha256
        } else if allowsMD5, numbers.contains(UInt64(Algorithm.md5.rawValue)) {
            chosen = .md5
        } else {
            throw .noCommonAlgorithm
        }
        algorithm = chosen
        return [
            ("CHAP_A", String(chosen.rawValue)), ("CHAP_I", String(identifier)),
            ("CHAP_C", "0x" + Hex.encode(challenge)),
        ]
    }

    /// What the initiator sent in its last step.
    struct Proof {
        var name: String
        var response: String
        /// CHAP_I and CHAP_C, if this side is to prove itself, too.
        var identifier: String?
        var challenge: String?
    }

    /// Checks the initiator's proof, and answers this side's own if it was asked for.
    ///
    /// - Parameter account: whoever has that name; nil if nobody has. The work done is the same for both.
    func verify(_ proof: Proof, account: CHAPAccount?) throws(Refusal) -> [(String, String)] {
        guard let algorithm, let response = TextPairs.binary(proof.response) else { throw .malformed }
        guard (proof.identifier == nil) == (proof.challenge == nil) else { throw .malformed }
        var peer: (identifier: UInt8, challenge: [UInt8])?
        if let number = proof.identifier, let text = proof.challenge {
            guard let identifier = TextPairs.number(number).flatMap(UInt8.init(exactly:)),
                let challenge = TextPairs.binary(text),
                (ISCSILimits.peerChallengeBytesMin...ISCSILimits.peerChallengeBytesMax).contains(challenge.count)
            else { throw .malformed }
            guard challenge != self.challenge else { throw .reflected }
            peer = (identifier, challenge)
        }
        let secret = account?.secret ?? Secret([UInt8](repeating: 0, count: 16))
        let expected = algorithm.respond(identifier, secret, challenge)
        let isName = constantTimeEquals(Array(proof.name.utf8), Array((account?.name ?? "").utf8))
        let isRight = constantTimeEquals(expected, response)
        guard let account, isName, isRight, !account.secret.bytes.isEmpty else { throw .wrong }
        guard let peer else { return [] }
        // One secret for both directions lets anybody answer a challenge by asking it of the other side (12.1.3).
        guard let mutual = account.mutual, !mutual.secret.bytes.isEmpty, !mutual.secret.matches(account.secret) else {
            throw .noMutualSecret
        }
        let answer = algorithm.respond(peer.identifier, mutual.secret, peer.challenge)
        return [("CHAP_N", mutual.name), ("CHAP_R", "0x" + Hex.encode(answer))]
    }
}
