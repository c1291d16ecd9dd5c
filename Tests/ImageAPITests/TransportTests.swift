import HTTPTypes
import Testing

@testable import ImageAPI

@Suite("The image face") struct ImageTransportTests {
    @Test("an address ends in what it names, and a slash at its end is an empty id")
    func addresses() {
        if case .nowhere = Destination(path: "/v2/images/", method: .get) {} else { Issue.record("not refused") }
        if case .versions(let isRoot) = Destination(path: "/v2", method: .get) {
            #expect(isRoot)
        } else {
            Issue.record("no versions")
        }
    }
}
