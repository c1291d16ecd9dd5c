import ControlFace
import HTTPTypes
import Testing
import Volumes

@testable import VolumeAPI

@Suite struct PolicyTests {
    /// Every route that changes something, asked for by somebody who may only look, and by somebody who may not even.
    @Test func readersChangeNothingAndStrangersSeeNothing() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            for route in Routes.all {
                let path = "/" + route.pattern.map { $0 == "*" ? "x" : String($0) }.joined(separator: "/")
                let body = route.method == .get || route.method == .delete ? nil : "{\"x\":{}}"
                var strangers = ["nobody"]
                if route.role != .reader { strangers.append("rita") }
                if route.role == .admin { strangers.append("ann") }
                for name in strangers {
                    let answer = try await send(route.method.rawValue, path, body, as: name)
                    #expect(answer.status == 403, "\(route.method) \(path) as \(name)")
                }
            }
        }
    }

    @Test func ofTheActionsReadersHaveTheOneThatShows() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            for action in VolumeActions.all {
                let answer = try await send.act(volume, "{\"\(action.name)\":{}}", as: "rita")
                #expect(answer.status == (action.name == "os-show_image_metadata" ? 200 : 403), "\(action.name)")
                guard action.role == .admin else { continue }
                #expect(try await send.act(volume, "{\"\(action.name)\":{}}", as: "ann").status == 403)
            }
            #expect(try await send.act("x", "{\"os-show_image_metadata\":{}}", as: "nobody").status == 403)
        }
    }

    @Test func theSecretOfATargetIsNotForReaders() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let made = try await send(
                "POST", "/attachments",
                "{\"attachment\":{\"volume_uuid\":\"\(volume)\",\"connector\":{\"initiator\":\"i\",\"host\":\"h\"}}}")
            let id = made["attachment"]?["id"]?.string ?? ""
            #expect(made["attachment"]?["connection_info"]?["auth_password"]?.string?.utf8.count == 32)
            let shown = try await send("GET", "/attachments/\(id)", as: "rita")
            #expect(shown.status == 200 && shown["attachment"]?["connection_info"] == .object([]))
            let listed = try await send("GET", "/attachments/detail", as: "rita")["attachments"]?.array
            #expect(listed?.first?["connection_info"] == .object([]))
            #expect(
                try await send("GET", "/attachments/\(id)")["attachment"]?["connection_info"]?["auth_password"] != nil)
        }
    }

    @Test func othersThingsAreNotThere() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let snapshot = try await send.snapshot(of: volume)
            for (method, path, body) in [
                ("GET", "/volumes/\(volume)", nil), ("PUT", "/volumes/\(volume)", "{\"volume\":{\"name\":\"x\"}}"),
                ("DELETE", "/volumes/\(volume)", nil), ("GET", "/volumes/\(volume)/metadata", nil),
                ("POST", "/volumes/\(volume)/metadata", "{\"metadata\":{\"a\":\"b\"}}"),
                ("POST", "/volumes/\(volume)/action", "{\"os-extend\":{\"new_size\":2}}"),
                ("POST", "/volumes/\(volume)/action", "{\"revert\":{\"snapshot_id\":\"\(snapshot)\"}}"),
                ("POST", "/volumes", "{\"volume\":{\"size\":1,\"source_volid\":\"\(volume)\"}}"),
                ("POST", "/volumes", "{\"volume\":{\"size\":1,\"snapshot_id\":\"\(snapshot)\"}}"),
                ("GET", "/snapshots/\(snapshot)", nil), ("DELETE", "/snapshots/\(snapshot)", nil),
                ("POST", "/snapshots", "{\"snapshot\":{\"volume_id\":\"\(volume)\"}}"),
                ("POST", "/volume-transfers", "{\"transfer\":{\"volume_id\":\"\(volume)\"}}"),
                ("GET", "/volumes/detail?marker=\(volume)", nil), ("GET", "/snapshots?marker=\(snapshot)", nil),
            ] as [(String, String, String?)] {
                #expect(try await send(method, path, body, as: "bob").status == 404, "\(method) \(path)")
            }
            let attachment = "{\"attachment\":{\"volume_uuid\":\"\(volume)\"}}"
            #expect(try await send("POST", "/attachments", attachment, as: "bob").status == 404)
        }
    }

    /// A compute service's user says how a snapshot fares; it can't make one up.
    @Test func reportsOfASnapshotFollowItsState() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let snapshot = try await send.snapshot(of: try await send.volume())
            func report(_ status: String, _ progress: String, as name: String = "ann") async throws -> Int {
                try await send(
                    "POST", "/snapshots/\(snapshot)/action",
                    "{\"os-update_snapshot_status\":{\"status\":\"\(status)\",\"progress\":\"\(progress)\"}}", as: name
                ).status
            }
            #expect(try await report("error", "80%") == 400)
            try await send.service.resetSnapshot(
                snapshot, to: .creating,
                for: Asker(userID: "a", projectID: "p", isAdmin: true, isService: false, requestID: "r"))
            #expect(try await report("error", "80%", as: "rita") == 403)
            #expect(try await report("error", "80%", as: "bob") == 404)
            #expect(try await report("deleting", "80%") == 400)
            #expect(try await report("error", "much") == 400)
            #expect(try await report("error", "80%") == 202)
            let shown = try await send("GET", "/snapshots/\(snapshot)")["snapshot"]
            #expect(shown?["status"] == .string("error"))
            #expect(shown?["os-extended-snapshot-attributes:progress"] == .string("80%"))
        }
    }
}
