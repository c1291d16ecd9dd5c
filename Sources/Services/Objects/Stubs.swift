import Chunks
import Primitives

extension ObjectService {
    func readAccount(_ path: ObjectPath, _ requester: Requester) throws(ObjectError) -> (
        info: ResourceInfo, row: AccountRow?
    ) { fatalError("to come") }
    func accountListing(_ path: ObjectPath, _ requester: Requester, _ query: ListingQuery) throws(ObjectError)
        -> AccountListing
    { fatalError("to come") }
    func writeAccount(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) { fatalError("to come") }
    func accountManagementRefusal(_ path: ObjectPath, _ requester: Requester) -> ObjectError { fatalError("to come") }
    func readContainer(_ path: ObjectPath, _ requester: Requester, listing: Bool) throws(ObjectError) -> (
        info: ResourceInfo, row: ContainerRow
    ) { fatalError("to come") }
    func containerListing(_ path: ObjectPath, _ requester: Requester, _ query: ListingQuery) throws(ObjectError)
        -> ContainerListing
    { fatalError("to come") }
    func writeContainer(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, create: Bool, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) { fatalError("to come") }
    func removeContainer(
        _ path: ObjectPath, _ requester: Requester, _ sink: any CompletionSink, _ completion: @escaping WriteCompletion
    ) { fatalError("to come") }
    func openFromMemory(_ path: ObjectPath, _ requester: Requester, isHead: Bool) -> CachedOpen {
        fatalError("to come")
    }
    func openFromStore(_ path: ObjectPath, _ requester: Requester, isHead: Bool) throws(ObjectError) -> OpenObject {
        fatalError("to come")
    }
    func admitPut(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ declaredLength: Int?,
        _ sink: any CompletionSink, _ onReady: @escaping @Sendable () -> Void,
        _ completion: @escaping @Sendable (Result<any ObjectPut, ObjectError>) -> Void
    ) { fatalError("to come") }
    func writeObjectMetadata(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) { fatalError("to come") }
    func removeObject(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) { fatalError("to come") }
    func copy(
        _ source: ObjectPath, _ destination: ObjectPath, _ requester: Requester, _ headers: HeaderList,
        _ sink: any CompletionSink, _ completion: @escaping WriteCompletion
    ) { fatalError("to come") }
}
