/// A container of users and projects; names are unique within one.
package struct Domain: Sendable, Equatable {
    package var id: String
    package var name: String
    package var description: String
    package var enabled: Bool
}

/// What owns objects, images and volumes.
package struct Project: Sendable, Equatable {
    package var id: String
    package var name: String
    package var domainID: String
    /// nil at the top of its domain.
    package var parentID: String?
    package var description: String
    package var enabled: Bool
}

/// Someone who can sign in. The password's hash never leaves the tables in this type.
package struct User: Sendable, Equatable {
    package var id: String
    package var name: String
    package var domainID: String
    package var defaultProjectID: String?
    package var email: String?
    package var description: String?
    package var enabled: Bool
}

/// A named set of rights.
package struct Role: Sendable, Hashable {
    package var id: String
    package var name: String
    package var description: String?
}

/// What a role is held on.
package enum AssignmentTarget: Sendable, Hashable {
    case project(String)
    case domain(String)
    case system

    /// As the `assignments` table names it.
    var kind: String {
        switch self {
        case .project: "project"
        case .domain: "domain"
        case .system: "system"
        }
    }

    var id: String {
        switch self {
        case .project(let id), .domain(let id): id
        case .system: "all"
        }
    }
}

/// A role that a user holds on something, as it was granted (implied roles are not listed).
package struct RoleAssignment: Sendable, Equatable {
    package var userID: String
    package var roleID: String
    package var target: AssignmentTarget

    package init(userID: String, roleID: String, target: AssignmentTarget) {
        self.userID = userID
        self.roleID = roleID
        self.target = target
    }
}

/// A service of the catalog.
package struct CatalogService: Sendable, Equatable {
    package var id: String
    package var type: String
    package var name: String
    package var description: String?
    package var enabled: Bool
}

/// Where a service is reached.
package struct CatalogEndpoint: Sendable, Equatable {
    package var id: String
    package var serviceID: String
    /// `public`, `internal` or `admin`.
    package var interface: String
    package var regionID: String?
    /// With `%(project_id)s` and the like still in it.
    package var url: String
    package var enabled: Bool
}

/// A region of the catalog.
package struct Region: Sendable, Equatable {
    package var id: String
    package var description: String
    package var parentID: String?
}

/// One answer to a list request.
package struct Listing<Item: Sendable>: Sendable {
    package var items: [Item]
    /// `Limits.listMax` cut it.
    package var isTruncated: Bool

    package init(items: [Item], isTruncated: Bool) {
        self.items = items
        self.isTruncated = isTruncated
    }
}

/// A domain as a request names it.
package enum DomainReference: Sendable, Equatable {
    case id(String)
    case name(String)

    /// The domain that every installation has.
    package static let standard = DomainReference.id("default")
}

/// A user as a request names them.
package enum UserReference: Sendable, Equatable {
    case id(String)
    case name(String, DomainReference)
}

/// A project as a request names it.
package enum ProjectReference: Sendable, Equatable {
    case id(String)
    case name(String, DomainReference)
}
