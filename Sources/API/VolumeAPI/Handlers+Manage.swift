import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static func manageRoutes(_ name: String, since: Int) -> [Route] {
        [
            Route(.get, path: name, since: since, .admin, "volume_extension:list_manageable") {
                h, c async throws(VolumeError) in try await h.listManageable(c, isDetailed: false)
            },
            Route(.get, path: name + "/detail", since: since, .admin, "volume_extension:list_manageable") {
                h, c async throws(VolumeError) in try await h.listManageable(c, isDetailed: true)
            },
            Route(.post, path: name, since: since, .admin, "volume_extension:volume_manage") {
                h, c async throws(VolumeError) in try await h.manageVolume(c)
            },
        ]
    }

    static func manageSnapshotRoutes(_ name: String, since: Int) -> [Route] {
        [
            Route(.get, path: name, since: since, .admin, "snapshot_extension:list_manageable") {
                h, c async throws(VolumeError) in try await h.listManageableSnapshots(c, isDetailed: false)
            },
            Route(.get, path: name + "/detail", since: since, .admin, "snapshot_extension:list_manageable") {
                h, c async throws(VolumeError) in try await h.listManageableSnapshots(c, isDetailed: true)
            },
            Route(.post, path: name, since: since, .admin, "snapshot_extension:snapshot_manage") {
                h, c async throws(VolumeError) in try await h.manageSnapshot(c)
            },
        ]
    }
}

extension Handlers {
    private static func view(_ item: Manageable, isDetailed: Bool) -> JSON {
        var view = JSON.of([
            "reference": .of(["source-name": .string(item.reference)]), "size": Views.number(item.size),
            "safe_to_manage": .bool(item.managedAs == nil),
        ])
        if let source = item.sourceReference {
            view.add("source_reference", .of(["source-name": .string(source)]))
        }
        guard isDetailed else { return view }
        view.add("reason_not_safe", item.managedAs == nil ? .null : .string("already managed"))
        view.add("cinder_id", .text(item.managedAs))
        view.add("extra_info", .null)
        return view
    }

    private func host(_ call: Call) throws(VolumeError) -> String {
        guard let host = call.parameter("host") else {
            throw .invalid("Invalid input received: host is a required parameter.")
        }
        return host
    }

    /// One page: there is no order but the driver's, so paging is by offset.
    private func page<T>(_ call: Call, _ items: [T]) throws(VolumeError) -> [T] {
        func natural(_ name: String, _ standard: Int) throws(VolumeError) -> Int {
            guard let text = call.parameter(name) else { return standard }
            guard let number = Int(text), number >= 0 else {
                throw .invalid("\(name) must be an integer of at least 0.")
            }
            return number
        }
        return Array(
            items.dropFirst(try natural("offset", 0)).prefix(min(FaceLimits.pageMax, try natural("limit", .max))))
    }

    func listManageable(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let items = try page(call, try await volumes.manageableVolumes(host: try host(call)))
        return .ok(.of(["manageable-volumes": .array(items.map { Self.view($0, isDetailed: isDetailed) })]))
    }

    func listManageableSnapshots(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let items = try page(call, try await volumes.manageableSnapshots(host: try host(call)))
        return .ok(.of(["manageable-snapshots": .array(items.map { Self.view($0, isDetailed: isDetailed) })]))
    }

    private func reference(_ fields: Shape) throws(VolumeError) -> String {
        guard fields.has("ref") else { throw .invalid("'ref' is a required property") }
        guard let reference = try fields.object("ref") else { throw .invalid("'ref' is a required property") }
        guard let name = try reference.text("source-name", or: "source-id") else {
            throw .invalid("Invalid input for field/attribute ref. It needs a source-name.")
        }
        return name
    }

    func manageVolume(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("volume").only([
            "host", "cluster", "ref", "name", "description", "volume_type", "availability_zone", "bootable", "metadata",
        ])
        let detail = try await volumes.manageVolume(
            ManageRequest(
                reference: try reference(fields), host: try fields.requiredText("host"), name: try fields.text("name"),
                description: try fields.text("description"), type: try fields.text("volume_type"),
                zone: try fields.text("availability_zone"), isBootable: try fields.bool("bootable") ?? false,
                metadata: try fields.metadata("metadata") ?? [:]), for: call.asker)
        return Reply(.accepted, .of(["volume": Views(call).volume(detail, isFull: false)]))
    }

    func manageSnapshot(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("snapshot").only(["volume_id", "ref", "name", "description", "metadata"])
        let detail = try await volumes.manageSnapshot(
            try reference(fields),
            SnapshotRequest(
                volumeID: try fields.requiredText("volume_id"), name: try fields.text("name"),
                description: try fields.text("description"), metadata: try fields.metadata("metadata") ?? [:],
                allowsInUse: true), for: call.asker)
        return Reply(.accepted, .of(["snapshot": Views(call).snapshot(detail, isFull: false)]))
    }
}
