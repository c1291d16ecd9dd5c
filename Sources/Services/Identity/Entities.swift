/// A container of users and projects; names are unique within one.
package struct Domain: Sendable, Equatable {
    package var id: String
    package var name: String
    package var description: String
    package var enabled: Bool
    package var tags: [String] = []
    /// Attributes that clients store beside ours: a JSON object.
    package var extra = "{}"
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
    package var tags: [String] = []
    package var extra = "{}"
}

/// Users who are given roles together.
package struct Group: Sendable, Equatable {
    package var id: String
    package var name: String
    package var domainID: String
    package var description: String
    package var extra = "{}"
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
    package var extra = "{}"
    /// Unix seconds.
    package var passwordSetAt: Int64?
    /// Options that an operator set for this user.
    package var ignoresPasswordExpiry = false
    package var hasLockedPassword = false
}

/// A named set of rights.
package struct Role: Sendable, Hashable {
    package var id: String
    package var name: String
    package var description: String?
    /// nil for a role that counts everywhere; one of a domain only implies others, and is in no token.
    package var domainID: String?
    package var extra = "{}"
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

/// Who holds a role.
package enum Actor: Sendable, Hashable {
    case user(String)
    case group(String)

    /// As the `assignments` table names it.
    package var kind: String {
        switch self {
        case .user: "user"
        case .group: "group"
        }
    }

    package var id: String {
        switch self {
        case .user(let id), .group(let id): id
        }
    }
}

/// A role that a user or group holds on something, as it was granted (implied roles are not listed).
package struct RoleAssignment: Sendable, Hashable {
    package var actor: Actor
    package var roleID: String
    package var target: AssignmentTarget
    /// Held on the projects below the target, not on the target itself.
    package var isInherited: Bool

    package init(actor: Actor, roleID: String, target: AssignmentTarget, isInherited: Bool = false) {
        self.actor = actor
        self.roleID = roleID
        self.target = target
        self.isInherited = isInherited
    }

    package init(userID: String, roleID: String, target: AssignmentTarget) {
        self.init(actor: .user(userID), roleID: roleID, target: target)
    }

    package var userID: String? {
        guard case .user(let id) = actor else { return nil }
        return id
    }
}

/// A service of the catalog.
package struct CatalogService: Sendable, Equatable {
    package var id: String
    package var type: String
    package var name: String
    package var description: String?
    package var enabled: Bool
    package var extra = "{}"

    package init(id: String, type: String, name: String, description: String?, enabled: Bool, extra: String = "{}") {
        self.id = id
        self.type = type
        self.name = name
        self.description = description
        self.enabled = enabled
        self.extra = extra
    }
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
    package var extra = "{}"

    package init(
        id: String, serviceID: String, interface: String, regionID: String?, url: String, enabled: Bool,
        extra: String = "{}"
    ) {
        self.id = id
        self.serviceID = serviceID
        self.interface = interface
        self.regionID = regionID
        self.url = url
        self.enabled = enabled
        self.extra = extra
    }
}

/// A region of the catalog.
package struct Region: Sendable, Equatable {
    package var id: String
    package var description: String
    package var parentID: String?
    package var extra = "{}"

    package init(id: String, description: String, parentID: String?, extra: String = "{}") {
        self.id = id
        self.description = description
        self.parentID = parentID
        self.extra = extra
    }
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
