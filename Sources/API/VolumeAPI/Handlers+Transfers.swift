import ControlFace
import HTTPTypes
import Primitives
import Volumes

extension Routes {
    /// The same under the old address and the new; the new one tells more.
    static func transferRoutes(_ name: String, since: Int, isNewer: Bool) -> [Route] {
        func route(
            _ method: HTTPRequest.Method, _ tail: String, _ role: Route.Role, _ rule: String,
            _ handler: @escaping Route.Handler
        ) -> Route {
            Route(method, path: name + tail, since: since, role, "volume:\(rule)", handler)
        }
        return [
            route(.get, "", .reader, "get_all_transfers") { h, c async throws(VolumeError) in
                try await h.listTransfers(c, isDetailed: false, isNewer: isNewer)
            },
            route(.post, "", .member, "create_transfer") { h, c async throws(VolumeError) in
                try await h.createTransfer(c, isNewer: isNewer)
            },
            route(.get, "/detail", .reader, "get_all_transfers") { h, c async throws(VolumeError) in
                try await h.listTransfers(c, isDetailed: true, isNewer: isNewer)
            },
            route(.get, "/*", .reader, "get_transfer") { h, c async throws(VolumeError) in
                let transfer = try await h.volumes.transfer(c.arguments[0], for: c.asker)
                return .ok(.of(["transfer": Views(c).transfer(transfer, key: nil, isNewer: isNewer)]))
            },
            route(.delete, "/*", .member, "delete_transfer") { h, c async throws(VolumeError) in
                try await h.volumes.deleteTransfer(c.arguments[0], for: c.asker)
                return .accepted
            },
            route(.post, "/*/accept", .member, "accept_transfer") { h, c async throws(VolumeError) in
                let fields = try c.fields("accept").only(["auth_key"])
                let key = Secret(try fields.requiredText("auth_key"))
                let transfer = try await h.volumes.acceptTransfer(c.arguments[0], key: key, for: c.asker)
                return Reply(.accepted, .of(["transfer": Views(c).transferSummary(transfer)]))
            },
        ]
    }
}

extension Handlers {
    func listTransfers(_ call: Call, isDetailed: Bool, isNewer: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.transfers, "transfers", id: { $0.id },
            view: {
                isDetailed ? views.transfer($0, key: nil, isNewer: isNewer) : views.transferSummary($0)
            },
            fetch: { query async throws(VolumeError) in
                try await volumes.transfers(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func createTransfer(_ call: Call, isNewer: Bool) async throws(VolumeError) -> Reply {
        let fields = try call.fields("transfer")
        try fields.only(isNewer ? ["volume_id", "name", "no_snapshots"] : ["volume_id", "name"])
        let made = try await volumes.createTransfer(
            volumeID: try fields.requiredText("volume_id"), name: try fields.text("name"),
            noSnapshots: try fields.bool("no_snapshots") ?? false, allowsEncrypted: call.version.minor >= 70,
            for: call.asker)
        return Reply(
            .accepted, .of(["transfer": Views(call).transfer(made.transfer, key: made.key, isNewer: isNewer)]))
    }
}
