import ControlFace
import Testing

@testable import VolumeAPI

@Suite struct TransportTests {
    @Test func theRootAndTheVersionShowTheSame() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let root = try await send("GET", "//", as: nil)
            #expect(root.status == 300)
            for path in ["//v3", "//v3/"] {
                let version = try await send("GET", path, as: nil)
                #expect(version.status == 200 && version.body == root.body)
            }
            let version = try #require(root["versions"]?.array?.first)
            #expect(version.keys == ["status", "updated", "id", "links", "min_version", "version", "media-types"])
            #expect(version["version"] == .string("3.71") && version["min_version"] == .string("3.0"))
            #expect(version["links"]?.array?.last?["href"] == .string("http://localhost/v3/"))
        }
    }

    @Test(
        arguments: [
            ("volume 3.27", 200, "volume 3.27"), ("volume latest", 200, "volume 3.71"),
            ("compute 2.1, volume 3.5", 200, "volume 3.5"), ("compute 2.1", 200, "volume 3.0"),
            ("volume 3.72", 406, nil), ("volume 2.0", 406, nil), ("volume x", 400, nil), ("volume 3", 400, nil),
            ("volume 3.-1", 400, nil), ("volume", 400, nil), ("volume 3.5 6", 400, nil),
        ] as [(String, Int, String?)])
    func versionsAreNegotiated(_ wanted: String, _ status: Int, _ answered: String?) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let answer = try await send(
                "GET", "/volumes", version: nil, headers: ["OpenStack-API-Version": wanted])
            #expect(answer.status == status)
            #expect(answer.header("OpenStack-API-Version") == answered)
            #expect(answer.header("Vary") == "OpenStack-API-Version")
        }
    }

    @Test func everyAnswerHasItsIdTwice() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            for (method, path) in [("GET", "/volumes"), ("GET", "/volumes/none"), ("PUT", "/volumes"), ("GET", "//x")] {
                let answer = try await send(method, path)
                let id = try #require(answer.header("x-openstack-request-id"))
                #expect(id.hasPrefix("req-") && id.count == 40)
                #expect(answer.header("x-compute-request-id") == id)
                #expect(answer.header("Content-Type") == "application/json")
            }
        }
    }

    @Test(arguments: [
        ("GET", "/none", "ann", 404, "itemNotFound"), ("GET", "/volumes/none", "ann", 404, "itemNotFound"),
        ("PATCH", "/volumes", "ann", 405, "badMethod"), ("GET", "//v2/volumes", "ann", 404, "itemNotFound"),
        ("GET", "//v3/other/volumes", "ann", 400, "badRequest"), ("GET", "/volumes", "stranger", 401, "unauthorized"),
        ("GET", "/volumes", "nobody", 403, "forbidden"), ("GET", "/volumes", "unscoped", 403, "forbidden"),
        ("GET", "/os-services", "ann", 403, "forbidden"), ("DELETE", "/volumes/x", "rita", 403, "forbidden"),
        ("GET", "/volumes/%zz", "ann", 404, "itemNotFound"), ("GET", "/backups/x", "ann", 404, "itemNotFound"),
    ])
    func faultsHaveTheirKeys(
        _ method: String, _ path: String, _ name: String, _ status: Int, _ key: String
    ) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let answer = try await send(method, path, as: name)
            #expect(answer.status == status)
            #expect(answer.fault == key)
            #expect(answer.body?[key]?["code"] == .number(String(status)))
        }
    }

    @Test func withoutATokenThereIsNothing() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let answer = try await send("GET", "/volumes", as: nil)
            #expect(answer.status == 401)
        }
    }

    @Test func theProjectMayBeLeftOut() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let id = try await send.volume()
            let answer = try await send("GET", "//v3/volumes/\(id)")
            #expect(answer.status == 200)
            let links = answer["volume"]?["links"]?.array
            #expect(links?[0]["href"] == .string("http://localhost/v3/\(Harness.work)/volumes/\(id)"))
            #expect(links?[1]["href"] == .string("http://localhost/\(Harness.work)/volumes/\(id)"))
        }
    }

    @Test func anEmptyIDIsNotTheCollection() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let listed = try await send("GET", "/volumes/")
            #expect(listed.status == 404)
            #expect(try await send("DELETE", "/volumes/").status == 404)
            #expect(try await send("PUT", "/volumes/", "{\"volume\":{\"name\":\"x\"}}").status == 404)
            #expect(try await send("GET", "//v3/").status == 200)
        }
    }

    @Test func bodiesAreJSONAndBounded() async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let cut = try await send("POST", "/volumes", "{\"volume\":")
            #expect(cut.status == 400)
            #expect(try await send("POST", "/volumes", "[]").status == 400)
            #expect(try await send("POST", "/volumes").status == 400)
            let xml = try await send("POST", "/volumes", "<a/>", headers: ["Content-Type": "application/xml"])
            #expect(xml.status == 415 && xml.fault == "badMediaType")
            let long = "{\"volume\":{\"name\":\"" + String(repeating: "x", count: FaceLimits.bodyBytesMax) + "\"}}"
            #expect(try await send("POST", "/volumes", long).status == 413)
        }
    }

    @Test(arguments: [
        ("/messages", 3), ("/volumes/summary", 12), ("/groups", 13), ("/group_types", 11), ("/group_snapshots", 14),
        ("/attachments", 27), ("/resource_filters", 33), ("/volume-transfers", 55), ("/default-types", 62),
        ("/clusters", 7), ("/manageable_volumes?host=host1@chunks", 8),
    ])
    func routesBeginWithTheirVersion(_ path: String, _ minor: Int) async throws {
        let harness = try await Harness()
        try await harness.run { send in
            let then = try await send("GET", path, version: minor, as: "admin")
            #expect(then.status == 200)
            let earlier = try await send("GET", path, version: minor - 1, as: "admin")
            #expect(earlier.status == 404)
        }
    }

    @Test func timesAreReadAsTheyAreWritten() {
        #expect(ShownTime.text(1_785_578_400_000_042) == "2026-08-01T10:00:00.000042")
        #expect(ShownTime.microseconds("2026-08-01T10:00:00.000042") == 1_785_578_400_000_042)
        #expect(ShownTime.microseconds("2026-08-01 10:00:00Z") == 1_785_578_400_000_000)
        #expect(ShownTime.microseconds("2026-08-01") == 1_785_542_400_000_000)
        for text in ["", "x", "2026-13-01", "2026-08-01T25:00:00", "2026-08-01T10:00:00+01:00", "20260801"] {
            #expect(ShownTime.microseconds(text) == nil)
        }
    }
}
