import ControlFace
import Images
import Testing

@testable import ImageAPI

@Suite("Metadata definitions over HTTP") struct MetadefTests {
    private typealias Sender = ImageHarness.Sender

    /// A namespace with one of everything.
    private static func make(
        _ send: Sender, _ name: String, _ visibility: String = "public", owner: String = ImageHarness.work,
        more: String = ""
    ) async throws {
        let answer = try await send(
            "POST", "/metadefs/namespaces",
            """
            {"namespace": "\(name)", "visibility": "\(visibility)", "owner": "\(owner)"\(more),
             "properties": {"size": {"title": "Size", "type": "integer", "minimum": 1}},
             "objects": [{"name": "box", "required": ["a"], "properties": {"a": {"title": "A", "type": "string"}}}],
             "tags": [{"name": "red"}], "resource_type_associations": [{"name": "T", "prefix": "t:"}, {"name": "U"}]}
            """, as: "admin")
        #expect(answer.status == 201, "\(answer.text)")
    }

    private static func names(_ answer: ImageHarness.Answer, _ key: String, _ field: String = "name") -> [String] {
        answer[key]?.array?.compactMap { $0[field]?.string } ?? []
    }

    @Test("what is created is shown, with its links and times, and has a Location")
    func create() async throws {
        try await ImageHarness().run { send in
            let made = try await send(
                "POST", "/metadefs/namespaces", #"{"namespace": "My::Space", "description": "d"}"#, as: "admin")
            #expect(made.status == 201)
            #expect(made.header("Location")?.contains("/v2/metadefs/namespaces/My%3A%3ASpace") == true)
            let shown = try await send("GET", "/metadefs/namespaces/My::Space")
            #expect(shown.status == 200)
            #expect(shown.body == made.body)
            #expect(shown["visibility"]?.string == "private")
            #expect(shown["protected"] == .bool(false))
            #expect(shown["owner"]?.string == ImageHarness.work)
            #expect(shown["self"]?.string == "/v2/metadefs/namespaces/My::Space")
            #expect(shown["schema"]?.string == "/v2/schemas/metadefs/namespace")
            #expect(shown["display_name"] == nil)
            let again = try await send(
                "POST", "/metadefs/namespaces", #"{"namespace": "My::Space"}"#, as: "admin")
            #expect(again.status == 409)
        }
    }

    @Test("a namespace shows all that is in it, and with a resource type the names that such resources have")
    func detail() async throws {
        try await ImageHarness().run { send in
            try await Self.make(send, "n")
            let plain = try await send("GET", "/metadefs/namespaces/n")
            #expect(plain["properties"]?.keys == ["size"])
            #expect(plain["properties"]?["size"]?["minimum"] == .number("1"))
            #expect(Self.names(plain, "objects") == ["box"])
            #expect(Self.names(plain, "tags") == ["red"])
            #expect(Self.names(plain, "resource_type_associations") == ["T", "U"])
            let prefixed = try await send("GET", "/metadefs/namespaces/n?resource_type=T")
            #expect(prefixed["properties"]?.keys == ["t:size"])
            #expect(prefixed["objects"]?.array?.first?["properties"]?.keys == ["t:a"])
            #expect(prefixed["objects"]?.array?.first?["required"] == .array([.string("t:a")]))
            let other = try await send("GET", "/metadefs/namespaces/n?resource_type=none")
            #expect(other["properties"]?.keys == ["size"])
        }
    }

    @Test("what others keep private is not found, whatever is done with it; what is seen is only not to be changed")
    func visibility() async throws {
        try await ImageHarness().run { send in
            try await Self.make(send, "open")
            try await Self.make(send, "closed", "private")
            let writes: [(String, String, String?)] = [
                ("PUT", "", #"{"namespace": "x"}"#), ("DELETE", "", nil),
                ("POST", "/properties", #"{"name": "p", "title": "P", "type": "string"}"#),
                ("DELETE", "/properties", nil), ("DELETE", "/properties/size", nil),
                ("PUT", "/properties/size", #"{"name": "p", "title": "P", "type": "string"}"#),
                ("POST", "/objects", #"{"name": "o"}"#), ("DELETE", "/objects", nil),
                ("PUT", "/objects/box", #"{"name": "o"}"#), ("DELETE", "/objects/box", nil),
                ("POST", "/tags", #"{"tags": []}"#), ("DELETE", "/tags", nil), ("POST", "/tags/x", nil),
                ("PUT", "/tags/red", #"{"name": "x"}"#), ("DELETE", "/tags/red", nil),
                ("POST", "/resource_types", #"{"name": "V"}"#), ("DELETE", "/resource_types/T", nil),
            ]
            for (method, path, body) in writes {
                for (namespace, name, status) in [
                    ("open", "ann", 403), ("open", "bob", 403), ("open", "rita", 403), ("closed", "ann", 403),
                    ("closed", "bob", 404), ("open", "nobody", 404),
                ] {
                    let answer = try await send(method, "/metadefs/namespaces/\(namespace)\(path)", body, as: name)
                    #expect(answer.status == status, "\(method) \(namespace)\(path) as \(name)")
                }
            }
            let reads = [
                "", "/properties", "/properties/size", "/objects", "/objects/box", "/tags", "/tags/red",
                "/resource_types",
            ]
            for path in reads {
                for (namespace, name, status) in [
                    ("open", "bob", 200), ("open", "rita", 200), ("closed", "rita", 200), ("closed", "bob", 404),
                    ("closed", "admin", 200), ("open", "nobody", 404), ("missing", "admin", 404),
                ] {
                    let answer = try await send("GET", "/metadefs/namespaces/\(namespace)\(path)", as: name)
                    #expect(answer.status == status, "GET \(namespace)\(path) as \(name)")
                }
            }
            #expect(try await send("POST", "/metadefs/namespaces", #"{"namespace": "x"}"#).status == 403)
            #expect(
                Self.names(try await send("GET", "/metadefs/namespaces", as: "bob"), "namespaces", "namespace") == [
                    "open"
                ])
            #expect(try await send("GET", "/metadefs/namespaces", as: nil).status == 401)
        }
    }

    @Test("a listing is sorted, filtered and paged")
    func listing() async throws {
        try await ImageHarness().run { send in
            for name in ["b", "a", "c"] { try await Self.make(send, name) }
            try await Self.make(send, "d", "private")
            func list(_ query: String, as name: String = "ann") async throws -> [String] {
                Self.names(try await send("GET", "/metadefs/namespaces?\(query)", as: name), "namespaces", "namespace")
            }
            #expect(try await list("") == ["d", "c", "a", "b"])
            #expect(try await list("sort_key=namespace&sort_dir=asc") == ["a", "b", "c", "d"])
            #expect(try await list("visibility=private") == ["d"])
            #expect(try await list("visibility=private", as: "bob") == [])
            #expect(try await list("resource_types=T,X") == ["d", "c", "a", "b"])
            #expect(try await list("resource_types=X") == [])
            #expect(try await list("limit=0") == [])
            let page = try await send("GET", "/metadefs/namespaces?limit=3&sort_key=namespace&sort_dir=asc")
            #expect(page["first"]?.string == "/v2/metadefs/namespaces?limit=3&sort_key=namespace&sort_dir=asc")
            #expect(page["schema"]?.string == "/v2/schemas/metadefs/namespaces")
            let next = try #require(page["next"]?.string)
            let rest = try await send("GET", "/" + next)
            #expect(Self.names(rest, "namespaces", "namespace") == ["d"])
            #expect(rest["next"] == nil)
            for query in ["limit=x", "limit=-1", "sort_dir=up", "sort_key=id2", "visibility=shared"] {
                #expect(try await send("GET", "/metadefs/namespaces?\(query)").status == 400, "\(query)")
            }
            #expect(try await send("GET", "/metadefs/namespaces?marker=none").status == 404)
            #expect(try await send("GET", "/metadefs/namespaces?marker=d", as: "bob").status == 404)
        }
    }

    @Test("an update replaces what is said of the namespace and keeps what is in it")
    func update() async throws {
        try await ImageHarness().run { send in
            try await Self.make(send, "n", more: #", "display_name": "N", "protected": true"#)
            try await Self.make(send, "taken")
            let path = "/metadefs/namespaces/n"
            #expect(try await send("PUT", path, #"{"namespace": "taken"}"#, as: "admin").status == 409)
            let answer = try await send("PUT", path, #"{"namespace": "m", "description": "d"}"#, as: "admin")
            #expect(answer.status == 200)
            #expect(answer["display_name"] == nil)
            #expect(answer["visibility"]?.string == "private")
            #expect(answer["protected"] == .bool(false))
            #expect(try await send("GET", path).status == 404)
            #expect(Self.names(try await send("GET", "/metadefs/namespaces/m"), "tags") == ["red"])
        }
    }

    @Test("nothing of a protected namespace is deleted")
    func protected() async throws {
        try await ImageHarness().run { send in
            try await Self.make(send, "n", more: #", "protected": true"#)
            let path = "/metadefs/namespaces/n"
            for part in [
                "", "/properties", "/properties/size", "/objects", "/objects/box", "/tags", "/tags/red",
                "/resource_types/T",
            ] { #expect(try await send("DELETE", path + part, as: "admin").status == 403, "\(part)") }
            #expect(try await send("GET", path)["tags"]?.array?.count == 1)
            _ = try await send("PUT", path, #"{"namespace": "n"}"#, as: "admin")
            for part in [
                "/properties/size", "/objects/box", "/tags/red", "/resource_types/T", "/properties", "/objects",
                "/tags", "",
            ] { #expect(try await send("DELETE", path + part, as: "admin").status == 204, "\(part)") }
            #expect(try await send("GET", path, as: "admin").status == 404)
        }
    }

    @Test("properties are made, renamed and found by the name that resources of a type have")
    func properties() async throws {
        try await ImageHarness().run { send in
            try await Self.make(send, "n")
            let path = "/metadefs/namespaces/n/properties"
            let full = """
                {"name": "p", "title": "P", "type": "array", "description": "d", "operators": ["<in>"],
                 "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 0, "maxItems": 4, "uniqueItems": true,
                 "additionalItems": false, "readonly": false, "default": ["a"], "required": ["x"]}
                """
            let made = try await send("POST", path, full, as: "admin")
            #expect(made.status == 201)
            #expect(try await send("GET", path + "/p").body == made.body)
            #expect(made["items"]?["enum"] == .array([.string("a"), .string("b")]))
            #expect(try await send("POST", path, full, as: "admin").status == 409)
            #expect(try await send("GET", path)["properties"]?.keys == ["size", "p"])
            #expect(try await send("GET", path + "/t:p?resource_type=T")["name"]?.string == "p")
            #expect(try await send("GET", path + "/p?resource_type=T").status == 404)
            #expect(try await send("GET", path + "/p?resource_type=U").status == 404)
            #expect(try await send("GET", path + "/p?resource_type=X").status == 404)
            let small = #"{"name": "q", "title": "Q", "type": "string"}"#
            let renamed = try await send("PUT", path + "/p", small, as: "admin")
            #expect(renamed.status == 200)
            #expect(renamed["items"] == nil)
            #expect(try await send("GET", path + "/p").status == 404)
            #expect(try await send("PUT", path + "/p", small, as: "admin").status == 404)
            #expect(try await send("PUT", path + "/size", small, as: "admin").status == 409)
            #expect(try await send("DELETE", path + "/q", as: "admin").status == 204)
            #expect(try await send("DELETE", path + "/q", as: "admin").status == 404)
        }
    }

    @Test("a property's definition that is none is refused and changes nothing")
    func badProperties() async throws {
        try await ImageHarness().run { send in
            _ = try await send("POST", "/metadefs/namespaces", #"{"namespace": "n"}"#, as: "admin")
            let path = "/metadefs/namespaces/n/properties"
            let long = String(repeating: "n", count: 81)
            for body in [
                "[]", "{}", #"{"name": "p"}"#, #"{"name": "p", "title": "P"}"#, #"{"title": "P", "type": "string"}"#,
                #"{"name": "p", "title": "P", "type": "text"}"#, #"{"name": "p", "title": "P", "type": null}"#,
                #"{"name": "\#(long)", "title": "P", "type": "string"}"#,
                #"{"name": "", "title": "P", "type": "string"}"#,
                #"{"name": "p", "title": 1, "type": "string"}"#,
                #"{"name": "p", "title": "P", "type": "string", "other": 1}"#,
                #"{"name": "p", "title": "P", "type": "string", "maxLength": -1}"#,
                #"{"name": "p", "title": "P", "type": "string", "maxLength": 1.5}"#,
                #"{"name": "p", "title": "P", "type": "string", "minimum": "1"}"#,
                #"{"name": "p", "title": "P", "type": "string", "enum": "a"}"#,
                #"{"name": "p", "title": "P", "type": "string", "readonly": "yes"}"#,
                #"{"name": "p", "title": "P", "type": "string", "required": ["a", "a"]}"#,
                #"{"name": "p", "title": "P", "type": "string", "required": []}"#,
                #"{"name": "p", "title": "P", "type": "string", "operators": [1]}"#,
                #"{"name": "p", "title": "P", "type": "array", "items": {"type": "text"}}"#,
                #"{"name": "p", "title": "P", "type": "array", "items": []}"#,
            ] { #expect(try await send("POST", path, body, as: "admin").status == 400, "\(body)") }
            #expect(try await send("POST", path, as: "admin").status == 400)
            let readOnly = #"{"name": "p", "title": "P", "type": "string", "created_at": "x"}"#
            #expect(try await send("POST", path, readOnly, as: "admin").status == 403)
            #expect(try await send("GET", path)["properties"] == .object([]))
        }
    }

    @Test("a namespace that is none is refused, and one that is half good leaves nothing behind")
    func badNamespaces() async throws {
        try await ImageHarness().run { send async throws in
            for body in [
                "{}", #"{"namespace": 1}"#, #"{"namespace": ""}"#,
                #"{"namespace": "\#(String(repeating: "é", count: 81))"}"#,
                #"{"namespace": "n", "visibility": "shared"}"#, #"{"namespace": "n", "protected": "true"}"#,
                #"{"namespace": "n", "description": "\#(String(repeating: "d", count: 501))"}"#,
                #"{"namespace": "n", "owner": null}"#, #"{"namespace": "n", "other": 1}"#,
                #"{"namespace": "n", "objects": [{}]}"#, #"{"namespace": "n", "tags": ["t"]}"#,
                #"{"namespace": "n", "resource_type_associations": [{"prefix": "p"}]}"#,
                #"{"namespace": "n", "properties": {"p": {"title": "P"}}}"#,
                #"{"namespace": "n", "properties": []}"#,
            ] { #expect(try await send("POST", "/metadefs/namespaces", body, as: "admin").status == 400, "\(body)") }
            for key in ["self", "schema", "created_at", "updated_at"] {
                let body = #"{"namespace": "n", "\#(key)": "x"}"#
                #expect(try await send("POST", "/metadefs/namespaces", body, as: "admin").status == 403)
            }
            let twice = #"{"namespace": "n", "tags": [{"name": "t"}, {"name": "t"}]}"#
            #expect(try await send("POST", "/metadefs/namespaces", twice, as: "admin").status == 409)
            #expect(try await send("GET", "/metadefs/namespaces/n", as: "admin").status == 404)
        }
    }

    @Test("objects are made, listed in pages, replaced and deleted")
    func objects() async throws {
        try await ImageHarness().run { send in
            _ = try await send("POST", "/metadefs/namespaces", #"{"namespace": "n"}"#, as: "admin")
            let path = "/metadefs/namespaces/n/objects"
            for name in ["a", "b", "c"] {
                let made = try await send("POST", path, #"{"name": "\#(name)", "description": "d"}"#, as: "admin")
                #expect(made.status == 201)
                #expect(made["self"]?.string == "/v2/metadefs/namespaces/n/objects/\(name)")
                #expect(try await send("GET", path + "/" + name).body == made.body)
            }
            #expect(try await send("POST", path, #"{"name": "a"}"#, as: "admin").status == 409)
            #expect(Self.names(try await send("GET", path), "objects") == ["c", "b", "a"])
            let page = try await send("GET", path + "?limit=2")
            #expect(Self.names(page, "objects") == ["c", "b"])
            #expect(Self.names(try await send("GET", "/" + (page["next"]?.string ?? "")), "objects") == ["a"])
            let answer = try await send(
                "PUT", path + "/a",
                #"{"name": "z", "required": ["k"], "properties": {"k": {"title": "K", "type": "string"}}}"#,
                as: "admin")
            #expect(answer.status == 200)
            #expect(answer["name"]?.string == "z")
            #expect(answer["description"] == nil)
            #expect(answer["properties"]?.keys == ["k"])
            #expect(try await send("PUT", path + "/b", #"{"name": "c"}"#, as: "admin").status == 409)
            #expect(try await send("PUT", path + "/a", #"{"name": "y"}"#, as: "admin").status == 404)
            #expect(try await send("POST", path, #"{"name": "y", "self": "x"}"#, as: "admin").status == 403)
            #expect(try await send("POST", path, #"{"name": "y", "other": 1}"#, as: "admin").status == 400)
            #expect(try await send("DELETE", path + "/z", as: "admin").status == 204)
            #expect(try await send("DELETE", path, as: "admin").status == 204)
            #expect(try await send("GET", path)["objects"] == .array([]))
        }
    }

    @Test("a list of tags replaces the others, or is appended; a repeated one is refused and changes nothing")
    func tags() async throws {
        try await ImageHarness().run { send in
            _ = try await send("POST", "/metadefs/namespaces", #"{"namespace": "n"}"#, as: "admin")
            let path = "/metadefs/namespaces/n/tags"
            func all() async throws -> [String] {
                Self.names(try await send("GET", path + "?sort_key=name&sort_dir=asc"), "tags")
            }
            let made = try await send("POST", path, #"{"tags": [{"name": "b"}, {"name": "a"}]}"#, as: "admin")
            #expect(made.status == 201)
            #expect(Self.names(made, "tags") == ["b", "a"])
            _ = try await send("POST", path, #"{"tags": [{"name": "c"}]}"#, as: "admin")
            #expect(try await all() == ["c"])
            let appended = try await send(
                "POST", path, #"{"tags": [{"name": "d"}]}"#, as: "admin", headers: ["X-Openstack-Append": "True"])
            #expect(appended.status == 201)
            #expect(try await all() == ["c", "d"])
            let twice = #"{"tags": [{"name": "x"}, {"name": "x"}]}"#
            #expect(try await send("POST", path, twice, as: "admin").status == 409)
            for body in [#"{"tags": ["x"]}"#, #"{"tags": [{}]}"#, #"{"tags": {}}"#, #"{"others": []}"#] {
                #expect(try await send("POST", path, body, as: "admin").status == 400, "\(body)")
            }
            #expect(try await all() == ["c", "d"])
            #expect(try await send("POST", path + "/e", as: "admin").status == 201)
            #expect(try await send("POST", path + "/e", as: "admin").status == 409)
            #expect(try await send("POST", path + "/" + String(repeating: "t", count: 81), as: "admin").status == 400)
            #expect(try await send("PUT", path + "/e", #"{"name": "f"}"#, as: "admin")["name"]?.string == "f")
            #expect(try await send("PUT", path + "/f", #"{"name": "c"}"#, as: "admin").status == 409)
            #expect(try await send("GET", path + "/e").status == 404)
            #expect(try await send("GET", path + "/f")["name"]?.string == "f")
            #expect(try await send("DELETE", path + "/e", as: "admin").status == 404)
        }
    }

    @Test("an association brings its resource type into being, which stays when it goes")
    func resourceTypes() async throws {
        try await ImageHarness().run { send in
            _ = try await send("POST", "/metadefs/namespaces", #"{"namespace": "n"}"#, as: "admin")
            #expect(try await send("GET", "/metadefs/resource_types")["resource_types"] == .array([]))
            let path = "/metadefs/namespaces/n/resource_types"
            let body = #"{"name": "OS::X", "prefix": "x_", "properties_target": "image"}"#
            let made = try await send("POST", path, body, as: "admin")
            #expect(made.status == 201)
            #expect(made["prefix"]?.string == "x_")
            #expect(try await send("POST", path, body, as: "admin").status == 409)
            #expect(try await send("POST", path, #"{"prefix": "x_"}"#, as: "admin").status == 400)
            #expect(try await send("GET", path)["resource_type_associations"]?.array == [made.body!])
            #expect(try await send("DELETE", path + "/OS::X", as: "admin").status == 204)
            #expect(try await send("DELETE", path + "/OS::X", as: "admin").status == 404)
            #expect(Self.names(try await send("GET", "/metadefs/resource_types"), "resource_types") == ["OS::X"])
            #expect(try await send("GET", "/metadefs/resource_types", as: "nobody").status == 404)
        }
    }

    @Test("the standard definitions are good documents, and are put in once")
    func standard() async throws {
        let harness = try await ImageHarness()
        try await harness.run { send in
            let all = try StandardDefinitions.all()
            #expect(all.count == StandardDefinitions.documents.count)
            try await send.service.seedDefinitions(StandardDefinitions.name, all)
            let listed = try await send("GET", "/metadefs/namespaces?limit=100", as: "bob")
            #expect(listed["namespaces"]?.array?.count == all.count)
            let path = "/metadefs/namespaces/OS::Compute::Watchdog"
            _ = try await send("PUT", path, #"{"namespace": "OS::Compute::Watchdog"}"#, as: "admin")
            #expect(try await send("DELETE", path, as: "admin").status == 204)
            try await send.service.seedDefinitions(StandardDefinitions.name, all)
            #expect(try await send("GET", path, as: "admin").status == 404)
        }
    }
}
