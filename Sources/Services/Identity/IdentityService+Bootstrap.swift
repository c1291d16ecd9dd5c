import GRDB
package import Primitives

/// A service that this daemon publishes; the same URL for all three interfaces.
package struct PublishedService: Sendable, Equatable {
    package let type: String
    package let name: String
    /// e.g. `http://127.0.0.1:8080/v1/AUTH_%(project_id)s`.
    package let url: String
    package init(type: String, name: String, url: String) {
        self.type = type
        self.name = name
        self.url = url
    }
}

/// What `bootstrap` found or made.
package struct BootstrapReport: Sendable, Equatable {
    /// The admin was made now, and the password was delivered.
    package var madeAdmin: Bool
    package var adminProjectID: String
    package var endpointsChanged: Int
}

extension IdentityService {
    package static let adminName = "admin"
    package static let adminProjectName = "admin"
    package static let regionName = "RegionOne"

    private static let roleChain = ["admin", "manager", "member", "reader"]

    /// Makes what every installation has, unless it is there: the default domain, the projects `admin` and `service`,
    /// the roles and what they imply, the user `admin`, the region, and the catalog of the daemon's own services,
    /// whose URLs are brought up to date. One transaction; running it again changes nothing. Blocks (scrypt).
    ///
    /// - Parameters:
    ///   - adminPassword: nil for 24 random bytes of the system's CSPRNG, as text.
    ///   - deliver: called with the password when the admin is made, and before that is committed: if it throws (the
    ///     `openrc` can't be written, say), there is no admin, and the next start begins anew. A password is
    ///     therefore never set and lost.
    package func bootstrap(
        services: [PublishedService], adminPassword: Secret?, deliver: (Secret) throws -> Void
    ) throws(IdentityError) -> BootstrapReport {
        let exists = try read { db in try Lookups.user(db, .name(Self.adminName, .standard)) != nil }
        var credentials: (password: Secret, hash: String)?
        if !exists {
            let password =
                adminPassword ?? Secret(Base64.encodeURL(configuration.randomBytes(24), padded: false))
            credentials = (password, try hash(password))
        }
        return try write { db in
            try self.bootstrapRows(db, services: services, credentials: credentials, deliver: deliver)
        }
    }

    private func bootstrapRows(
        _ db: Database, services: [PublishedService], credentials: (password: Secret, hash: String)?,
        deliver: (Secret) throws -> Void
    ) throws -> BootstrapReport {
        try db.execute(
            sql: """
                INSERT INTO domains (id, name, description, enabled) VALUES ('default', 'Default', ?, 1)
                ON CONFLICT (id) DO NOTHING
                """, arguments: ["The default domain"])
        var roles: [String: String] = [:]
        for name in Self.roleChain + ["service"] { roles[name] = try roleID(db, named: name) }
        for (prior, implied) in zip(Self.roleChain, Self.roleChain.dropFirst()) {
            try db.execute(
                sql: "INSERT INTO implied_roles (prior_id, implied_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                arguments: [roles[prior], roles[implied]])
        }
        let adminProject = try projectID(db, named: Self.adminProjectName, description: "The operator's project")
        _ = try projectID(db, named: "service", description: "The services' project")
        if let credentials, try Lookups.user(db, .name(Self.adminName, .standard)) == nil {
            let id = newID()
            try db.execute(
                sql: """
                    INSERT INTO users (id, name, domain_id, default_project_id, password_hash, enabled)
                    VALUES (?, ?, 'default', ?, ?, 1)
                    """, arguments: [id, Self.adminName, adminProject, credentials.hash])
            for target in [AssignmentTarget.project(adminProject), .system] {
                try Assignments.add(db, RoleAssignment(userID: id, roleID: roles["admin"] ?? "", target: target))
            }
        }
        let changed = try publish(db, services)
        // Last: nothing after this can fail but the commit itself, and that only makes the next start deliver again.
        if let credentials { try deliver(credentials.password) }
        return BootstrapReport(
            madeAdmin: credentials != nil, adminProjectID: adminProject, endpointsChanged: changed)
    }

    private func roleID(_ db: Database, named name: String) throws -> String {
        if let role = try Lookups.role(db, name: name) { return role.id }
        let id = newID()
        try db.execute(sql: "INSERT INTO roles (id, name) VALUES (?, ?)", arguments: [id, name])
        return id
    }

    private func projectID(_ db: Database, named name: String, description: String) throws -> String {
        if let project = try Lookups.project(db, .name(name, .standard)) { return project.id }
        let id = newID()
        try db.execute(
            sql: "INSERT INTO projects (id, name, domain_id, description, enabled) VALUES (?, ?, 'default', ?, 1)",
            arguments: [id, name, description])
        return id
    }

    /// Makes the catalog's built-in part say exactly what is published now; how many endpoints changed. Services and
    /// endpoints that an operator made are left alone.
    private func publish(_ db: Database, _ services: [PublishedService]) throws -> Int {
        var changed = 0
        try db.execute(
            sql: "INSERT INTO regions (id, description) VALUES (?, '') ON CONFLICT (id) DO NOTHING",
            arguments: [configuration.region])
        let builtIn = try Lookups.all(db, "SELECT * FROM services WHERE built_in = 1", [], Lookups.service)
        for service in builtIn where !services.contains(where: { $0.type == service.type && $0.name == service.name }) {
            try db.execute(sql: "DELETE FROM services WHERE id = ?", arguments: [service.id])
            changed += 1
        }
        for service in services {
            let known = builtIn.first { $0.type == service.type && $0.name == service.name }
            let id = known?.id ?? newID()
            if known == nil {
                try db.execute(
                    sql: "INSERT INTO services (id, type, name, enabled, built_in) VALUES (?, ?, ?, 1, 1)",
                    arguments: [id, service.type, service.name])
            }
            // What this daemon publishes is in one region; a changed `region` leaves nothing behind.
            try db.execute(
                sql: "DELETE FROM endpoints WHERE service_id = ? AND region_id <> ?",
                arguments: [id, configuration.region])
            let endpoints = try Lookups.all(
                db, "SELECT * FROM endpoints WHERE service_id = ? AND region_id = ?", [id, configuration.region],
                Lookups.endpoint)
            for interface in ["public", "internal", "admin"] {
                if let endpoint = endpoints.first(where: { $0.interface == interface }) {
                    guard endpoint.url != service.url else { continue }
                    try db.execute(
                        sql: "UPDATE endpoints SET url = ? WHERE id = ?", arguments: [service.url, endpoint.id])
                } else {
                    try db.execute(
                        sql: """
                            INSERT INTO endpoints (id, service_id, interface, region_id, url, enabled)
                            VALUES (?, ?, ?, ?, ?, 1)
                            """, arguments: [newID(), id, interface, configuration.region, service.url])
                }
                changed += 1
            }
        }
        return changed
    }
}
