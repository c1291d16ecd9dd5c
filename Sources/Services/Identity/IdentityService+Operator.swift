package import Primitives

/// What the `apus` command asks for, by names in the default domain. All block; those with a password are slow.
extension IdentityService {
    package func createProject(named name: String, description: String) throws(IdentityError) -> Project {
        try createProject(name: name, domain: .standard, parentID: nil, description: description, enabled: true)
    }

    /// - Parameters:
    ///   - password: nil for a random one, which is returned.
    ///   - project: by name; becomes the user's default project, and `role` is given on it.
    package func createUser(
        named name: String, password: Secret?, project: String?, role: String
    ) throws(IdentityError) -> (user: User, password: Secret) {
        let secret = password ?? Secret(Base64.encodeURL(configuration.randomBytes(24), padded: false))
        // Looked up first, so that a mistyped name leaves no half-made user.
        var target: Project?
        if let project { target = try self.project(.name(project, .standard)) }
        let role = try self.role(name: role)
        let user = try createUser(
            NewUser(
                name: name, domain: .standard, password: secret, defaultProjectID: target?.id, email: nil,
                description: nil, enabled: true))
        if let target { try grant(RoleAssignment(userID: user.id, roleID: role.id, target: .project(target.id))) }
        return (user, secret)
    }

    /// - Parameter project: by name; nil for the whole system.
    package func grant(role: String, user: String, project: String?) throws(IdentityError) {
        try grant(try assignment(role: role, user: user, project: project))
    }

    /// - Parameter project: by name; nil for the whole system.
    package func withdraw(role: String, user: String, project: String?) throws(IdentityError) {
        try withdraw(try assignment(role: role, user: user, project: project))
    }

    private func assignment(
        role: String, user: String, project: String?
    ) throws(IdentityError) -> RoleAssignment {
        let user = try self.user(.name(user, .standard))
        let role = try self.role(name: role)
        var target = AssignmentTarget.system
        if let project { target = .project(try self.project(.name(project, .standard)).id) }
        return RoleAssignment(userID: user.id, roleID: role.id, target: target)
    }
}
