private import Codecs
private import Crypto
import Primitives

/// A request that somebody signed with a key of theirs, as a service passes it on to be checked.
package struct SignedRequest: Sendable {
    package var signature: String
    package var verb: String
    package var host: String
    package var path: String
    package var parameters: [String: String]
    package var headers: [String: String]
    package var bodyHash: String

    package init(
        signature: String, verb: String, host: String, path: String, parameters: [String: String],
        headers: [String: String], bodyHash: String
    ) {
        self.signature = signature
        self.verb = verb
        self.host = host
        self.path = path
        self.parameters = parameters
        self.headers = headers
        self.bodyHash = bodyHash
    }
}

/// AWS Signature Version 4 (HMAC-SHA256 over a canonical request) and Version 2 of EC2's query API with HmacSHA256.
/// Versions 0 and 1, and HMAC-SHA1, are not accepted: what they sign can be read in more than one way.
enum EC2Signature {
    /// What a request must be signed with, and when it says that it was signed; nil if it doesn't say what is needed.
    static func expected(_ request: SignedRequest, secret: Secret) -> (signature: String, signedAt: String)? {
        let authorization = header("authorization", request)
        if request.parameters["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
            || authorization?.hasPrefix("AWS4-HMAC-SHA256") == true
        {
            return version4(request, authorization, secret)
        }
        guard request.parameters["SignatureVersion"] == "2", request.parameters["SignatureMethod"] == "HmacSHA256",
            let moment = request.parameters["Timestamp"]
        else { return nil }
        var parameters = request.parameters
        parameters["Signature"] = nil
        let text = [request.verb, request.host.lowercased(), request.path, query(parameters)].joined(separator: "\n")
        return (Base64.encodePlain(mac(secret.bytes, text), padded: true), moment)
    }

    /// What a string to be signed (version 4) must be signed with; nil unless it has that form and its scope is of one of
    /// the services.
    static func expected(
        stringToSign text: String, services: Set<String>, secret: Secret
    ) -> (signature: String, signedAt: String)? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count == 4, lines[0] == "AWS4-HMAC-SHA256",
            let key = signingKey(lines[2].split(separator: "/", omittingEmptySubsequences: false), secret, services),
            lines[1].hasPrefix(lines[2].prefix { $0 != "/" })
        else { return nil }
        return (Hex.encode(mac(key, text)), lines[1])
    }

    private static func version4(
        _ request: SignedRequest, _ authorization: String?, _ secret: Secret
    ) -> (signature: String, signedAt: String)? {
        func parameter(_ name: String) -> String? {
            guard let authorization else { return request.parameters["X-Amz-\(name)"] }
            guard let range = authorization.firstRange(of: "\(name)=") else { return nil }
            return String(authorization[range.upperBound...].prefix { $0 != "," })
        }
        guard let signed = parameter("SignedHeaders"), let credential = parameter("Credential"),
            let moment = header("x-amz-date", request) ?? request.parameters["X-Amz-Date"]
        else { return nil }
        let scope = credential.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard let key = signingKey(Array(scope), secret, nil), let day = scope.first, moment.hasPrefix(day) else {
            return nil
        }
        var parameters = request.parameters
        parameters["X-Amz-Signature"] = nil
        let headers = signed.split(separator: ";").compactMap { name in
            header(String(name), request).map { "\(name):\($0)\n" }
        }
        let canonical = [
            request.verb.uppercased(), request.path, request.verb.uppercased() == "POST" ? "" : query(parameters),
            headers.joined(), signed, request.bodyHash,
        ].joined(separator: "\n")
        let hash = Hex.encode(Array(SHA256.hash(data: Array(canonical.utf8))))
        let text = ["AWS4-HMAC-SHA256", moment, scope.joined(separator: "/"), hash].joined(separator: "\n")
        return (Hex.encode(mac(key, text)), moment)
    }

    /// From `date/region/service/aws4_request`.
    private static func signingKey(_ scope: [Substring], _ secret: Secret, _ services: Set<String>?) -> [UInt8]? {
        guard scope.count == 4, scope[3] == "aws4_request", scope[0].utf8.count == 8,
            services?.contains(String(scope[2])) ?? true
        else { return nil }
        return scope.reduce(Array("AWS4".utf8) + secret.bytes) { key, part in mac(key, String(part)) }
    }

    private static func mac(_ key: [UInt8], _ text: String) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: key)))
    }

    private static func header(_ name: String, _ request: SignedRequest) -> String? {
        let found = request.headers.first { $0.key.lowercased() == name.lowercased() }?.value
        return found.map { value in
            var text = value[...]
            while text.first == " " { text.removeFirst() }
            while text.last == " " { text.removeLast() }
            return String(text)
        }
    }

    /// Sorted by bytes, escaped but for letters, digits and `-_.~`.
    private static func query(_ parameters: [String: String]) -> String {
        parameters.map { (escape($0.key), escape($0.value)) }.sorted { a, b in
            a.0.utf8.lexicographicallyPrecedes(b.0.utf8)
        }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }

    private static func escape(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: out.append(byte)
            default: out += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// Signatures that were good for a token, until their time has run off: each is good for its one request.
final class UsedSignatures: Sendable {
    private let mutex = PosixMutex()
    private let seen = PosixGuarded<[String: Int64]>([:])

    /// False if it was used before, or if too many were used lately to remember another.
    func use(_ signature: String, until: Int64, now: Int64) -> Bool {
        mutex.withLock {
            if seen.value.count >= Limits.usedSignaturesMax { seen.value = seen.value.filter { $0.value >= now } }
            guard seen.value.count < Limits.usedSignaturesMax, seen.value[signature] == nil else { return false }
            seen.value[signature] = until
            return true
        }
    }
}
