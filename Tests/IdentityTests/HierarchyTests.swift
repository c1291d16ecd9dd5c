import GRDB
import Primitives
import Records
import Testing

@testable import Identity

@Suite("Domains, groups and what is inherited") struct HierarchyTests {
    private func names(_ roles: [Role]) -> [String] { roles.map(\.name) }

    @Test("a member of a group has its roles for as long as they are one")
    func groups() throws {
        let fixture = try Fixture()
        let service = fixture.service
        let (ann, _) = try fixture.makeAnn()
        let project = try service.createProject(named: "other", description: "")
        let group = try service.createGroup(name: "team", domain: .standard, description: "", extra: "{}")
        let role = try service.role(name: "reader")
        try service.grant(RoleAssignment(actor: .group(group.id), roleID: role.id, target: .project(project.id)))
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "pass", .project(.id(project.id))) }
        try service.addMember(groupID: group.id, userID: ann.id)
        try service.addMember(groupID: group.id, userID: ann.id)
        let token = try fixture.signIn("ann", "pass", .project(.id(project.id)))
        #expect(names(token.info.roles) == ["reader"])
        #expect(try service.projects(ofUser: ann.id).map(\.name) == ["other", "work"])
        try service.removeMember(groupID: group.id, userID: ann.id)
        #expect(throws: IdentityError.unauthorized) { try service.validate(token.token) }
        #expect(throws: IdentityError.notFound(kind: "user in group", id: ann.id)) {
            try service.removeMember(groupID: group.id, userID: ann.id)
        }
        try service.addMember(groupID: group.id, userID: ann.id)
        try service.deleteGroup(id: group.id)
        #expect(try service.effectiveRoles(userID: ann.id, on: .project(project.id)).isEmpty)
    }

    @Test("an inherited role counts on every project below, not in the place itself")
    func inheritance() throws {
        let fixture = try Fixture()
        let service = fixture.service
        let (ann, top) = try fixture.makeAnn()
        func make(_ name: String, _ parent: String) throws -> Project {
            try service.createProject(name: name, domain: .standard, parentID: parent, description: "", enabled: true)
        }
        let middle = try make("middle", top.id)
        let leaf = try make("leaf", middle.id)
        let manager = try service.role(name: "manager")
        let grant = RoleAssignment(
            actor: .user(ann.id), roleID: manager.id, target: .project(top.id), isInherited: true)
        try service.grant(grant)
        #expect(names(try service.effectiveRoles(userID: ann.id, on: .project(top.id))) == ["member", "reader"])
        for project in [middle, leaf] {
            let roles = try service.effectiveRoles(userID: ann.id, on: .project(project.id))
            #expect(names(roles) == ["manager", "member", "reader"])
        }
        #expect(Set(try service.projects(ofUser: ann.id).map(\.id)) == [top.id, middle.id, leaf.id])
        let token = try fixture.signIn("ann", "pass", .project(.id(leaf.id)))
        try service.withdraw(grant)
        #expect(throws: IdentityError.unauthorized) { try service.validate(token.token) }
        let ofDomain = RoleAssignment(
            actor: .user(ann.id), roleID: manager.id, target: .domain("default"), isInherited: true)
        try service.grant(ofDomain)
        #expect(try service.effectiveRoles(userID: ann.id, on: .domain("default")).isEmpty)
        #expect(names(try service.effectiveRoles(userID: ann.id, on: .project(leaf.id))).contains("manager"))
        let listed = try service.effectiveAssignments(
            EffectiveFilter(userID: ann.id, roleID: manager.id, target: .project(leaf.id)))
        #expect(listed.items.count == 1)
    }

    @Test("a domain's own role is in no token; what it implies is")
    func domainRoles() throws {
        let fixture = try Fixture()
        let service = fixture.service
        let domain = try service.createDomain(name: "d", description: "", enabled: true)
        let project = try service.createProject(
            name: "p", domain: .id(domain.id), parentID: nil, description: "", enabled: true)
        let (ann, work) = try fixture.makeAnn()
        let own = try service.createRole(name: "member", description: nil, domainID: domain.id)
        try service.grant(RoleAssignment(userID: ann.id, roleID: own.id, target: .project(project.id)))
        #expect(try service.effectiveRoles(userID: ann.id, on: .project(project.id)).isEmpty)
        try service.addImplication(prior: own.id, implied: try service.role(name: "reader").id)
        #expect(names(try service.effectiveRoles(userID: ann.id, on: .project(project.id))) == ["reader"])
        #expect(throws: IdentityError.forbidden(action: "identity:create_grant")) {
            try service.grant(RoleAssignment(userID: ann.id, roleID: own.id, target: .project(work.id)))
        }
        for (prior, implied) in [("reader", own.id), (own.id, "admin"), ("member", "admin")] {
            let priorID = prior == own.id ? prior : try service.role(name: prior).id
            let impliedID = implied == own.id ? implied : try service.role(name: implied).id
            #expect(throws: IdentityError.forbidden(action: "identity:create_implied_role")) {
                try service.addImplication(prior: priorID, implied: impliedID)
            }
        }
    }

    @Test("a domain goes only when disabled, and takes all that is in it along")
    func domainDeletion() throws {
        let fixture = try Fixture()
        let service = fixture.service
        let domain = try service.createDomain(name: "d", description: "", enabled: true)
        let parent = try service.createProject(
            name: "p", domain: .id(domain.id), parentID: nil, description: "", enabled: true)
        _ = try service.createProject(
            name: "q", domain: .id(domain.id), parentID: parent.id, description: "", enabled: true)
        let user = try service.createUser(
            NewUser(
                name: "u", domain: .id(domain.id), password: Secret("pass"), defaultProjectID: nil, email: nil,
                description: nil, enabled: true))
        _ = try service.createGroup(name: "g", domain: .id(domain.id), description: "", extra: "{}")
        let token = try service.issue(
            Authentication(password: (.id(user.id), Secret("pass")), token: nil, scope: .unscoped))
        #expect(throws: IdentityError.forbidden(action: "identity:delete_domain")) {
            try service.deleteDomain(id: domain.id)
        }
        let off = ProjectChange(name: nil, description: nil, enabled: false)
        _ = try service.updateDomain(id: domain.id, off)
        #expect(throws: IdentityError.unauthorized) { try service.validate(token.token) }
        // Enabling it again brings no token back.
        _ = try service.updateDomain(id: domain.id, ProjectChange(name: nil, description: nil, enabled: true))
        #expect(throws: IdentityError.unauthorized) { try service.validate(token.token) }
        _ = try service.updateDomain(id: domain.id, off)
        try service.deleteDomain(id: domain.id)
        #expect(throws: IdentityError.notFound(kind: "user", id: user.id)) { try service.user(.id(user.id)) }
        #expect(throws: IdentityError.notFound(kind: "project", id: parent.id)) { try service.project(.id(parent.id)) }
        _ = try service.updateDomain(id: "default", ProjectChange(name: nil, description: "x", enabled: nil))
    }

    @Test("a disabled project's tokens stay dead when it is enabled again, whoever's they are")
    func disabledProject() throws {
        let fixture = try Fixture()
        let (ann, project) = try fixture.makeAnn()
        let group = try fixture.service.createGroup(name: "g", domain: .standard, description: "", extra: "{}")
        try fixture.service.addMember(groupID: group.id, userID: ann.id)
        let other = try fixture.service.createProject(named: "other", description: "")
        let role = try fixture.service.role(name: "member")
        try fixture.service.grant(RoleAssignment(actor: .group(group.id), roleID: role.id, target: .project(other.id)))
        for id in [project.id, other.id] {
            let token = try fixture.signIn("ann", "pass", .project(.id(id)))
            _ = try fixture.service.updateProject(
                id: id, ProjectChange(name: nil, description: nil, enabled: false))
            #expect(throws: IdentityError.unauthorized) { try fixture.service.validate(token.token) }
            _ = try fixture.service.updateProject(id: id, ProjectChange(name: nil, description: nil, enabled: true))
            #expect(throws: IdentityError.unauthorized) { try fixture.service.validate(token.token) }
            let fresh = try fixture.signIn("ann", "pass", .project(.id(id)))
            #expect(try fixture.service.validate(fresh.token).user.id == ann.id)
        }
    }

    @Test("what is immutable stays as it is until just that is taken back")
    func immutability() throws {
        let fixture = try Fixture()
        let project = try fixture.service.createProject(
            name: "p", domain: .standard, parentID: nil, description: "", enabled: true, tags: ["a"],
            extra: #"{"options":{"immutable":true},"colour":"red"}"#)
        #expect(throws: IdentityError.forbidden(action: "identity:update_project")) {
            try fixture.service.updateProject(id: project.id, ProjectChange(name: "q", description: nil, enabled: nil))
        }
        #expect(throws: IdentityError.forbidden(action: "identity:delete_project")) {
            try fixture.service.deleteProject(id: project.id)
        }
        let change = ProjectChange(
            name: nil, description: nil, enabled: nil, extra: #"{"options":{"immutable":false}}"#)
        let freed = try fixture.service.updateProject(id: project.id, change)
        #expect(freed.extra.contains("red"))
        try fixture.service.deleteProject(id: project.id)
    }

    @Test("tables of the first version keep their roles and assignments when they are brought up to date")
    func migration() throws {
        let folder = Fixture.temporaryFolder()
        let path = folder + "/control.db"
        do {
            let old = try RecordStore(path: path, migrations: Array(IdentityService.migrations.prefix(1)))
            try old.write(failing: IdentityError.self) { db in
                try db.execute(
                    sql: """
                        INSERT INTO domains VALUES ('default', 'Default', '', 1);
                        INSERT INTO users (id, name, domain_id, password_hash, enabled)
                        VALUES ('u', 'ann', 'default', 'x', 1);
                        INSERT INTO projects (id, name, domain_id, description, enabled)
                        VALUES ('p', 'work', 'default', '', 1);
                        INSERT INTO roles (id, name) VALUES ('r', 'member'), ('s', 'reader');
                        INSERT INTO implied_roles VALUES ('r', 's');
                        INSERT INTO assignments VALUES ('u', 'project', 'p', 'r');
                        """)
            }
            try old.close()
        }
        let store = try RecordStore(path: path, migrations: IdentityService.migrations)
        let roles = try store.read(failing: IdentityError.self) { db in
            try Lookups.effectiveRoles(db, userID: "u", on: .project("p")).map(\.name)
        }
        #expect(roles == ["member", "reader"])
        let setAt = try store.read(failing: IdentityError.self) { db in try Lookups.user(db, .id("u"))?.passwordSetAt }
        #expect((setAt ?? 0) > 1_700_000_000)
        try store.close()
    }
}
