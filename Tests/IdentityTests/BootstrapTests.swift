import Primitives
import Records
import Testing

@testable import Identity

@Suite struct BootstrapTests {
    @Test func aFirstStartMakesAnAdminWhosePasswordWorks() throws {
        let fixture = try Fixture()
        let issued = try fixture.admin()
        #expect(issued.info.roles.map(\.name) == ["admin", "manager", "member", "reader"])
        #expect(fixture.adminPassword.withLock { $0.count } == 32)
    }

    @Test func aSecondStartChangesNothingAndDeliversNoPassword() throws {
        let fixture = try Fixture()
        let token = try fixture.admin().token
        let before = try fixture.service.endpoints(serviceID: nil, interface: nil, regionID: nil).items
        let report = try fixture.service.bootstrap(services: Fixture.published, adminPassword: nil) { _ in
            Issue.record("a password was delivered again")
        }
        #expect(!report.madeAdmin)
        #expect(report.endpointsChanged == 0)
        #expect(try fixture.service.endpoints(serviceID: nil, interface: nil, regionID: nil).items == before)
        #expect(try fixture.service.users(name: nil, domainID: nil, enabled: nil).items.count == 1)
        #expect(try fixture.service.validate(token).user.name == "admin")
    }

    @Test func aPasswordThatCannotBeDeliveredMakesNoAdmin() throws {
        struct DiskFull: Error {}
        let folder = Fixture.temporaryFolder()
        let records = try RecordStore(path: folder + "/control.db", migrations: IdentityService.migrations)
        let service = try Fixture.makeService(records: records, folder: folder, clock: Fixture.Clock())
        defer { service.stop() }
        #expect(throws: IdentityError.self) {
            try service.bootstrap(services: Fixture.published, adminPassword: nil) { _ in throw DiskFull() }
        }
        #expect(try service.users(name: nil, domainID: nil, enabled: nil).items.isEmpty)
        var delivered = 0
        _ = try service.bootstrap(services: Fixture.published, adminPassword: nil) { _ in delivered += 1 }
        #expect(delivered == 1)
    }

    @Test func endpointsFollowThePortsAndKeepTheirIds() throws {
        let fixture = try Fixture()
        let before = try fixture.service.endpoints(serviceID: nil, interface: "public", regionID: nil).items
        let moved = [
            PublishedService(type: "identity", name: "identity", url: "http://127.0.0.1:41001/v3"),
            Fixture.published[1],
        ]
        let report = try fixture.service.bootstrap(services: moved, adminPassword: nil) { _ in }
        #expect(report.endpointsChanged == 3)
        let after = try fixture.service.endpoints(serviceID: nil, interface: "public", regionID: nil).items
        #expect(Set(after.map(\.id)) == Set(before.map(\.id)))
        #expect(after.contains { $0.url == "http://127.0.0.1:41001/v3" })
    }

    @Test func aServiceThatIsNoLongerPublishedLeavesTheCatalog() throws {
        let fixture = try Fixture()
        _ = try fixture.service.bootstrap(services: [Fixture.published[0]], adminPassword: nil) { _ in }
        #expect(try fixture.service.services(type: nil, name: nil).items.map(\.type) == ["identity"])
    }

    @Test func theCatalogIsFilledInForTheTokensProject() throws {
        let fixture = try Fixture()
        let info = try fixture.admin().info
        guard case .project(let project, _) = info.scope else {
            Issue.record("not scoped to a project")
            return
        }
        let catalog = try fixture.service.catalog(for: info)
        #expect(catalog.map(\.service.type) == ["identity", "object-store"])
        #expect(catalog.allSatisfy { Set($0.endpoints.map(\.interface)) == ["public", "internal", "admin"] })
        #expect(catalog[1].endpoints[0].url == "http://127.0.0.1:8080/v1/AUTH_\(project.id)")
        #expect(try fixture.service.catalog(for: fixture.admin(.system).info).map(\.service.type) == ["identity"])
        #expect(try fixture.service.catalog(for: fixture.admin(.unscoped).info).isEmpty)
    }

    @Test(arguments: [
        ("http://h/%(project_id)s/x", "http://h/P/x"), ("http://h/$(tenant_id)s", "http://h/P"),
        ("http://h/a%20b", "http://h/a%20b"), ("http://h/$", "http://h/$"), ("http://h/%(nothing)s", nil),
        ("http://h/%(project_id)", nil), ("http://h/%(project_id", nil), ("http://h/", "http://h/"),
    ])
    func urlsAreFilledInOrDropped(_ template: String, _ filled: String?) {
        #expect(EndpointURL.fill(template, ["project_id": "P", "tenant_id": "P"]) == filled)
    }
}
