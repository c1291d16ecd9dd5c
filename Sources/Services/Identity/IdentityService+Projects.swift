import GRDB

/// What a PATCH changes; nil leaves a field as it is.
package struct ProjectChange: Sendable {
    package var name: String?
    package var description: String?
    package var enabled: Bool?
    package var tags: [String]?
    /// A JSON object that is merged into the attributes that clients store.
    package var extra: String
    package init(
        name: String?, description: String?, enabled: Bool?, tags: [String]? = nil, extra: String = "{}"
    ) {
        self.name = name
        self.description = description
        self.enabled = enabled
        self.tags = tags
        self.extra = extra
    }
}

extension IdentityService {
    package func projects(
        name: String?, domainID: String?, parentID: String?, enabled: Bool?
    ) throws(IdentityError) -> Listing<Project> {
        try list(
            "projects", [("name", name), ("domain_id", domainID), ("parent_id", parentID), ("enabled", enabled)],
            order: "name, id", Lookups.project)
    }

    package func projects(_ filters: [ListFilter]) throws(IdentityError) -> Listing<Project> {
        try list("projects", filters, order: "name, id", Lookups.project)
    }

    package func project(_ reference: ProjectReference) throws(IdentityError) -> Project {
        let item = try read { db in try Lookups.project(db, reference) }
        switch reference {
        case .id(let text), .name(let text, _): return try found("project", text, item)
        }
    }

    /// - Parameter parentID: nil, or the domain's id, for the top of the domain.
    package func createProject(
        name: String, domain: DomainReference, parentID: String?, description: String, enabled: Bool,
        tags: [String] = [], extra: String = "{}"
    ) throws(IdentityError) -> Project {
        try checkTags(tags)
        try checkExtra(extra)
        try checkName(name, max: Limits.projectNameMax)
        try checkDescription(description)
        let domain = try self.domain(domain)
        let project = Project(
            id: newID(), name: name, domainID: domain.id, parentID: parentID == domain.id ? nil : parentID,
            description: description, enabled: enabled, tags: tags, extra: extra)
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
                        INSERT INTO projects (id, name, domain_id, parent_id, description, enabled, tags, extra)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        project.id, project.name, project.domainID, project.parentID, project.description,
                        project.enabled, Self.joined(project.tags), project.extra,
                    ])
                return project
            }
        }
    }

    /// Being disabled ends every token on the project, for good: enabling it again brings none back.
    package func updateProject(id: String, _ change: ProjectChange) throws(IdentityError) -> Project {
        if let name = change.name { try checkName(name, max: Limits.projectNameMax) }
        try checkDescription(change.description)
        if let tags = change.tags { try checkTags(tags) }
        try checkExtra(change.extra)
        // Only for the refusal's text: a project never changes its domain.
        let domainID = try self.project(.id(id)).domainID
        return try naming("project", change.name ?? id, domainID: domainID) { () throws(IdentityError) in
            try write { db in
                guard var project = try Lookups.project(db, .id(id)) else {
                    throw IdentityError.notFound(kind: "project", id: id)
                }
                try self.checkMutable(db, "projects", "project", id, change.extra)
                let wasEnabled = project.enabled
                project.name = change.name ?? project.name
                project.description = change.description ?? project.description
                project.enabled = change.enabled ?? project.enabled
                try db.execute(
                    sql: """
                        UPDATE projects SET name = ?, description = ?, enabled = ?, tags = ?,
                        extra = ? WHERE id = ?
                        """,
                    arguments: [
                        project.name, project.description, project.enabled, Self.joined(change.tags ?? project.tags),
                        try self.merged(db, "projects", id, change.extra), id,
                    ])
                if wasEnabled, !project.enabled {
                    try self.revoke(db, .place(.project(id)))
                }
                return try Lookups.project(db, .id(id)) ?? project
            }
        }
    }

    /// Removes a project and every role held on it. What it owns elsewhere (objects, volumes) stays, out of reach.
    package func deleteProject(id: String) throws(IdentityError) {
        try write { db in
            let children = try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM projects WHERE parent_id = ?", arguments: [id])
            guard children == 0 else { throw IdentityError.forbidden(action: "identity:delete_project") }
            try self.checkMutable(db, "projects", "project", id, nil)
            try db.execute(
                sql: "DELETE FROM assignments WHERE target_kind = 'project' AND target_id = ?", arguments: [id])
            try db.execute(sql: "DELETE FROM projects WHERE id = ?", arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "project", id: id) }
        }
    }

    /// Adds or removes tags in one transaction.
    package func updateTags(projectID: String, _ body: ([String]) -> [String]) throws(IdentityError) -> [String] {
        try write { db in
            guard let project = try Lookups.project(db, .id(projectID)) else {
                throw IdentityError.notFound(kind: "project", id: projectID)
            }
            let tags = body(project.tags)
            try self.checkTags(tags)
            try db.execute(
                sql: "UPDATE projects SET tags = ? WHERE id = ?", arguments: [Self.joined(tags), projectID])
            return tags
        }
    }

    /// The projects above one, the nearest first.
    package func parents(ofProject id: String) throws(IdentityError) -> [Project] {
        try read { db in
            var parents: [Project] = []
            var next = try Lookups.project(db, .id(id))?.parentID
            while let id = next, parents.count < Limits.depthMax, let parent = try Lookups.project(db, .id(id)) {
                parents.append(parent)
                next = parent.parentID
            }
            return parents
        }
    }

    /// The projects below one, parents before their children.
    package func subtree(ofProject id: String) throws(IdentityError) -> [Project] {
        try read { db in try Self.subtree(db, ofProject: id) }
    }

    static func subtree(_ db: Database, ofProject id: String) throws -> [Project] {
        try Lookups.all(
            db,
            """
            WITH RECURSIVE below(id, depth) AS (
                SELECT id, 1 FROM projects WHERE parent_id = ?
                UNION SELECT projects.id, depth + 1 FROM projects JOIN below ON projects.parent_id = below.id
                WHERE depth < \(Limits.depthMax + 1))
            SELECT projects.* FROM projects JOIN below ON below.id = projects.id
            ORDER BY depth, projects.name LIMIT \(Limits.listMax)
            """, [id], Lookups.project)
    }

    /// The enabled projects of enabled domains that a user holds a role on, directly, by a group or inherited.
    package func projects(ofUser userID: String) throws(IdentityError) -> [Project] {
        try read { db in
            try Lookups.all(
                db,
                """
                WITH RECURSIVE mine AS (
                    SELECT target_kind, target_id, inherited FROM assignments
                    WHERE actor_kind = 'user' AND actor_id = ? OR actor_kind = 'group' AND actor_id IN (
                        SELECT group_id FROM group_members WHERE user_id = ?)),
                below(id) AS (
                    SELECT projects.id FROM projects JOIN mine ON mine.inherited = 1
                    AND (mine.target_kind = 'project' AND projects.parent_id = mine.target_id
                        OR mine.target_kind = 'domain' AND projects.domain_id = mine.target_id)
                    UNION SELECT projects.id FROM projects JOIN below ON projects.parent_id = below.id)
                SELECT projects.* FROM projects JOIN domains ON domains.id = projects.domain_id
                WHERE projects.enabled = 1 AND domains.enabled = 1 AND projects.id IN (
                    SELECT target_id FROM mine WHERE target_kind = 'project' AND inherited = 0
                    UNION SELECT id FROM below)
                ORDER BY projects.name, projects.id LIMIT \(Limits.listMax)
                """, [userID, userID], Lookups.project)
        }
    }

    /// The enabled domains that a user holds a role on.
    package func domains(ofUser userID: String) throws(IdentityError) -> [Domain] {
        try read { db in
            try Lookups.all(
                db,
                """
                SELECT * FROM domains WHERE enabled = 1 AND id IN (
                    SELECT target_id FROM assignments WHERE target_kind = 'domain' AND inherited = 0
                    AND (actor_kind = 'user' AND actor_id = ? OR actor_kind = 'group' AND actor_id IN (
                        SELECT group_id FROM group_members WHERE user_id = ?)))
                ORDER BY name LIMIT \(Limits.listMax)
                """, [userID, userID], Lookups.domain)
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
