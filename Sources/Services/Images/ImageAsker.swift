/// Who asks, as the image service sees them.
package struct ImageAsker: Sendable, Equatable {
    package var userID: String
    /// The project of the token; images belong to projects.
    package var projectID: String
    package var roles: Set<String>
    /// Whether the caller, or the service that calls for them, has the role `service`.
    package var isService: Bool
    /// For tasks, whose view names the request that began them.
    package var requestID: String

    package var isAdmin: Bool { roles.contains("admin") }
    package var isReader: Bool { isAdmin || !roles.isDisjoint(with: ["reader", "member", "service"]) }
    package var isMember: Bool { isAdmin || !roles.isDisjoint(with: ["member", "service"]) }

    package init(userID: String, projectID: String, roles: Set<String>, isService: Bool, requestID: String) {
        self.userID = userID
        self.projectID = projectID
        self.roles = roles
        self.isService = isService
        self.requestID = requestID
    }
}
