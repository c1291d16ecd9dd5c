import GRDB
package import Primitives

/// What operators keep in Identity for other services to read.
package enum DocumentKind: String, Sendable {
    case policy
    case consumer
    case endpointGroup = "endpoint_group"

    /// As messages name it.
    package var name: String {
        switch self {
        case .policy: "policy"
        case .consumer: "consumer"
        case .endpointGroup: "endpoint group"
        }
    }
}

/// A JSON object under an id.
package struct Document: Sendable {
    package var id: String
    package var body: String
}

extension IdentityService {
    package func documents(_ kind: DocumentKind) throws(IdentityError) -> [Document] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT id, body FROM documents WHERE kind = ? ORDER BY id LIMIT \(Limits.documentsMax)",
                arguments: [kind.rawValue]
            ).map { Document(id: $0["id"], body: $0["body"]) }
        }
    }

    package func document(_ kind: DocumentKind, id: String) throws(IdentityError) -> Document {
        let row = try read { db in
            try Row.fetchOne(
                db.cachedStatement(sql: "SELECT id, body FROM documents WHERE kind = ? AND id = ?"),
                arguments: [kind.rawValue, id])
        }
        return try found(kind.name, id, row.map { Document(id: $0["id"], body: $0["body"]) })
    }

    /// - Parameters:
    ///   - body: a JSON object.
    ///   - secret: kept sealed beside it, as `sealed`.
    package func createDocument(
        _ kind: DocumentKind, body: String, secret: Secret? = nil
    ) throws(IdentityError) -> Document {
        try checkExtra(body)
        let id = newID()
        let sealed = try secret.map { secret throws(IdentityError) in try seal(secret, id: id) }
        try write { db in
            let count =
                try Int.fetchOne(
                    db, sql: "SELECT COUNT(*) FROM documents WHERE kind = ?", arguments: [kind.rawValue]) ?? 0
            guard count < Limits.documentsMax else {
                throw IdentityError.forbidden(action: "identity:create_\(kind.rawValue)")
            }
            try db.execute(
                sql: """
                    INSERT INTO documents (kind, id, body)
                    VALUES (?, ?, CASE WHEN ? IS NULL THEN ? ELSE json_set(?, '$.sealed', ?) END)
                    """, arguments: [kind.rawValue, id, sealed, body, body, sealed])
        }
        return try document(kind, id: id)
    }

    /// - Parameter change: a JSON object that is merged into the body, null removing a member.
    package func updateDocument(_ kind: DocumentKind, id: String, change: String) throws(IdentityError) -> Document {
        try checkExtra(change)
        try write { db in
            try db.execute(
                sql: "UPDATE documents SET body = json_patch(body, ?) WHERE kind = ? AND id = ?",
                arguments: [change, kind.rawValue, id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: kind.name, id: id) }
            let body = try String.fetchOne(
                db, sql: "SELECT body FROM documents WHERE kind = ? AND id = ?", arguments: [kind.rawValue, id])
            try self.checkExtra(body ?? "")
        }
        return try document(kind, id: id)
    }

    package func deleteDocument(_ kind: DocumentKind, id: String) throws(IdentityError) {
        try write { db in
            try db.execute(sql: "DELETE FROM documents WHERE kind = ? AND id = ?", arguments: [kind.rawValue, id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: kind.name, id: id) }
        }
    }

    // MARK: Which project sees which endpoint.

    /// What a project was given to see, itself or by groups; nil where nobody chose, and all is seen.
    static func chosenEndpoints(_ db: Database, projectID: String) throws -> Set<String>? {
        let hasChoice = try Int.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT 1 WHERE EXISTS (SELECT 1 FROM endpoint_projects WHERE project_id = ?)
                    OR EXISTS (SELECT 1 FROM endpoint_group_projects WHERE project_id = ?)
                    """), arguments: [projectID, projectID])
        guard hasChoice != nil else { return nil }
        return Set(
            try String.fetchAll(
                db,
                sql: """
                    SELECT endpoint_id FROM endpoint_projects WHERE project_id = ?
                    UNION SELECT endpoints.id FROM endpoint_group_projects
                    JOIN documents ON documents.kind = 'endpoint_group' AND documents.id = group_id
                    JOIN endpoints ON \(groupCondition) WHERE project_id = ?
                    """, arguments: [projectID, projectID]))
    }

    /// An endpoint has all that its group asks for.
    private static let groupCondition = """
        coalesce(json_extract(documents.body, '$.filters.service_id'), endpoints.service_id) = endpoints.service_id
        AND coalesce(json_extract(documents.body, '$.filters.interface'), endpoints.interface) = endpoints.interface
        AND coalesce(json_extract(documents.body, '$.filters.region_id'), endpoints.region_id, '')
            = coalesce(endpoints.region_id, '')
        """

    package func endpoints(ofProject id: String) throws(IdentityError) -> [CatalogEndpoint] {
        _ = try project(.id(id))
        let chosen = try read { db in try Self.chosenEndpoints(db, projectID: id) } ?? []
        return try endpoints([ListFilter]()).items.filter { chosen.contains($0.id) }
    }

    package func endpoints(ofGroup id: String) throws(IdentityError) -> [CatalogEndpoint] {
        _ = try document(.endpointGroup, id: id)
        return try read { db in
            try Lookups.all(
                db,
                """
                SELECT endpoints.* FROM documents JOIN endpoints ON \(Self.groupCondition)
                WHERE documents.kind = 'endpoint_group' AND documents.id = ? ORDER BY endpoints.id LIMIT \(Limits.listMax)
                """, [id], Lookups.endpoint)
        }
    }

    /// What is associated with projects.
    package enum Association: Sendable, Equatable {
        case endpoint(String)
        case group(String)

        fileprivate var table: (name: StaticString, column: StaticString, id: String) {
            switch self {
            case .endpoint(let id): ("endpoint_projects", "endpoint_id", id)
            case .group(let id): ("endpoint_group_projects", "group_id", id)
            }
        }
    }

    package func projects(of association: Association) throws(IdentityError) -> [Project] {
        try checkExists(association)
        let table = association.table
        return try read { db in
            try Lookups.all(
                db,
                """
                SELECT * FROM projects WHERE id IN (SELECT project_id FROM \(table.name) WHERE \(table.column) = ?)
                ORDER BY name, id LIMIT \(Limits.listMax)
                """, [table.id], Lookups.project)
        }
    }

    package func groups(ofProject id: String) throws(IdentityError) -> [Document] {
        _ = try project(.id(id))
        let all = try documents(.endpointGroup)
        let chosen = try read { db in
            Set(
                try String.fetchAll(
                    db, sql: "SELECT group_id FROM endpoint_group_projects WHERE project_id = ?", arguments: [id]))
        }
        return all.filter { chosen.contains($0.id) }
    }

    package func associate(_ association: Association, projectID: String) throws(IdentityError) {
        try checkExists(association)
        _ = try project(.id(projectID))
        let table = association.table
        try write { db in
            try db.execute(
                sql: "INSERT INTO \(table.name) (project_id, \(table.column)) VALUES (?, ?) ON CONFLICT DO NOTHING",
                arguments: [projectID, table.id])
        }
    }

    package func dissociate(_ association: Association, projectID: String) throws(IdentityError) {
        let table = association.table
        try write { db in
            try db.execute(
                sql: "DELETE FROM \(table.name) WHERE project_id = ? AND \(table.column) = ?",
                arguments: [projectID, table.id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "endpoint association", id: table.id) }
        }
    }

    package func isAssociated(_ association: Association, projectID: String) throws(IdentityError) -> Bool {
        try checkExists(association)
        _ = try project(.id(projectID))
        let table = association.table
        return try read { db in
            try Int.fetchOne(
                db, sql: "SELECT 1 FROM \(table.name) WHERE project_id = ? AND \(table.column) = ?",
                arguments: [projectID, table.id]) != nil
        }
    }

    private func checkExists(_ association: Association) throws(IdentityError) {
        switch association {
        case .endpoint(let id): _ = try endpoint(id: id)
        case .group(let id): _ = try document(.endpointGroup, id: id)
        }
    }

    // MARK: What a domain is set to.

    /// A setting of a domain.
    package struct DomainOption: Sendable, Equatable {
        package var section: String
        package var name: String
        /// As JSON.
        package var value: String
        package init(section: String, name: String, value: String) {
            self.section = section
            self.name = name
            self.value = value
        }
    }

    package func domainOptions(ofDomain id: String) throws(IdentityError) -> [DomainOption] {
        _ = try domain(.id(id))
        return try read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM domain_options WHERE domain_id = ? ORDER BY section, name", arguments: [id]
            ).map { DomainOption(section: $0["section"], name: $0["name"], value: $0["value"]) }
        }
    }

    /// - Parameter replacing: whether what isn't named goes.
    package func setDomainOptions(
        _ options: [DomainOption], ofDomain id: String, replacing: Bool
    ) throws(IdentityError) {
        _ = try domain(.id(id))
        try write { db in
            if replacing { try db.execute(sql: "DELETE FROM domain_options WHERE domain_id = ?", arguments: [id]) }
            for option in options {
                try db.execute(
                    sql: """
                        INSERT INTO domain_options (domain_id, section, name, value) VALUES (?, ?, ?, ?)
                        ON CONFLICT (domain_id, section, name) DO UPDATE SET value = excluded.value
                        """, arguments: [id, option.section, option.name, option.value])
            }
        }
    }

    /// - Parameters:
    ///   - section: nil for all.
    ///   - name: nil for all of the section.
    package func deleteDomainOptions(ofDomain id: String, section: String?, name: String?) throws(IdentityError) {
        _ = try domain(.id(id))
        try write { db in
            try db.execute(
                sql: """
                    DELETE FROM domain_options WHERE domain_id = ? AND (? IS NULL OR section = ?)
                    AND (? IS NULL OR name = ?)
                    """, arguments: [id, section, section, name, name])
            guard db.changesCount > 0 else {
                throw IdentityError.notFound(kind: "domain configuration", id: name ?? section ?? id)
            }
        }
    }
}
