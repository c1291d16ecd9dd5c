import GRDB

/// What a PATCH changes; nil leaves a field as it is.
package struct ProjectChange: Sendable {
    package var name: String?
    package var description: String?
    package var enabled: Bool?
    package init(name: String?, description: String?, enabled: Bool?) {
        self.name = name
        self.description = description
        self.enabled = enabled
    }
}

extension IdentityService {
    package func domains(name: String?, enabled: Bool?) throws(IdentityError) -> Listing<Domain> {
        try list("domains", [("name", name), ("enabled", enabled)], order: "name", Lookups.domain)
    }

    package func domain(_ reference: DomainReference) throws(IdentityError) -> Domain {
        let item = try read { db in try Lookups.domain(db, reference) }
        switch reference {
        case .id(let text), .name(let text): return try found("domain", text, item)
        }
    }

    package func projects(
        name: String?, domainID: String?, parentID: String?, enabled: Bool?
    ) throws(IdentityError) -> Listing<Project> {
        try list(
            "projects", [("name", name), ("domain_id", domainID), ("parent_id", parentID), ("enabled", enabled)],
            order: "name, id", Lookups.project)
    }

    package func project(_ reference: ProjectReference) throws(IdentityError) -> Project {
        let item = try read { db in try Lookups.project(db, reference) }
        switch reference {
        case .id(let text), .name(let text, _): return try found("project", text, item)
        }
    }

    /// - Parameter parentID: nil, or the domain's id, for the top of the domain.
    package func createProject(
        name: String, domain: DomainReference, parentID: String?, description: String, enabled: Bool
    ) throws(IdentityError) -> Project {
        try checkName(name, max: Limits.projectNameMax)
        try checkDescription(description)
        let domain = try self.domain(domain)
        let project = Project(
            id: newID(), name: name, domainID: domain.id, parentID: parentID == domain.id ? nil : parentID,
            description: description, enabled: enabled)
        return try naming("project", name, domainID: domain.id) { () throws(IdentityError) in
            try write { db in
                if let parentID = project.parentID {
                    guard let parent = try Lookups.project(db, .id(parentID)) else {
                        throw IdentityError.notFound(kind: "project", id: parentID)
                    }
                    guard parent.domainID == domain.id else {
                        throw IdentityError.invalid("the parent project is of another domain")
                    }
                    try self.checkDepth(db, of: parent)
                }
                try db.execute(
                    sql: """
                        INSERT INTO projects (id, name, domain_id, parent_id, description, enabled)
                        VALUES (?, ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        project.id, project.name, project.domainID, project.parentID, project.description,
                        project.enabled,
                    ])
                return project
            }
        }
    }

    /// Being disabled ends every token on the project, for good: enabling it again brings none back.
    package func updateProject(id: String, _ change: ProjectChange) throws(IdentityError) -> Project {
        if let name = change.name { try checkName(name, max: Limits.projectNameMax) }
        try checkDescription(change.description)
        // Only for the refusal's text: a project never changes its domain.
        let domainID = try self.project(.id(id)).domainID
        return try naming("project", change.name ?? id, domainID: domainID) { () throws(IdentityError) in
            try write { db in
                guard var project = try Lookups.project(db, .id(id)) else {
                    throw IdentityError.notFound(kind: "project", id: id)
                }
                let wasEnabled = project.enabled
                project.name = change.name ?? project.name
                project.description = change.description ?? project.description
                project.enabled = change.enabled ?? project.enabled
                try db.execute(
                    sql: "UPDATE projects SET name = ?, description = ?, enabled = ? WHERE id = ?",
                    arguments: [project.name, project.description, project.enabled, id])
                if wasEnabled, !project.enabled {
                    // Whoever held a role here before and does not now lost their tokens with it.
                    let holders = try String.fetchAll(
                        db,
                        sql: "SELECT DISTINCT user_id FROM assignments WHERE target_kind = 'project' AND target_id = ?",
                        arguments: [id])
                    for holder in holders { try self.revoke(db, .grant(user: holder, .project(id))) }
                }
                return project
            }
        }
    }

    /// Removes a project and every role held on it. What it owns elsewhere (objects, volumes) stays, out of reach.
    package func deleteProject(id: String) throws(IdentityError) {
        try write { db in
            let children = try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM projects WHERE parent_id = ?", arguments: [id])
            guard children == 0 else { throw IdentityError.forbidden(action: "identity:delete_project") }
            try db.execute(
                sql: "DELETE FROM assignments WHERE target_kind = 'project' AND target_id = ?", arguments: [id])
            try db.execute(sql: "DELETE FROM projects WHERE id = ?", arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "project", id: id) }
        }
    }

    /// The enabled projects of enabled domains that a user holds a role on.
    package func projects(ofUser userID: String) throws(IdentityError) -> [Project] {
        try read { db in
            try Lookups.all(
                db,
                """
                SELECT projects.* FROM projects JOIN domains ON domains.id = projects.domain_id
                WHERE projects.enabled = 1 AND domains.enabled = 1 AND projects.id IN (
                    SELECT target_id FROM assignments WHERE user_id = ? AND target_kind = 'project')
                ORDER BY projects.name, projects.id LIMIT \(Limits.listMax)
                """, [userID], Lookups.project)
        }
    }

    /// The enabled domains that a user holds a role on.
    package func domains(ofUser userID: String) throws(IdentityError) -> [Domain] {
        try read { db in
            try Lookups.all(
                db,
                """
                SELECT * FROM domains WHERE enabled = 1 AND id IN (
                    SELECT target_id FROM assignments WHERE user_id = ? AND target_kind = 'domain')
                ORDER BY name LIMIT \(Limits.listMax)
                """, [userID], Lookups.domain)
        }
    }

    /// Whether a user holds a role on the whole system.
    package func hasSystemRole(userID: String) throws(IdentityError) -> Bool {
        try read { db in try !Lookups.effectiveRoles(db, userID: userID, on: .system).isEmpty }
    }

    private func checkDepth(_ db: Database, of project: Project) throws {
        var ancestor = project
        for _ in 0..<Limits.depthMax {
            guard let id = ancestor.parentID, let parent = try Lookups.project(db, .id(id)) else { return }
            ancestor = parent
        }
        throw IdentityError.forbidden(action: "identity:create_project")
    }
}
