import Chunks
import Primitives
import Testing

@testable import Objects

/// The rows of object-api.md section 27 that this service answers, and the semantics of section 28.
@Suite struct ServiceTests {
    typealias Bench = ServiceBench

    @Test func statusMatrix() throws {
        let bench = try Bench()
        let body: [UInt8] = Array("hello".utf8)
        #expect(bench.put("c", "o", body).status == 404)
        #expect(status { _ = try bench.open("c", "o") } == 404)
        #expect(bench.deleteObject("c", "o").status == 404)
        #expect(bench.deleteContainer("c").status == 404)
        #expect(bench.postContainer("c", [("X-Container-Meta-A", "1")]).status == 404)
        #expect(bench.putContainer("c").status == 201)
        #expect(bench.putContainer("c").status == 202)
        #expect(bench.putContainer("c", [("X-Storage-Policy", "policy-0")]).status == 202)
        #expect(bench.putContainer("c", [("X-Storage-Policy", "gold")]).status == 400)
        #expect(bench.putContainer(String(repeating: "n", count: 256)).status == 201)
        #expect(bench.putContainer(String(repeating: "n", count: 257)).status == 400)
        #expect(bench.putContainer("c/d").status == 400)
        #expect(bench.putContainer("c", [("X-Container-Read", ".x:*")]).status == 400)
        #expect(status { _ = try bench.open("c", "o") } == 404)
        #expect(bench.postObject("c", "o", []).status == 404)
        #expect(bench.put("c", "o", body, [("ETag", "\"\(String(repeating: "0", count: 32))\"")]).status == 422)
        #expect(bench.put("c", "o", body, [("ETag", "nonsense")]).status == 422)
        #expect(status { _ = try bench.open("c", "o") } == 404)
        #expect(bench.put("c", "o", body, [("If-None-Match", "*")]).status == 201)
        #expect(bench.put("c", "o", body, [("If-None-Match", "*")]).status == 412)
        #expect(bench.put("c", "o", body, [("If-None-Match", "\"x\"")]).status == 400)
        #expect(bench.put("c", "o", body, [("ETag", md5(body).uppercased())]).status == 201)
        #expect(bench.put("c", "o", body, [("X-Object-Meta-", "v")]).status == 400)
        #expect(bench.put("c", "o", body, [("X-Delete-After", "60")]).status == 400)
        #expect(bench.put("c", String(repeating: "n", count: 1024), body).status == 201)
        #expect(bench.put("c", String(repeating: "n", count: 1025), body).status == 400)
        #expect(
            bench.begin(Bench.path("c", "huge"), [], length: ObjectLimits.objectBytesMax + 1).failure?.status == 413)
        #expect(bench.deleteContainer("c").status == 409)
        #expect(bench.deleteObject("c", "o", [("X-If-Delete-At", "1")]).status == 412)
        #expect(bench.deleteObject("c", "o").status == 204)
        #expect(bench.deleteObject("c", "o").status == 404)
        #expect(bench.deleteObject("c", String(repeating: "n", count: 1024)).status == 204)
        #expect(bench.deleteContainer("c").status == 204)
        #expect(bench.service.refuseAccountManagement(Bench.path(), Bench.owner) == .methodNotAllowed)
        #expect(bench.service.refuseAccountManagement(Bench.path(), Bench.stranger) == .forbidden)
        #expect(bench.service.refuseAccountManagement(Bench.path(), Bench.anonymous) == .unauthorized)
    }

    @Test(arguments: [0, 1, 5, 4_096, inlineBytesMax - 1, inlineBytesMax, inlineBytesMax + 1, 3_000_001])
    func bodyComesBackByteForByte(_ size: Int) throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        let body = patterned(size, seed: UInt64(size) + 1)
        for chunked in [false, true] {
            let name = "o\(chunked)"
            let outcome = bench.put(
                "c", name, body, [("Content-Type", "a/b; c=d"), ("ETag", md5(body))], chunked: chunked)
            #expect(outcome.status == 201)
            #expect(outcome.header("etag") == md5(body))
            let object = try bench.open("c", name)
            #expect(object.size == size && object.etag.hex == md5(body) && object.contentType == "a/b; c=d")
            #expect(object.headers.first(named: "last-modified") == outcome.header("last-modified"))
            #expect(try Bench.bytes(object) == body)
            let head = try bench.open("c", name, head: true)
            #expect(head.headers.elementsEqual(object.headers) { $0 == $1 })
            #expect(head.reader == nil)
            #expect(
                bench.put("c", name, body, [("ETag", String(repeating: "a", count: 32))], chunked: chunked).status
                    == 422)
            #expect(try bench.get("c", name) == body)
        }
    }

    @Test func cachedOpenAgreesWithOpen() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        _ = bench.put("c", "o", [1, 2, 3], [("X-Object-Meta-A", "b")])
        let path = Bench.path("c", "o")
        _ = try bench.service.open(path, Bench.owner, isHead: false)
        guard case .opened(let cached) = bench.service.openCached(path, Bench.owner, isHead: false) else {
            Issue.record("a small object that was just written is in memory")
            return
        }
        #expect(try Bench.bytes(cached) == [1, 2, 3])
        #expect(cached.headers.first(named: "x-object-meta-a") == "b")
        guard case .refused(.unauthorized) = bench.service.openCached(path, Bench.anonymous, isHead: false) else {
            Issue.record("nobody is refused from memory")
            return
        }
        // A stranger may stand in the account's own list, which memory does not hold.
        guard case .unknown = bench.service.openCached(path, Bench.stranger, isHead: false) else {
            Issue.record("a stranger has to wait")
            return
        }
        _ = bench.put("c", "large", patterned(400_000, seed: 1))
        guard case .unknown = bench.service.openCached(Bench.path("c", "large"), Bench.owner, isHead: false) else {
            Issue.record("a mapped body is not opened on an event loop")
            return
        }
    }

    @Test(arguments: [
        "a//b", "/", "..", ".", "../../etc/passwd", "dir/", "🐦/é/e\u{301}", " ", "%2F", "a\nb", "?#&", "\u{1}",
    ])
    func everyNameIsOrdinary(_ name: String) throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        #expect(bench.put("c", name, Array(name.utf8)).status == 201)
        #expect(try bench.get("c", name) == Array(name.utf8))
        #expect(try bench.list("c") == [name])
        #expect(bench.deleteObject("c", name).status == 204)
        #expect(try bench.list("c") == [])
    }

    @Test func normalizationMakesTwoNames() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        _ = bench.put("c", "\u{E9}", [1])
        _ = bench.put("c", "e\u{301}", [2])
        #expect(try bench.get("c", "\u{E9}") == [1] && bench.get("c", "e\u{301}") == [2])
    }

    @Test func countersAreExactAndImmediate() throws {
        let bench = try Bench()
        func counters() throws -> [String?] {
            let container = try bench.service.containerInfo(Bench.path("c"), Bench.owner).headers
            let account = try bench.service.accountInfo(Bench.path(), Bench.owner).headers
            return [
                container.first(named: "x-container-object-count"), container.first(named: "x-container-bytes-used"),
                account.first(named: "x-account-container-count"), account.first(named: "x-account-object-count"),
                account.first(named: "x-account-bytes-used"),
            ]
        }
        #expect(
            try bench.service.accountInfo(Bench.path(), Bench.owner).headers.first(named: "x-account-container-count")
                == "0")
        _ = bench.putContainer("c")
        #expect(try counters() == ["0", "0", "1", "0", "0"])
        _ = bench.put("c", "a", patterned(100, seed: 1))
        _ = bench.put("c", "b", patterned(200_000, seed: 2))
        #expect(try counters() == ["2", "200100", "1", "2", "200100"])
        _ = bench.put("c", "b", patterned(7, seed: 3))
        #expect(try counters() == ["2", "107", "1", "2", "107"])
        _ = bench.postObject("c", "b", [("X-Object-Meta-A", "b")])
        #expect(try counters() == ["2", "107", "1", "2", "107"])
        _ = bench.deleteObject("c", "a")
        #expect(try counters() == ["1", "7", "1", "1", "7"])
        let account = try bench.service.accountInfo(Bench.path(), Bench.owner).headers
        #expect(account.first(named: "x-account-storage-policy-policy-0-object-count") == "1")
        #expect(account.first(named: "x-account-storage-policy-policy-0-bytes-used") == "7")
    }

    @Test func listingsFollowWritesAtOnce() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        for name in ["b", "a/1", "a/2", "c"] {
            _ = bench.put("c", name, Array(name.utf8), [("Content-Type", "text/x")])
        }
        #expect(try bench.list("c") == ["a/1", "a/2", "b", "c"])
        #expect(try bench.list("c") { $0.delimiter = "/" } == ["[a/]", "b", "c"])
        #expect(
            try bench.list("c") {
                $0.reverse = true; $0.limit = 2
            } == ["c", "b"])
        _ = bench.deleteObject("c", "b")
        #expect(try bench.list("c") == ["a/1", "a/2", "c"])
        let listing = try bench.service.listContainer(Bench.path("c"), Bench.owner, ListingQuery())
        guard case .object(let name, let etag, let bytes, let type, _)? = listing.entries.first else {
            Issue.record("an object")
            return
        }
        #expect(name == "a/1" && etag.hex == md5(Array("a/1".utf8)) && bytes == 3 && type == "text/x")
        _ = bench.postObject("c", "a/1", [("Content-Type", "text/y")])
        let after = try bench.service.listContainer(Bench.path("c"), Bench.owner, ListingQuery())
        guard case .object(_, _, _, "text/y", _)? = after.entries.first else {
            Issue.record("the listing follows a POSTed content type")
            return
        }
        _ = bench.putContainer("d")
        let account = try bench.service.listAccount(Bench.path(), Bench.owner, ListingQuery())
        #expect(account.policyName == "Policy-0")
        #expect(
            account.entries.map { entry -> String in
                if case .container(let name, let objects, let bytes, _) = entry { return "\(name) \(objects) \(bytes)" }
                return "?"
            } == ["c 3 7", "d 0 0"])
    }

    @Test func postReplacesAllMetadataAndKeepsTheBytes() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        let body = patterned(300_000, seed: 9)
        _ = bench.put(
            "c", "o", body,
            [
                ("Content-Type", "text/a"), ("X-Object-Meta-A", "1"), ("X-Object-Meta-Empty", ""),
                ("Content-Encoding", "gzip"),
            ])
        let before = try bench.open("c", "o", head: true)
        #expect(before.headers.first(named: "x-object-meta-empty") == "")
        #expect(before.headers.first(named: "content-encoding") == "gzip")
        #expect(bench.postObject("c", "o", [("X-Object-Meta-B", "2")]).status == 202)
        let after = try bench.open("c", "o")
        #expect(after.headers.first(named: "x-object-meta-a") == nil)
        #expect(after.headers.first(named: "content-encoding") == nil)
        #expect(after.headers.first(named: "x-object-meta-b") == "2")
        #expect(after.contentType == "text/a" && after.etag == before.etag && after.modified > before.modified)
        #expect(try Bench.bytes(after) == body)
        #expect(
            bench.postObject("c", "o", [("X-Object-Meta-" + String(repeating: "x", count: 129), "2")]).status == 400)
    }

    @Test func containerMetadataMergesAndAccessListsShow() throws {
        let bench = try Bench()
        _ = bench.putContainer("c", [("X-Container-Meta-A", "1"), ("X-Container-Read", ".ref:*, .rlistings")])
        _ = bench.putContainer("c", [("X-Container-Meta-B", "2")])
        _ = bench.postContainer("c", [("X-Remove-Container-Meta-A", "x"), ("X-Container-Write", "p2:u2")])
        let owner = try bench.service.containerInfo(Bench.path("c"), Bench.owner)
        #expect(owner.isOwner)
        #expect(owner.headers.first(named: "x-container-meta-a") == nil)
        #expect(owner.headers.first(named: "x-container-meta-b") == "2")
        #expect(owner.headers.first(named: "x-container-read") == ".r:*,.rlistings")
        #expect(owner.headers.first(named: "x-container-write") == "p2:u2")
        #expect(owner.headers.first(named: "x-storage-policy") == "Policy-0")
        let reader = try bench.service.containerInfo(Bench.path("c"), Bench.reader)
        #expect(reader.headers.first(named: "x-container-read") == nil)
        _ = bench.postContainer("c", [("X-Container-Read", ""), ("X-Remove-Container-Write", "x")])
        let cleared = try bench.service.containerInfo(Bench.path("c"), Bench.owner)
        #expect(cleared.headers.first(named: "x-container-read") == nil)
        #expect(cleared.headers.first(named: "x-container-write") == nil)
    }

    @Test func accountMetadataAndAccess() throws {
        let bench = try Bench()
        #expect(
            bench.postAccount([("X-Account-Meta-A", "1"), ("X-Account-Meta-Temp-URL-Key", "secret")]).status == 204)
        #expect(bench.postAccount([("X-Account-Access-Control", "{}x")]).status == 400)
        #expect(bench.postAccount([], as: Bench.stranger).status == 403)
        #expect(bench.postAccount([], as: Bench.anonymous).status == 401)
        #expect(status { _ = try bench.service.accountInfo(Bench.path(), Bench.stranger) } == 403)
        #expect(bench.postAccount([("X-Account-Access-Control", #"{"read-only":["p2:u2"]}"#)]).status == 204)
        let seen = try bench.service.accountInfo(Bench.path(), Bench.stranger)
        #expect(seen.headers.first(named: "x-account-meta-a") == "1")
        #expect(seen.headers.first(named: "x-account-meta-temp-url-key") == nil)
        #expect(seen.headers.first(named: "x-account-access-control") == nil)
        let own = try bench.service.accountInfo(Bench.path(), Bench.owner)
        #expect(own.headers.first(named: "x-account-meta-temp-url-key") == "secret")
        #expect(own.headers.first(named: "x-account-access-control") == #"{"read-only":["p2:u2"]}"#)
        #expect(bench.putContainer("c", as: Bench.stranger).status == 403)
        _ = bench.postAccount([("X-Account-Access-Control", #"{"read-write":["p2:u2"]}"#)])
        #expect(bench.putContainer("c", [("X-Container-Read", ".r:*")], as: Bench.stranger).status == 201)
        // What only an owner sets, others' requests do not.
        #expect(
            try bench.service.containerInfo(Bench.path("c"), Bench.owner).headers.first(named: "x-container-read")
                == nil)
        #expect(bench.put("c", "o", [1], as: Bench.stranger).status == 201)
        #expect(bench.postAccount([], as: Bench.stranger).status == 403)
        _ = bench.postAccount([("X-Account-Access-Control", "")])
        #expect(bench.put("c", "o", [1], as: Bench.stranger).status == 403)
    }

    @Test func copyCarriesBytesAndMetadata() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        _ = bench.putContainer("d")
        for size in [0, 10, inlineBytesMax, 20_000_001] {
            let body = patterned(size, seed: UInt64(size))
            _ = bench.put(
                "c", "s p", body,
                [
                    ("Content-Type", "text/a"), ("X-Object-Meta-A", "1"), ("X-Object-Meta-B", "2"),
                    ("Content-Encoding", "gzip"),
                ])
            let source = try bench.open("c", "s p", head: true)
            let outcome = bench.copy(Bench.path("c", "s p"), Bench.path("d", "t"), [("X-Object-Meta-B", "new")])
            #expect(outcome.status == 201)
            #expect(outcome.header("etag") == md5(body))
            #expect(outcome.header("x-copied-from") == "c/s%20p")
            #expect(outcome.header("x-copied-from-account") == "AUTH_p1")
            #expect(outcome.header("x-copied-from-last-modified") == source.headers.first(named: "last-modified"))
            #expect(outcome.header("x-object-meta-b") == "new")
            let target = try bench.open("d", "t")
            #expect(target.contentType == "text/a")
            #expect(target.headers.first(named: "x-object-meta-a") == "1")
            #expect(target.headers.first(named: "x-object-meta-b") == "new")
            #expect(target.headers.first(named: "content-encoding") == "gzip")
            #expect(try Bench.bytes(target) == body)
        }
    }

    @Test func copyRules() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        let body = patterned(1_000_000, seed: 4)
        _ = bench.put("c", "s", body, [("X-Object-Meta-A", "1")])
        let source = Bench.path("c", "s")
        let target = Bench.path("c", "t")
        #expect(bench.copy(Bench.path("x", "s"), target).status == 404)
        #expect(bench.copy(Bench.path("c", "x"), target).status == 404)
        #expect(bench.copy(Bench.path("c", "x"), target, [("If-Match", "*")]).status == 412)
        #expect(bench.copy(source, Bench.path("x", "t")).status == 404)
        #expect(bench.copy(source, target, [("If-None-Match", md5(body))]).status == 304)
        #expect(bench.copy(source, target, [("If-Match", "\"x\"")]).status == 412)
        #expect(bench.copy(source, target, [("Range", "bytes=1000000-")]).status == 416)
        #expect(bench.copy(source, target, as: Bench.stranger).status == 403)
        #expect(bench.copy(source, Bench.path("c", "t", account: "AUTH_p2")).status == 403)
        #expect(bench.copy(source, target, [("Range", "bytes=5-14"), ("X-Fresh-Metadata", "true")]).status == 201)
        #expect(try bench.get("c", "t") == Array(body[5..<15]))
        #expect(try bench.open("c", "t").headers.first(named: "x-object-meta-a") == nil)
        #expect(bench.copy(source, target, [("Range", "bytes=130000-800000")]).status == 201)
        #expect(try bench.get("c", "t") == Array(body[130_000...800_000]))
        // Onto itself, with new metadata.
        #expect(bench.copy(source, source, [("X-Object-Meta-A", "2"), ("Content-Type", "x/y")]).status == 201)
        let itself = try bench.open("c", "s")
        #expect(itself.headers.first(named: "x-object-meta-a") == "2" && itself.contentType == "x/y")
        #expect(try Bench.bytes(itself) == body)
    }

    @Test func oldReaderFinishesWithTheOldBytes() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        for size in [1_000, 500_000] {
            let old = patterned(size, seed: 1)
            _ = bench.put("c", "o", old)
            let open = try bench.open("c", "o")
            _ = bench.put("c", "o", patterned(size, seed: 2))
            _ = bench.deleteObject("c", "o")
            #expect(try Bench.bytes(open) == old)
        }
    }

    @Test func abortedBodyLeavesNothing() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        for size in [10, 1_000_000] {
            let put = try bench.begin(Bench.path("c", "o"), [], length: size).get()
            _ = patterned(size / 2, seed: 1).withUnsafeBytes { put.append($0) }
            put.abort()
            put.abort()
            #expect(status { _ = try bench.open("c", "o") } == 404)
        }
        #expect(try bench.list("c") == [])
        #expect(bench.deleteContainer("c").status == 204)
    }

    @Test func madeAnewContainerIsEmpty() throws {
        let bench = try Bench()
        _ = bench.putContainer("c", [("X-Container-Meta-A", "1")])
        _ = bench.put("c", "o", [1])
        _ = bench.deleteObject("c", "o")
        #expect(bench.deleteContainer("c").status == 204)
        #expect(bench.putContainer("c").status == 201)
        #expect(
            try bench.service.containerInfo(Bench.path("c"), Bench.owner).headers.first(named: "x-container-meta-a")
                == nil)
        #expect(try bench.list("c") == [])
    }

    @Test func timestampsRiseEvenWhenTheClockFalls() throws {
        let bench = try Bench()
        let backwards = ObjectService(
            configuration: ObjectServiceConfiguration(), store: { [store = bench.store] _ in store },
            clock: TimestampClock(wallTicks: { 1 }), workThreads: bench.threads)
        _ = bench.putContainer("c")
        _ = bench.put("c", "o", [1])
        let before = try bench.open("c", "o").modified
        let outcome = Bench.wait {
            backwards.postObject(
                Bench.path("c", "o"), Bench.owner, headers: [], sink: InlineSink.shared, completion: $0)
        }
        #expect(outcome.status == 202)
        #expect(try bench.open("c", "o").modified > before)
    }
}

extension Result {
    var failure: Failure? {
        if case .failure(let error) = self { return error }
        return nil
    }
}
