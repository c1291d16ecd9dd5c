import ControlFace
import Testing
import Volumes

@testable import VolumeAPI

/// What tempest's schemas let through: nothing else may be there.
enum Strict {
    static let created: Set<String> = [
        "attachments", "links", "availability_zone", "encrypted", "updated_at", "replication_status", "snapshot_id",
        "id", "size", "user_id", "metadata", "status", "description", "multiattach", "source_volid",
        "consistencygroup_id", "name", "bootable", "created_at", "volume_type",
    ]
    static let snapshot: Set<String> = [
        "status", "description", "created_at", "name", "volume_id", "metadata", "id", "size", "updated_at",
    ]
}

@Suite struct VolumeTests {
    @Test(
        arguments: [
            (0, []), (13, ["group_id"]), (48, ["group_id", "shared_targets", "service_uuid"]),
            (63, ["group_id", "shared_targets", "service_uuid", "volume_type_id"]),
            (71, ["group_id", "shared_targets", "service_uuid", "volume_type_id", "consumes_quota"]),
        ] as [(Int, Set<String>)])
    func aVolumeHasExactlyTheKeysOfItsVersion(_ minor: Int, _ more: Set<String>) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let made = try await send("POST", "/volumes", "{\"volume\":{\"size\":1}}", version: minor)
            #expect(made.status == 202)
            #expect(made["volume"]?.keys == Strict.created.union(more))
            #expect(made["volume"]?["status"] == .string("creating"))
            #expect(made["volume"]?["bootable"] == .string("false"))
            await send.service.settle()
            let id = made["volume"]?["id"]?.string ?? ""
            let shown = try await send("GET", "/volumes/\(id)", version: minor)
            #expect(shown["volume"]?.keys == Strict.created.union(more).union(["os-vol-tenant-attr:tenant_id"]))
            let updated = try await send(
                "PUT", "/volumes/\(id)", "{\"volume\":{\"name\":\"n\"}}", version: minor)
            #expect(updated.status == 200 && updated["volume"]?.keys == Strict.created.union(more))
            let list = try await send("GET", "/volumes", version: minor)
            #expect(list["volumes"]?.array?.map(\.keys) == [["id", "name", "links"]])
        }
    }

    @Test func administratorsSeeMore() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume()
            let shown = try await send("GET", "/volumes/\(id)", as: "admin")
            let more: Set<String> = [
                "os-vol-host-attr:host", "os-vol-mig-status-attr:migstat", "os-vol-mig-status-attr:name_id",
                "migration_status", "provider_id", "cluster_name",
            ]
            #expect(shown["volume"]?.keys.isSuperset(of: more) ?? false)
        }
    }

    @Test(arguments: [
        ("\"size\":0", 400), ("\"size\":-1", 400), ("\"size\":\"big\"", 400), ("\"size\":\"2\"", 202), ("", 400),
        ("\"size\":2147483648", 400), ("\"size\":1.5", 400), ("\"size\":1,\"bogus\":1", 400),
        ("\"size\":1,\"volume_type\":\"none\"", 404), ("\"size\":1,\"availability_zone\":\"mars\"", 400),
        ("\"size\":1,\"multiattach\":true", 400), ("\"size\":1,\"multiattach\":\"no\"", 202),
        ("\"size\":1,\"imageRef\":\"cirros\"", 400), ("\"size\":1,\"backup_id\":\"x\"", 404),
        ("\"size\":1,\"snapshot_id\":\"x\"", 404), ("\"size\":1,\"source_volid\":\"x\"", 404),
        ("\"size\":1,\"metadata\":{\"\":\"x\"}", 400), ("\"size\":1,\"metadata\":{\"k\":1}", 400),
        ("\"size\":1,\"name\":7", 400), ("\"size\":1,\"name\":\"  n \"", 202), ("\"size\":2000", 413),
    ])
    func creationChecksEveryField(_ fields: String, _ status: Int) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let answer = try await send("POST", "/volumes", "{\"volume\":{\(fields)}}")
            #expect(answer.status == status, "\(answer.message ?? "")")
            if status == 413 {
                #expect(answer.fault == "overLimit" && answer.header("Retry-After") != nil)
            }
        }
    }

    @Test func unknownFieldsPassBeforeTheStrictVersion() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let body = "{\"volume\":{\"size\":1,\"bogus\":1}}"
            #expect(try await send("POST", "/volumes", body, version: 52).status == 202)
            #expect(try await send("POST", "/volumes", body, version: 53).status == 400)
            let id = try await send.volume()
            #expect(try await send("PUT", "/volumes/\(id)", "{\"volume\":{}}", version: 53).status == 400)
        }
    }

    @Test func listsArePagedSortedAndFiltered() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let a = try await send.volume("\"size\":1,\"name\":\"a\",\"metadata\":{\"k\":\"v\"}")
            let b = try await send.volume("\"size\":2,\"name\":\"b\"")
            func ids(_ query: String, version: Int = 71, as name: String = "ann") async throws -> [String] {
                let answer = try await send("GET", "/volumes?\(query)", version: version, as: name)
                return answer["volumes"]?.array?.compactMap { $0["id"]?.string } ?? ["status \(answer.status)"]
            }
            #expect(try await ids("") == [b, a])
            #expect(try await ids("sort=name:asc") == [a, b])
            #expect(try await ids("sort_key=size&sort_dir=desc") == [b, a])
            #expect(try await ids("name=a") == [a])
            #expect(try await ids("name=none").isEmpty)
            #expect(try await ids("status=bogus").isEmpty)
            #expect(try await ids("metadata=%7B'k':%20'v'%7D") == [a])
            #expect(try await ids("name~=b") == [b])
            #expect(try await ids("size=2") == [b])
            #expect(try await ids("bootable=false").count == 2)
            #expect(try await ids("created_at=gt:2027-01-01T00:00:00").isEmpty)
            #expect(try await ids("created_at=gt:2020-01-01T00:00:00,lt:2027-01-01T00:00:00").count == 2)
            #expect(try await ids("limit=0").isEmpty)
            #expect(try await ids("marker=\(b)") == [a])
            #expect(try await ids("all_tenants=1", as: "bob").isEmpty)
            let page = try await send("GET", "/volumes?limit=1&with_count=true&sort=name:asc")
            #expect(page["count"] == .number("2"))
            let next = page["volumes_links"]?.array?.first?["href"]?.string ?? ""
            #expect(next.contains("marker=\(a)") && next.contains("limit=1"))
            for bad in [
                "limit=-1", "limit=x", "sort=bogus", "sort=name:up", "sort=name&sort_key=name", "bogus=1",
                "bootable=maybe", "created_at=gt:x", "offset=-1", "with_count=maybe",
            ] {
                #expect(try await send("GET", "/volumes?\(bad)").status == 400, "\(bad)")
            }
            #expect(try await send("GET", "/volumes?marker=none").status == 404)
            #expect(try await ids("bogus=1", version: 30).count == 2)
            #expect(try await ids("bogus=1", as: "admin").isEmpty)
        }
    }

    @Test func metadataHasTags() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume("\"size\":1,\"metadata\":{\"a\":\"1\"}")
            let path = "/volumes/\(id)/metadata"
            let shown = try await send("GET", path)
            #expect(shown["metadata"] == .of(["a": .string("1")]))
            let tag = try #require(shown.header("ETag"))
            let merged = try await send("POST", path, "{\"metadata\":{\"b\":\"2\"}}", headers: ["If-Match": tag])
            #expect(merged.status == 200 && merged["metadata"]?.keys == ["a", "b"])
            let stale = try await send("PUT", path, "{\"metadata\":{}}", headers: ["If-Match": tag])
            #expect(stale.status == 412)
            #expect(try await send("PUT", "\(path)/a", "{\"meta\":{\"a\":\"3\"}}")["meta"]?["a"] == .string("3"))
            #expect(try await send("PUT", "\(path)/a", "{\"meta\":{\"b\":\"3\"}}").status == 400)
            #expect(try await send("DELETE", "\(path)/a").status == 200)
            #expect(try await send("GET", "\(path)/a").status == 404)
            #expect(try await send("DELETE", "\(path)/a").status == 404)
            let long = String(repeating: "k", count: 256)
            #expect(try await send("POST", path, "{\"metadata\":{\"\(long)\":\"2\"}}").status == 400)
            #expect(try await send("PUT", path, "{\"metadata\":{}}")["metadata"] == .object([]))
        }
    }

    @Test func actionsAreOneAtATimeAndOfTheirVersion() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume()
            #expect(try await send.act(id, "{}").status == 400)
            #expect(try await send.act(id, "{\"os-none\":{}}").status == 400)
            #expect(try await send.act(id, "{\"os-reserve\":{},\"os-unreserve\":{}}").status == 400)
            #expect(try await send.act(id, "{\"revert\":{\"snapshot_id\":\"x\"}}", version: 39).status == 400)
            #expect(try await send.act("none", "{\"os-reserve\":{}}").status == 404)
            #expect(try await send.act(id, "{\"os-reserve\":{}}").status == 202)
            #expect(try await send.act(id, "{\"os-reserve\":{}}").status == 400)
            #expect(try await send.act(id, "{\"os-unreserve\":{}}").status == 202)
            #expect(try await send.act(id, "{\"os-force_delete\":{}}").status == 403)
            #expect(try await send.act(id, "{\"os-reset_status\":{\"status\":\"error\"}}").status == 403)
            #expect(try await send.act(id, "{\"os-reset_status\":{}}", as: "admin").status == 400)
            #expect(try await send.act(id, "{\"os-reset_status\":{\"status\":\"odd\"}}", as: "admin").status == 400)
            let reset = try await send.act(id, "{\"os-reset_status\":{\"status\":\"error\"}}", as: "admin")
            #expect(reset.status == 202)
            #expect(try await send.status(id) == "error")
            #expect(try await send.act(id, "{\"os-force_delete\":{}}", as: "admin").status == 202)
            #expect(try await send("GET", "/volumes/\(id)").status == 404)
        }
    }

    @Test(arguments: [("1", 400), ("\"x\"", 400), ("null", 400), ("3", 202), ("\"3\"", 202), ("5000", 413)])
    func extendingChecksTheSize(_ size: String, _ status: Int) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume()
            #expect(try await send.act(id, "{\"os-extend\":{\"new_size\":\(size)}}").status == status)
            if status == 202 {
                #expect(try await send("GET", "/volumes/\(id)")["volume"]?["size"] == .number("3"))
            }
        }
    }

    @Test func flagsAndImageMetadataShow() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume()
            #expect(try await send.act(id, "{\"os-update_readonly_flag\":{\"readonly\":true}}").status == 202)
            #expect(try await send.act(id, "{\"os-set_bootable\":{\"bootable\":\"yes\"}}").status == 200)
            let set = try await send.act(id, "{\"os-set_image_metadata\":{\"metadata\":{\"os\":\"linux\"}}}")
            #expect(set.status == 200 && set["metadata"]?["os"] == .string("linux"))
            let shown = try await send("GET", "/volumes/\(id)")
            #expect(shown["volume"]?["metadata"]?["readonly"] == .string("True"))
            #expect(shown["volume"]?["bootable"] == .string("true"))
            #expect(shown["volume"]?["volume_image_metadata"]?["os"] == .string("linux"))
            #expect(
                try await send.act(id, "{\"os-show_image_metadata\":{}}")["metadata"]?["os"] == .string("linux"))
            #expect(try await send.act(id, "{\"os-unset_image_metadata\":{\"key\":\"os\"}}").status == 200)
            #expect(try await send.act(id, "{\"os-unset_image_metadata\":{\"key\":\"os\"}}").status == 404)
            #expect(
                try await send.act(id, "{\"os-volume_upload_image\":{\"image_name\":\"x\"}}").status == 400)
        }
    }

    @Test func summariesCount() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            _ = try await send.volume("\"size\":1,\"metadata\":{\"k\":\"a\"}")
            _ = try await send.volume("\"size\":2,\"metadata\":{\"k\":\"b\"}")
            let summary = try await send("GET", "/volumes/summary", version: 12)["volume-summary"]
            #expect(summary == .of(["total_count": .number("2"), "total_size": .number("3")]))
            let newer = try await send("GET", "/volumes/summary")["volume-summary"]
            #expect(newer?["metadata"]?["k"] == .array([.string("a"), .string("b")]))
        }
    }

    @Test func forcingADeletionIsForAdministrators() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume()
            #expect(try await send("DELETE", "/volumes/\(id)?force=true").status == 403)
            _ = try await send.snapshot(of: id)
            #expect(try await send("DELETE", "/volumes/\(id)").status == 400)
            #expect(try await send("DELETE", "/volumes/\(id)?cascade=true").status == 202)
            await send.service.settle()
            #expect(try await send("DELETE", "/volumes/\(id)").status == 404)
        }
    }
}
