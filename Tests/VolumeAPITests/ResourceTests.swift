import ControlFace
import Testing
import VolumeDrivers
import Volumes

@testable import VolumeAPI

@Suite struct SnapshotAPITests {
    @Test func snapshotsHaveTheirKeysAndCodes() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let made = try await send(
                "POST", "/snapshots", "{\"snapshot\":{\"volume_id\":\"\(volume)\",\"name\":\"s\"}}", version: 0)
            #expect(made.status == 202 && made["snapshot"]?.keys == Strict.snapshot)
            await send.service.settle()
            let id = made["snapshot"]?["id"]?.string ?? ""
            let shown = try await send("GET", "/snapshots/\(id)", version: 0)
            #expect(
                shown["snapshot"]?.keys
                    == Strict.snapshot.union([
                        "os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id",
                    ]))
            #expect(shown["snapshot"]?["os-extended-snapshot-attributes:progress"] == .string("100%"))
            let newest = try await send("GET", "/snapshots")["snapshots"]?.array?.first
            #expect(newest?.keys == Strict.snapshot.union(["group_snapshot_id", "user_id", "consumes_quota"]))
            #expect(try await send("PUT", "/snapshots/\(id)", "{\"snapshot\":{}}").status == 400)
            #expect(try await send("PUT", "/snapshots/\(id)", "{\"snapshot\":{\"name\":\"t\"}}").status == 200)
            #expect(try await send("DELETE", "/snapshots/\(id)").status == 202)
            await send.service.settle()
            #expect(try await send("GET", "/snapshots/\(id)").status == 404)
        }
    }

    @Test(arguments: [
        ("\"volume_id\":null", 404), ("\"volume_id\":\"none\"", 404), ("\"name\":\"x\"", 400),
        ("\"volume_id\":\"none\",\"bogus\":1", 400),
    ])
    func badSnapshotsAreRefused(_ fields: String, _ status: Int) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let answer = try await send("POST", "/snapshots", "{\"snapshot\":{\(fields)}}")
            #expect(answer.status == status)
            #expect(try await send("GET", "/snapshots?limit=-1").status == 400)
            #expect(try await send("GET", "/snapshots?sort=bogus").status == 400)
            #expect(try await send("GET", "/snapshots?marker=none").status == 404)
        }
    }

    @Test func forceMeansSomethingBefore366Only() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            _ = try await send.act(volume, "{\"os-attach\":{\"host_name\":\"h\",\"mountpoint\":\"/mnt\"}}")
            func take(_ extra: String, _ minor: Int) async throws -> Int {
                let answer = try await send(
                    "POST", "/snapshots", "{\"snapshot\":{\"volume_id\":\"\(volume)\"\(extra)}}", version: minor)
                await send.service.settle()
                return answer.status
            }
            #expect(try await take("", 65) == 400)
            #expect(try await take(",\"force\":true", 65) == 202)
            #expect(try await take("", 66) == 202)
            #expect(try await take(",\"force\":false", 66) == 400)
        }
    }
}

@Suite struct AttachmentAPITests {
    private static let connector =
        "{\"initiator\":\"iqn.a\",\"host\":\"h1\",\"ip\":\"10.0.0.1\",\"multipath\":true,\"nqn\":null}"

    @Test func theFlowHasItsShapes() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let made = try await send(
                "POST", "/attachments", "{\"attachment\":{\"volume_uuid\":\"\(volume)\",\"instance_uuid\":null}}")
            #expect(made.status == 200)
            #expect(
                made["attachment"]?.keys == [
                    "id", "status", "instance", "volume_id", "attached_at", "detached_at", "attach_mode",
                    "connection_info",
                ])
            #expect(made["attachment"]?["attach_mode"] == .string("null"))
            #expect(made["attachment"]?["attached_at"] == .string(""))
            let id = made["attachment"]?["id"]?.string ?? ""
            let updated = try await send(
                "PUT", "/attachments/\(id)", "{\"attachment\":{\"connector\":\(Self.connector)}}")
            #expect(updated.status == 200)
            let info = try #require(updated["attachment"]?["connection_info"])
            #expect(info["driver_volume_type"] == .string("iscsi") && info["target_lun"] == .number("0"))
            #expect(info["auth_method"] == .string("CHAP") && info["target_portal"] == .string("127.0.0.1:3260"))
            #expect(info["attachment_id"] == .string(id) && info["access_mode"] == .string("rw"))
            #expect(info["auth_password"]?.string?.utf8.count == 32)
            #expect(info["target_portals"] == nil)
            let done = try await send("POST", "/attachments/\(id)/action", "{\"os-complete\":{}}")
            #expect(done.status == 204)
            #expect(try await send.status(volume) == "in-use")
            let shown = try await send("GET", "/volumes/\(volume)")["volume"]?["attachments"]?.array?.first
            #expect(
                shown?.keys == [
                    "server_id", "attachment_id", "volume_id", "device", "id", "host_name", "attached_at",
                ])
            #expect(shown?["host_name"] == .null)
            let list = try await send("GET", "/attachments?volume_id=\(volume)")
            #expect(list["attachments"]?.array?.first?.keys == ["id", "status", "instance", "volume_id"])
            let gone = try await send("DELETE", "/attachments/\(id)")
            #expect(gone.status == 200 && gone["attachments"] == .array([]))
            #expect(try await send.status(volume) == "available")
        }
    }

    @Test(arguments: ["{}", "null", "\"id\"", "5"])
    func completingAsksForNothingMore(_ value: String) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let made = try await send("POST", "/attachments", "{\"attachment\":{\"volume_uuid\":\"\(volume)\"}}")
            let id = made["attachment"]?["id"]?.string ?? ""
            let answer = try await send("POST", "/attachments/\(id)/action", "{\"os-complete\":\(value)}")
            #expect(answer.status == 204)
            #expect(try await send.status(volume) == "in-use")
        }
    }

    @Test func severalPortalsAreToldToThoseWithSeveralPaths() async throws {
        let harness = try await Harness()
        harness.exporter.setPortals([
            .init(address: "10.0.0.1", port: 3260), .init(address: "fd00::1", port: 3260),
        ])
        try await harness.run { send in
            let volume = try await send.volume()
            let answer = try await send.act(
                volume, "{\"os-initialize_connection\":{\"connector\":\(Self.connector)}}")
            let data = try #require(answer["connection_info"]?["data"])
            #expect(answer.status == 200 && answer["connection_info"]?["driver_volume_type"] == .string("iscsi"))
            #expect(data["target_portals"] == .array([.string("10.0.0.1:3260"), .string("[fd00::1]:3260")]))
            #expect(data["target_iqns"]?.array?.count == 2 && data["target_luns"]?.array?.count == 2)
            #expect(data["discard"] == .bool(true) && data["volume_id"] == .string(volume))
            let bad = try await send.act(volume, "{\"os-initialize_connection\":{\"connector\":{\"host\":\"h\"}}}")
            #expect(bad.status == 400)
        }
    }

    @Test(arguments: [
        ("{\"volume_uuid\":\"x\"}", 400), ("{}", 400),
        ("{\"volume_uuid\":\"5c0c7d1e-0000-4000-8000-000000000009\"}", 404),
        ("{\"volume_uuid\":\"5c0c7d1e-0000-4000-8000-000000000009\",\"bogus\":1}", 400),
        ("{\"volume_uuid\":\"5c0c7d1e-0000-4000-8000-000000000009\",\"mode\":\"wr\"}", 400),
    ])
    func badRequestsAreRefused(_ fields: String, _ status: Int) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            #expect(try await send("POST", "/attachments", "{\"attachment\":\(fields)}").status == status)
            let early = try await send("POST", "/attachments/x/action", "{\"os-complete\":{}}", version: 43)
            #expect(early.status == 404)
        }
    }
}

@Suite struct TransferAPITests {
    @Test(arguments: ["/os-volume-transfer", "/volume-transfers"])
    func aVolumeGoesToAnotherProject(_ path: String) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let volume = try await send.volume()
            let made = try await send("POST", path, "{\"transfer\":{\"volume_id\":\"\(volume)\",\"name\":\"t\"}}")
            #expect(made.status == 202)
            var keys: Set<String> = ["id", "created_at", "name", "volume_id", "auth_key", "links"]
            if path == "/volume-transfers" {
                keys.formUnion(["no_snapshots", "destination_project_id", "source_project_id", "accepted"])
            }
            #expect(made["transfer"]?.keys == keys)
            let id = made["transfer"]?["id"]?.string ?? ""
            let key = made["transfer"]?["auth_key"]?.string ?? ""
            let shown = try await send("GET", "\(path)/\(id)")
            #expect(shown["transfer"]?.keys == keys.subtracting(["auth_key"]))
            #expect(
                try await send("GET", path)["transfers"]?.array?.first?.keys == ["links", "volume_id", "id", "name"])
            let wrong = try await send("POST", "\(path)/\(id)/accept", "{\"accept\":{\"auth_key\":\"no\"}}", as: "bob")
            #expect(wrong.status == 400)
            let taken = try await send(
                "POST", "\(path)/\(id)/accept", "{\"accept\":{\"auth_key\":\"\(key)\"}}", as: "bob")
            #expect(taken.status == 202)
            #expect(taken["transfer"]?.keys == ["links", "volume_id", "id", "name"])
            #expect(try await send("GET", "/volumes/\(volume)").status == 404)
            #expect(try await send("GET", "/volumes/\(volume)", as: "bob").status == 200)
        }
    }
}

@Suite struct TypeAPITests {
    @Test func typesHaveTheirKeysAndCodes() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            func type(_ fields: String, as name: String = "admin") async throws -> Harness.Answer {
                try await send("POST", "/types", "{\"volume_type\":{\(fields)}}", as: name)
            }
            let made = try await type("\"name\":\"gold\",\"extra_specs\":{\"a:b\":\"1\"}")
            #expect(made.status == 200)
            #expect(
                made["volume_type"]?.keys == [
                    "id", "name", "is_public", "description", "extra_specs", "os-volume-type-access:is_public",
                ])
            #expect(try await type("\"name\":\"gold\"").status == 409)
            #expect(try await type("\"name\":\"\"").status == 400)
            #expect(try await type("\"name\":\"x\"", as: "ann").status == 403)
            #expect(try await type("\"name\":\"x\",\"extra_specs\":{\"a b!\":\"1\"}").status == 400)
            let id = made["volume_type"]?["id"]?.string ?? ""
            let shown = try await send("GET", "/types/\(id)", as: "admin")["volume_type"]
            #expect(shown?["qos_specs_id"] == .null)
            #expect(try await send("GET", "/types/\(id)")["volume_type"]?["extra_specs"] == .object([]))
            let updated = try await send("PUT", "/types/\(id)", "{\"volume_type\":{\"name\":\"g\"}}", as: "admin")
            #expect(updated["volume_type"]?.keys == ["id", "name", "is_public", "description", "extra_specs"])
            #expect(try await send("PUT", "/types/\(id)", "{\"volume_type\":{}}", as: "admin").status == 400)
            #expect(try await send("GET", "/types/none").status == 404)
            #expect(try await send("GET", "/types/default")["volume_type"]?["name"] == .string("__DEFAULT__"))
            let specs = "/types/\(id)/extra_specs"
            for (method, path, body, status) in [
                ("PUT", specs + "/a:b", "{\"a:b\":\"2\"}", 200), ("PUT", specs + "/a:b", "{\"c\":\"2\"}", 400),
                ("PUT", specs + "/a:b", "{}", 400), ("PUT", specs + "/a:b", "{\"a:b\":null}", 400),
                ("PUT", specs + "/a:b", "{\"a:b\":\"1\",\"c\":\"1\"}", 400),
                ("PUT", specs + "/none", "{\"none\":\"1\"}", 404),
                ("PUT", "/types/none/extra_specs/a", "{\"a\":\"1\"}", 404),
                ("POST", specs, "{\"extra_specs\":{\"x\":\"y\"}}", 200), ("POST", specs, "{}", 400),
                ("POST", "/types/none/encryption", "{\"encryption\":{\"provider\":\"luks\"}}", 404),
            ] {
                #expect(try await send(method, path, body, as: "admin").status == status, "\(method) \(path) \(body)")
            }
            #expect(try await send("DELETE", specs + "/x", as: "admin").status == 202)
            #expect(try await send("GET", "/types/\(id)/os-volume-type-access", as: "admin").status == 404)
            #expect(try await send("DELETE", "/types/\(id)", as: "admin").status == 202)
            #expect(try await send("DELETE", "/types/\(id)", as: "admin").status == 404)
        }
    }

    @Test func encryptionAndPoliciesAndDefaults() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let type = try await send("POST", "/types", "{\"volume_type\":{\"name\":\"e\"}}", as: "admin")
            let id = type["volume_type"]?["id"]?.string ?? ""
            #expect(try await send("GET", "/types/\(id)/encryption", as: "admin").body == .object([]))
            let made = try await send(
                "POST", "/types/\(id)/encryption",
                "{\"encryption\":{\"provider\":\"luks\",\"key_size\":256,\"cipher\":\"aes-xts-plain64\",\"control_location\":\"front-end\"}}",
                as: "admin")
            #expect(
                made["encryption"]?.keys == [
                    "volume_type_id", "encryption_id", "key_size", "provider", "control_location", "cipher",
                ])
            let shown = try await send("GET", "/types/\(id)/encryption", as: "admin").body
            #expect(shown?.keys.isSuperset(of: ["deleted", "created_at", "updated_at", "deleted_at"]) == true)
            let volume = try await send.volume("\"size\":1,\"volume_type\":\"e\"")
            let encryption = try await send("GET", "/volumes/\(volume)/encryption")
            #expect(encryption["cipher"] == .string("aes-xts-plain64"))

            let policy = try await send(
                "POST", "/qos-specs",
                "{\"qos_specs\":{\"name\":\"q\",\"consumer\":\"front-end\",\"read_iops_sec\":\"10\"}}", as: "admin")
            #expect(policy.status == 200 && policy.body?.keys == ["qos_specs", "links"])
            let q = policy["qos_specs"]?["id"]?.string ?? ""
            for (method, path, body, status) in [
                ("POST", "/qos-specs", "{\"qos_specs\":{\"name\":\"q\"}}", 409),
                ("POST", "/qos-specs", "{\"qos_specs\":{\"name\":\"r\",\"consumer\":\"odd\"}}", 400),
                ("PUT", "/qos-specs/\(q)", "{\"qos_specs\":{\"w\":\"1\"}}", 200),
                ("PUT", "/qos-specs/\(q)/delete_keys", "{\"keys\":[\"w\"]}", 202),
                ("PUT", "/qos-specs/\(q)/delete_keys", "{\"keys\":[\"w\"]}", 400),
                ("GET", "/qos-specs/\(q)/associate?vol_type_id=\(id)", nil, 202),
                ("GET", "/qos-specs/\(q)/associations", nil, 200), ("DELETE", "/qos-specs/\(q)", nil, 400),
                ("GET", "/qos-specs/\(q)/disassociate_all", nil, 202), ("DELETE", "/qos-specs/\(q)", nil, 202),
                ("GET", "/qos-specs/\(q)", nil, 404),
                ("GET", "/default-types/p1", nil, 404),
                ("PUT", "/default-types/p1", "{\"default_type\":{\"volume_type\":\"e\"}}", 200),
                ("GET", "/default-types/p1", nil, 200), ("DELETE", "/default-types/p1", nil, 204),
            ] as [(String, String, String?, Int)] {
                #expect(try await send(method, path, body, as: "admin").status == status, "\(method) \(path)")
            }
        }
    }
}

@Suite struct AdministrationAPITests {
    @Test func quotasAreShownSetAndReset() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let path = "/os-quota-sets/\(Harness.work)"
            let plain: Set<String> = [
                "volumes", "snapshots", "backups", "groups", "per_volume_gigabytes", "gigabytes", "backup_gigabytes",
                "volumes___DEFAULT__", "gigabytes___DEFAULT__", "snapshots___DEFAULT__",
            ]
            let shown = try await send("GET", path)
            #expect(shown["quota_set"]?.keys == plain.union(["id"]))
            #expect(shown["quota_set"]?["volumes"] == .number("10"))
            let set = try await send("PUT", path, "{\"quota_set\":{\"volumes\":3}}", as: "admin")
            #expect(set.status == 200 && set["quota_set"]?.keys == plain)
            #expect(set["quota_set"]?["volumes"] == .number("3"))
            #expect(try await send("PUT", path, "{\"quota_set\":{\"bogus\":3}}", as: "admin").status == 400)
            #expect(try await send("PUT", path, "{\"quota_set\":{\"volumes\":3}}").status == 403)
            _ = try await send.volume()
            let less = "{\"quota_set\":{\"volumes\":0}}"
            #expect(try await send("PUT", "\(path)?skip_validation=False", less, as: "admin").status == 400)
            #expect(try await send("PUT", path, less, as: "admin").status == 200)
            #expect(try await send("PUT", path, "{\"quota_set\":{\"volumes\":3}}", as: "admin").status == 200)
            let usage = try await send("GET", "\(path)?usage=true")["quota_set"]?["volumes"]
            #expect(
                usage
                    == .of([
                        "limit": .number("3"), "in_use": .number("1"), "reserved": .number("0"),
                        "allocated": .number("0"),
                    ]))
            #expect(try await send("GET", "/os-quota-sets/other").status == 403)
            #expect(try await send("DELETE", path, as: "admin").status == 200)
            #expect(try await send("GET", path)["quota_set"]?["volumes"] == .number("10"))
            let limits = try await send("GET", "/limits")["limits"]?["absolute"]
            #expect(limits?.keys.count == 10 && limits?["totalVolumesUsed"] == .number("1"))
            let classes = try await send("GET", "/os-quota-class-sets/default", as: "admin")["quota_class_set"]
            #expect(classes?["id"] == .string("default"))
        }
    }

    @Test func operatorsSeeTheirParts() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            _ = try await send.volume("\"size\":2")
            let services = try await send("GET", "/os-services", as: "admin")["services"]?.array
            #expect(
                services?.compactMap { $0["binary"]?.string } == ["cinder-backup", "cinder-scheduler", "cinder-volume"])
            let volume = try #require(services?.last)
            #expect(
                volume.keys == [
                    "binary", "disabled_reason", "host", "state", "status", "updated_at", "zone", "frozen",
                    "replication_status", "active_backend_id", "backend_state", "cluster",
                ])
            func put(_ what: String, _ body: String) async throws -> Int {
                try await send("PUT", "/os-services/\(what)", body, as: "admin").status
            }
            let known = "\"host\":\"host1@chunks\",\"binary\":\"cinder-volume\""
            #expect(try await put("disable", "{\(known)}") == 200)
            #expect(try await put("disable-log-reason", "{\(known)}") == 400)
            #expect(try await put("enable", "{\(known)}") == 200)
            #expect(try await put("enable", "{\"host\":\"x\",\"binary\":\"cinder-volume\"}") == 404)
            #expect(try await put("freeze", "{\"host\":\"x\"}") == 400)
            #expect(try await put("freeze", "{\"host\":\"host1@chunks\"}") == 200)
            #expect(try await put("thaw", "{\"host\":\"host1@chunks\"}") == 200)
            #expect(try await put("none", "{\"host\":\"host1@chunks\"}") == 404)
            let hosts = try await send("GET", "/os-hosts", as: "admin")["hosts"]?.array
            #expect(hosts?.count == 3)
            let host = try await send("GET", "/os-hosts/host1@chunks", as: "admin")["host"]?.array
            #expect(host?.first?["resource"]?["project"] == .string("(total)"))
            #expect(host?.first?["resource"]?["total_volume_gb"] == .string("2"))
            let pools = try await send("GET", "/scheduler-stats/get_pools?detail=true", as: "admin")["pools"]?.array
            #expect(pools?.first?["name"] == .string("host1@chunks#chunks"))
            #expect(pools?.first?["capabilities"]?["total_capacity_gb"] == .number("1024"))
            let capabilities = try await send("GET", "/capabilities/host1@chunks", as: "admin").body
            #expect(
                capabilities?.keys == [
                    "namespace", "vendor_name", "volume_backend_name", "pool_name", "driver_version",
                    "storage_protocol", "display_name", "description", "visibility", "replication_targets",
                    "properties",
                ])
            #expect(try await send("GET", "/capabilities/none", as: "admin").status == 404)
            #expect(try await send("POST", "/workers/cleanup", "{}", as: "admin").status == 202)
            #expect(
                try await send("GET", "/os-availability-zone")["availabilityZoneInfo"]?.array?.first?["zoneName"]
                    == .string("nova"))
            let extensions = try await send("GET", "/extensions")["extensions"]?.array ?? []
            let aliases = extensions.compactMap { $0["alias"]?.string }
            #expect(aliases.contains("backups") && aliases.contains("qos-specs"))
            #expect(extensions.first?.keys == ["updated", "description", "links", "alias", "name"])
            #expect(try await send("GET", "/resource_filters?resource=volume")["resource_filters"]?.array?.count == 1)
        }
    }

    @Test func failuresLeaveMessages() async throws {
        let harness = try await Harness()
        harness.driver.setHook { step, _ throws(DriverError) in
            if case .create = step { throw .failed("no") }
        }
        try await harness.run { send in
            let id = try await send.volume()
            #expect(try await send.status(id) == "error")
            let list = try await send("GET", "/messages")["messages"]?.array
            #expect(list?.count == 1)
            #expect(
                list?.first?.keys == [
                    "request_id", "message_level", "event_id", "created_at", "id", "user_message", "links",
                    "guaranteed_until", "resource_uuid", "resource_type",
                ])
            let message = list?.first?["id"]?.string ?? ""
            #expect(try await send("DELETE", "/messages/\(message)", as: "bob").status == 404)
            #expect(try await send("DELETE", "/messages/\(message)").status == 204)
            #expect(try await send("GET", "/messages/\(message)").status == 404)
        }
    }

    @Test func whatExistsIsTakenOver() async throws {
        let harness = try await Harness()
        harness.driver.plant("lv-1", bytes: 3 << 30)
        try await harness.run { send in
            let list = try await send("GET", "/manageable_volumes/detail?host=host1@chunks", as: "admin")
            let item = list["manageable-volumes"]?.array?.first
            #expect(item?["reference"]?["source-name"] == .string("lv-1"))
            #expect(item?["safe_to_manage"] == .bool(true) && item?["size"] == .number("3"))
            let body = { (name: String) in
                "{\"volume\":{\"host\":\"host1@chunks#chunks\",\"ref\":{\"source-name\":\"\(name)\"},\"name\":\"m\"}}"
            }
            #expect(try await send("POST", "/manageable_volumes", body("none"), as: "admin").status == 400)
            let made = try await send("POST", "/manageable_volumes", body("lv-1"), as: "admin")
            #expect(made.status == 202 && made["volume"]?["status"] == .string("creating"))
            await send.service.settle()
            let id = made["volume"]?["id"]?.string ?? ""
            #expect(try await send.status(id) == "available")
            #expect(try await send.act(id, "{\"os-unmanage\":{}}", as: "admin").status == 202)
            #expect(try await send("GET", "/volumes/\(id)").status == 404)
            #expect(harness.driver.volumeIDs == [id])
        }
    }

    @Test func groupsWorkFromEndToEnd() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let made = try await send(
                "POST", "/groups",
                "{\"group\":{\"name\":\"g\",\"group_type\":\"default_cgsnapshot_type\",\"volume_types\":[\"__DEFAULT__\"]}}"
            )
            #expect(made.status == 202 && made["group"]?.keys == ["id", "name"])
            let group = made["group"]?["id"]?.string ?? ""
            let volume = try await send.volume("\"size\":1,\"group_id\":\"\(group)\"")
            let shown = try await send("GET", "/groups/\(group)?list_volume=true")["group"]
            #expect(shown?["volumes"] == .array([.string(volume)]) && shown?["status"] == .string("available"))
            let snapshot = try await send(
                "POST", "/group_snapshots", "{\"group_snapshot\":{\"group_id\":\"\(group)\",\"name\":\"gs\"}}")
            #expect(snapshot.status == 202 && snapshot["group_snapshot"]?.keys == ["id", "name", "group_type_id"])
            await send.service.settle()
            let id = snapshot["group_snapshot"]?["id"]?.string ?? ""
            #expect(
                try await send("GET", "/group_snapshots")["group_snapshots"]?.array?.first?.keys == ["id", "name"])
            #expect(
                try await send("GET", "/group_snapshots/\(id)")["group_snapshot"]?.keys == [
                    "created_at", "group_id", "id", "name", "status", "description", "group_type_id",
                ])
            let copy = try await send(
                "POST", "/groups/action", "{\"create-from-src\":{\"group_snapshot_id\":\"\(id)\",\"name\":\"c\"}}")
            #expect(copy.status == 202 && copy["group"]?.keys == ["id", "name"])
            await send.service.settle()
            #expect(try await send("DELETE", "/group_snapshots/\(id)").status == 202)
            await send.service.settle()
            let deleting = "{\"delete\":{\"delete-volumes\":true}}"
            #expect(
                try await send("POST", "/groups/\(group)/action", "{\"delete\":{\"delete-volumes\":false}}").status
                    == 400)
            #expect(try await send("POST", "/groups/\(group)/action", deleting).status == 202)
            await send.service.settle()
            #expect(try await send("GET", "/volumes/\(volume)").status == 404)
            #expect(try await send("GET", "/groups/\(group)").status == 404)
        }
    }
}
