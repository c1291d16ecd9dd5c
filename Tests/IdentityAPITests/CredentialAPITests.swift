import ControlFace
import Crypto
import Foundation
import Identity
import Primitives
import Testing

@testable import IdentityAPI

@Suite("Credentials, policies, consumers and endpoint groups over HTTP") struct CredentialAPITests {
    private struct Ann {
        var id: String
        var project: String
        var token: String
    }

    private func ann(_ harness: Harness, _ send: Harness.Sender) async throws -> Ann {
        let project = try harness.service.createProject(named: "work", description: "")
        let (user, _) = try harness.service.createUser(
            named: "ann", password: Secret("pass"), project: "work", role: "member")
        let token = try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "pass")).token
        return Ann(id: user.id, project: project.id, token: token)
    }

    @Test("a key pair is its user's, for the project that they are in")
    func keyPairs() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let ann = try await ann(harness, send)
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let path = "/v3/users/\(ann.id)/credentials/OS-EC2"
            let made = try await send("POST", path, token: ann.token, body: #"{"tenant_id":"\#(ann.project)"}"#)
            #expect(made.status == 201)
            let access = try #require(made.body?["credential"]?["access"]?.string)
            #expect(try await send("GET", "\(path)/\(access)", token: ann.token).body == made.body)
            #expect(try await send("GET", path, token: ann.token).body?["credentials"]?.array?.count == 1)
            let stored = try await send("GET", "/v3/credentials?type=ec2", token: ann.token)
            #expect(stored.body?["credentials"]?.array?.first?["id"]?.string == IdentityService.id(ofAccess: access))
            let service = try harness.service.project(.name("service", .standard)).id
            let adminID = try harness.service.user(.name("admin", .standard)).id
            for (method, target, token, body, status) in [
                ("POST", path, ann.token, #"{"tenant_id":"\#(service)"}"#, 403), ("POST", path, ann.token, "{}", 400),
                ("POST", "/v3/users/\(adminID)/credentials/OS-EC2", ann.token, #"{"tenant_id":"x"}"#, 403),
                ("GET", "\(path)/none", ann.token, nil, 404), ("DELETE", "\(path)/\(access)", admin, nil, 204),
                ("GET", "\(path)/\(access)", ann.token, nil, 404),
            ] as [(String, String, String, String?, Int)] {
                #expect(
                    try await send(method, target, token: token, body: body).status == status, "\(method) \(target)")
            }
        }
    }

    @Test("a credential keeps its owner, its project and its type; others don't see it")
    func credentials() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let ann = try await ann(harness, send)
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            func create(_ fields: String, _ token: String) async throws -> Harness.Answer {
                try await send("POST", "/v3/credentials", token: token, body: #"{"credential":{\#(fields)}}"#)
            }
            let pair = #""type":"ec2","blob":"{\"access\":\"a\",\"secret\":\"s\"}","project_id":"\#(ann.project)""#
            let made = try await create(pair, ann.token)
            #expect(made.status == 201)
            #expect(try await create(pair, ann.token).status == 409)
            for fields in [
                #""type":"ec2","blob":"x","project_id":"\#(ann.project)""#, #""blob":"x""#, #""type":"cert""#,
                #""type":"ec2","blob":"{\"access\":\"b\",\"secret\":\"s\"}""#,
            ] { #expect(try await create(fields, ann.token).status == 400, "\(fields)") }
            #expect(try await create(pair + #","user_id":"other""#, ann.token).status == 403)
            #expect(try await create(#""type":"cert","blob":"x","user_id":"none""#, admin).status == 404)
            let id = made.body?["credential"]?["id"]?.string ?? ""
            for change in [#""user_id":"x""#, #""project_id":"x""#, #""type":"cert""#, #""blob":"x""#] {
                let body = #"{"credential":{\#(change)}}"#
                #expect(try await send("PATCH", "/v3/credentials/\(id)", token: admin, body: body).status == 400)
            }
            let other = try await create(#""type":"totp","blob":"seed""#, admin)
            let otherID = other.body?["credential"]?["id"]?.string ?? ""
            #expect(try await send("GET", "/v3/credentials/\(otherID)", token: ann.token).status == 403)
            #expect(try await send("GET", "/v3/credentials", token: ann.token).body?["credentials"]?.array?.count == 1)
            #expect(try await send("GET", "/v3/credentials", token: admin).body?["credentials"]?.array?.count == 2)
        }
    }

    @Test("only services exchange a signed request for a token")
    func exchange() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let ann = try await ann(harness, send)
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let body = #"{"credentials":{"access":"none","signature":"x","token":"eA=="}}"#
            for path in ["/v3/ec2tokens", "/v3/s3tokens"] {
                #expect(try await send("POST", path, body: body).status == 401)
                #expect(try await send("POST", path, token: ann.token, body: body).status == 403)
                #expect(try await send("POST", path, token: admin, body: body).status == 404)
                #expect(try await send("POST", path, token: admin, body: "{}").status == 400)
            }
            let made = try await send(
                "POST", "/v3/users/\(ann.id)/credentials/OS-EC2", token: ann.token,
                body: #"{"tenant_id":"\#(ann.project)"}"#)
            let access = made.body?["credential"]?["access"]?.string ?? ""
            let wrong = #"{"credentials":{"access":"\#(access)","signature":"x","token":"eA=="}}"#
            for path in ["/v3/ec2tokens", "/v3/s3tokens"] {
                #expect(try await send("POST", path, token: admin, body: wrong).status == 401)
            }
        }
    }

    /// Signed times come from whoever holds a key.
    @Test("a signed request with a time of strange characters is refused and harms nobody")
    func strangeTimes() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let ann = try await ann(harness, send)
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let credential = try harness.service.createCredential(
                type: "ec2", blob: Secret(#"{"access":"a","secret":"s"}"#), access: "a", userID: ann.id,
                projectID: ann.project, extra: "{}")
            #expect(credential.projectID == ann.project)
            for time in ["20260801\u{e9}\u{e9}\u{e9}\u{e9}", "20260801T100000Z", "99999999T999999Z"] {
                let day = time.prefix(8)
                let text = "AWS4-HMAC-SHA256\n\(time)\n\(day)/r/s3/aws4_request\nhash"
                let signature = try #require(Self.sign(text, day: String(day)))
                let token = Data(text.utf8).base64EncodedString()
                let body = #"{"credentials":{"access":"a","signature":"\#(signature)","token":"\#(token)"}}"#
                let status = try await send("POST", "/v3/s3tokens", token: admin, body: body).status
                #expect(status == (time == "20260801T100000Z" ? 200 : 401), "\(time)")
                #expect(try await send("POST", "/v3/s3tokens", token: admin, body: body).status == 401)
            }
        }
    }

    private static func sign(_ text: String, day: String) -> String? {
        func mac(_ key: [UInt8], _ text: String) -> [UInt8] {
            Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: key)))
        }
        let key = [day, "r", "s3", "aws4_request"].reduce(Array("AWS4s".utf8)) { mac($0, $1) }
        return mac(key, text).map { String(Int($0) + 256, radix: 16).suffix(2) }.joined()
    }

    @Test("policies and consumers are kept; a consumer's secret is told once")
    func documents() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let ann = try await ann(harness, send)
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let policy = try await send(
                "POST", "/v3/policies", token: admin, body: #"{"policy":{"type":"t","blob":{"a":1}}}"#)
            #expect(policy.status == 201)
            let id = policy.body?["policy"]?["id"]?.string ?? ""
            let changed = try await send(
                "PATCH", "/v3/policies/\(id)", token: admin, body: #"{"policy":{"type":"u"}}"#)
            #expect(changed.body?["policy"]?["blob"]?["a"] == .number("1"))
            #expect(
                try await send("GET", "/v3/policies?type=t", token: admin).body?["policies"]?.array?.isEmpty == true)
            #expect(try await send("GET", "/v3/policies", token: ann.token).status == 403)
            #expect(
                try await send("POST", "/v3/policies", token: admin, body: #"{"policy":{"type":"t"}}"#).status == 400)
            #expect(try await send("DELETE", "/v3/policies/\(id)", token: admin).status == 204)
            let consumer = try await send(
                "POST", "/v3/OS-OAUTH1/consumers", token: admin, body: #"{"consumer":{"description":"d"}}"#)
            #expect(consumer.status == 201)
            #expect(consumer.body?["consumer"]?["secret"]?.string?.count == 32)
            let path = "/v3/OS-OAUTH1/consumers/\(consumer.body?["consumer"]?["id"]?.string ?? "")"
            let shown = try await send("GET", path, token: admin)
            #expect(shown.body?["consumer"]?["secret"] == nil)
            #expect(shown.body?["consumer"]?["sealed"] == nil)
            let secret = #"{"consumer":{"secret":"x"}}"#
            #expect(try await send("PATCH", path, token: admin, body: secret).status == 400)
        }
    }

    @Test("a project that was given endpoints sees just those in its catalog")
    func endpointFilter() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let project = try harness.service.project(.name("admin", .standard)).id
            func types() async throws -> [String]? {
                try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).body?["token"]?["catalog"]?.array?
                    .compactMap { $0["type"]?.string }
            }
            #expect(try await types() == ["identity", "object-store"])
            let services = try await send("GET", "/v3/services?type=identity", token: admin)
            let serviceID = services.body?["services"]?.array?.first?["id"]?.string ?? ""
            let path = "/v3/OS-EP-FILTER"
            let bad = #"{"endpoint_group":{"name":"g","filters":{"colour":"red"}}}"#
            #expect(try await send("POST", "\(path)/endpoint_groups", token: admin, body: bad).status == 400)
            let good = #"{"endpoint_group":{"name":"g","filters":{"service_id":"\#(serviceID)"}}}"#
            let group = try await send("POST", "\(path)/endpoint_groups", token: admin, body: good)
            let own = "\(path)/endpoint_groups/\(group.body?["endpoint_group"]?["id"]?.string ?? "")"
            #expect(try await send("PUT", "\(own)/projects/\(project)", token: admin).status == 204)
            #expect(try await types() == ["identity"])
            #expect(try await send("GET", "\(own)/endpoints", token: admin).body?["endpoints"]?.array?.count == 3)
            #expect(try await send("GET", "\(own)/projects", token: admin).body?["projects"]?.array?.count == 1)
            #expect(try await send("HEAD", "\(own)/projects/\(project)", token: admin).status == 200)
            let endpoints = try await send("GET", "/v3/endpoints?interface=public", token: admin)
            let storage = endpoints.body?["endpoints"]?.array?.first { $0["service_id"]?.string != serviceID }
            let endpoint = "\(path)/projects/\(project)/endpoints/\(storage?["id"]?.string ?? "")"
            #expect(try await send("HEAD", endpoint, token: admin).status == 404)
            #expect(try await send("PUT", endpoint, token: admin).status == 204)
            #expect(try await types() == ["identity", "object-store"])
            #expect(try await send("DELETE", own, token: admin).status == 204)
            #expect(try await types() == ["object-store"])
            #expect(try await send("DELETE", endpoint, token: admin).status == 204)
            #expect(try await types() == ["identity", "object-store"])
        }
    }

    @Test("a domain's settings are kept by section and name; others than the known ones are refused")
    func domainConfiguration() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let path = "/v3/domains/default/config"
            #expect(try await send("GET", path, token: admin).status == 404)
            let whole = #"{"config":{"identity":{"driver":"ldap"},"ldap":{"url":"ldap://x","page_size":5}}}"#
            #expect(try await send("PUT", path, token: admin, body: whole).status == 201)
            #expect(try await send("PUT", path, token: admin, body: whole).status == 200)
            let size = try await send("GET", "\(path)/ldap/page_size", token: admin)
            #expect(size.body == .of(["config": .of(["page_size": .number("5")])]))
            for (method, target, body, status) in [
                ("PUT", path, #"{"config":{"ldap":{"password":"x"}}}"#, 403),
                ("PUT", path, #"{"config":{"token":{"a":"x"}}}"#, 403), ("PUT", path, "{}", 403),
                ("PATCH", "\(path)/ldap", #"{"config":{"identity":{"driver":"x"}}}"#, 403),
                ("PATCH", "\(path)/ldap/url", #"{"config":{"url":"ldap://y"}}"#, 200),
                ("PATCH", "\(path)/ldap/suffix", #"{"config":{"suffix":"y"}}"#, 404),
                ("DELETE", "\(path)/ldap/url", nil, 204), ("GET", "\(path)/ldap/url", nil, 404),
                ("DELETE", path, nil, 204), ("DELETE", path, nil, 404),
                ("GET", "/v3/domains/config/default", nil, 200), ("GET", "/v3/domains/config/ldap/default", nil, 200),
                ("GET", "/v3/domains/config/ldap/url/default", nil, 200),
                ("GET", "/v3/domains/config/ldap/password/default", nil, 404),
            ] as [(String, String, String?, Int)] {
                #expect(
                    try await send(method, target, token: admin, body: body).status == status, "\(method) \(target)")
            }
        }
    }
}
