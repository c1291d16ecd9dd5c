import GRDB

extension IdentityService {
    package func domains(_ filters: [ListFilter] = []) throws(IdentityError) -> Listing<Domain> {
        try list("domains", filters, order: "name", Lookups.domain)
    }

    package func domain(_ reference: DomainReference) throws(IdentityError) -> Domain {
        let item = try read { db in try Lookups.domain(db, reference) }
        switch reference {
        case .id(let text), .name(let text): return try found("domain", text, item)
        }
    }

    /// - Parameter id: nil for a random one; else 32 hex digits, 409 if it is taken.
    package func createDomain(
        id: String? = nil, name: String, description: String, enabled: Bool, tags: [String] = [], extra: String = "{}"
    ) throws(IdentityError) -> Domain {
        try checkName(name, max: Limits.domainNameMax)
        try checkDescription(description)
        try checkTags(tags)
        try checkExtra(extra)
        let domain = Domain(
            id: id ?? newID(), name: name, description: description, enabled: enabled, tags: tags, extra: extra)
        return try naming("domain", name, domainID: nil) { () throws(IdentityError) in
            try write { db in
                try db.execute(
                    sql: "INSERT INTO domains (id, name, description, enabled, tags, extra) VALUES (?, ?, ?, ?, ?, ?)",
                    arguments: [
                        domain.id, domain.name, domain.description, domain.enabled, Self.joined(tags), domain.extra,
                    ])
                return domain
            }
        }
    }

    /// A disabled domain's users can't sign in and no token on it, or on its projects, is valid.
    package func updateDomain(id: String, _ change: ProjectChange) throws(IdentityError) -> Domain {
        if let name = change.name { try checkName(name, max: Limits.domainNameMax) }
        try checkDescription(change.description)
        if let tags = change.tags { try checkTags(tags) }
        try checkExtra(change.extra)
        return try naming("domain", change.name ?? id, domainID: nil) { () throws(IdentityError) in
            try write { db in
                guard let domain = try Lookups.domain(db, .id(id)) else {
                    throw IdentityError.notFound(kind: "domain", id: id)
                }
                try self.checkMutable(db, "domains", "domain", id, change.extra)
                let enabled = change.enabled ?? domain.enabled
                try db.execute(
                    sql: """
                        UPDATE domains SET name = ?, description = ?, enabled = ?, tags = ?,
                        extra = ? WHERE id = ?
                        """,
                    arguments: [
                        change.name ?? domain.name, change.description ?? domain.description, enabled,
                        Self.joined(change.tags ?? domain.tags), try self.merged(db, "domains", id, change.extra), id,
                    ])
                if domain.enabled, !enabled {
                    let users = try String.fetchAll(
                        db, sql: "SELECT id FROM users WHERE domain_id = ?", arguments: [id])
                    for user in users { try self.revoke(db, .user(user)) }
                    try self.revoke(db, .place(.domain(id)))
                    let projects = try String.fetchAll(
                        db, sql: "SELECT id FROM projects WHERE domain_id = ?", arguments: [id])
                    for project in projects { try self.revoke(db, .place(.project(project))) }
                }
                return try Lookups.domain(db, .id(id)) ?? domain
            }
        }
    }

    /// Removes a disabled domain with its users, groups, projects and roles; `.forbidden` while it is enabled.
    package func deleteDomain(id: String) throws(IdentityError) {
        try write { db in
            guard let domain = try Lookups.domain(db, .id(id)) else {
                throw IdentityError.notFound(kind: "domain", id: id)
            }
            guard !domain.enabled, id != "default" else {
                throw IdentityError.forbidden(action: "identity:delete_domain")
            }
            try self.checkMutable(db, "domains", "domain", id, nil)
            let users = try String.fetchAll(db, sql: "SELECT id FROM users WHERE domain_id = ?", arguments: [id])
            for user in users { try self.revoke(db, .user(user)) }
            try db.execute(sql: "DELETE FROM users WHERE domain_id = ?", arguments: [id])
            try db.execute(sql: "DELETE FROM groups WHERE domain_id = ?", arguments: [id])
            // Leaves first: a project can't go before its children.
            for _ in 0...Limits.depthMax + 1 {
                try db.execute(
                    sql: """
                        DELETE FROM projects WHERE domain_id = ? AND id NOT IN (
                            SELECT parent_id FROM projects WHERE parent_id IS NOT NULL)
                        """, arguments: [id])
                if db.changesCount == 0 { break }
            }
            try db.execute(sql: "DELETE FROM domains WHERE id = ?", arguments: [id])
        }
    }

    // MARK: What domains and projects share.

    static func joined(_ tags: [String]) -> String { tags.isEmpty ? "" : ",\(tags.joined(separator: ","))," }

    func checkTags(_ tags: [String]) throws(IdentityError) {
        guard tags.count <= Limits.tagsMax, Set(tags).count == tags.count,
            tags.allSatisfy({
                (1...Limits.tagMax).contains($0.unicodeScalars.count) && !$0.contains(",") && !$0.contains("/")
            })
        else {
            throw .invalid(
                "Invalid input for field 'tags': at most \(Limits.tagsMax), each once, of 1 to \(Limits.tagMax) "
                    + "characters other than comma and slash.")
        }
    }

    /// `.forbidden` for what has the option `immutable`, unless the change takes just that away.
    /// - Parameter change: the attributes to be merged; nil for a deletion.
    func checkMutable(
        _ db: Database, _ table: StaticString, _ kind: String, _ id: String, _ change: String?
    ) throws {
        let isImmutable = try Bool.fetchOne(
            db, sql: "SELECT json_extract(extra, '$.options.immutable') FROM \(table) WHERE id = ?", arguments: [id])
        guard isImmutable == true else { return }
        let kindOfChange = try String.fetchOne(
            db, sql: "SELECT json_type(?, '$.options.immutable')", arguments: [change ?? "{}"])
        guard kindOfChange == "false" || kindOfChange == "null" else {
            throw IdentityError.forbidden(action: "identity:\(change == nil ? "delete" : "update")_\(kind)")
        }
    }

    /// The attributes of a row with a change merged in; 400 if they would be too many.
    func merged(_ db: Database, _ table: StaticString, _ id: String, _ change: String) throws -> String {
        let merged = try String.fetchOne(
            db, sql: "SELECT json_patch(extra, ?) FROM \(table) WHERE id = ?", arguments: [change, id])
        let extra = merged ?? "{}"
        try checkExtra(extra)
        return extra
    }

    func checkExtra(_ extra: String) throws(IdentityError) {
        guard extra.utf8.count <= Limits.extraMax else { throw .invalid("the further attributes are too long") }
    }
}
