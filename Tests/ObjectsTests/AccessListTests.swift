import Primitives
import Testing

@testable import Objects

@Suite struct AccessListTests {
    static func caller(user: String = "u1", project: String? = "p1", roles: Set<String> = []) -> Caller {
        Caller(
            user: .init(id: user, name: "name-" + user), userDomain: .init(id: "default", name: "Default"),
            project: project.map { .init(id: $0, name: "name-" + $0) },
            projectDomain: project == nil ? nil : .init(id: "default", name: "Default"), domain: nil,
            isSystemScoped: false,
            roles: roles, expiresAt: .max)
    }

    @Test(arguments: [
        (".r:*", ".r:*"), (" .r:* , .rlistings ,, ", ".r:*,.rlistings"), (".referrer:*.example.com", ".r:.example.com"),
        (".ref : - host", ".r:-host"), ("p1:u1, p2:*", "p1:u1,p2:*"), ("role", "role"), ("", ""),
        (".referer:host", ".r:host"),
    ])
    func readListNormalizes(_ text: String, _ normal: String) throws {
        #expect(try AccessList.normalize(text, forWriting: false) == normal)
        // What it writes, it reads as the same.
        #expect(try AccessList.normalize(normal, forWriting: false) == normal)
    }

    @Test(arguments: [".r:", ".r:-", ".r:*.", ".x:*", ".unknown", ".r: ", ".r:*,.bad:1"])
    func badListIsRefused(_ text: String) {
        let error = #expect(throws: ObjectError.self) { try AccessList.normalize(text, forWriting: false) }
        guard case .badRequest? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func writeListTakesNoReferrer() {
        #expect(throws: ObjectError.self) { try AccessList.normalize(".r:*", forWriting: true) }
        #expect(throws: Never.self) { try AccessList.normalize("p:u,role", forWriting: true) }
    }

    @Test(
        arguments: [
            (".r:*", nil, true), (".r:*", "http://x.org/", true), (".r:host.org", "http://host.org/a", true),
            (".r:host.org", "http://HOST.org:81/a", true), (".r:host.org", "http://sub.host.org/", false),
            (".r:.host.org", "https://sub.host.org", true), (".r:.host.org", "https://evilhost.org", false),
            (".r:host.org", nil, false), (".r:unknown", nil, true), (".r:*,.r:-bad.org", "http://bad.org/", false),
            (".r:-bad.org,.r:*", "http://bad.org/", true), (".r:host.org", "http://host.org@evil.org/", false),
            (".r:host.org", "host.org", false), ("", "http://x.org", false),
            (".r:host.org", "http://evil.org/?http://host.org/", false),
            (".r:host.org", "http://evil.org\\@host.org/", false),
        ] as [(String, String?, Bool)])
    func refererDecides(_ list: String, _ referer: String?, _ allowed: Bool) {
        #expect(AccessList(list).allows(referer: referer) == allowed)
    }

    @Test(arguments: [
        ("p1:u1", true), ("p1:*", true), ("*:u1", true), ("*:*", true), ("p2:u1", false), ("p1:u2", false),
        ("p1", false),
        ("name-p1:name-u1", false), ("p1%3Au1", true), ("p1:u1x", false), ("u1", false),
    ])
    func idsDecide(_ list: String, _ allowed: Bool) {
        #expect(AccessList(list).allows(Self.caller(), namesCount: false) == allowed)
    }

    @Test(arguments: [
        ("name-p1:name-u1", true), ("name-p1:*", true), ("*:name-u1", true), ("name-p2:name-u1", false),
        ("p1:name-u1", true),
    ])
    func namesDecideWhereTheyCount(_ list: String, _ allowed: Bool) {
        #expect(AccessList(list).allows(Self.caller(), namesCount: true) == allowed)
    }

    @Test func callerWithoutProjectMatchesNoProject() {
        #expect(!AccessList("p1:u1").allows(Self.caller(project: nil), namesCount: true))
        #expect(AccessList("*:u1").allows(Self.caller(project: nil), namesCount: true))
    }

    /// é as one character and as two: equal strings to Swift, two identities to everybody else.
    @Test func whatOnlyLooksTheSameIsSomebodyElse() throws {
        let caller = Self.caller(user: "\u{e9}", roles: ["r\u{e9}"])
        for (user, isSame) in [("\u{e9}", true), ("e\u{301}", false), ("e%CC%81", false), ("%C3%A9", true)] {
            #expect(AccessList("p1:\(user)").allows(caller, namesCount: false) == isSame)
            #expect(AccessList("p1:name-\(user)").allows(caller, namesCount: true) == isSame)
            #expect(AccessList("r\(user)").allows(anyRoleOf: caller.roles) == isSame)
        }
        let access = try AccountAccess(json: "{\"admin\":[\"p1:e\u{301}\"],\"read-only\":[\"p1:\u{e9}\"]}")
        #expect(access.level(of: caller, namesCount: false) == .readOnly)
    }

    @Test func rolesStandAlone() {
        #expect(AccessList("a,backup").allows(anyRoleOf: ["backup"]))
        #expect(!AccessList("a,backup:x").allows(anyRoleOf: ["backup"]))
    }
}

@Suite struct AccountAccessTests {
    @Test func writesSortedAndASCII() throws {
        let access = try AccountAccess(json: #" { "read-only" : ["b" , "ü\u00e9\n"], "admin":[] } "#)
        #expect(access.json == #"{"admin":[],"read-only":["b","\u00fc\u00e9\u000a"]}"#)
        #expect(try AccountAccess(json: access.json) == access)
    }

    @Test(arguments: [
        "", "[]", "{", #"{"x":[]}"#, #"{"admin":"a"}"#, #"{"admin":[1]}"#, #"{"admin":["a"]} x"#,
        #"{"admin":["\ud800"]}"#, #"{"admin":["a",]}"#, #"{"admin":["\u00g0"]}"#, "{\"admin\":[\"\n\"]}", "null",
    ])
    func refusesAnythingElse(_ text: String) { #expect(throws: ObjectError.self) { try AccountAccess(json: text) } }

    @Test func highestLevelCounts() throws {
        let access = try AccountAccess(json: #"{"read-only":["p1"],"read-write":["p1:u1"],"admin":["p2:u2"]}"#)
        #expect(access.level(of: AccessListTests.caller(), namesCount: false) == .readWrite)
        #expect(access.level(of: AccessListTests.caller(user: "u9"), namesCount: false) == .readOnly)
        #expect(access.level(of: AccessListTests.caller(user: "u2", project: "p2"), namesCount: false) == .admin)
        #expect(access.level(of: AccessListTests.caller(user: "u9", project: "p9"), namesCount: false) == .none)
    }
}
