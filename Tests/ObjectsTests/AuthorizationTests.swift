import Chunks
import Primitives
import Testing

@testable import Objects

/// Who may do what, against a service with one container and one object.
@Suite struct AuthorizationTests {
    typealias Bench = ServiceBench

    private func bench(read: String = "", write: String = "", by writer: Requester = Bench.owner) throws -> Bench {
        let bench = try Bench()
        #expect(
            bench.putContainer("c", [("X-Container-Read", read), ("X-Container-Write", write)], as: writer).status
                == 201)
        #expect(bench.put("c", "o", [1]).status == 201)
        return bench
    }

    /// Statuses of: HEAD account, GET container, PUT container, GET object, PUT object, POST object.
    private func statuses(_ bench: Bench, _ requester: Requester) -> [Int] {
        [
            status { _ = try bench.service.accountInfo(Bench.path(), requester) },
            status { _ = try bench.service.listContainer(Bench.path("c"), requester, ListingQuery()) },
            bench.putContainer("c", as: requester).status,
            status { _ = try bench.open("c", "o", as: requester) },
            bench.put("c", "o", [1], as: requester).status,
            bench.postObject("c", "o", [], as: requester).status,
        ]
    }

    @Test func rolesInOnesOwnProject() throws {
        let bench = try bench()
        #expect(statuses(bench, Bench.owner) == [200, 200, 202, 200, 201, 202])
        #expect(statuses(bench, Bench.reseller) == [200, 200, 202, 200, 201, 202])
        #expect(statuses(bench, Bench.reader) == [200, 200, 403, 200, 403, 403])
        #expect(statuses(bench, Bench.outcast) == [403, 403, 403, 403, 403, 403])
        #expect(statuses(bench, Bench.stranger) == [403, 403, 403, 403, 403, 403])
        #expect(statuses(bench, Bench.anonymous) == [401, 401, 401, 401, 401, 401])
    }

    @Test func referrersReadObjectsAndListWithRlistings() throws {
        #expect(statuses(try bench(read: ".r:*"), Bench.anonymous) == [401, 401, 401, 200, 401, 401])
        #expect(statuses(try bench(read: ".r:*,.rlistings"), Bench.anonymous) == [401, 200, 401, 200, 401, 401])
        #expect(statuses(try bench(read: ".rlistings"), Bench.anonymous) == [401, 401, 401, 401, 401, 401])
        #expect(statuses(try bench(read: ".r:*,.rlistings"), Bench.stranger) == [403, 200, 403, 200, 403, 403])
        let hosts = try bench(read: ".r:.example.org")
        #expect(statuses(hosts, Requester(caller: nil, referer: "http://www.example.org/x"))[3] == 200)
        #expect(statuses(hosts, Requester(caller: nil, referer: "http://example.com/"))[3] == 401)
        #expect(statuses(hosts, Bench.anonymous)[3] == 401)
    }

    @Test func usersOfOtherProjects() throws {
        #expect(statuses(try bench(read: "p2:u2"), Bench.stranger) == [403, 200, 403, 200, 403, 403])
        #expect(statuses(try bench(write: "p2:*"), Bench.stranger) == [403, 403, 403, 403, 201, 202])
        #expect(statuses(try bench(read: "*:*", write: "*:*"), Bench.stranger) == [403, 200, 403, 200, 201, 202])
        #expect(statuses(try bench(read: "p2:u9"), Bench.stranger) == [403, 403, 403, 403, 403, 403])
        #expect(
            statuses(try bench(read: "nothing", write: "nothing"), Bench.outcast) == [403, 200, 403, 200, 201, 202])
        // A role counts in one's own project only.
        #expect(statuses(try bench(read: "member"), Bench.stranger) == [403, 403, 403, 403, 403, 403])
    }

    @Test func namesCountInTheDefaultDomainOnly() throws {
        let byDefault = try bench(read: "name-p2:name-u2")
        #expect(statuses(byDefault, Bench.stranger)[3] == 200)
        let elsewhere = Requester(caller: Bench.caller("u2", project: "p2", domain: "other"), referer: nil)
        #expect(statuses(byDefault, elsewhere)[3] == 403)
        let foreign = Requester(caller: Bench.caller(domain: "other"), referer: nil)
        #expect(statuses(try bench(read: "name-p2:name-u2", by: foreign), Bench.stranger)[3] == 403)
        #expect(statuses(try bench(read: "p2:u2", by: foreign), Bench.stranger)[3] == 200)
    }

    @Test func whoseNamesAListMeansIsKeptForEachListByItself() throws {
        let foreign = Requester(caller: Bench.caller(domain: "other"), referer: nil)
        let names = "name-p2:name-u2"
        let foreignWrite = try bench(write: names, by: foreign)
        #expect(foreignWrite.postContainer("c", [("X-Container-Read", names)]).status == 204)
        #expect(statuses(foreignWrite, Bench.stranger) == [403, 200, 403, 200, 403, 403])
        let homeWrite = try bench(write: names)
        #expect(homeWrite.postContainer("c", [("X-Container-Read", names)], as: foreign).status == 204)
        #expect(statuses(homeWrite, Bench.stranger) == [403, 403, 403, 403, 201, 202])
        // A list that is gone leaves nothing behind for the next one.
        #expect(homeWrite.postContainer("c", [("X-Remove-Container-Write", "x")]).status == 204)
        #expect(homeWrite.postContainer("c", [("X-Container-Write", names)], as: foreign).status == 204)
        #expect(statuses(homeWrite, Bench.stranger) == [403, 403, 403, 403, 403, 403])
    }

    @Test func whoMayNotLearnsNothing() throws {
        let bench = try bench()
        for requester in [Bench.anonymous, Bench.stranger] {
            let there = status { _ = try bench.open("c", "o", as: requester) }
            #expect(status { _ = try bench.open("c", "absent", as: requester) } == there)
            #expect(status { _ = try bench.open("absent", "o", as: requester) } == there)
            #expect(bench.put("absent", "o", [1], as: requester).status == there)
            #expect(bench.deleteContainer("absent", as: requester).status == there)
            #expect(
                bench.begin(Bench.path("c", "o"), [("If-None-Match", "*")], length: 1, as: requester).failure?.status
                    == there)
        }
    }

    @Test func aProjectsNameIsNotItsAccount() throws {
        let bench = try bench()
        for project in ["", "p", "p11", "P1"] {
            let requester = Requester(caller: Bench.caller("u1", project: project, roles: ["admin"]), referer: nil)
            #expect(statuses(bench, requester) == [403, 403, 403, 403, 403, 403])
        }
        let scopeless = Requester(caller: Bench.caller("u1", project: nil, roles: ["admin"]), referer: nil)
        #expect(statuses(bench, scopeless) == [403, 403, 403, 403, 403, 403])
    }
}
