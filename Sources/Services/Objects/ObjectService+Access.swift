import Chunks
import Primitives

/// What a requester may do once it may do anything.
enum Access: Sendable {
    /// Sees and sets privileged headers.
    case owner
    case granted
}

/// What is asked for, as far as access rules differ.
enum Deed: Sendable {
    case readAccount, writeAccount
    case readContainer, writeContainer
    case readObject, writeObject

    var isRead: Bool {
        switch self {
        case .readAccount, .readContainer, .readObject: true
        case .writeAccount, .writeContainer, .writeObject: false
        }
    }
}

extension ObjectService {
    /// What the caller's token alone says of an account.
    enum Standing: Sendable { case owner, reader, member, stranger }

    func standing(_ caller: Caller?, _ account: Bytes) -> Standing {
        guard let caller else { return .stranger }
        if caller.roles.contains(configuration.resellerAdminRole) { return .owner }
        guard let project = caller.project, isAccount(account, of: project.id) else { return .stranger }
        if !caller.roles.isDisjoint(with: configuration.operatorRoles) { return .owner }
        return caller.roles.isDisjoint(with: configuration.readerRoles) ? .member : .reader
    }

    /// Reseller prefix and project id, compared in place.
    private func isAccount(_ account: Bytes, of project: String) -> Bool {
        !project.isEmpty && account.isJoined(resellerPrefix, project)
    }

    /// 401 for those without an identity, 403 for those with the wrong one.
    func denial(_ requester: Requester) -> ObjectError { requester.caller == nil ? .unauthorized : .forbidden }

    /// The decision for every operation (object-api.md 2.5).
    ///
    /// - Parameter container: the row, where the deed lies in a container and that exists. Its lists count for reads of
    ///   the container and for objects, never for writes of the container itself.
    func authorize(
        _ deed: Deed, _ path: ObjectPath, _ requester: Requester, container: ContainerRow?, _ patience: Patience
    ) throws(Stop) -> Access {
        let standing = standing(requester.caller, path.account)
        if standing == .owner { return .owner }
        if let container, try isGranted(deed, requester, standing, container) { return .granted }
        if standing == .reader, deed.isRead { return .granted }
        guard let caller = requester.caller else { throw .refused(.unauthorized) }
        switch try accountLevel(of: caller, path, patience) {
        case .admin: return .owner
        case .readWrite where deed != .writeAccount: return .granted
        case .readOnly where deed.isRead: return .granted
        case .readWrite, .readOnly, .none: throw .refused(.forbidden)
        }
    }

    private func isGranted(
        _ deed: Deed, _ requester: Requester, _ standing: Standing, _ container: ContainerRow
    ) throws(Stop) -> Bool {
        let tag: UInt8
        let namesTag: UInt8
        switch deed {
        case .readAccount, .writeAccount, .writeContainer: return false
        case .readContainer, .readObject:
            (tag, namesTag) = (AttributeList.Tag.readAccess, AttributeList.Tag.readNamesCount)
        case .writeObject: (tag, namesTag) = (AttributeList.Tag.writeAccess, AttributeList.Tag.writeNamesCount)
        }
        let kept = try attributes(container.attributes)
        guard let text = kept.value(tag) else { return false }
        let list = AccessList(String(decoding: text, as: UTF8.self))
        if let caller = requester.caller {
            if list.allows(caller, namesCount: namesCount(kept, namesTag, caller)) { return true }
            if standing == .member || standing == .reader, list.allows(anyRoleOf: caller.roles) { return true }
        }
        guard deed.isRead, list.allows(referer: requester.referer) else { return false }
        return deed == .readObject || list.allowsListings
    }

    /// Names count when the list was written by somebody of the default domain, about somebody of the default domain.
    private func namesCount(_ list: AttributeList, _ tag: UInt8, _ caller: Caller) -> Bool {
        list.value(tag) != nil && isOfDefaultDomain(caller)
    }

    func isOfDefaultDomain(_ caller: Caller) -> Bool {
        caller.userDomain.id == configuration.defaultDomainID
            && caller.projectDomain?.id == configuration.defaultDomainID
    }

    private func accountLevel(
        of caller: Caller, _ path: ObjectPath, _ patience: Patience
    ) throws(Stop) -> AccountAccess.Level {
        guard case .mayBlock = patience else { throw .mustWait }
        guard let row = try engine({ () throws(ChunkError) in try store(path).account(path.account) }) else {
            return .none
        }
        let kept = try attributes(row.attributes)
        guard let text = kept.value(AttributeList.Tag.accountAccess) else { return .none }
        let access = try rule { () throws(ObjectError) in
            try AccountAccess(json: String(decoding: text, as: UTF8.self))
        }
        let namesCount = namesCount(kept, AttributeList.Tag.accountNamesCount, caller)
        return access.level(of: caller, namesCount: namesCount)
    }

    /// The container's row, from memory or by waiting.
    func containerRow(_ path: ObjectPath, _ patience: Patience) throws(Stop) -> ContainerRow? {
        guard let name = path.container else { throw .refused(.notFound) }
        let store = store(path)
        switch patience {
        case .memoryOnly:
            switch store.cachedContainer(path.account, name) {
            case .found(let row): return row
            case .absent: return nil
            case .unknown: throw .mustWait
            }
        case .mayBlock:
            return try engine { () throws(ChunkError) in try store.container(path.account, name) }
        }
    }

    /// The object's row, from memory or by waiting.
    func objectRow(_ path: ObjectPath, in container: ContainerRow, _ patience: Patience) throws(Stop) -> ObjectRow? {
        guard let name = path.object else { throw .refused(.notFound) }
        let store = store(path)
        switch patience {
        case .memoryOnly:
            switch store.cachedObject(container.id, name) {
            case .found(let row): return row
            case .absent: return nil
            case .unknown: throw .mustWait
            }
        case .mayBlock:
            return try engine { () throws(ChunkError) in try store.object(container.id, name) }
        }
    }

    /// The container of an object that the requester may read or write. Who may not learns nothing of whether it exists.
    func admit(
        _ deed: Deed, _ path: ObjectPath, _ requester: Requester, _ patience: Patience
    ) throws(Stop) -> ContainerRow {
        let container = try containerRow(path, patience)
        _ = try authorize(deed, path, requester, container: container, patience)
        guard let container else { throw .refused(.notFound) }
        return container
    }
}
