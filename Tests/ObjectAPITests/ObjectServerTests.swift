import Chunks
import Codecs
import HTTPFace
import ObjectAPI
import Primitives
import Testing

private let account = "/v1/AUTH_p1"

private func md5(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { MD5.hash($0).hex } }

private func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = IDGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
    return Array(bytes[..<count])
}

@Suite struct ObjectServerTests {
    @Test func theFixedPlacesAnswerWithoutAToken() async throws {
        try await Rig.run { rig in
            let health = try rig.call("GET", "/healthcheck", token: nil)
            #expect(health.status == 200)
            #expect(health.text == "OK")
            let info = try rig.call("GET", "/info", token: nil)
            #expect(info.text.contains("\"max_file_size\": 5368709122"))
            #expect(!info.text.contains("slo"))
            #expect(try rig.call("HEAD", "/info", token: nil)["Content-Length"] == String(info.body.count))
            let options = try rig.call("OPTIONS", account + "/c/o", token: nil)
            #expect(options.status == 200)
            #expect(options["Allow"] == "COPY, DELETE, GET, HEAD, OPTIONS, POST, PUT")
            let verb = try rig.call("BREW", account + "/c", token: nil)
            #expect(verb.status == 405)
            #expect(verb["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST, PUT")
            let bad = try rig.call("GET", "/v1/a/c/%ff", token: nil)
            #expect(bad.status == 412)
            #expect(bad.text == "Invalid UTF8 or contains NULL")
            for reply in [health, info, options, verb, bad] {
                #expect(reply["X-Trans-Id"] != nil && reply["X-Trans-Id"] == reply["X-Openstack-Request-Id"])
                #expect(reply["Content-Type"] != nil && reply["Date"] != nil)
            }
        }
    }

    @Test func signingInGivesATokenAndAStorageURL() async throws {
        try await Rig.run { rig in
            let good = try rig.call("GET", "/auth/v1.0", ["X-Auth-User": "p1:u1", "X-Auth-Key": "secret"], token: nil)
            #expect(good.status == 200)
            #expect(good["X-Storage-Url"] == "http://h/v1/AUTH_p1")
            #expect(good["X-Auth-Token"] == "owner" && good["X-Storage-Token"] == "owner")
            #expect(good["X-Auth-Token-Expires"] == "3600")
            let alias = try rig.call(
                "GET", "/auth/v1/p1/auth", ["X-Storage-User": "u1", "X-Storage-Pass": "secret"], token: nil)
            #expect(alias.status == 200)
            let bad = try rig.call("GET", "/auth/v1.0", ["X-Auth-User": "p1:u1", "X-Auth-Key": "no"], token: nil)
            #expect(bad.status == 401)
            #expect(bad["WWW-Authenticate"] == "Swift realm=\"p1\"")
            #expect(try rig.call("GET", "/auth/v1.0", token: nil).status == 401)
            let often = try rig.call("GET", "/auth/v1.0", ["X-Auth-User": "p1:failed", "X-Auth-Key": "no"], token: nil)
            #expect(often.status == 429 && often["Retry-After"] == "7")
            let other = ["X-Auth-User": "p2:u1", "X-Auth-Key": "secret"]
            #expect(try rig.call("GET", "/auth/v1/p1/auth", other, token: nil).status == 401)
            #expect(try rig.call("POST", "/auth/v1.0", token: nil).status == 405)
        }
    }

    @Test func anAccountHasNoMoreUploadsUnderWayThanItMay() async throws {
        try await Rig.run(uploadsMax: 2) { rig in
            #expect(try rig.call("PUT", account + "/c").status == 201)
            // One after the other on one connection: each leaves its place before its answer.
            let client = try Client(port: rig.port)
            for _ in 0..<5 { #expect(try client.call("PUT", account + "/c/o", [:], [1]).status == 201) }
            let uploads = try (0..<2).map { _ in try Client(port: rig.port) }
            for (index, upload) in uploads.enumerated() {
                upload.send(
                    "PUT \(account)/c/u\(index) HTTP/1.1\r\nHost: h\r\nX-Auth-Token: owner\r\n"
                        + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
                // From here on the upload is under way.
                #expect(try upload.readHead().hasPrefix("HTTP/1.1 100 "))
            }
            #expect(try rig.call("PUT", account + "/c/o", [:], [1]).status == 503)
            // Who may not write here takes no place, and learns nothing of it.
            #expect(try rig.call("PUT", account + "/c/o", [:], [1], token: "stranger").status == 403)
            #expect(try rig.call("PUT", "/v1/AUTH_p2/c", token: "stranger").status == 201)
            #expect(try rig.call("PUT", "/v1/AUTH_p2/c/o", [:], [1], token: "stranger").status == 201)
            uploads[0].send([1, 2])
            #expect(try uploads[0].readReply().status == 201)
            #expect(try rig.call("PUT", account + "/c/o", [:], [1]).status == 201)
        }
    }

    @Test func whoMayNotIsToldSo() async throws {
        try await Rig.run { rig in
            #expect(try rig.call("PUT", account + "/c").status == 201)
            #expect(try rig.call("PUT", account + "/c/o", [:], [1, 2, 3]).status == 201)
            let anonymous = try rig.call("GET", account + "/c/o", token: nil)
            #expect(anonymous.status == 401)
            #expect(anonymous["WWW-Authenticate"] == "Swift realm=\"AUTH_p1\"")
            #expect(
                try rig.call("GET", "/v1/A%22%0d%0aX:%20y/c", token: nil)["WWW-Authenticate"]
                    == "Swift realm=\"A%22%0D%0AX%3A%20y\"")
            #expect(try rig.call("GET", account + "/c/o", token: "unknown").status == 401)
            #expect(try rig.call("GET", account + "/c/o", token: "stranger").status == 403)
            #expect(try rig.call("GET", account + "/c/o", token: "slow-owner").status == 200)
            #expect(try rig.call("GET", account + "/c/o", token: "broken").status == 503)
            #expect(try rig.call("PUT", account + "/c/x", [:], [1], token: nil).status == 401)
            // Rights come before lengths.
            #expect(try rig.call("PUT", account + "/c/x", token: "stranger").status == 403)
            #expect(try rig.call("POST", account + "/c", ["X-Container-Read": ".r:*"]).status == 204)
            #expect(try rig.call("GET", account + "/c/o", token: nil).status == 200)
            #expect(try rig.call("GET", account + "/c/o", token: "unknown").status == 200)
            #expect(try rig.call("GET", account + "/c", token: nil).status == 401)
            #expect([401, 403, 405].contains(try rig.call("PUT", account).status))
        }
    }

    @Test func theStatusMatrixHolds() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            func status(_ verb: String, _ path: String, _ headers: [String: String] = [:], _ body: [UInt8]? = nil)
                throws -> Int
            {
                try client.call(verb, account + path, headers, body).status
            }
            #expect(try status("HEAD", "") == 204)
            #expect(try status("GET", "") == 204)
            #expect(try status("GET", "?format=json") == 200)
            #expect(try status("PUT", "/c") == 201)
            #expect(try status("PUT", "/c") == 202)
            #expect(try status("HEAD", "/c") == 204)
            #expect(try status("GET", "/c") == 204)
            #expect(try status("GET", "/none") == 404)
            #expect(try status("HEAD", "/none") == 404)
            #expect(try status("DELETE", "/none") == 404)
            #expect(try status("POST", "/none") == 404)
            #expect(try status("PUT", "/none/o", [:], [1]) == 404)
            #expect(try status("GET", "/none/o") == 404)
            #expect(try status("GET", "/c/none") == 404)
            #expect(try status("GET", "/c/none", ["If-Match": "*"]) == 412)
            #expect(try status("POST", "/c/none") == 404)
            #expect(try status("DELETE", "/c/none") == 404)
            #expect(try status("PUT", "/c/o") == 411)
            #expect(try status("PUT", "/c/o", ["ETag": md5([1])], [1, 2]) == 422)
            #expect(try status("PUT", "/c/o", ["If-None-Match": "\"x\""], [1]) == 400)
            #expect(try status("PUT", "/c/o", ["ETag": "\"\(md5([1, 2]))\""], [1, 2]) == 201)
            #expect(try status("PUT", "/c/o", ["If-None-Match": "*"], [1]) == 412)
            #expect(try status("POST", "/c/o", ["X-Object-Meta-A": "b"]) == 202)
            #expect(try status("POST", "/c/o", ["X-Object-Meta-": "b"]) == 400)
            #expect(try status("POST", "/c/o", ["X-Object-Meta-A": String(repeating: "v", count: 257)]) == 400)
            #expect(try status("DELETE", "/c") == 409)
            #expect(try status("GET", "/c/o", ["Range": "bytes=5-"]) == 416)
            #expect(try status("GET", "/c?limit=10001") == 412)
            #expect(try status("GET", "/c?limit=x") == 200)
            #expect(try status("GET", "/c?prefix=%ff") == 400)
            #expect(try status("GET", "/c", ["Accept": "image/png"]) == 406)
            #expect(try status("GET", "/c", ["Accept": "nonsense"]) == 400)
            #expect(try status("PUT", "/c/o?multipart-manifest=put", [:], [1]) == 400)
            #expect(try status("DELETE", "/c/o") == 204)
            #expect(try status("DELETE", "/c/o") == 404)
            #expect(try status("DELETE", "/c") == 204)
            #expect(try status("POST", "", ["X-Account-Meta-A": "b"]) == 204)
            #expect(try status("PUT", "/" + String(repeating: "c", count: 257)) == 400)
            #expect(try client.call("HEAD", account)["X-Account-Meta-A"] == "b")
            // All of that on one connection.
        }
    }

    @Test func aTooLargeBodyIsRefusedBeforeItIsSent() async throws {
        try await Rig.run { rig in
            #expect(try rig.call("PUT", account + "/c").status == 201)
            let client = try Client(port: rig.port)
            client.send(
                "PUT \(account)/c/o HTTP/1.1\r\nHost: h\r\nX-Auth-Token: owner\r\nContent-Length: 5368709123\r\n"
                    + "Expect: 100-continue\r\n\r\n")
            let head = try client.readHead()
            #expect(head.hasPrefix("HTTP/1.1 413 "))
            #expect(head.contains("Connection: close"))
        }
    }

    @Test(
        "what was put comes back with the same headers from GET and HEAD",
        arguments: [0, 1, 4096, 131_072, 131_073, 700_000, 3_000_001])
    func roundTrip(_ size: Int) async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            let body = noise(size, seed: UInt64(size))
            _ = try client.call("PUT", account + "/c")
            let put = try client.call(
                "PUT", account + "/c/o.txt",
                ["X-Object-Meta-Color": "Blaü", "Content-Type": "text/x; a=b", "Content-Encoding": "rot"], body)
            #expect(put.status == 201)
            #expect(put["Etag"] == md5(body))
            for attempt in 0..<2 {
                let got = try client.call("GET", account + "/c/o.txt")
                #expect(got.status == 200)
                #expect(got.body == body, "attempt \(attempt)")
                let head = try client.call("HEAD", account + "/c/o.txt")
                #expect(head.status == 200)
                for reply in [got, head] {
                    #expect(reply["Etag"] == md5(body))
                    #expect(reply["Content-Length"] == String(size))
                    #expect(reply["Content-Type"] == "text/x; a=b")
                    #expect(reply["Content-Encoding"] == "rot")
                    #expect(reply["X-Object-Meta-Color"] == "Blaü")
                    #expect(reply["Last-Modified"] == put["Last-Modified"])
                    #expect(reply["Accept-Ranges"] == "bytes")
                    #expect(reply["X-Timestamp"]?.wholeMatch(of: /\d{10}\.\d{5}/) != nil)
                }
                let names = { (reply: Reply) in Set(reply.headers.map { $0.name.lowercased() }) }
                #expect(names(got) == names(head))
            }
            let listing = try client.call("GET", account + "/c?format=json").text
            #expect(listing.contains("\"bytes\": \(size)") && listing.contains(md5(body)))
        }
    }

    @Test func aChunkedBodyMayBeCutAnywhere() async throws {
        try await Rig.run { rig in
            let setup = try Client(port: rig.port)
            _ = try setup.call("PUT", account + "/c")
            let request = Array(
                ("PUT \(account)/c/o HTTP/1.1\r\nHost: h\r\nX-Auth-Token: owner\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "5\r\nhello\r\n1;x=y\r\n \r\n00006\r\nworld!\r\n0\r\nX-T: u\r\n\r\n").utf8)
            let client = try Client(port: rig.port)
            for byte in request { client.send([byte]) }
            #expect(try client.readReply().status == 201)
            for cut in stride(from: 1, to: request.count, by: 7) {
                client.send(Array(request[..<cut]))
                client.send(Array(request[cut...]))
                #expect(try client.readReply()["Etag"] == md5(Array("hello world!".utf8)))
            }
            #expect(try client.call("GET", account + "/c/o").text == "hello world!")
        }
    }

    @Test func pipelinedPutsAndGetsAreAnsweredInOrder() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            var all: [UInt8] = []
            for i in 0..<40 {
                all += Client.request("PUT", account + "/c/\(i)", [:], Array("value \(i)".utf8))
                all += Client.request("GET", account + "/c/\(i)")
            }
            client.send(all)
            for i in 0..<40 {
                #expect(try client.readReply().status == 201)
                #expect(try client.readReply().text == "value \(i)")
            }
        }
    }

    @Test func oddNamesLiveAndNeverTouchTheFileSystem() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            let names = [
                "a//b", "..", "../../etc/passwd", "/", "//", "a/", ".", "🐦", "%41", "a b", "x?y", "x#y", "ü",
                "u\u{308}",
                "\"quoted\" & <tagged>", "line\nbreak", String(repeating: "n", count: 1024),
            ]
            for name in names {
                let path = account + "/c/" + percent(name)
                #expect(try client.call("PUT", path, [:], Array(name.utf8)).status == 201, "\(name)")
                #expect(try client.call("GET", path).text == name)
            }
            #expect(
                try client.call("PUT", account + "/c/" + String(repeating: "n", count: 1025), [:], [1]).status == 400)
            let listed = try client.call("GET", account + "/c?format=json").text
            for name in ["a//b", "..", "🐦", "\\\"quoted\\\" & <tagged>", "line\\nbreak"] {
                #expect(listed.contains("\"name\": \"\(name)\""), "\(name)")
            }
            let xml = try client.call("GET", account + "/c?format=xml")
            #expect(xml["Content-Type"] == "application/xml; charset=utf-8")
            #expect(xml.text.contains("<name>&quot;quoted&quot; &amp; &lt;tagged&gt;</name>"))
            #expect(try client.call("HEAD", account + "/c")["X-Container-Object-Count"] == String(names.count))
        }
    }

    @Test func listingsGroupPageAndNegotiate() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            for name in ["a/1", "a/2", "b", "c/1"] { _ = try client.call("PUT", account + "/c/" + name, [:], [0]) }
            let plain = try client.call("GET", account + "/c")
            #expect(plain.text == "a/1\na/2\nb\nc/1\n")
            #expect(plain["Content-Type"] == "text/plain; charset=utf-8")
            #expect(plain["Vary"] == "Accept")
            #expect(try client.call("GET", account + "/c?delimiter=/").text == "a/\nb\nc/\n")
            #expect(try client.call("GET", account + "/c?prefix=a/&marker=a/1").text == "a/2\n")
            #expect(try client.call("GET", account + "/c?reverse=on&limit=2").text == "c/1\nb\n")
            let json = try client.call("GET", account + "/c?delimiter=/&format=json")
            #expect(json.text.hasPrefix("[{\"subdir\": \"a/\"}, {\"name\": \"b\", \"hash\": "))
            #expect(json["Vary"] == nil)
            let accept = try client.call("GET", account, ["Accept": "application/json"])
            #expect(accept.text.hasPrefix("[{\"name\": \"c\", \"count\": 4, \"bytes\": 4, \"last_modified\": \"20"))
            #expect(accept["X-Account-Container-Count"] == "1")
            #expect(accept["X-Account-Object-Count"] == "4")
        }
    }

    @Test func conditionsAndRanges() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            let body = noise(400_000, seed: 3)
            let put = try client.call("PUT", account + "/c/o", ["Content-Type": "x/y"], body)
            func get(_ headers: [String: String]) throws -> Reply { try client.call("GET", account + "/c/o", headers) }
            let etag = md5(body)
            let notModified = try get(["If-None-Match": "\"\(etag)\""])
            #expect(notModified.status == 304)
            #expect(notModified["Etag"] == etag && notModified.body.isEmpty)
            #expect(try get(["If-None-Match": "abc"]).status == 200)
            #expect(try get(["If-Match": "abc"]).status == 412)
            #expect(try get(["If-Match": "abc, \(etag)"]).status == 200)
            #expect(try get(["If-Modified-Since": put["Last-Modified"]!]).status == 304)
            #expect(try get(["If-Unmodified-Since": put["Last-Modified"]!]).status == 200)
            #expect(try get(["If-Unmodified-Since": "Thu, 29 May 2014 16:10:43 GMT"]).status == 412)

            for (range, expected) in [
                ("bytes=0-4", 0..<5), ("bytes=131070-131080", 131_070..<131_081), ("BYTES = 10 - 20", 10..<21),
                ("bytes=399990-", 399_990..<400_000), ("bytes=-7", 399_993..<400_000), ("bytes=5-9999999", 5..<400_000),
                ("bytes=0-0,-0", 0..<1),
            ] {
                let reply = try get(["Range": range])
                #expect(reply.status == 206, "\(range)")
                #expect(reply.body == Array(body[expected]), "\(range)")
                #expect(reply["Content-Range"] == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/400000")
            }
            for range in ["0-4", "lines=0-4", "bytes=x-y", "bytes=5-2"] {
                #expect(try get(["Range": range]).status == 200, "\(range)")
            }
            for range in ["bytes=400000-", "bytes=-0"] {
                let reply = try get(["Range": range])
                #expect(reply.status == 416)
                #expect(reply["Content-Range"] == "bytes */400000")
                #expect(reply["Etag"] == etag && reply["Accept-Ranges"] == "bytes")
            }
            let several = try get(["Range": "bytes=0-2,131071-131073,-2"])
            #expect(several.status == 206)
            let type = try #require(several["Content-Type"])
            #expect(type.hasPrefix("multipart/byteranges;boundary="))
            let boundary = type.split(separator: "=")[1]
            var expected: [UInt8] = []
            for part in [0..<3, 131_071..<131_074, 399_998..<400_000] {
                expected += Array("--\(boundary)\r\nContent-Type: x/y\r\n".utf8)
                expected += Array("Content-Range: bytes \(part.lowerBound)-\(part.upperBound - 1)/400000\r\n\r\n".utf8)
                expected += body[part] + [13, 10]
            }
            expected += Array("--\(boundary)--".utf8)
            #expect(several.body == expected)
        }
    }

    @Test func copies() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            _ = try client.call("PUT", account + "/d")
            let body = noise(300_000, seed: 9)
            _ = try client.call("PUT", account + "/c/o%20o", ["X-Object-Meta-A": "1"], body)
            let copy = try client.call(
                "COPY", account + "/c/o%20o", ["Destination": "d/p%2Fq", "X-Object-Meta-B": "2"])
            #expect(copy.status == 201)
            #expect(copy["X-Copied-From"] == "c/o%20o")
            let got = try client.call("GET", account + "/d/p/q")
            #expect(got.body == body)
            #expect(got["X-Object-Meta-A"] == "1" && got["X-Object-Meta-B"] == "2")
            let put = try client.call(
                "PUT", account + "/d/r", ["X-Copy-From": "/c/o%20o", "X-Fresh-Metadata": "true"], [])
            #expect(put.status == 201)
            #expect(try client.call("HEAD", account + "/d/r")["X-Object-Meta-A"] == nil)
            let wrong = ["X-Copy-From": "/c/o%20o", "ETag": String(repeating: "0", count: 32)]
            #expect(try client.call("PUT", account + "/d/never", wrong, []).status == 422)
            #expect(try client.call("HEAD", account + "/d/never").status == 404)
            #expect(try client.call("COPY", account + "/c/o%20o").status == 412)
            #expect(try client.call("COPY", account + "/c/o%20o", ["Destination": "d"]).status == 412)
            #expect(try client.call("COPY", account + "/c/o%20o", ["Destination": "//d/x"]).status == 412)
            #expect(try client.call("COPY", account + "/c/none", ["Destination": "d/x"]).status == 404)
            #expect(try client.call("COPY", account + "/c/o%20o", ["Destination": "none/x"]).status == 404)
            #expect(try client.call("PUT", account + "/d/r", ["X-Copy-From": "/c/o%20o"], [1]).status == 400)
        }
    }

    @Test func aClientThatVanishesMidBodyLeavesNothing() async throws {
        try await Rig.run { rig in
            let setup = try Client(port: rig.port)
            _ = try setup.call("PUT", account + "/c")
            for size in [1000, 500_000] {
                for halfClose in [false, true] {
                    let client = try Client(port: rig.port)
                    let request = Client.request("PUT", account + "/c/gone", [:], noise(size, seed: 1))
                    client.send(Array(request.dropLast(10)))
                    if halfClose {
                        client.closeOutput()
                        _ = client.readToEnd()
                    } else {
                        client.close()
                    }
                }
            }
            #expect(try setup.call("GET", account + "/c/gone").status == 404)
            #expect(try setup.call("GET", account + "/c").status == 204)
            #expect(try setup.call("HEAD", account + "/c")["X-Container-Bytes-Used"] == "0")
        }
    }

    @Test func damagedBytesAreNeverServed() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            let small = noise(5_000, seed: 11), large = noise(6_000_000, seed: 12)
            for (name, body) in [("small", small), ("large", large), ("whole", small)] {
                #expect(try client.call("PUT", "\(account)/c/\(name)", [:], body + Array(name.utf8)).status == 201)
                #expect(try client.call("GET", "\(account)/c/\(name)").body == body + Array(name.utf8))
            }
            // A flipped bit near the end of each: what the medium might do to it.
            try rig.damage(Array(small[4_000...]) + Array("small".utf8))
            try rig.damage(Array(large[5_990_000...]))

            let refused = try client.call("GET", account + "/c/small")
            #expect(refused.status == 503)
            #expect(refused["Etag"] == nil)
            // The connection is still good, and so is everything else.
            #expect(try client.call("GET", account + "/c/whole").body == small + Array("whole".utf8))
            #expect(try client.call("HEAD", account + "/c/small").status == 200)

            // The first frames are right and may go out; then the connection ends short of its Content-Length.
            let stream = try Client(port: rig.port)
            stream.send(Client.request("GET", account + "/c/large"))
            if let received = stream.readToEnd() { #expect(received.count < large.count) }
            let end = try client.call("GET", account + "/c/large", ["Range": "bytes=-10"])
            #expect(end.status == 503)
            let start = try client.call("GET", account + "/c/large", ["Range": "bytes=0-99999"])
            #expect(start.status == 206 && start.body == Array(large[..<100_000]))
            #expect(rig.store.status().checksumFailures > 0)

            // Deleting or overwriting it is how its owner goes on.
            #expect(try client.call("PUT", account + "/c/small", [:], small).status == 201)
            #expect(try client.call("GET", account + "/c/small").body == small)
            #expect(try client.call("DELETE", account + "/c/large").status == 204)
        }
    }

    @Test func aClientThatTakesNothingDoesNotStopTheOthers() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            let body = noise(8_000_000, seed: 4)
            _ = try client.call("PUT", account + "/c/big", [:], body)
            let lazy = try (0..<6).map { _ in
                let lazy = try Client(port: rig.port)
                lazy.send(Client.request("GET", account + "/c/big"))
                return lazy
            }
            #expect(try client.call("GET", account + "/c/big").body == body)
            // And the lazy ones get all of it when they come round to it.
            for lazy in lazy { #expect(try lazy.readReply().body == body) }
        }
    }

    @Test func halfClosedClientsGetTheirAnswer() async throws {
        try await Rig.run { rig in
            let setup = try Client(port: rig.port)
            _ = try setup.call("PUT", account + "/c")
            _ = try setup.call("PUT", account + "/c/o", [:], Array("hello".utf8))
            let client = try Client(port: rig.port)
            client.send(Client.request("GET", account + "/c/o"))
            client.closeOutput()
            #expect(try client.readReply().text == "hello")
            #expect(client.readToEnd() == [])
        }
    }

    @Test func aSmugglersRequestsEndTheConnection() async throws {
        try await Rig.run { rig in
            let hidden = "GET /healthcheck HTTP/1.1\r\nHost: h\r\n\r\n"
            for (framing, status) in [
                ("Content-Length: 4\r\nTransfer-Encoding: chunked", 400),
                ("Content-Length: 4\r\nContent-Length: 5", 400),
                ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 501),
                ("Transfer-Encoding: gzip,chunked", 501),
                ("Transfer-Encoding: \u{b}chunked", 400), ("Transfer-Encoding : chunked", 400),
                ("Content-Length: 4\nX: y", 400), ("Content-Length: 4\r\n X: y", 400), ("Content-Length: X", 400),
            ] {
                let client = try Client(port: rig.port)
                client.send("PUT \(account)/c/o HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\r\n0\r\n\r\n" + hidden)
                let reply = try client.readReply()
                #expect(reply.status == status, "\(framing)")
                #expect(reply["Connection"] == "close")
                client.closeOutput()
                #expect(client.readToEnd() == [], "\(framing)")
            }
        }
    }

    @Test("connections beyond the limit are turned away", arguments: [true, false])
    func connectionLimits(ofAnAddress: Bool) async throws {
        var limits = HTTPLimits()
        if ofAnAddress { limits.connectionsPerAddressMax = 3 } else { limits.connectionsMax = 3 }
        try await Rig.run(limits: limits) { rig in
            var clients: [Client] = []
            for _ in 0..<3 {
                let client = try Client(port: rig.port)
                #expect(try client.call("GET", "/healthcheck").status == 200)
                clients.append(client)
            }
            let extra = try Client(port: rig.port)
            extra.send(Client.request("GET", "/healthcheck"))
            #expect(extra.readToEnd() == nil || throwsOrEmpty(extra))
            #expect(try clients[0].call("GET", "/healthcheck").status == 200)
            let text = rig.metrics.render()
            #expect(text.contains("object_connections_refused_total 1"))
            #expect(text.contains("object_requests_total{method=\"GET\",status=\"2xx\"} 4"))
        }
    }

    private func throwsOrEmpty(_ client: Client) -> Bool { client.readToEnd().map(\.isEmpty) ?? true }

    @Test func shuttingDownLetsARequestFinish() async throws {
        try await Rig.run { rig in
            let client = try Client(port: rig.port)
            _ = try client.call("PUT", account + "/c")
            let request = Client.request("PUT", account + "/c/o", [:], noise(300_000, seed: 8))
            client.send(Array(request[..<1000]))
            let finished = PosixMutex()
            let isDown = PosixGuarded(false)
            startThread(name: "shutdown") {
                Task {
                    await rig.server.shutdown()
                    finished.withLock {
                        isDown.value = true
                        finished.broadcast()
                    }
                }
            }
            // The listener is gone soon; the request under way is not.
            let began = MonotonicClock.now()
            while MonotonicClock.now() - began < 120_000_000_000,
                (try? Client(port: rig.port).call("GET", "/healthcheck").status) == 200
            {}
            client.send(Array(request[1000...]))
            let reply = try client.readReply()
            #expect(reply.status == 201)
            #expect(reply["Connection"] == "close")
            finished.lock()
            while !isDown.value { finished.wait() }
            finished.unlock()
        }
    }

    @Test("mutated requests never hurt the server", arguments: [31, 32])
    func mutations(_ seed: UInt64) async throws {
        print("seed \(seed)")
        try await Rig.run { rig in
            var random = IDGenerator(seed: seed)
            let setup = try Client(port: rig.port)
            _ = try setup.call("PUT", account + "/c")
            _ = try setup.call("PUT", account + "/c/keep", [:], Array("kept".utf8))
            let seeds: [[UInt8]] = [
                Client.request("GET", account + "/c?format=json&limit=5&marker=a"),
                Client.request("PUT", account + "/c/x", ["X-Object-Meta-A": "b", "ETag": md5([1])], [1]),
                Client.request("GET", account + "/c/keep", ["Range": "bytes=0-1,2-3", "If-None-Match": "\"a\", *"]),
                Client.request("COPY", account + "/c/x", ["Destination": "c/y"]),
                Client.request("POST", account + "/c", ["X-Container-Read": ".r:*,.rlistings,p:u"]),
                Array(
                    ("PUT \(account)/c/z HTTP/1.1\r\nHost: h\r\nX-Auth-Token: owner\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "3\r\nabc\r\n0\r\n\r\n").utf8),
            ]
            for _ in 0..<400 {
                let client = try Client(port: rig.port)
                var bytes = seeds.randomElement(using: &random)!
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let at = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes.remove(at: at)
                    default: bytes.insert([0, 10, 13, 32, 37, 58, 255].randomElement(using: &random)!, at: at)
                    }
                }
                client.send(bytes)
                client.closeOutput()
                let answer = client.readToEnd() ?? []
                if !answer.isEmpty {
                    #expect(
                        answer.starts(with: "HTTP/1.1 ".utf8),
                        "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
                    #expect(
                        !answer.starts(with: "HTTP/1.1 500".utf8),
                        "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
                }
            }
            #expect(try setup.call("GET", "/healthcheck").text == "OK")
        }
    }
}

private func percent(_ name: String) -> String {
    name.utf8.map { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x2f: String(UnicodeScalar(byte))
        default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
    }.joined()
}
