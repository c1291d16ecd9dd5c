import ControlFace
import Identity
import Primitives
import Testing

@testable import IdentityAPI

/// The parts of Identity that an operator uses beside users and projects.
@Suite("The rest of the Identity API") struct CompleteAPITests {
    private func id(_ answer: Harness.Answer, _ key: String) -> String { answer.body?[key]?["id"]?.string ?? "" }

    @Test("domains, projects, tags and attributes of clients' own come back as they were sent")
    func attributes() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let domain = try await send(
                "POST", "/v3/domains", token: admin, body: #"{"domain":{"name":"d","colour":"red","tags":["x"]}}"#)
            #expect(domain.status == 201)
            #expect(domain.body?["domain"]?["colour"]?.string == "red")
            #expect(domain.body?["domain"]?["options"] == .object([]))
            let domainID = id(domain, "domain")
            let project = try await send(
                "POST", "/v3/projects", token: admin,
                body: #"{"project":{"name":"p","domain_id":"\#(domainID)","tags":["a","b"],"n":1}}"#)
            let projectID = id(project, "project")
            #expect(project.body?["project"]?["n"] == .number("1"))
            let change = try await send(
                "PATCH", "/v3/projects/\(projectID)", token: admin, body: #"{"project":{"n":null,"m":[true]}}"#)
            #expect(change.body?["project"]?["n"] == nil)
            #expect(change.body?["project"]?["m"] == .array([.bool(true)]))
            let tags = "/v3/projects/\(projectID)/tags"
            #expect(try await send("PUT", tags + "/c", token: admin).status == 201)
            #expect(try await send("GET", tags + "/c", token: admin).status == 204)
            #expect(try await send("DELETE", tags + "/a", token: admin).status == 204)
            #expect(try await send("GET", tags + "/a", token: admin).status == 404)
            for (query, count) in [
                ("tags=b,c", 1), ("tags=a,b", 0), ("tags-any=a,b", 1), ("not-tags=b,c", 2), ("not-tags-any=b", 2),
            ] {
                let list = try await send("GET", "/v3/projects?\(query)", token: admin)
                #expect(list.body?["projects"]?.array?.count == count, "\(query)")
            }
            #expect(try await send("PUT", tags, token: admin, body: #"{"tags":["a","a"]}"#).status == 400)
            #expect(try await send("PUT", tags, token: admin, body: #"{"tags":["a/b"]}"#).status == 400)
            let all = try await send("PUT", tags, token: admin, body: #"{"tags":["z"]}"#)
            #expect(all.body?["tags"] == .array([.string("z")]))
            #expect(
                try await send("GET", "/v3/projects?is_domain=true", token: admin).body?["projects"]?.array?.count == 2)
            #expect(try await send("DELETE", "/v3/domains/\(domainID)", token: admin).status == 403)
        }
    }

    @Test("families of projects are shown as lists and as trees")
    func families() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            var ids: [String] = []
            for name in ["a", "b", "c"] {
                let parent = ids.last.map { #","parent_id":"\#($0)""# } ?? ""
                let made = try await send(
                    "POST", "/v3/projects", token: admin, body: #"{"project":{"name":"\#(name)"\#(parent)}}"#)
                #expect(made.status == 201)
                ids.append(id(made, "project"))
            }
            let up = try await send("GET", "/v3/projects/\(ids[2])?parents_as_ids", token: admin)
            #expect(up.body?["project"]?["parents"] == .of([ids[1]: .of([ids[0]: .null])]))
            let down = try await send("GET", "/v3/projects/\(ids[0])?subtree_as_ids", token: admin)
            #expect(down.body?["project"]?["subtree"] == .of([ids[1]: .of([ids[2]: .null])]))
            let list = try await send("GET", "/v3/projects/\(ids[0])?subtree_as_list", token: admin)
            #expect(list.body?["project"]?["subtree"]?.array?.count == 2)
            let both = "/v3/projects/\(ids[0])?subtree_as_list&subtree_as_ids"
            #expect(try await send("GET", both, token: admin).status == 400)
            #expect(try await send("DELETE", "/v3/projects/\(ids[0])", token: admin).status == 403)
        }
    }

    @Test("a manager of a domain manages what is in it, gives what they have, and reaches no further")
    func domainManager() async throws {
        let harness = try Harness()
        let service = harness.service
        let domain = try service.createDomain(name: "d", description: "", enabled: true)
        let boss = try service.createUser(
            NewUser(
                name: "boss", domain: .id(domain.id), password: Secret("pass"), defaultProjectID: nil, email: nil,
                description: nil, enabled: true))
        let manager = try service.role(name: "manager")
        let admin = try service.role(name: "admin")
        let member = try service.role(name: "member")
        try service.grant(RoleAssignment(userID: boss.id, roleID: manager.id, target: .domain(domain.id)))
        let stranger = try service.createUser(named: "ann", password: nil, project: nil, role: "member").user
        try await harness.run { send async throws in
            let login = """
                {"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"\(boss.id)","password":"pass"}}},
                "scope":{"domain":{"id":"\(domain.id)"}}}}
                """
            let token = try await send("POST", "/v3/auth/tokens", body: login).token
            let user = try await send("POST", "/v3/users", token: token, body: #"{"user":{"name":"u"}}"#)
            #expect(user.status == 201)
            #expect(user.body?["user"]?["domain_id"]?.string == domain.id)
            let project = try await send("POST", "/v3/projects", token: token, body: #"{"project":{"name":"p"}}"#)
            #expect(project.status == 201)
            let (userID, projectID) = (id(user, "user"), id(project, "project"))
            let roles = "/v3/projects/\(projectID)/users"
            let expected: [(String, String, String?, Int)] = [
                ("PUT", "\(roles)/\(userID)/roles/\(member.id)", nil, 204),
                ("PUT", "\(roles)/\(userID)/roles/\(admin.id)", nil, 403),
                ("PUT", "\(roles)/\(stranger.id)/roles/\(member.id)", nil, 403),
                ("PUT", "/v3/domains/default/users/\(userID)/roles/\(member.id)", nil, 403),
                ("PUT", "/v3/system/users/\(userID)/roles/\(member.id)", nil, 403),
                ("PATCH", "/v3/users/\(stranger.id)", #"{"user":{"enabled":false}}"#, 403),
                ("DELETE", "/v3/users/none", nil, 403),
                ("POST", "/v3/users", #"{"user":{"name":"v","domain_id":"default"}}"#, 403),
                ("POST", "/v3/domains", #"{"domain":{"name":"e"}}"#, 403),
                ("DELETE", "/v3/domains/\(domain.id)", nil, 403), ("GET", "/v3/users?domain_id=default", nil, 200),
                ("GET", "/v3/users/\(stranger.id)", nil, 403), ("GET", "/v3/services", nil, 403),
                ("GET", "/v3/roles", nil, 200), ("POST", "/v3/roles", #"{"role":{"name":"x"}}"#, 403),
                ("DELETE", "/v3/users/\(userID)", nil, 204),
            ]
            for (method, path, body, status) in expected {
                #expect(try await send(method, path, token: token, body: body).status == status, "\(method) \(path)")
            }
            let users = try await send("GET", "/v3/users", token: token)
            #expect(users.body?["users"]?.array?.compactMap { $0["name"]?.string } == ["boss"])
            let others = try await send("GET", "/v3/users?domain_id=default", token: token)
            #expect(others.body?["users"]?.array?.isEmpty == true)
        }
    }

    @Test("a manager of a domain gets no hold of those who are more, by a password or by a group")
    func managersReach() async throws {
        let harness = try Harness()
        let service = harness.service
        let (boss, _) = try service.createUser(named: "boss", password: Secret("pass"), project: nil, role: "member")
        let manager = try service.role(name: "manager")
        try service.grant(RoleAssignment(userID: boss.id, roleID: manager.id, target: .domain("default")))
        let adminID = try service.user(.name("admin", .standard)).id
        let group = try service.createGroup(name: "ops", domain: .standard, description: "", extra: "{}")
        let plain = try service.createGroup(name: "plain", domain: .standard, description: "", extra: "{}")
        try service.grant(
            RoleAssignment(actor: .group(group.id), roleID: try service.role(name: "admin").id, target: .system))
        try await harness.run { send async throws in
            let token = try await send(
                "POST", "/v3/auth/tokens", body: harness.login("boss", "pass", scope: #"{"domain":{"id":"default"}}"#)
            ).token
            let password = #"{"user":{"password":"mine"}}"#
            #expect(try await send("PATCH", "/v3/users/\(adminID)", token: token, body: password).status == 403)
            #expect(try await send("DELETE", "/v3/users/\(adminID)", token: token).status == 403)
            #expect(try await send("PUT", "/v3/groups/\(group.id)/users/\(boss.id)", token: token).status == 403)
            #expect(try await send("PUT", "/v3/groups/\(plain.id)/users/\(boss.id)", token: token).status == 204)
            #expect(try await send("PATCH", "/v3/users/\(boss.id)", token: token, body: password).status == 200)
        }
    }

    @Test("attributes of clients' own have a bound together; nothing moves to another domain")
    func bounds() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let user = try await send("POST", "/v3/users", token: admin, body: #"{"user":{"name":"u"}}"#)
            let path = "/v3/users/\(id(user, "user"))"
            let half = String(repeating: "x", count: Limits.extraMax / 2)
            for (name, status) in [("a", 200), ("b", 400), ("a", 200)] {
                let body = #"{"user":{"\#(name)":"\#(half)"}}"#
                #expect(try await send("PATCH", path, token: admin, body: body).status == status)
            }
            #expect(try await send("PATCH", path, token: admin, body: #"{"user":{"domain_id":"x"}}"#).status == 400)
        }
    }

    @Test("a reader of the system reads everything and changes nothing")
    func systemReader() async throws {
        let harness = try Harness()
        let (user, _) = try harness.service.createUser(
            named: "ann", password: Secret("pass"), project: nil, role: "member")
        try harness.service.grant(role: "reader", user: "ann", project: nil)
        try await harness.run { send async throws in
            let token = try await send(
                "POST", "/v3/auth/tokens", body: harness.login("ann", "pass", scope: #"{"system":{"all":true}}"#)
            ).token
            for path in [
                "users", "projects", "domains", "groups", "roles", "services", "endpoints", "regions",
                "role_assignments", "role_inferences", "OS-TRUST/trusts", "users/\(user.id)", "domains/default",
            ] { #expect(try await send("GET", "/v3/\(path)", token: token).status == 200, "\(path)") }
            for (path, body) in [
                ("users", "user"), ("projects", "project"), ("domains", "domain"), ("groups", "group"),
                ("roles", "role"), ("services", "service"), ("regions", "region"),
            ] {
                let answer = try await send(
                    "POST", "/v3/\(path)", token: token, body: #"{"\#(body)":{"name":"x","type":"y"}}"#)
                #expect(answer.status == 403, "\(path)")
            }
        }
    }

    @Test("services, endpoints and regions are made, found, changed and removed")
    func catalog() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            let service = try await send(
                "POST", "/v3/services", token: admin, body: #"{"service":{"type":"compute","name":"nova"}}"#)
            #expect(service.status == 201)
            let serviceID = id(service, "service")
            func endpoint(_ fields: String) async throws -> Harness.Answer {
                try await send("POST", "/v3/endpoints", token: admin, body: #"{"endpoint":{\#(fields)}}"#)
            }
            let good =
                #""service_id":"\#(serviceID)","interface":"public","url":"http://n/%(project_id)s","region":"R2""#
            let made = try await endpoint(good)
            #expect(made.status == 201)
            #expect(made.body?["endpoint"]?["region_id"]?.string == "R2")
            for bad in [
                #""service_id":"none","interface":"public","url":"http://n""#,
                #""service_id":"\#(serviceID)","interface":"secret","url":"http://n""#, good + #","enabled":"True""#,
            ] { #expect(try await endpoint(bad).status == 400, "\(bad)") }
            let login = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin())
            let types = login.body?["token"]?["catalog"]?.array?.compactMap { $0["type"]?.string }
            #expect(types == ["compute", "identity", "object-store"])
            #expect(try await send("DELETE", "/v3/regions/R2", token: admin).status == 403)
            #expect(try await send("DELETE", "/v3/services/\(serviceID)", token: admin).status == 204)
            #expect(try await send("GET", "/v3/endpoints/\(id(made, "endpoint"))", token: admin).status == 404)
            #expect(try await send("DELETE", "/v3/regions/R2", token: admin).status == 204)
            let region = #"{"region":{"description":"x"}}"#
            #expect(try await send("PUT", "/v3/regions/R3", token: admin, body: region).status == 201)
            #expect(try await send("PUT", "/v3/regions/R3", token: admin, body: region).status == 409)
            let loop = #"{"region":{"parent_region_id":"R3"}}"#
            #expect(try await send("PATCH", "/v3/regions/R3", token: admin, body: loop).status == 400)
        }
    }

    @Test("an application credential signs in by id and by name, and its rules hold in Identity too")
    func applicationCredential() async throws {
        let harness = try Harness()
        _ = try harness.service.createProject(named: "work", description: "")
        let (user, _) = try harness.service.createUser(
            named: "ann", password: Secret("pass"), project: "work", role: "member")
        try await harness.run { send async throws in
            let token = try await send("POST", "/v3/auth/tokens", body: harness.login("ann", "pass")).token
            let path = "/v3/users/\(user.id)/application_credentials"
            let body = #"""
                {"application_credential":{"name":"robot","expires_at":"2026-08-01T10:30:00.5",
                "access_rules":[{"service":"identity","method":"GET","path":"/v3/users/*"}]}}
                """#
            let made = try await send("POST", path, token: token, body: body)
            #expect(made.status == 201)
            let view = made.body?["application_credential"]
            #expect(view?["expires_at"]?.string == "2026-08-01T10:30:00.500000")
            let secret = try #require(view?["secret"]?.string)
            #expect(try await send("POST", path, token: token, body: body).status == 409)
            #expect(
                try await send("GET", "\(path)?name=robot", token: token).body?["application_credentials"]?.array?
                    .first?["secret"] == nil)
            func login(_ fields: String) -> String {
                #"{"auth":{"identity":{"methods":["application_credential"],"application_credential":{\#(fields)}}}}"#
            }
            let credentialID = view?["id"]?.string ?? ""
            for fields in [
                #""id":"\#(credentialID)","secret":"\#(secret)""#,
                #""name":"robot","user":{"name":"ann","domain":{"id":"default"}},"secret":"\#(secret)""#,
            ] {
                let answer = try await send("POST", "/v3/auth/tokens", body: login(fields))
                #expect(answer.status == 201)
                #expect(answer.body?["token"]?["application_credential"]?["restricted"] == .bool(true))
                #expect(try await send("GET", "/v3/users/\(user.id)", token: answer.token).status == 200)
                #expect(try await send("GET", "/v3/auth/projects", token: answer.token).status == 401)
                #expect(try await send("HEAD", "/v3/users/\(user.id)", token: answer.token).status == 401)
            }
            let wrong = login(#""id":"\#(credentialID)","secret":"x""#)
            #expect(try await send("POST", "/v3/auth/tokens", body: wrong).status == 401)
            let rule = view?["access_rules"]?.array?.first?["id"]?.string ?? ""
            #expect(try await send("DELETE", "/v3/users/\(user.id)/access_rules/\(rule)", token: token).status == 403)
            #expect(try await send("DELETE", "\(path)/\(credentialID)", token: token).status == 204)
            #expect(try await send("DELETE", "/v3/users/\(user.id)/access_rules/\(rule)", token: token).status == 204)
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            #expect(try await send("POST", path, token: admin, body: body).status == 403)
        }
    }

    @Test("options that are not enforced are refused, not swallowed")
    func options() async throws {
        let harness = try Harness()
        try await harness.run { send async throws in
            let admin = try await send("POST", "/v3/auth/tokens", body: harness.adminLogin()).token
            for option in ["multi_factor_auth_enabled", "anything"] {
                let body = #"{"user":{"name":"u","options":{"\#(option)":true}}}"#
                #expect(try await send("POST", "/v3/users", token: admin, body: body).status == 400)
            }
            let body = #"{"user":{"name":"u","options":{"lock_password":true}}}"#
            let made = try await send("POST", "/v3/users", token: admin, body: body)
            #expect(made.body?["user"]?["options"]?["lock_password"] == .bool(true))
        }
    }
}
