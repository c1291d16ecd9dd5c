import GRDB

/// Writing of the catalog's rows. What this daemon publishes itself is brought up to date at its next start.
extension IdentityService {
    package func services(_ filters: [ListFilter]) throws(IdentityError) -> Listing<CatalogService> {
        try list("services", filters, order: "type, name, id", Lookups.service)
    }

    package func endpoints(_ filters: [ListFilter]) throws(IdentityError) -> Listing<CatalogEndpoint> {
        try list("endpoints", filters, order: "service_id, interface, id", Lookups.endpoint)
    }

    package func regions(_ filters: [ListFilter]) throws(IdentityError) -> Listing<Region> {
        try list("regions", filters, order: "id", Lookups.region)
    }

    /// - Parameter service: its id is not looked at.
    package func createService(_ service: CatalogService) throws(IdentityError) -> CatalogService {
        try check(service)
        var service = service
        service.id = newID()
        let new = service
        try write { db in
            try db.execute(
                sql: """
                    INSERT INTO services (id, type, name, description, enabled, built_in, extra)
                    VALUES (?, ?, ?, ?, ?, 0, ?)
                    """, arguments: [new.id, new.type, new.name, new.description, new.enabled, new.extra])
        }
        return new
    }

    /// - Parameter extra: a JSON object that is merged into the attributes that clients store.
    package func updateService(
        id: String, extra: String, _ change: (inout CatalogService) -> Void
    ) throws(IdentityError) -> CatalogService {
        var service = try self.service(id: id)
        change(&service)
        try check(service)
        let new = service
        try write { db in
            try db.execute(
                sql: """
                    UPDATE services SET type = ?, name = ?, description = ?, enabled = ?, extra = ?
                    WHERE id = ?
                    """,
                arguments: [
                    new.type, new.name, new.description, new.enabled, try self.merged(db, "services", id, extra), id,
                ])
        }
        return try self.service(id: id)
    }

    /// Removes a service with its endpoints.
    package func deleteService(id: String) throws(IdentityError) { try deleteRow("services", kind: "service", id: id) }

    /// A region that isn't known is made. `.notFound` for an unknown service.
    package func createEndpoint(_ endpoint: CatalogEndpoint) throws(IdentityError) -> CatalogEndpoint {
        try check(endpoint)
        var endpoint = endpoint
        endpoint.id = newID()
        let new = endpoint
        try write { db in
            try self.checkReferences(db, new)
            try db.execute(
                sql: """
                    INSERT INTO endpoints (id, service_id, interface, region_id, url, enabled, extra)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [new.id, new.serviceID, new.interface, new.regionID, new.url, new.enabled, new.extra])
        }
        return new
    }

    package func updateEndpoint(
        id: String, extra: String, _ change: (inout CatalogEndpoint) -> Void
    ) throws(IdentityError) -> CatalogEndpoint {
        var endpoint = try self.endpoint(id: id)
        change(&endpoint)
        try check(endpoint)
        let new = endpoint
        try write { db in
            try self.checkReferences(db, new)
            try db.execute(
                sql: """
                    UPDATE endpoints SET service_id = ?, interface = ?, region_id = ?, url = ?, enabled = ?,
                    extra = ? WHERE id = ?
                    """,
                arguments: [
                    new.serviceID, new.interface, new.regionID, new.url, new.enabled,
                    try self.merged(db, "endpoints", id, extra), id,
                ])
        }
        return try self.endpoint(id: id)
    }

    package func deleteEndpoint(id: String) throws(IdentityError) {
        try deleteRow("endpoints", kind: "endpoint", id: id)
    }

    /// - Parameter region: an empty id for a random one.
    package func createRegion(_ region: Region) throws(IdentityError) -> Region {
        var region = region
        if region.id.isEmpty { region.id = newID() }
        guard region.id.unicodeScalars.count <= Limits.userNameMax else {
            throw .invalid("Invalid input for field 'id': it is too long.")
        }
        try checkDescription(region.description)
        let new = region
        return try naming("region", new.id, domainID: nil) { () throws(IdentityError) in
            try write { db in
                try self.checkParent(db, new)
                try db.execute(
                    sql: "INSERT INTO regions (id, description, parent_id, extra) VALUES (?, ?, ?, ?)",
                    arguments: [new.id, new.description, new.parentID, new.extra])
                return new
            }
        }
    }

    package func updateRegion(
        id: String, extra: String, _ change: (inout Region) -> Void
    ) throws(IdentityError) -> Region {
        var region = try self.region(id: id)
        change(&region)
        try checkDescription(region.description)
        let new = region
        try write { db in
            try self.checkParent(db, new)
            try db.execute(
                sql: "UPDATE regions SET description = ?, parent_id = ?, extra = ? WHERE id = ?",
                arguments: [new.description, new.parentID, try self.merged(db, "regions", id, extra), id])
        }
        return try self.region(id: id)
    }

    /// `.forbidden` while endpoints or regions are in it.
    package func deleteRegion(id: String) throws(IdentityError) {
        try write { db in
            let inside =
                try Int.fetchOne(
                    db,
                    sql: """
                        SELECT (SELECT COUNT(*) FROM endpoints WHERE region_id = ?)
                        + (SELECT COUNT(*) FROM regions WHERE parent_id = ?)
                        """, arguments: [id, id]) ?? 0
            guard inside == 0 else { throw IdentityError.forbidden(action: "identity:delete_region") }
            try db.execute(sql: "DELETE FROM regions WHERE id = ?", arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "region", id: id) }
        }
    }

    func deleteRow(_ table: StaticString, kind: String, id: String) throws(IdentityError) {
        try write { db in
            try db.execute(sql: "DELETE FROM \(table) WHERE id = ?", arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: kind, id: id) }
        }
    }

    private func check(_ service: CatalogService) throws(IdentityError) {
        guard (1...Limits.userNameMax).contains(service.type.unicodeScalars.count),
            service.name.unicodeScalars.count <= Limits.userNameMax
        else { throw .invalid("Invalid input for field 'type': it must have 1 to \(Limits.userNameMax) characters.") }
        try checkDescription(service.description)
        try checkExtra(service.extra)
    }

    private func check(_ endpoint: CatalogEndpoint) throws(IdentityError) {
        guard ["public", "internal", "admin"].contains(endpoint.interface) else {
            throw .invalid("Invalid input for field 'interface': it must be public, internal or admin.")
        }
        guard (1...Limits.descriptionMax).contains(endpoint.url.utf8.count) else {
            throw .invalid("Invalid input for field 'url': it must have 1 to \(Limits.descriptionMax) bytes.")
        }
        try checkExtra(endpoint.extra)
    }

    private func checkReferences(_ db: Database, _ endpoint: CatalogEndpoint) throws {
        guard
            try Int.fetchOne(db, sql: "SELECT 1 FROM services WHERE id = ?", arguments: [endpoint.serviceID]) != nil
        else { throw IdentityError.invalid("Could not find service: \(endpoint.serviceID).") }
        guard let region = endpoint.regionID else { return }
        try db.execute(
            sql: "INSERT INTO regions (id, description) VALUES (?, '') ON CONFLICT (id) DO NOTHING",
            arguments: [region])
    }

    private func checkParent(_ db: Database, _ region: Region) throws {
        var next = region.parentID
        for _ in 0..<Limits.depthMax {
            guard let id = next else { return }
            guard id != region.id else { throw IdentityError.invalid("a region can't be inside itself") }
            guard let parent = try Lookups.one(db, "SELECT * FROM regions WHERE id = ?", [id], Lookups.region) else {
                throw IdentityError.notFound(kind: "region", id: id)
            }
            next = parent.parentID
        }
        throw IdentityError.invalid("regions are nested too deeply")
    }
}
