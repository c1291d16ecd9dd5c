import ControlFace
import HTTPTypes
import Identity
import Primitives

extension Handlers {
    func answerProjects(_ call: Call) throws(IdentityError) -> Reply {
        guard case .project(let id) = call.route else {
            return call.method == .post ? try createProject(call) : try listProjects(call)
        }
        let views = Views(base: call.base)
        switch call.method {
        case .patch:
            let fields = try call.fields("project")
            if try isDomain(id) {
                try administrator(call, "update_project")
                return Reply(.ok, .of(["project": views.project(of: try changeDomain(id, fields))]))
            }
            try manager(call, "update_project") { () throws(IdentityError) in try identity.project(.id(id)).domainID }
            let known = try identity.project(.id(id))
            if let domain = try fields.optionalString("domain_id"), domain != known.domainID {
                throw .invalid("a project can't be moved to another domain")
            }
            if let parent = try fields.optionalString("parent_id"), parent != known.parentID ?? known.domainID {
                throw .forbidden(action: "identity:update_project")
            }
            let project = try identity.updateProject(id: id, try change(fields))
            return Reply(.ok, .of(["project": views.project(project)]))
        case .delete:
            if try isDomain(id) {
                try administrator(call, "delete_project")
                try identity.deleteDomain(id: id)
                return .noContent
            }
            try manager(call, "delete_project") { () throws(IdentityError) in try identity.project(.id(id)).domainID }
            try identity.deleteProject(id: id)
            return .noContent
        default:
            try canRead(call, projectID: id, "get_project")
            if try isDomain(id) {
                return Reply(.ok, .of(["project": views.project(of: try identity.domain(.id(id)))]))
            }
            var view = views.project(try identity.project(.id(id)))
            try addFamily(to: &view, call, id)
            return Reply(.ok, .of(["project": view]))
        }
    }

    private func createProject(_ call: Call) throws(IdentityError) -> Reply {
        let fields = try call.fields("project")
        let views = Views(base: call.base)
        if try fields.optionalBool("is_domain") == true {
            try administrator(call, "create_project")
            guard try fields.optionalString("domain_id") == nil, try fields.optionalString("parent_id") == nil else {
                throw .invalid("a project that acts as a domain is in no other and has no parent")
            }
            return Reply(.created, .of(["project": views.project(of: try makeDomain(fields, id: nil))]))
        }
        let caller = try manager(call, "create_project") { () throws(IdentityError) in try domainID(of: call, fields) }
        var domain = try domain(of: caller, fields)
        let parentID = try fields.optionalString("parent_id")
        if try fields.optionalString("domain_id") == nil, let parentID, !(try isDomain(parentID)) {
            domain = .id(try identity.project(.id(parentID)).domainID)
        }
        let project = try identity.createProject(
            name: try fields.string("name"), domain: domain, parentID: parentID,
            description: try fields.optionalString("description") ?? "",
            enabled: try fields.optionalBool("enabled") ?? true, tags: try fields.optionalStrings("tags") ?? [],
            extra: try fields.extra(besides: Self.projectFields, options: ["immutable"]))
        return Reply(.created, .of(["project": views.project(project)]))
    }

    private func listProjects(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        let own = try domainFilter(call, "list_projects")
        if call.flag("is_domain") == true {
            guard own == nil else { throw .forbidden(action: "identity:list_projects") }
            let domains = try identity.domains(call.filters(["name"], flags: ["enabled"]))
            return Reply(.ok, views.list("projects", path: "projects", domains) { views.project(of: $0) })
        }
        var filters = call.filters(["name", "domain_id", "description"], flags: ["enabled"])
        if let own { filters.append(own) }
        if let parent = call.query["parent_id"] {
            // At the top of a domain, the domain is the parent.
            filters +=
                try isDomain(parent)
                ? [.equals("domain_id", parent), .isNull("parent_id")] : [.equals("parent_id", parent)]
        }
        for (name, isAny, isNegated) in [
            ("tags", false, false), ("tags-any", true, false), ("not-tags", false, true), ("not-tags-any", true, true),
        ] {
            guard let text = call.query[name] else { continue }
            let tags = text.split(separator: ",").map(String.init)
            guard !tags.isEmpty, tags.count <= Limits.tagsMax else {
                throw .invalid("Invalid input for field '\(name)': it has no tags, or too many.")
            }
            filters.append(.tags(tags, any: isAny, isNegated: isNegated))
        }
        return Reply(.ok, views.list("projects", path: "projects", try identity.projects(filters), views.project))
    }

    /// A domain is a project too, for those who ask for it by its id.
    func isDomain(_ id: String) throws(IdentityError) -> Bool {
        do throws(IdentityError) {
            _ = try identity.domain(.id(id))
            return true
        } catch .notFound {
            return false
        }
    }

    /// Readers of its domain, and whoever holds a role on it.
    private func canRead(_ call: Call, projectID id: String, _ action: String) throws(IdentityError) {
        let caller = try authenticated(call)
        if try !identity.effectiveRoles(userID: caller.user.id, on: .project(id)).isEmpty { return }
        try reader(call, action) { () throws(IdentityError) in try identity.project(.id(id)).domainID }
    }

    /// What lies above and below, as the query asks.
    private func addFamily(to view: inout JSON, _ call: Call, _ id: String) throws(IdentityError) {
        let asks = { (name: String) in call.query[name] != nil && call.flag(name) != false }
        for kind in ["parents", "subtree"] {
            let (asList, asIDs) = (asks("\(kind)_as_list"), asks("\(kind)_as_ids"))
            guard !(asList && asIDs) else { throw .invalid("Cannot use \(kind)_as_list and \(kind)_as_ids at once.") }
            guard asList || asIDs else { continue }
            let isUp = kind == "parents"
            let family = try isUp ? identity.parents(ofProject: id) : identity.subtree(ofProject: id)
            if asList {
                // As a list, only those are told of that the caller could enter.
                let caller = try authenticated(call)
                let views = Views(base: call.base)
                var items: [JSON] = []
                for project in family {
                    let isOpen = try !identity.effectiveRoles(userID: caller.user.id, on: .project(project.id)).isEmpty
                    if isOpen || caller.hasRole("admin") { items.append(.of(["project": views.project(project)])) }
                }
                view.add(kind, .array(items))
            } else if isUp {
                view.add(kind, family.reversed().reduce(JSON.null) { inner, project in .of([project.id: inner]) })
            } else {
                view.add(kind, Self.tree(below: id, family))
            }
        }
    }

    private static func tree(below id: String, _ projects: [Project]) -> JSON {
        let children = projects.filter { $0.parentID == id }
        guard !children.isEmpty else { return .null }
        return .object(children.map { .init(key: $0.id, value: tree(below: $0.id, projects)) })
    }

    // MARK: Tags.

    func answerTags(_ call: Call, projectID id: String) throws(IdentityError) -> Reply {
        switch call.method {
        case .put:
            try manager(call, "update_project_tags") { () throws(IdentityError) in
                try identity.project(.id(id)).domainID
            }
            guard let body = call.body else { throw .invalid(ErrorText.malformed) }
            guard let tags = try Fields(body, path: "").optionalStrings("tags") else {
                throw .invalid("'tags' is a required property")
            }
            return tagsReply(call, try identity.updateTags(projectID: id) { _ in tags })
        case .delete:
            try manager(call, "delete_project_tags") { () throws(IdentityError) in
                try identity.project(.id(id)).domainID
            }
            _ = try identity.updateTags(projectID: id) { _ in [] }
            return .noContent
        default:
            try canRead(call, projectID: id, "list_project_tags")
            return tagsReply(call, try identity.project(.id(id)).tags)
        }
    }

    func answerTag(_ call: Call, projectID id: String, _ tag: String) throws(IdentityError) -> Reply {
        switch call.method {
        case .put:
            try manager(call, "create_project_tag") { () throws(IdentityError) in
                try identity.project(.id(id)).domainID
            }
            _ = try identity.updateTags(projectID: id) { $0.contains(tag) ? $0 : $0 + [tag] }
            var reply = Reply(.created, nil)
            reply.headers[.location] = "\(call.base)/v3/projects/\(id)/tags/\(tag)"
            return reply
        case .delete:
            try manager(call, "delete_project_tag") { () throws(IdentityError) in
                try identity.project(.id(id)).domainID
            }
            guard try identity.project(.id(id)).tags.contains(tag) else {
                throw .notFound(kind: "project tag", id: tag)
            }
            _ = try identity.updateTags(projectID: id) { $0.filter { $0 != tag } }
            return .noContent
        default:
            try canRead(call, projectID: id, "get_project_tag")
            guard try identity.project(.id(id)).tags.contains(tag) else {
                throw .notFound(kind: "project tag", id: tag)
            }
            return .noContent
        }
    }

    private func tagsReply(_ call: Call, _ tags: [String]) -> Reply {
        guard case .projectTags(let id) = call.route else { return .noContent }
        return Reply(
            .ok,
            .of([
                "tags": .array(tags.map { .string($0) }),
                "links": .of([
                    "next": .null, "self": .string("\(call.base)/v3/projects/\(id)/tags"), "previous": .null,
                ]),
            ]))
    }
}
