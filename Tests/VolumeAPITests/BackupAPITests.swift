import ControlFace
import Testing
import Volumes

@testable import VolumeAPI

@Suite struct BackupAPITests {
    private static let summary: Set<String> = ["id", "name", "links"]
    private static let detail: Set<String> = [
        "id", "status", "size", "object_count", "availability_zone", "container", "created_at", "updated_at", "name",
        "description", "fail_reason", "volume_id", "links", "is_incremental", "has_dependent_backups", "snapshot_id",
        "data_timestamp",
    ]

    private static func backup(
        _ send: Harness.Sender, of volume: String, _ extra: String = "", version: Int = 71, as name: String = "ann"
    ) async throws -> String {
        let answer = try await send(
            "POST", "/backups", "{\"backup\":{\"volume_id\":\"\(volume)\"\(extra)}}", version: version, as: name)
        #expect(answer.status == 202)
        await send.service.settle()
        return answer["backup"]?["id"]?.string ?? "?"
    }

    @Test func backupsHaveTheKeysOfTheirVersion() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let made = try await send(
                "POST", "/backups", "{\"backup\":{\"volume_id\":\"\(volume)\",\"name\":\"b\"}}", version: 0)
            #expect(made.status == 202 && made["backup"]?.keys == Self.summary)
            await send.service.settle()
            let id = made["backup"]?["id"]?.string ?? ""
            for (version, more) in [
                (0, []), (18, ["os-backup-project-attr:project_id"]),
                (43, ["os-backup-project-attr:project_id", "metadata"]),
                (71, ["os-backup-project-attr:project_id", "metadata", "user_id"]),
            ] as [(Int, Set<String>)] {
                let shown = try await send("GET", "/backups/\(id)", version: version)
                #expect(shown.status == 200 && shown["backup"]?.keys == Self.detail.union(more))
                let listed = try await send("GET", "/backups/detail", version: version)["backups"]?.array?.first
                #expect(listed?.keys == Self.detail.union(more))
            }
            #expect(try await send("GET", "/backups")["backups"]?.array?.first?.keys == Self.summary)
            let body = "{\"backup\":{\"description\":\"d\"}}"
            #expect(try await send("PUT", "/backups/\(id)", body, version: 8).status == 405)
            #expect(try await send("PUT", "/backups/\(id)", body, version: 9)["backup"]?.keys == Self.summary)
            #expect(try await send("PUT", "/backups/\(id)", "{\"backup\":{}}").status == 400)
            let metadata = "{\"backup\":{\"metadata\":{\"a\":\"b\"}}}"
            #expect(try await send("PUT", "/backups/\(id)", metadata, version: 42).status == 400)
            let changed = try await send("PUT", "/backups/\(id)", metadata)
            #expect(changed["backup"]?["metadata"] == .of(["a": .string("b")]))
            #expect(try await send("GET", "/backups/\(id)")["backup"]?["description"] == .string("d"))
            #expect(try await send("DELETE", "/backups/\(id)").status == 202)
            await send.service.settle()
            #expect(try await send("GET", "/backups/\(id)").status == 404)
        }
    }

    @Test(arguments: [
        ("{}", 71, 400), ("{\"volume_id\":\"none\"}", 71, 400),
        ("{\"volume_id\":\"5c0c7d1e-0000-4000-8000-000000000009\"}", 71, 404),
        ("{\"volume_id\":\"5c0c7d1e-0000-4000-8000-000000000009\",\"bogus\":1}", 71, 400),
        ("{\"volume_id\":\"5c0c7d1e-0000-4000-8000-000000000009\",\"metadata\":{}}", 42, 400),
        ("{\"volume_id\":\"5c0c7d1e-0000-4000-8000-000000000009\",\"availability_zone\":\"nova\"}", 50, 400),
        ("{\"volume_id\":\"VOLUME\",\"availability_zone\":\"mars\"}", 51, 503),
        ("{\"volume_id\":\"VOLUME\",\"incremental\":true}", 71, 400),
        ("{\"volume_id\":\"VOLUME\",\"incremental\":\"perhaps\"}", 71, 400),
        ("{\"volume_id\":\"VOLUME\",\"container\":\"a/b\"}", 71, 400),
        ("{\"volume_id\":\"VOLUME\",\"snapshot_id\":\"x\"}", 71, 400),
        ("{\"volume_id\":\"VOLUME\",\"snapshot_id\":\"5c0c7d1e-0000-4000-8000-000000000009\"}", 71, 404),
    ])
    func badBackupsAreRefused(_ fields: String, _ version: Int, _ status: Int) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let body = "{\"backup\":\(fields.replacing("VOLUME", with: volume))}"
            #expect(try await send("POST", "/backups", body, version: version).status == status)
            #expect(try await send("GET", "/backups")["backups"] == .array([]))
            #expect(try await send.status(volume) == "available")
            #expect(harness.backups.objectCount == 0)
        }
    }

    @Test func listsAreNarrowedSortedAndCounted() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volumes = [try await send.volume(), try await send.volume()]
            let first = try await Self.backup(send, of: volumes[0], ",\"name\":\"b\"")
            let second = try await Self.backup(send, of: volumes[1], ",\"name\":\"a\"")
            func ids(_ query: String, as name: String = "ann") async throws -> [String] {
                let answer = try await send("GET", "/backups?\(query)", as: name)
                #expect(answer.status == 200)
                return answer["backups"]?.array?.compactMap { $0["id"]?.string } ?? []
            }
            #expect(try await ids("") == [second, first])
            #expect(try await ids("sort=name:desc") == [first, second])
            #expect(try await ids("volume_id=\(volumes[0])") == [first])
            #expect(try await ids("name=a&status=available") == [second])
            #expect(try await ids("limit=1&marker=\(second)") == [first])
            #expect(try await ids("", as: "bob").isEmpty)
            #expect(try await ids("all_tenants=1", as: "bob").isEmpty)
            #expect(try await ids("all_tenants=1", as: "admin").count == 2)
            #expect(try await send("GET", "/backups?with_count=true&limit=1").body?["count"] == .number("2"))
            #expect(try await send("GET", "/backups?sort=bogus").status == 400)
            #expect(try await send("GET", "/backups?bogus=1").status == 400)
            #expect(try await send("GET", "/backups/\(first)", as: "bob").status == 404)
        }
    }

    @Test func aParentStaysAsLongAsItsChildren() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let full = try await Self.backup(send, of: volume)
            let next = try await Self.backup(send, of: volume, ",\"incremental\":true")
            let shown = try await send("GET", "/backups/\(next)")["backup"]
            #expect(shown?["is_incremental"] == .bool(true) && shown?["has_dependent_backups"] == .bool(false))
            #expect(try await send("GET", "/backups/\(full)")["backup"]?["has_dependent_backups"] == .bool(true))
            #expect(try await send("DELETE", "/backups/\(full)").status == 400)
            #expect(try await send("DELETE", "/backups/\(next)").status == 202)
            await send.service.settle()
            #expect(try await send("DELETE", "/backups/\(full)").status == 202)
        }
    }

    @Test func restoringAnswersWithTheVolume() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume("\"size\":2,\"name\":\"v\"")
            let small = try await send.volume()
            let id = try await Self.backup(send, of: volume)
            func restore(_ fields: String) async throws -> Harness.Answer {
                let answer = try await send("POST", "/backups/\(id)/restore", "{\"restore\":{\(fields)}}")
                await send.service.settle()
                return answer
            }
            let new = try await restore("\"name\":\"n\"")
            #expect(new.status == 202 && new["restore"]?.keys == ["backup_id", "volume_id", "volume_name"])
            #expect(new["restore"]?["volume_name"] == .string("n"))
            #expect(try await send.status(new["restore"]?["volume_id"]?.string ?? "") == "available")
            #expect(try await restore("\"volume_id\":\"\(volume)\"").status == 202)
            #expect(try await restore("\"volume_id\":\"\(small)\"").status == 400)
            #expect(try await restore("\"volume_id\":\"x\"").status == 400)
            #expect(try await restore("\"volume_id\":\"5c0c7d1e-0000-4000-8000-000000000009\"").status == 404)
            #expect(try await restore("\"bogus\":1").status == 400)
            let quota = "{\"quota_set\":{\"gigabytes\":6,\"backups\":1}}"
            #expect(try await send("PUT", "/os-quota-sets/\(Harness.work)", quota, as: "admin").status == 200)
            #expect(try await restore("").status == 413)
            let more = try await send("POST", "/backups", "{\"backup\":{\"volume_id\":\"\(volume)\"}}")
            #expect(more.status == 413 && more.header("Retry-After") == "0")
            let limits = try await send("GET", "/limits")["limits"]?["absolute"]
            #expect(limits?["totalBackupsUsed"] == .number("1") && limits?["totalBackupGigabytesUsed"] == .number("2"))
            let made = try await send("POST", "/volumes", "{\"volume\":{\"backup_id\":\"\(id)\"}}", version: 46)
            #expect(made.status == 400)
        }
    }

    @Test func recordsTravelAsBase64() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let id = try await Self.backup(send, of: volume, ",\"name\":\"b\",\"metadata\":{\"a\":\"b\"}")
            #expect(try await send("GET", "/backups/\(id)/export_record").status == 403)
            let record = try await send("GET", "/backups/\(id)/export_record", as: "admin")["backup-record"]
            #expect(record?.keys == ["backup_service", "backup_url"])
            let driver = record?["backup_service"]?.string ?? ""
            #expect(driver.hasPrefix("cinder.backup.drivers"))
            let url = record?["backup_url"]?.string ?? ""
            func take(_ driver: String, _ url: String, as name: String = "admin") async throws -> Harness.Answer {
                try await send(
                    "POST", "/backups/import_record",
                    "{\"backup-record\":{\"backup_service\":\"\(driver)\",\"backup_url\":\"\(url)\"}}", as: name)
            }
            #expect(try await take(driver, url, as: "ann").status == 403)
            #expect(try await take(driver, url).status == 400)
            #expect(try await take(driver, "no base64!").status == 400)
            #expect(try await take(driver, "e30=").status == 400)
            let text = String(decoding: Base64Text.decode(url) ?? [], as: UTF8.self)
            let other = "5c0c7d1e-0000-4000-8000-00000000000b"
            let copy = Base64Text.encode(Array(text.replacing(id, with: other, maxReplacements: 1).utf8))
            let taken = try await take(driver, copy)
            #expect(taken.status == 201 && taken["backup"]?.keys == Self.summary)
            let shown = try await send("GET", "/backups/\(other)", as: "admin")["backup"]
            #expect(shown?["status"] == .string("available") && shown?["metadata"] == .of(["a": .string("b")]))
            #expect(shown?["name"] == .string("b") && shown?["volume_id"] == .string(volume))
        }
    }

    @Test func base64IsRightForEveryLength() {
        for count in 0..<70 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 250) }
            let text = Base64Text.encode(bytes)
            #expect(text.utf8.count == (count + 2) / 3 * 4)
            #expect(Base64Text.decode(text) == bytes)
        }
        #expect(Base64Text.encode(Array("apus".utf8)) == "YXB1cw==")
        for bad in ["A", "AB=", "A===", "AB=C", "====", "A B="] { #expect(Base64Text.decode(bad) == nil) }
    }

    @Test func administratorsSetStatesAndDelete() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let id = try await Self.backup(send, of: volume)
            func act(_ body: String, as name: String = "admin") async throws -> Int {
                let answer = try await send("POST", "/backups/\(id)/action", body, as: name)
                await send.service.settle()
                return answer.status
            }
            #expect(try await act("{\"os-reset_status\":{\"status\":\"error\"}}", as: "ann") == 403)
            #expect(try await act("{\"os-reset_status\":{\"status\":\"creating\"}}") == 400)
            #expect(try await act("{\"os-reset_status\":{}}") == 400)
            #expect(try await act("{\"os-reset_status\":{\"status\":\"error\"}}") == 202)
            #expect(try await send("GET", "/backups/\(id)")["backup"]?["status"] == .string("error"))
            #expect(try await send("GET", "/backups/\(id)/export_record", as: "admin").status == 400)
            #expect(try await act("{\"os-force_delete\":{}}", as: "ann") == 403)
            #expect(try await act("{\"os-force_delete\":{}}") == 202)
            #expect(try await send("GET", "/backups/\(id)").status == 404)
            #expect(harness.backups.objectCount == 0)
            #expect(try await send("POST", "/backups", "{}", as: "rita").status == 403)
            #expect(try await send("GET", "/backups", as: "rita").status == 200)
        }
    }
}
