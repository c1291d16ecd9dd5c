import ControlFace
import Testing

@testable import ImageAPI

@Suite("Schemas of the Image API") struct SchemaTests {
    @Test(
        "each is served under its name",
        arguments: [
            ("image", "image"), ("images", "images"), ("member", "member"), ("members", "members"), ("task", "task"),
            ("tasks", "tasks"), ("metadefs/namespace", "namespace"), ("metadefs/namespaces", "namespaces"),
            ("metadefs/resource_type", "resource_type_association"),
            ("metadefs/resource_types", "resource_type_associations"), ("metadefs/property", "property"),
            ("metadefs/properties", "properties"), ("metadefs/object", "object"), ("metadefs/objects", "objects"),
            ("metadefs/tag", "tag"), ("metadefs/tags", "tags"),
        ])
    func served(_ path: String, _ name: String) async throws {
        try await ImageHarness().run { send in
            let answer = try await send("GET", "/schemas/\(path)", as: "rita")
            #expect(answer.status == 200)
            #expect(answer["name"]?.string == name)
            #expect(answer["properties"]?.members?.isEmpty == false)
            #expect(try await send("POST", "/schemas/\(path)", "{}", as: "admin").status == 405)
        }
    }

    @Test("the image's has every field that an image shows, and null first among what may be null")
    func image() async throws {
        try await ImageHarness().run { send in
            let schema = try await send("GET", "/schemas/image")
            let fields = try #require(schema["properties"])
            let made = try await send("POST", "/images", #"{"name": "i"}"#)
            #expect(made.status == 201)
            let missing = try #require(made.body).keys.subtracting(fields.keys)
            #expect(missing.isEmpty, "\(missing)")
            #expect(fields["disk_format"]?["enum"]?.array?.first == .null)
            #expect(fields["name"]?["type"] == .array([.string("null"), .string("string")]))
            #expect(fields["status"]?["readOnly"] == .bool(true))
            #expect(schema["additionalProperties"]?["type"]?.string == "string")
            #expect(try await send("GET", "/schemas/other").status == 404)
            #expect(try await send("GET", "/schemas/image", as: nil).status == 401)
        }
    }
}

@Suite("Locations of images") struct LocationTests {
    @Test("services see where an image is; addresses of elsewhere are taken by no store")
    func locations() async throws {
        try await ImageHarness().run { send async throws in
            let made = try await send(
                "POST", "/images", #"{"name": "i", "disk_format": "raw", "container_format": "bare"}"#)
            let path = "/images/\(made["id"]?.string ?? "")/locations"
            #expect(try await send("GET", path).status == 403)
            #expect(try await send("GET", "/images/none/locations", as: "admin").status == 404)
            for (body, status) in [
                ("{}", 400), (#"{"url": "http://127.0.0.1/x"}"#, 400), (#"{"url": 1}"#, 400),
                (#"{"url": "http://x/y", "validation_data": {"os_hash_algo": "crc", "os_hash_value": "00"}}"#, 400),
            ] { #expect(try await send("POST", path, body).status == status, "\(body)") }
            // Another project's image isn't there for a stranger.
            #expect(try await send("POST", path, #"{"url": "http://x/y"}"#, as: "bob").status == 404)
            #expect(try await send("GET", "/images/\(made["id"]?.string ?? "")")["status"]?.string == "queued")
        }
    }
}
