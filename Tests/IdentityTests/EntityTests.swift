import Primitives
import Testing

@testable import Identity

@Suite struct EntityTests {
    @Test func namesAreUniqueWithinADomain() throws {
        let fixture = try Fixture()
        _ = try fixture.makeAnn()
        #expect(
            throws: IdentityError.conflict(
                kind: "project", detail: "Duplicate entry found with name work at domain ID default")
        ) { try fixture.service.createProject(named: "work", description: "") }
        #expect(
            throws: IdentityError.conflict(
                kind: "user", detail: "Duplicate entry found with name ann at domain ID default")
        ) { try fixture.service.createUser(named: "ann", password: nil, project: nil, role: "member") }
        #expect(throws: IdentityError.conflict(kind: "role", detail: "Duplicate entry found with name member")) {
            try fixture.service.createRole(name: "member", description: nil)
        }
    }

    @Test(arguments: ["", " ", String(repeating: "n", count: 65)])
    func namesThatNobodyCouldTypeAreRefused(_ name: String) throws {
        let fixture = try Fixture()
        #expect { try fixture.service.createProject(named: name, description: "") } throws: { error in
            guard case .invalid? = error as? IdentityError else { return false }
            return true
        }
    }

    @Test func whatDoesNotExistIsNamed() throws {
        let fixture = try Fixture()
        #expect(throws: IdentityError.notFound(kind: "project", id: "none")) {
            try fixture.service.createUser(named: "bob", password: nil, project: "none", role: "member")
        }
        #expect(throws: IdentityError.notFound(kind: "role", id: "none")) {
            try fixture.service.createUser(named: "bob", password: nil, project: nil, role: "none")
        }
        // Nothing half made.
        #expect(throws: IdentityError.notFound(kind: "user", id: "bob")) {
            try fixture.service.user(.name("bob", .standard))
        }
        #expect(throws: IdentityError.notFound(kind: "domain", id: "none")) {
            try fixture.service.createProject(
                name: "p", domain: .id("none"), parentID: nil, description: "", enabled: true)
        }
    }

    @Test func aProjectWithChildrenStays() throws {
        let fixture = try Fixture()
        let parent = try fixture.service.createProject(named: "parent", description: "")
        let child = try fixture.service.createProject(
            name: "child", domain: .standard, parentID: parent.id, description: "", enabled: true)
        #expect(child.parentID == parent.id)
        #expect(throws: IdentityError.forbidden(action: "identity:delete_project")) {
            try fixture.service.deleteProject(id: parent.id)
        }
        try fixture.service.deleteProject(id: child.id)
        try fixture.service.deleteProject(id: parent.id)
    }

    @Test func grantingTwiceIsOnceAndWithdrawingTwiceIsNotFound() throws {
        let fixture = try Fixture()
        let (user, project) = try fixture.makeAnn()
        try fixture.service.grant(role: "member", user: "ann", project: "work")
        let filter = AssignmentFilter(userID: user.id, roleID: nil, target: .project(project.id))
        #expect(try fixture.service.assignments(filter).items.count == 1)
        try fixture.service.withdraw(role: "member", user: "ann", project: "work")
        #expect(throws: IdentityError.self) {
            try fixture.service.withdraw(role: "member", user: "ann", project: "work")
        }
    }

    @Test func theRolesOfEveryInstallationCannotBeDeleted() throws {
        let fixture = try Fixture()
        for name in ["admin", "manager", "member", "reader", "service"] {
            let role = try fixture.service.role(name: name)
            #expect(throws: IdentityError.forbidden(action: "identity:delete_role")) {
                try fixture.service.deleteRole(id: role.id)
            }
        }
        let own = try fixture.service.createRole(name: "own", description: nil)
        try fixture.service.deleteRole(id: own.id)
    }
}
