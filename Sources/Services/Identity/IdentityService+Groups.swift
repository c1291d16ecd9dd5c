import GRDB

extension IdentityService {
    package func groups(_ filters: [ListFilter]) throws(IdentityError) -> Listing<Group> {
        try list("groups", filters, order: "name, id", Lookups.group)
    }

    package func group(id: String) throws(IdentityError) -> Group {
        try found("group", id, try read { db in try Lookups.group(db, id: id) })
    }

    package func groups(ofUser userID: String) throws(IdentityError) -> [Group] {
        _ = try user(.id(userID))
        return try read { db in
            try Lookups.all(
                db,
                """
                SELECT groups.* FROM groups JOIN group_members ON group_members.group_id = groups.id
                WHERE group_members.user_id = ? ORDER BY groups.name, groups.id LIMIT \(Limits.listMax)
                """, [userID], Lookups.group)
        }
    }

    package func users(ofGroup id: String) throws(IdentityError) -> [User] {
        _ = try group(id: id)
        return try read { db in
            try Lookups.all(
                db,
                """
                SELECT users.* FROM users JOIN group_members ON group_members.user_id = users.id
                WHERE group_members.group_id = ? ORDER BY users.name, users.id LIMIT \(Limits.listMax)
                """, [id], Lookups.user)
        }
    }

    package func createGroup(
        name: String, domain: DomainReference, description: String, extra: String
    ) throws(IdentityError) -> Group {
        try checkName(name, max: Limits.userNameMax)
        try checkDescription(description)
        try checkExtra(extra)
        let domain = try self.domain(domain)
        let group = Group(id: newID(), name: name, domainID: domain.id, description: description, extra: extra)
        return try naming("group", name, domainID: domain.id) { () throws(IdentityError) in
            try write { db in
                try db.execute(
                    sql: "INSERT INTO groups (id, name, domain_id, description, extra) VALUES (?, ?, ?, ?, ?)",
                    arguments: [group.id, name, domain.id, description, extra])
                return group
            }
        }
    }

    package func updateGroup(
        id: String, name: String?, description: String?, extra: String
    ) throws(IdentityError) -> Group {
        if let name { try checkName(name, max: Limits.userNameMax) }
        try checkDescription(description)
        try checkExtra(extra)
        return try naming("group", name ?? id, domainID: nil) { () throws(IdentityError) in
            try write { db in
                try db.execute(
                    sql: """
                        UPDATE groups SET name = coalesce(?, name), description = coalesce(?, description),
                        extra = ? WHERE id = ?
                        """, arguments: [name, description, try self.merged(db, "groups", id, extra), id])
                guard let group = try Lookups.group(db, id: id) else {
                    throw IdentityError.notFound(kind: "group", id: id)
                }
                return group
            }
        }
    }

    /// Its members lose the roles that they had by it, at once.
    package func deleteGroup(id: String) throws(IdentityError) {
        try write { db in
            try db.execute(sql: "DELETE FROM groups WHERE id = ?", arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "group", id: id) }
        }
    }

    package func addMember(groupID: String, userID: String) throws(IdentityError) {
        try write { db in
            try self.checkMember(db, groupID, userID)
            try db.execute(
                sql: "INSERT INTO group_members (group_id, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                arguments: [groupID, userID])
        }
    }

    package func removeMember(groupID: String, userID: String) throws(IdentityError) {
        try write { db in
            try self.checkMember(db, groupID, userID)
            try db.execute(
                sql: "DELETE FROM group_members WHERE group_id = ? AND user_id = ?", arguments: [groupID, userID])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "user in group", id: userID) }
        }
    }

    package func isMember(groupID: String, userID: String) throws(IdentityError) -> Bool {
        try read { db in
            try self.checkMember(db, groupID, userID)
            return try Int.fetchOne(
                db, sql: "SELECT 1 FROM group_members WHERE group_id = ? AND user_id = ?",
                arguments: [groupID, userID]) != nil
        }
    }

    private func checkMember(_ db: Database, _ groupID: String, _ userID: String) throws {
        guard try Lookups.group(db, id: groupID) != nil else {
            throw IdentityError.notFound(kind: "group", id: groupID)
        }
        guard try Lookups.user(db, .id(userID)) != nil else { throw IdentityError.notFound(kind: "user", id: userID) }
    }
}
