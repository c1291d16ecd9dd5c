import ControlFace
import HTTPTypes
import Volumes

/// Answers calls: decode, one call of the service, encode.
struct Handlers: Sendable {
    let volumes: VolumeService

    /// What a URL names as an id; anything that is no id is simply not there.
    func list<T>(
        _ call: Call, _ rules: ListRequest.Rules, _ key: String, id: (T) -> String, view: (T) -> JSON,
        fetch: (ListQuery) async throws(VolumeError) -> Page<T>
    ) async throws(VolumeError) -> Reply {
        let request = ListRequest(call: call, rules: rules)
        let page = try await fetch(try request.query())
        return .ok(request.body(key, page, id: id, view))
    }
}
