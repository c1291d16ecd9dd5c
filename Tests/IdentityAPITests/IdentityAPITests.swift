import ControlFace
import Identity
import Primitives
import Testing

@testable import IdentityAPI

@Suite struct DiscoveryTests {
    @Test func theRootOffersOneVersionWithLinksToWhereTheClientCameFrom() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let root = try await send("GET", "/")
            #expect(root.status == 300)
            #expect(root.header("Location") == "https://localhost/identity/v3/")
            let version = root.body?["versions"]?["values"]?.array?.first
            #expect(version?["id"]?.string == "v3.14")
            #expect(version?["links"]?.array?.first?["href"]?.string == "https://localhost/identity/v3/")
            for path in ["/v3", "/v3/"] {
                let answer = try await send("GET", path)
                #expect(answer.status == 200)
                #expect(answer.body?["version"] == version)
            }
        }
    }

    @Test func everyAnswerCarriesItsIdAndVary() async throws {
        let harness = try Harness()
        try await harness.run { send in
            for (method, path) in [("GET", "/v3"), ("GET", "/nowhere"), ("PUT", "/v3"), ("GET", "/v3/users")] {
                let answer = try await send(method, path)
                #expect(answer.header("Vary") == "X-Auth-Token")
                #expect(answer.header("x-openstack-request-id")?.hasPrefix("req-") == true)
                #expect(answer.header("x-openstack-request-id")?.count == 40)
                #expect(answer.header("Content-Type") == "application/json")
            }
        }
    }

    @Test(arguments: [
        ("GET", "/nowhere", 404), ("GET", "/v2.0/tokens", 404), ("POST", "/v2.0/tokens", 404), ("GET", "/v3/none", 404),
        ("GET", "/v3/users/%zz", 404), ("GET", "/v3/users/%00", 404), ("GET", "/v3/users/%ff", 404),
        ("PUT", "/v3", 405), ("PATCH", "/v3/auth/tokens", 405), ("BREW", "/v3/users", 405),
        ("POST", "/v3/domains", 401), ("PUT", "/v3/groups", 405),
        ("GET", "/v3/users", 401), ("HEAD", "/v3/users", 401), ("DELETE", "/v3/users/x", 401),
        ("GET", "/v3/auth/tokens", 401), ("DELETE", "/v3/auth/tokens", 401), ("GET", "/v3/auth/catalog", 401),
    ])
    func anonymousRequestsGetTheirStatus(_ method: String, _ path: String, _ status: Int) async throws {
        let harness = try Harness()
        try await harness.run { send in
            let answer = try await send(method, path)
            #expect(answer.status == status)
            if method != "HEAD" { #expect(answer.body?["error"]?["code"] == .number(String(status))) }
            if status == 401 {
                #expect(answer.header("WWW-Authenticate") == "Keystone uri=\"https://localhost/identity/v3\"")
            }
            if status == 405 { #expect(answer.header("Allow") != nil) }
        }
    }

    @Test(arguments: [
        ("http://a:5000", "b:80", "http://b:80"), ("https://a/p", "b", "https://b/p"),
        ("http://a:5000/", nil, "http://a:5000"),
        ("http://a", "b/../c", "http://a"), ("http://a", "b\"c", "http://a"), ("http://a", "", "http://a"),
        ("http://a", "[::1]:5000", "http://[::1]:5000"),
    ])
    func linksTakeTheHostOnlyWhereItIsPlain(_ configured: String, _ authority: String?, _ base: String) {
        #expect(LinkBase.base(configured: configured, authority: authority) == base)
    }
}

@Suite struct TokenAPITests {
    @Test func tooManyWrongPasswordsHaveToWait() async throws {
        let harness = try Harness()
        try await harness.run { send in
            for n in 0..<Limits.failureBurst {
                // Known and unknown users count alike.
                let name = n % 2 == 0 ? "admin" : "nobody"
                #expect(try await send("POST", "/v3/auth/tokens", body: harness.login(name, "wrong")).status == 401)
            }
            for body in [harness.adminLogin(), harness.login("nobody", "wrong")] {
                let answer = try await send("POST", "/v3/auth/tokens", body: body)
                #expect(answer.status == 429)
                #expect(answer.header("Retry-After") == String(Limits.failureSeconds))
            }
        }
    }

    @Test func aPasswordBuysAProjectTokenWithItsCatalog() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let answer = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin())
            #expect(answer.status == 201)
            #expect((1...255).contains(answer.token.count))
            let token = try #require(answer.body?["token"])
            #expect(token["methods"] == .array([.string("password")]))
            #expect(token["issued_at"]?.string == "2026-08-01T10:00:00.000000Z")
            #expect(token["expires_at"]?.string == "2026-08-01T11:00:00.000000Z")
            #expect(token["user"]?["domain"]?["name"]?.string == "Default")
            #expect(token["project"]?["name"]?.string == "admin")
            #expect(token["is_domain"] == .bool(false))
            #expect(
                token["roles"]?.array?.compactMap { $0["name"]?.string } == ["admin", "manager", "member", "reader"])
            #expect(token["audit_ids"]?.array?.first?.string?.count == 22)
            #expect(token["catalog"]?.array?.compactMap { $0["type"]?.string } == ["identity", "object-store"])
            let bare = try await send("POST", "/v3/auth/tokens?nocatalog", body: harness.adminLogin())
            #expect(bare.status == 201)
            #expect(bare.body?["token"]?["catalog"] == nil)
            #expect(bare.body?["token"]?["roles"] != nil)
        }
    }

    @Test func scopesShowInTheToken() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let system = try await send(
                "POST", "/v3/auth/tokens", body: harness.adminLogin(scope: "{\"system\":{\"all\":true}}"))
            #expect(system.status == 201)
            #expect(system.body?["token"]?["system"]?["all"] == .bool(true))
            #expect(system.body?["token"]?["project"] == nil)
            let unscoped = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin(scope: "\"unscoped\""))
            #expect(unscoped.status == 201)
            #expect(unscoped.body?["token"]?["roles"] == nil)
            #expect(unscoped.body?["token"]?["catalog"] == nil)
            let standard = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin(scope: nil))
            #expect(standard.body?["token"]?["project"]?["name"]?.string == "admin")
            let domain = try await send(
                "POST", "/v3/auth/tokens", body: harness.adminLogin(scope: "{\"domain\":{\"id\":\"default\"}}"))
            #expect(domain.status == 401)
        }
    }

    static let user = "{\"name\":\"admin\",\"domain\":{\"id\":\"default\"},\"password\":\"x\"}"

    @Test(arguments: [
        ("", 400), ("{", 400), ("[]", 400), ("{}", 400), ("{\"auth\":1}", 400), ("{\"auth\":{}}", 400),
        ("{\"auth\":{\"identity\":{}}}", 400), ("{\"auth\":{\"identity\":{\"methods\":[]}}}", 400),
        ("{\"auth\":{\"identity\":{\"methods\":\"password\"}}}", 400),
        ("{\"auth\":{\"identity\":{\"methods\":[1]}}}", 400),
        ("{\"auth\":{\"identity\":{\"methods\":[\"password\"]}}}", 400),
        (
            "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":{\"name\":\"a\",\"password\":\"b\"}}}}}",
            400
        ),
        ("{\"auth\":{\"identity\":{\"methods\":[\"token\"],\"token\":{}}}}", 400),
        ("{\"auth\":{\"identity\":{\"methods\":[\"token\"],\"token\":{\"id\":\"x\"}}}}", 401),
        ("{\"auth\":{\"identity\":{\"methods\":[\"totp\"],\"totp\":{}}}}", 401),
        ("{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":\(user)}}}}", 401),
        (
            "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":\(user)}},\"auth\":{},\"auth\":{}}}",
            400
        ),
        (
            "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":\(user)}},"
                + "\"scope\":{\"project\":{\"id\":\"a\"},\"domain\":{\"id\":\"b\"}}}}", 400
        ),
        (
            "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":\(user)}},\"scope\":{\"moon\":{}}}}",
            400
        ),
        (
            "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":\(user)}},\"scope\":{\"project\":{\"name\":\"a\"}}}}",
            400
        ),
    ])
    func brokenSignInsGetTheirStatus(_ body: String, _ status: Int) async throws {
        let harness = try Harness()
        try await harness.run { send in
            let answer = try await send("POST", "/v3/auth/tokens", body: body)
            #expect(answer.status == status)
            #expect(answer.header("X-Subject-Token") == nil)
            if status == 401 { #expect(answer.message == "The request you have made requires authentication.") }
        }
    }

    @Test func aBodyBeyondTheLimitIsRefused() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let padding = String(repeating: " ", count: Call.bodyBytesMax - harness.adminLogin().utf8.count)
            let full = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin() + padding)
            #expect(full.status == 201)
            let over = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin() + padding + " ")
            #expect(over.status == 413)
        }
    }

    @Test func aTokenIsValidatedRevokedAndThenNotFound() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let issued = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin())
            let other = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let subject = ["X-Subject-Token": issued.token]
            let shown = try await send("GET", "/v3/auth/tokens", token: issued.token, headers: subject)
            #expect(shown.status == 200)
            #expect(shown.token == issued.token)
            #expect(shown.body == issued.body)
            let head = try await send("HEAD", "/v3/auth/tokens", token: issued.token, headers: subject)
            #expect(head.status == 200)
            #expect(head.bodyBytes == 0)
            let bare = try await send("GET", "/v3/auth/tokens?nocatalog", token: other, headers: subject)
            #expect(bare.body?["token"]?["catalog"] == nil)
            #expect(try await send("DELETE", "/v3/auth/tokens", token: other, headers: subject).status == 204)
            for method in ["GET", "HEAD", "DELETE"] {
                #expect(try await send(method, "/v3/auth/tokens", token: other, headers: subject).status == 404)
                #expect(try await send(method, "/v3/auth/tokens", token: issued.token, headers: subject).status == 401)
            }
            #expect(try await send("GET", "/v3/auth/tokens", token: other).status == 404)
            let gone = try await send("GET", "/v3/auth/tokens", token: other, headers: subject)
            #expect(gone.message?.contains(issued.token) == false)
        }
    }

    @Test func aTokenBuysAnotherScope() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let unscoped = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin(scope: "\"unscoped\""))
            let rescoped = try await send(
                "POST", "/v3/auth/tokens",
                body: """
                    {"auth":{"identity":{"methods":["token"],"token":{"id":"\(unscoped.token)"}},
                    "scope":{"project":{"name":"admin","domain":{"id":"default"}}}}}
                    """)
            #expect(rescoped.status == 201)
            #expect(rescoped.body?["token"]?["expires_at"] == unscoped.body?["token"]?["expires_at"])
            #expect(rescoped.body?["token"]?["audit_ids"]?.array?.count == 2)
            #expect(try await send("GET", "/v3/auth/catalog", token: rescoped.token).status == 200)
            #expect(try await send("GET", "/v3/auth/catalog", token: unscoped.token).status == 403)
        }
    }
}

@Suite struct EntityAPITests {
    /// What the `openstack` command does to make a project, a user in it, and to have them sign in.
    @Test func aProjectAUserAndARoleMadeOverTheWireLetSomeoneSignIn() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let project = try await send(
                "POST", "/v3/projects", token: admin, body: "{\"project\":{\"name\":\"work\",\"enabled\":true}}")
            #expect(project.status == 201)
            let projectID = try #require(project.body?["project"]?["id"]?.string)
            #expect(projectID.count == 32)
            #expect(project.body?["project"]?["domain_id"]?.string == "default")
            #expect(project.body?["project"]?["parent_id"]?.string == "default")
            #expect(
                project.body?["project"]?["links"]?["self"]?.string
                    == "https://localhost/identity/v3/projects/\(projectID)")
            let user = try await send(
                "POST", "/v3/users", token: admin, body: "{\"user\":{\"name\":\"ann\",\"password\":\"secret\"}}")
            #expect(user.status == 201)
            #expect(user.body?["user"]?["password"] == nil)
            let userID = try #require(user.body?["user"]?["id"]?.string)
            let roles = try await send("GET", "/v3/roles?name=member", token: admin)
            #expect(roles.body?["roles"]?.array?.count == 1)
            let roleID = try #require(roles.body?["roles"]?.array?.first?["id"]?.string)
            let grant = "/v3/projects/\(projectID)/users/\(userID)/roles/\(roleID)"
            #expect(try await send("HEAD", grant, token: admin).status == 404)
            #expect(try await send("PUT", grant, token: admin).status == 204)
            #expect(try await send("HEAD", grant, token: admin).status == 204)
            let scope = "{\"project\":{\"id\":\"\(projectID)\"}}"
            let ann = try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "secret", scope: scope))
            #expect(ann.status == 201)
            #expect(try await send("GET", "/v3/users/\(userID)", token: ann.token).status == 200)
            #expect(try await send("GET", "/v3/projects/\(projectID)", token: ann.token).status == 200)
            let projects = try await send("GET", "/v3/auth/projects", token: ann.token)
            #expect(projects.body?["projects"]?.array?.compactMap { $0["id"]?.string } == [projectID])
            let assignments = try await send(
                "GET", "/v3/role_assignments?user.id=\(userID)&include_names=1", token: admin)
            let item = assignments.body?["role_assignments"]?.array?.first
            #expect(item?["user"]?["name"]?.string == "ann")
            #expect(item?["scope"]?["project"]?["domain"]?["name"]?.string == "Default")
            let effective = try await send("GET", "/v3/role_assignments?user.id=\(userID)&effective", token: admin)
            #expect(effective.body?["role_assignments"]?.array?.count == 2)
            #expect(try await send("DELETE", grant, token: admin).status == 204)
            #expect(try await send("GET", "/v3/auth/projects", token: ann.token).status == 401)
            #expect(try await send("DELETE", "/v3/users/\(userID)", token: admin).status == 204)
            #expect(try await send("DELETE", "/v3/projects/\(projectID)", token: admin).status == 204)
            #expect(try await send("DELETE", "/v3/projects/\(projectID)", token: admin).status == 404)
        }
    }

    @Test func aPersonMayReadThemselvesAndNothingOfOthers() async throws {
        let harness = try Harness()
        _ = try harness.service.createProject(named: "work", description: "")
        let (user, _) = try harness.service.createUser(
            named: "ann", password: Secret("pass"), project: "work", role: "member")
        let adminID = try harness.service.user(.name("admin", .standard)).id
        let adminProject = try harness.service.project(.name("admin", .standard)).id
        try await harness.run { send in
            let token = try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "pass")).token
            // Claims that another front end might trust change nothing here.
            let claims = [
                "X-User-Id": adminID, "X-Roles": "admin", "X-Is-Admin-Project": "True", "X-Project-Id": adminProject,
            ]
            let expected: [(String, String, String?, Int)] = [
                ("GET", "/v3/users/\(user.id)", nil, 200), ("GET", "/v3/users/\(adminID)", nil, 403),
                ("GET", "/v3/users", nil, 403), ("GET", "/v3/projects", nil, 403),
                ("GET", "/v3/projects/\(adminProject)", nil, 403), ("GET", "/v3/domains/default", nil, 200),
                ("GET", "/v3/domains", nil, 403), ("GET", "/v3/roles", nil, 403), ("GET", "/v3/services", nil, 403),
                ("GET", "/v3/endpoints", nil, 403), ("GET", "/v3/regions", nil, 200),
                ("GET", "/v3/regions/RegionOne", nil, 200), ("GET", "/v3/role_assignments", nil, 403),
                ("POST", "/v3/projects", "{\"project\":{\"name\":\"x\"}}", 403),
                ("POST", "/v3/users", "{\"user\":{\"name\":\"x\"}}", 403),
                ("PATCH", "/v3/users/\(user.id)", "{\"user\":{\"enabled\":true}}", 403),
                ("DELETE", "/v3/users/\(adminID)", nil, 403), ("DELETE", "/v3/projects/\(adminProject)", nil, 403),
                ("PUT", "/v3/system/users/\(user.id)/roles/x", nil, 403),
                ("GET", "/v3/users/\(user.id)/projects", nil, 200), ("GET", "/v3/users/\(adminID)/projects", nil, 403),
                ("GET", "/v3/auth/domains", nil, 200), ("GET", "/v3/auth/system", nil, 200),
            ]
            for (method, path, body, status) in expected {
                let answer = try await send(method, path, token: token, body: body, headers: claims)
                #expect(answer.status == status, "\(method) \(path)")
            }
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let foreign = try await send("GET", "/v3/auth/tokens", token: token, headers: ["X-Subject-Token": admin])
            #expect(foreign.status == 403)
            #expect(
                try await send("GET", "/v3/auth/tokens", token: admin, headers: ["X-Subject-Token": token]).status
                    == 200)
        }
    }

    @Test(arguments: [
        ("POST", "/v3/projects", "{\"project\":{}}", 400),
        ("POST", "/v3/projects", "{\"project\":{\"name\":\"\"}}", 400),
        ("POST", "/v3/projects", "{\"project\":{\"name\":1}}", 400), ("POST", "/v3/projects", "{}", 400),
        ("POST", "/v3/projects", "", 400),
        ("POST", "/v3/projects", "{\"project\":{\"name\":\"a\",\"enabled\":\"True\"}}", 400),
        ("POST", "/v3/projects", "{\"project\":{\"name\":\"a\",\"domain_id\":\"none\"}}", 404),
        ("POST", "/v3/projects", "{\"project\":{\"name\":\"a\",\"parent_id\":\"none\"}}", 404),
        ("POST", "/v3/projects", "{\"project\":{\"name\":\"admin\"}}", 409),
        ("POST", "/v3/users", "{\"user\":{\"name\":\"admin\"}}", 409),
        ("POST", "/v3/users", "{\"user\":{\"name\":\"a\",\"password\":\"\"}}", 400),
        ("POST", "/v3/roles", "{\"role\":{\"name\":\"admin\"}}", 409), ("GET", "/v3/users/admin", nil, 404),
        ("GET", "/v3/projects/none", nil, 404), ("GET", "/v3/roles/none", nil, 404),
        ("GET", "/v3/services/none", nil, 404),
        ("GET", "/v3/endpoints/none", nil, 404), ("GET", "/v3/regions/none", nil, 404),
        ("GET", "/v3/domains/none", nil, 404),
        ("PUT", "/v3/projects/none/users/none/roles/none", nil, 404),
        ("GET", "/v3/role_assignments?scope.project.id=a&scope.domain.id=b", nil, 400),
    ])
    func anAdministratorsMistakesGetTheirStatus(
        _ method: String, _ path: String, _ body: String?, _ status: Int
    ) async throws {
        let harness = try Harness()
        try await harness.run { send in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            #expect(try await send(method, path, token: admin, body: body).status == status)
        }
    }

    @Test func listsTakeFiltersAndShowLinks() async throws {
        let harness = try Harness()
        try await harness.run { send in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let all = try await send("GET", "/v3/projects", token: admin)
            #expect(all.body?["projects"]?.array?.compactMap { $0["name"]?.string } == ["admin", "service"])
            #expect(all.body?["links"]?["next"] == .null)
            #expect(all.body?["links"]?["self"]?.string == "https://localhost/identity/v3/projects")
            for (query, count) in [
                ("name=admin", 1), ("name=none", 0), ("enabled=false", 0), ("enabled=true", 2), ("unknown=1", 2),
                ("domain_id=none", 0), ("name=%61dmin", 1),
            ] {
                let answer = try await send("GET", "/v3/projects?\(query)", token: admin)
                #expect(answer.body?["projects"]?.array?.count == count, "\(query)")
            }
            let endpoints = try await send("GET", "/v3/endpoints?interface=public", token: admin)
            #expect(endpoints.body?["endpoints"]?.array?.count == 2)
            #expect(endpoints.body?["endpoints"]?.array?.first?["region"]?.string == "RegionOne")
        }
    }

    @Test func aChangedPasswordEndsTheTokenThatWasIssuedBefore() async throws {
        let harness = try Harness()
        let (user, _) = try harness.service.createUser(
            named: "ann", password: Secret("pass"), project: nil, role: "member")
        try await harness.run { send in
            let token = try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "pass")).token
            let path = "/v3/users/\(user.id)/password"
            let wrong = "{\"user\":{\"password\":\"new\",\"original_password\":\"wrong\"}}"
            #expect(try await send("POST", path, token: token, body: wrong).status == 401)
            let right = "{\"user\":{\"password\":\"new\",\"original_password\":\"pass\"}}"
            #expect(try await send("POST", path, token: token, body: right).status == 204)
            #expect(try await send("GET", "/v3/users/\(user.id)", token: token).status == 401)
            #expect(try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "pass")).status == 401)
            #expect(try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "new")).status == 201)
        }
    }
}
