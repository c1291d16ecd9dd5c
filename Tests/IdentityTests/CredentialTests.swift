import GRDB
import Primitives
import Records
import Testing

@testable import Identity

@Suite("Credentials and signed requests") struct CredentialTests {
    private static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    /// The example of AWS's own description of version 4 (IAM ListUsers).
    private static func listUsers() -> SignedRequest {
        SignedRequest(
            signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7", verb: "GET",
            host: "iam.amazonaws.com", path: "/", parameters: ["Action": "ListUsers", "Version": "2010-05-08"],
            headers: [
                "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
                    + "SignedHeaders=content-type;host;x-amz-date, Signature=5d67",
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": "iam.amazonaws.com",
                "X-Amz-Date": "20150830T123600Z",
            ], bodyHash: emptyHash)
    }

    @Test("version 4 signs as its description's example does")
    func version4() {
        let secret = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        let request = Self.listUsers()
        #expect(EC2Signature.expected(request, secret: secret)?.signature == request.signature)
        for change: @Sendable (inout SignedRequest) -> Void in [
            { $0.path = "/x" }, { $0.verb = "PUT" }, { $0.parameters["Action"] = "DropUsers" },
            { $0.headers["Host"] = "other" }, { $0.bodyHash = "00" },
        ] {
            var other = request
            change(&other)
            #expect(EC2Signature.expected(other, secret: secret)?.signature != request.signature)
        }
        var late = request
        late.headers["X-Amz-Date"] = "20150831T123600Z"
        #expect(EC2Signature.expected(late, secret: secret) == nil)
    }

    @Test("version 2 signs as its description's example does; older ones aren't accepted")
    func version2() {
        var request = SignedRequest(
            signature: "", verb: "GET", host: "elasticmapreduce.amazonaws.com", path: "/",
            parameters: [
                "AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Action": "DescribeJobFlows",
                "SignatureMethod": "HmacSHA256", "SignatureVersion": "2", "Timestamp": "2011-10-03T15:19:30",
                "Version": "2009-03-31", "Signature": "ignored",
            ], headers: [:], bodyHash: "")
        let secret = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        let expected = EC2Signature.expected(request, secret: secret)
        #expect(expected?.signature == "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs=")
        request.parameters["SignatureMethod"] = "HmacSHA1"
        #expect(EC2Signature.expected(request, secret: secret) == nil)
        request.parameters["SignatureVersion"] = "1"
        #expect(EC2Signature.expected(request, secret: secret) == nil)
    }

    private func keyPair(_ fixture: Fixture) throws -> Credential {
        let (ann, project) = try fixture.makeAnn()
        return try fixture.service.createCredential(
            type: "ec2", blob: Secret(#"{"access":"a","secret":"s"}"#), access: "a", userID: ann.id,
            projectID: project.id, extra: "{}")
    }

    @Test("a signature is good for one token, within a quarter of an hour, and that token for nothing further")
    func oneToken() throws {
        let fixture = try Fixture()
        let credential = try keyPair(fixture)
        var now = fixture.clock.now
        func sign(_ day: String) -> (text: String, signature: String) {
            let text = "AWS4-HMAC-SHA256\n\(day)T000000Z\n\(day)/r/s3/aws4_request\nhash\(day)"
            let made = EC2Signature.expected(stringToSign: text, services: ["s3"], secret: Secret("s"))
            return (text, made?.signature ?? "")
        }
        func issue(_ day: String, off: Int64, signature: String? = nil) throws(IdentityError) -> IssuedToken {
            let signed = sign(day)
            return try fixture.service.issue(
                forStringToSign: signed.text, signature: signature ?? signed.signature, services: ["s3"], credential,
                secret: Secret("s")
            ) { _ in now + off }
        }
        let token = try issue("20260101", off: -900)
        #expect(token.info.methods == ["ec2credential"])
        #expect(token.info.roles.map(\.name) == ["member", "reader"])
        #expect(try fixture.service.validate(token.token) == token.info)
        #expect(throws: IdentityError.unauthorized) { try issue("20260101", off: 0) }
        #expect(throws: IdentityError.unauthorized) { try issue("20260102", off: -901) }
        #expect(throws: IdentityError.unauthorized) { try issue("20260103", off: 901) }
        #expect(throws: IdentityError.unauthorized) { try issue("20260104", off: 0, signature: "x") }
        _ = try issue("20260104", off: 900)
        #expect(throws: IdentityError.forbidden(action: "identity:rescope_token")) {
            try fixture.service.issue(Authentication(password: nil, token: token.token, scope: .unscoped))
        }
        #expect(throws: IdentityError.forbidden(action: "identity:create_application_credential")) {
            try fixture.service.createApplicationCredential(NewApplicationCredential(name: "x"), for: token.info)
        }
        now += 1
    }

    @Test("credentials are sealed in the tables, and opened for whoever may see them")
    func sealing() throws {
        let fixture = try Fixture()
        let credential = try keyPair(fixture)
        let stored = try fixture.records.read(failing: IdentityError.self) { db in
            try String.fetchOne(db, sql: "SELECT sealed FROM credentials WHERE id = ?", arguments: [credential.id])
        }
        let sealed = try #require(stored)
        #expect(!sealed.contains("secret"))
        #expect(Base64.decodePlain(sealed.utf8).map { !String(decoding: $0, as: UTF8.self).contains("secret") } == true)
        #expect(try fixture.service.credential(access: "a").blob.bytes == credential.blob.bytes)
        // A row that was moved to another id opens for nobody.
        try fixture.records.write(failing: IdentityError.self) { db in
            try db.execute(sql: "UPDATE credentials SET id = 'moved'")
        }
        #expect(throws: IdentityError.cryptography("no key opens credential moved")) {
            try fixture.service.credential(id: "moved")
        }
        #expect(throws: IdentityError.self) {
            _ = try fixture.service.createCredential(
                type: "ec2", blob: Secret(String(repeating: "x", count: Limits.blobMax + 1)), access: "b",
                userID: credential.userID, projectID: credential.projectID, extra: "{}")
        }
    }

    @Test("the memory of used signatures is bounded, and full means refused")
    func boundedMemory() {
        let used = UsedSignatures()
        for index in 0..<Limits.usedSignaturesMax { #expect(used.use("\(index)", until: 10, now: 0)) }
        #expect(!used.use("another", until: 10, now: 0))
        #expect(used.use("another", until: 20, now: 11))
        #expect(!used.use("another", until: 20, now: 11))
    }
}
