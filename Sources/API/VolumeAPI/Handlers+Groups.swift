import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let groupRoutes: [Route] = groupItselfRoutes + groupSnapshotRoutes + groupTypeRoutes

    private static let groupItselfRoutes: [Route] = [
        Route(.get, "groups", since: 13, .reader, "group:get_all") { h, c async throws(VolumeError) in
            try await h.listGroups(c, isDetailed: false)
        },
        Route(.post, "groups", since: 13, .member, "group:create") { h, c async throws(VolumeError) in
            try await h.createGroup(c)
        },
        Route(.get, "groups/detail", since: 13, .reader, "group:get_all") { h, c async throws(VolumeError) in
            try await h.listGroups(c, isDetailed: true)
        },
        Route(.post, "groups/action", since: 14, .member, "group:create") { h, c async throws(VolumeError) in
            try await h.createGroupFromSource(c)
        },
        Route(.get, "groups/*", since: 13, .reader, "group:get") { h, c async throws(VolumeError) in
            let found = try await h.volumes.group(c.arguments[0], for: c.asker)
            let wantsVolumes = try c.version.minor >= 25 ? c.flag("list_volume") ?? false : false
            return .ok(.of(["group": Views(c).group(found.group, volumes: wantsVolumes ? found.volumes : nil)]))
        },
        Route(.put, "groups/*", since: 13, .member, "group:update") { h, c async throws(VolumeError) in
            try await h.updateGroup(c)
        },
        Route(.post, "groups/*/action", since: 13, .member, "group:action") { h, c async throws(VolumeError) in
            try await h.act(c, GroupActions.all)
        },
    ]

    private static let groupSnapshotRoutes: [Route] = [
        Route(.get, "group_snapshots", since: 14, .reader, "group:get_all_group_snapshots") {
            h, c async throws(VolumeError) in
            try await h.listGroupSnapshots(c, isDetailed: false)
        },
        Route(.post, "group_snapshots", since: 14, .member, "group:create_group_snapshot") {
            h, c async throws(VolumeError) in
            let fields = try c.fields("group_snapshot").only(["group_id", "name", "description"])
            let snapshot = try await h.volumes.createGroupSnapshot(
                groupID: try fields.requiredText("group_id"), name: try fields.text("name"),
                description: try fields.text("description"), for: c.asker)
            return Reply(.accepted, .of(["group_snapshot": Views.groupSnapshotSummary(snapshot, withType: true)]))
        },
        Route(.get, "group_snapshots/detail", since: 14, .reader, "group:get_all_group_snapshots") {
            h, c async throws(VolumeError) in try await h.listGroupSnapshots(c, isDetailed: true)
        },
        Route(.get, "group_snapshots/*", since: 14, .reader, "group:get_group_snapshot") {
            h, c async throws(VolumeError) in
            let snapshot = try await h.volumes.groupSnapshot(c.arguments[0], for: c.asker)
            return .ok(.of(["group_snapshot": Views(c).groupSnapshot(snapshot)]))
        },
        Route(.delete, "group_snapshots/*", since: 14, .member, "group:delete_group_snapshot") {
            h, c async throws(VolumeError) in
            try await h.volumes.deleteGroupSnapshot(c.arguments[0], for: c.asker)
            return .accepted
        },
        Route(.post, "group_snapshots/*/action", since: 19, .admin, "group:reset_group_snapshot_status") {
            h, c async throws(VolumeError) in
            try await h.act(
                c,
                [
                    Action("reset_status", .admin, "group:reset_group_snapshot_status") {
                        h, c, id, body async throws(VolumeError) in
                        guard let status = try h.one("status", body, GroupStatus.init(rawValue:)) else {
                            throw .invalid("'status' is a required property")
                        }
                        try await h.volumes.resetGroupSnapshot(id, to: status, for: c.asker)
                        return .accepted
                    }
                ])
        },
    ]

    private static let groupTypeRoutes: [Route] = [
        Route(.get, "group_types", since: 11, .reader, "group:group_types_get") { h, c async throws(VolumeError) in
            let views = Views(c)
            let isPublic = try h.publicFilter(c)
            return try await h.list(
                c, ListRequest.groupTypes, "group_types", id: { $0.id }, view: { views.groupType($0) },
                fetch: { query async throws(VolumeError) in
                    try await h.volumes.groupTypes(query, isPublic: isPublic, for: c.asker)
                })
        },
        Route(.post, "group_types", since: 11, .admin, "group:group_types:create") { h, c async throws(VolumeError) in
            let fields = try c.fields("group_type").only(["name", "description", "is_public", "group_specs"])
            let specs = fields.value["group_specs"].flatMap { $0 == .null ? nil : $0 } ?? .object([])
            let type = try await h.volumes.createGroupType(
                name: try fields.requiredText("name"), description: try fields.text("description"),
                isPublic: try fields.bool("is_public") ?? true,
                specs: try Shape.facts(specs, "group_specs", keysMayHave: Shape.isSpecByte))
            return Reply(.accepted, .of(["group_type": Views(c).groupType(type)]))
        },
        Route(.get, "group_types/default", since: 11, .reader, "group:group_types_get") {
            h, c async throws(VolumeError) in
            .ok(.of(["group_type": Views(c).groupType(try await h.volumes.defaultGroupType(for: c.asker))]))
        },
        Route(.get, "group_types/*", since: 11, .reader, "group:group_types_get") { h, c async throws(VolumeError) in
            let type = try await h.volumes.groupType(c.arguments[0], for: c.asker)
            return .ok(.of(["group_type": Views(c).groupType(type)]))
        },
        Route(.put, "group_types/*", since: 11, .admin, "group:group_types:update") { h, c async throws(VolumeError) in
            let fields = try c.fields("group_type").only(["name", "description", "is_public"])
            guard !fields.names.isEmpty else { throw .invalid("Specify a name, a description or is_public.") }
            let name = try fields.text("name")
            if let name, name.isEmpty { throw .invalid("Group type name can not be empty.") }
            let type = try await h.volumes.updateGroupType(
                c.arguments[0], name: name, description: try fields.change("description"),
                isPublic: try fields.bool("is_public"))
            return .ok(.of(["group_type": Views(c).groupType(type)]))
        },
        Route(.delete, "group_types/*", since: 11, .admin, "group:group_types:delete") {
            h, c async throws(VolumeError) in
            try await h.volumes.deleteGroupType(c.arguments[0])
            return .accepted
        },
        Route(.get, "group_types/*/group_specs", since: 11, .admin, "group:group_types_specs") {
            h, c async throws(VolumeError) in
            let type = try await h.volumes.groupType(c.arguments[0], for: c.asker)
            return .ok(.of(["group_specs": Views.facts(type.specs)]))
        },
        Route(.post, "group_types/*/group_specs", since: 11, .admin, "group:group_types_specs") {
            h, c async throws(VolumeError) in
            guard let json = c.body?["group_specs"], c.body?.members?.count == 1 else {
                throw .invalid("'group_specs' is a required property")
            }
            let specs = try Shape.facts(json, "group_specs", keysMayHave: Shape.isSpecByte)
            try await h.volumes.setGroupSpecs(c.arguments[0], specs)
            return Reply(.accepted, .of(["group_specs": Views.facts(specs)]))
        },
        Route(.get, "group_types/*/group_specs/*", since: 11, .admin, "group:group_types_specs") {
            h, c async throws(VolumeError) in
            let type = try await h.volumes.groupType(c.arguments[0], for: c.asker)
            guard let value = type.specs[c.arguments[1]] else {
                throw .notFound(kind: "Group Type \(type.id) has no specs with key", id: c.arguments[1])
            }
            return .ok(Views.facts([c.arguments[1]: value]))
        },
        Route(.put, "group_types/*/group_specs/*", since: 11, .admin, "group:group_types_specs") {
            h, c async throws(VolumeError) in
            guard let body = c.body else { throw .invalid("Missing request body") }
            let specs = try Shape.facts(body, "group_specs", keysMayHave: Shape.isSpecByte)
            guard specs.count == 1, specs[c.arguments[1]] != nil else {
                throw .invalid("Request body and URI mismatch")
            }
            try await h.volumes.setGroupSpecs(c.arguments[0], specs)
            return .ok(Views.facts(specs))
        },
        Route(.delete, "group_types/*/group_specs/*", since: 11, .admin, "group:group_types_specs") {
            h, c async throws(VolumeError) in
            try await h.volumes.removeGroupSpec(c.arguments[0], c.arguments[1])
            return .accepted
        },
    ]
}

/// `POST /groups/{id}/action`.
private enum GroupActions {
    static let all: [Action] =
        [
            Action("delete", .member, "group:delete") { h, c, id, body async throws(VolumeError) in
                try body.only(["delete-volumes"])
                try await h.volumes.deleteGroup(
                    id, deletesVolumes: try body.bool("delete-volumes") ?? false, for: c.asker)
                return .accepted
            },
            Action("reset_status", since: 20, .admin, "group:reset_status") {
                h, c, id, body async throws(VolumeError) in
                guard let status = try h.one("status", body, GroupStatus.init(rawValue:)) else {
                    throw .invalid("'status' is a required property")
                }
                try await h.volumes.resetGroup(id, to: status, for: c.asker)
                return .accepted
            },
        ]
        + ["enable_replication", "disable_replication", "failover_replication", "list_replication_targets"].map {
            name in
            Action(name, since: 38, .member, "group:\(name)") { h, c, id, _ async throws(VolumeError) in
                _ = try await h.volumes.group(id, for: c.asker)
                throw .invalid("Invalid group type: the group is of no type that is replicated.")
            }
        }
}

extension Views {
    static func groupSnapshotSummary(_ snapshot: GroupSnapshot, withType: Bool) -> JSON {
        var view = JSON.of(["id": .string(snapshot.id), "name": .text(snapshot.name)])
        if withType { view.add("group_type_id", .string(snapshot.groupTypeID)) }
        return view
    }
}

extension Handlers {
    private static func summary(_ group: VolumeGroup) -> JSON {
        .of(["id": .string(group.id), "name": .text(group.name)])
    }

    func listGroups(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.groups, "groups", id: { $0.id },
            view: { isDetailed ? views.group($0, volumes: nil) : Self.summary($0) },
            fetch: { query async throws(VolumeError) in
                try await volumes.groups(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func listGroupSnapshots(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.groupSnapshots, "group_snapshots", id: { $0.id },
            view: { isDetailed ? views.groupSnapshot($0) : Views.groupSnapshotSummary($0, withType: false) },
            fetch: { query async throws(VolumeError) in
                try await volumes.groupSnapshots(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func createGroup(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("group")
        try fields.only(["name", "description", "group_type", "volume_types", "availability_zone"])
        guard let types = fields.value["volume_types"]?.array?.compactMap(\.string), !types.isEmpty,
            types.count <= FaceLimits.filtersMax, types.count == fields.value["volume_types"]?.array?.count
        else { throw .invalid("volume_types must be provided to create group.") }
        let group = try await volumes.createGroup(
            name: try fields.text("name"), description: try fields.text("description"),
            type: try fields.requiredText("group_type"), volumeTypes: types,
            zone: try fields.text("availability_zone"), for: call.asker)
        return Reply(.accepted, .of(["group": Self.summary(group)]))
    }

    func updateGroup(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("group").only(["name", "description", "add_volumes", "remove_volumes"])
        guard !fields.names.isEmpty else {
            throw .invalid(
                "Name, description, add_volumes, and remove_volumes can not be all empty in the request body.")
        }
        func ids(_ text: String?) -> [String] { (text ?? "").split(separator: ",").map(String.init) }
        let room = Limits.groupVolumesMax * 40
        try await volumes.updateGroup(
            call.arguments[0],
            .init(
                name: try fields.change("name"), description: try fields.change("description"),
                added: ids(try fields.text("add_volumes", max: room)),
                removed: ids(try fields.text("remove_volumes", max: room))), for: call.asker)
        return .accepted
    }

    func createGroupFromSource(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("create-from-src")
        try fields.only(["name", "description", "group_snapshot_id", "source_group_id"])
        let source: VolumeService.GroupSource
        switch (try fields.text("group_snapshot_id"), try fields.text("source_group_id")) {
        case (let snapshot?, nil): source = .groupSnapshot(snapshot)
        case (nil, let group?): source = .group(group)
        default:
            throw .invalid(
                "Either 'group_snapshot_id' or 'source_group_id' must be provided to create a group from source.")
        }
        let group = try await volumes.createGroup(
            from: source, name: try fields.text("name"), description: try fields.text("description"), for: call.asker)
        return Reply(.accepted, .of(["group": Self.summary(group)]))
    }
}
