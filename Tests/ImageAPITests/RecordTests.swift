import ControlFace
import HTTPTypes
import Images
import Testing

@testable import ImageAPI

@Suite("Images over HTTP") struct ImageRecordAPITests {
    private static let raw = #"{"name":"a","disk_format":"raw","container_format":"bare"}"#
    private static let octets = ["Content-Type": "application/octet-stream"]
    private static let patch = ["Content-Type": "application/openstack-images-v2.1-json-patch"]
    private static let oldPatch = ["Content-Type": "application/openstack-images-v2.0-json-patch"]

    private func made(_ send: ImageHarness.Sender, _ body: String = raw, as name: String = "ann") async throws -> String
    {
        let answer = try await send("POST", "/images", body, as: name)
        #expect(answer.status == 201)
        return try #require(answer["id"]?.string)
    }

    @Test("a new image is queued, says where it is and how it may be imported")
    func create() async throws {
        try await ImageHarness().run { send async throws in
            let answer = try await send("POST", "/images", #"{"name":"a","tags":["x","x"],"os_type":"linux"}"#)
            #expect(answer.status == 201)
            #expect(answer["status"] == .string("queued"))
            #expect(answer["visibility"] == .string("shared"))
            #expect(answer["os_type"] == .string("linux"))
            #expect(answer["tags"] == .array([.string("x")]))
            #expect(answer["size"] == .null)
            #expect(answer["owner"] == .string(ImageHarness.work))
            #expect(answer.header("Location")?.hasSuffix("/v2/images/" + (answer["id"]?.string ?? "-")) == true)
            #expect(answer.header("OpenStack-image-import-methods")?.contains("glance-direct") == true)
            #expect(answer.header("X-Openstack-Request-Id")?.hasPrefix("req-") == true)
        }
    }

    @Test(
        "what a record can't be is refused with the status that says why",
        arguments: [
            (#"{"disk_format":"zip"}"#, 400), (#"{"container_format":7}"#, 400), (#"{"id":"x"}"#, 400), ("[]", 400),
            ("", 400), ("{", 400), (#"{"name":7}"#, 400), (#"{"min_disk":-1}"#, 400), (#"{"min_ram":2147483648}"#, 400),
            (#"{"protected":"yes"}"#, 400), (#"{"visibility":"secret"}"#, 400), (#"{"custom":null}"#, 400),
            (#"{"custom":1}"#, 400), (#"{"status":"active"}"#, 403), (#"{"size":1}"#, 403),
            (#"{"os_glance_x":"1"}"#, 403), (#"{"deleted":"1"}"#, 403), (#"{"locations":[]}"#, 403),
            (#"{"visibility":"public"}"#, 403), (#"{"owner":"somebody"}"#, 403),
            (#"{"tags":["\#(String(repeating: "t", count: 256))"]}"#, 400),
        ])
    func refusals(body: String, status: Int) async throws {
        try await ImageHarness().run { send async throws in
            #expect(try await send("POST", "/images", body.isEmpty ? nil : body).status == status)
            #expect(try await send("GET", "/images")["images"] == .array([]))
        }
    }

    @Test("more properties or tags than an image may have are too many (413)")
    func counts() async throws {
        try await ImageHarness().run { send async throws in
            let properties = (0..<129).map { #""p\#($0)":"v""# }.joined(separator: ",")
            #expect(try await send("POST", "/images", "{\(properties)}").status == 413)
            let tags = (0..<129).map { #""t\#($0)""# }.joined(separator: ",")
            #expect(try await send("POST", "/images", #"{"tags":[\#(tags)]}"#).status == 413)
        }
    }

    @Test("an id may be chosen once")
    func ids() async throws {
        try await ImageHarness().run { send async throws in
            let id = "11111111-2222-3333-4444-555555555555"
            #expect(try await send("POST", "/images", #"{"id":"\#(id)"}"#).status == 201)
            #expect(try await send("POST", "/images", #"{"id":"\#(id)"}"#).status == 409)
            #expect(try await send("DELETE", "/images/\(id)").status == 204)
            #expect(try await send("GET", "/images/\(id)").status == 404)
            #expect(try await send("POST", "/images", #"{"id":"\#(id)"}"#).status == 409)
        }
    }

    @Test("a patch speaks either draft, and no other type")
    func patches() async throws {
        try await ImageHarness().run { send async throws in
            let id = try await made(send)
            let path = "/images/\(id)"
            #expect(try await send("PATCH", path, "[]").status == 415)
            let body = #"[{"op":"replace","path":"/name","value":"b"},{"op":"add","path":"/x~1y","value":"1"}]"#
            let answer = try await send("PATCH", path, body, headers: Self.patch)
            #expect(answer.status == 200)
            #expect(answer["name"] == .string("b"))
            #expect(answer["x/y"] == .string("1"))
            #expect(
                try await send("PATCH", path, #"[{"add":"/x~1y","value":"2"}]"#, headers: Self.oldPatch).status == 409)
            #expect(
                try await send("PATCH", path, #"[{"replace":"/x~1y","value":"2"}]"#, headers: Self.oldPatch).status
                    == 200)
            #expect(
                try await send("PATCH", path, #"[{"op":"remove","path":"/x~1y"}]"#, headers: Self.patch).status == 200)
            #expect(
                try await send("PATCH", path, #"[{"op":"remove","path":"/x~1y"}]"#, headers: Self.patch).status == 409)
        }
    }

    @Test(
        "a patch that can't be is refused, and changes nothing",
        arguments: [
            (#"{}"#, 400), (#"[1]"#, 400), (#"[{"op":"move","path":"/a"}]"#, 400),
            (#"[{"op":"add","path":"a","value":"1"}]"#, 400),
            (#"[{"op":"add","path":"/a"}]"#, 400), (#"[{"op":"add","path":"/a//b","value":"1"}]"#, 400),
            (#"[{"op":"add","path":"/a/","value":"1"}]"#, 400), (#"[{"op":"add","path":"/a~2","value":"1"}]"#, 400),
            (#"[{"op":"add","path":"/a","value":1}]"#, 400), (#"[{"op":"remove","path":"/name"}]"#, 403),
            (#"[{"op":"replace","path":"/status","value":"active"}]"#, 403),
            (#"[{"op":"replace","path":"/id","value":"1"}]"#, 403),
            (#"[{"op":"add","path":"/os_glance_a","value":"1"}]"#, 403),
            (#"[{"op":"replace","path":"/a","value":"1"}]"#, 409),
            (#"[{"op":"replace","path":"/visibility","value":"public"}]"#, 403),
            (#"[{"op":"add","path":"/locations/-","value":{}}]"#, 403),
            (#"[{"op":"replace","path":"/name","value":"b"},{"op":"remove","path":"/nothing"}]"#, 409),
        ])
    func badPatches(body: String, status: Int) async throws {
        try await ImageHarness().run { send async throws in
            let id = try await made(send)
            #expect(try await send("PATCH", "/images/\(id)", body, headers: Self.patch).status == status)
            #expect(try await send("GET", "/images/\(id)")["name"] == .string("a"))
        }
    }

    @Test("bytes go in once, and come out whole or in part")
    func data() async throws {
        try await ImageHarness().run { send async throws in
            let id = try await made(send)
            let file = "/images/\(id)/file"
            #expect(try await send("GET", file).status == 204)
            #expect(try await send("PUT", file, "hello world", headers: ["Content-Type": "text/plain"]).status == 415)
            #expect(try await send("PUT", file, "hello world", headers: Self.octets).status == 204)
            #expect(try await send("PUT", file, "again", headers: Self.octets).status == 409)
            let image = try await send("GET", "/images/\(id)")
            #expect(image["status"] == .string("active"))
            #expect(image["size"] == .number("11"))
            #expect(image["checksum"] == .string("5eb63bbbe01eeed093cb22bb8f5acdc3"))
            let whole = try await send("GET", file)
            #expect(whole.status == 200 && whole.text == "hello world")
            #expect(whole.header("Content-MD5") == "5eb63bbbe01eeed093cb22bb8f5acdc3")
            #expect(whole.header("Content-Length") == "11")
            for (range, text) in [
                ("bytes=0-4", "hello"), ("bytes=6-", "world"), ("bytes=-3", "rld"), ("bytes=6-99", "world"),
            ] {
                let part = try await send("GET", file, headers: ["Range": range])
                #expect(part.status == 206 && part.text == text)
            }
            #expect(
                try await send("GET", file, headers: ["Range": "bytes=6-"]).header("Content-Range") == "bytes 6-10/11")
            #expect(try await send("GET", file, headers: ["Range": "bytes=11-"]).status == 416)
            #expect(try await send("GET", file, headers: ["Range": "lines=1-2"]).status == 416)
            #expect(try await send("GET", file, headers: ["Range": "bytes=0-1,3-4"]).status == 400)
            #expect(try await send("HEAD", file).status == 405)
        }
    }

    @Test("an upload needs both formats, and what was announced")
    func uploadRefusals() async throws {
        try await ImageHarness().run { send async throws in
            let bare = try await made(send, #"{"name":"bare"}"#)
            #expect(try await send("PUT", "/images/\(bare)/file", "x", headers: Self.octets).status == 400)
            let id = try await made(send)
            let headers = Self.octets.merging(["x-openstack-image-size": "5"]) { $1 }
            #expect(try await send("PUT", "/images/\(id)/file", "xyz", headers: headers).status == 400)
            #expect(try await send("GET", "/images/\(id)")["status"] == .string("queued"))
            let odd = Self.octets.merging(["x-openstack-image-size": "five"]) { $1 }
            #expect(try await send("PUT", "/images/\(id)/file", "xyz", headers: odd).status == 400)
            let elsewhere = Self.octets.merging(["x-image-meta-store": "moon"]) { $1 }
            #expect(try await send("PUT", "/images/\(id)/file", "xyz", headers: elsewhere).status == 400)
            #expect(try await send("PUT", "/images/\(id)/file", "", headers: Self.octets).status == 204)
            #expect(try await send("GET", "/images/\(id)")["size"] == .number("0"))
        }
    }

    @Test("what can't be seen is not there; what can be seen but not changed is forbidden")
    func others() async throws {
        try await ImageHarness().run { send async throws in
            let mine = try await made(send, #"{"visibility":"private"}"#)
            for method in ["GET", "DELETE"] {
                #expect(try await send(method, "/images/\(mine)", as: "bob").status == 404)
            }
            #expect(try await send("PATCH", "/images/\(mine)", "[]", as: "bob", headers: Self.patch).status == 404)
            let common = try await made(send, #"{"visibility":"community"}"#)
            #expect(try await send("GET", "/images/\(common)", as: "bob").status == 200)
            #expect(try await send("DELETE", "/images/\(common)", as: "bob").status == 403)
            #expect(try await send("GET", "/images/\(common)", as: "nobody").status == 404)
            #expect(try await send("GET", "/images/\(common)", as: "unscoped").status == 404)
            #expect(try await send("POST", "/images", Self.raw, as: "rita").status == 403)
            let denied = try await send("GET", "/images", as: nil)
            #expect(denied.status == 401)
            #expect(denied.header("WWW-Authenticate") == "Keystone uri=\"http://identity.example:5000/v3\"")
        }
    }

    @Test("a listing filters, sorts and pages, and refuses what it does not know how to")
    func list() async throws {
        try await ImageHarness().run { send async throws in
            for number in 0..<5 {
                _ = try await made(send, #"{"name":"n\#(number % 2)","tags":["t\#(number)"],"k":"v\#(number % 2)"}"#)
            }
            func names(_ query: String) async throws -> [String] {
                let answer = try await send("GET", "/images?\(query)")
                #expect(answer.status == 200)
                return answer["images"]?.array?.compactMap { $0["name"]?.string } ?? []
            }
            #expect(try await names("name=n1").count == 2)
            #expect(try await names("name=in:n1,n0").count == 5)
            #expect(try await names("tag=t3") == ["n1"])
            #expect(try await names("k=v0").count == 3)
            #expect(try await names("sort=name:asc,created_at:desc") == ["n0", "n0", "n0", "n1", "n1"])
            #expect(try await names("visibility=private").isEmpty)
            let page = try await send("GET", "/images?limit=2&name=n0")
            let next = try #require(page["next"]?.string)
            #expect(next.contains("name=n0") && next.contains("marker="))
            #expect(page["first"] == .string("/v2/images?limit=2&name=n0"))
            #expect(try await send("GET", String(next.dropFirst(3)))["images"]?.array?.count == 1)
            for bad in [
                "limit=-1", "limit=x", "marker=none", "sort_key=owner", "sort_dir=up", "sort=name:asc&sort_key=name",
                "visibility=x", "member_status=x", "os_hidden=maybe", "name=in:%22a", "owner=in:a&size_min=x",
                "created_at=gt:yesterday", "changes-since=1", "custom=in:a",
            ] {
                #expect(try await send("GET", "/images?\(bad)").status == 400, "\(bad)")
            }
        }
    }

    @Test("an error is a page, or JSON for whoever asks for it")
    func errors() async throws {
        try await ImageHarness().run { send async throws in
            let page = try await send("GET", "/images/x")
            #expect(page.header("Content-Type")?.hasPrefix("text/html") == true)
            #expect(page.text.contains("<h1>404 Not Found</h1>"))
            let json = try await send("GET", "/images/x", headers: ["Accept": "application/json"])
            #expect(json["code"] == .string("404 Not Found"))
            let verb = try await send("POST", "/images/x")
            #expect(verb.status == 405 && verb.header("Allow") == "GET, PATCH, DELETE")
            #expect(try await send("GET", "//versions").status == 200)
            #expect(try await send("GET", "//", as: nil).status == 300)
        }
    }

    @Test("members are invited by the owner, and answer for themselves")
    func members() async throws {
        try await ImageHarness().run { send async throws in
            let id = try await made(send)
            let members = "/images/\(id)/members"
            #expect(try await send("POST", members, #"{"member":""}"#).status == 400)
            #expect(try await send("POST", members, #"{"member":"\#(ImageHarness.home)"}"#).status == 200)
            #expect(try await send("POST", members, #"{"member":"\#(ImageHarness.home)"}"#).status == 409)
            let one = "\(members)/\(ImageHarness.home)"
            #expect(try await send("PUT", one, #"{"status":"accepted"}"#).status == 403)
            #expect(try await send("PUT", one, #"{"status":"maybe"}"#, as: "bob").status == 400)
            #expect(try await send("PUT", one, #"{"status":"accepted"}"#, as: "bob")["status"] == .string("accepted"))
            #expect(try await send("GET", "/images", as: "bob")["images"]?.array?.count == 1)
            #expect(try await send("DELETE", one, as: "bob").status == 403)
            #expect(try await send("DELETE", one).status == 204)
            #expect(try await send("DELETE", one).status == 404)
            let mine = try await made(send, #"{"visibility":"private"}"#)
            #expect(try await send("POST", "/images/\(mine)/members", #"{"member":"x"}"#).status == 403)
        }
    }

    @Test("an import says at once what it can't do")
    func imports() async throws {
        try await ImageHarness().run { send async throws in
            let id = try await made(send)
            let path = "/images/\(id)/import"
            for (body, status) in [
                (#"{}"#, 400), (#"{"method":"x"}"#, 400), (#"{"method":{"name":"x"}}"#, 400),
                (#"{"method":{"name":"web-download"}}"#, 400),
                (#"{"method":{"name":"web-download","uri":"http://127.0.0.1/"}}"#, 400),
                (#"{"method":{"name":"glance-direct"}}"#, 409),
                (#"{"method":{"name":"glance-direct"},"stores":["chunks"],"all_stores":true}"#, 400),
                (#"{"method":{"name":"glance-direct"},"stores":[]}"#, 400),
            ] {
                #expect(try await send("POST", path, body).status == status, "\(body)")
            }
            #expect(try await send("PUT", "/images/\(id)/stage", "abc", headers: Self.octets).status == 204)
            #expect(try await send("GET", "/images/\(id)")["status"] == .string("uploading"))
            #expect(try await send("POST", path, #"{"method":{"name":"glance-direct"}}"#).status == 202)
            await send.service.settle()
            #expect(try await send("GET", "/images/\(id)/file").text == "abc")
            let task = try await send("GET", "/images/\(id)/tasks")["tasks"]?.array?.first
            #expect(task?["status"] == .string("success"))
            #expect(task?["input"]?["import_req"]?["method"]?["name"] == .string("glance-direct"))
        }
    }
}
