private import Codecs
import Objects
private import Primitives
import Rings

/// Where a path's rows and bytes live: the ring, and the secrets that its hash is keyed with.
///
/// On the first start a ring of the one local device is made. Both files stay as they are from then on: with another
/// ring or another secret nothing that was placed before would be found.
struct Placement: Sendable {
    static let ringName = DataFolder.ringsName + "/object.ring.gz"
    /// In the form that OpenStack's own tools read, so that their view of a ring can be compared with ours.
    static let secretName = DataFolder.ringsName + "/hash.conf"
    /// The device that this daemon's store is.
    static let localDeviceName = "local"

    private let ring: Ring
    private let hasher: RingHasher
    private let local: Device.ID
    /// Every partition of the ring is on this device: then no path has to be hashed to know where it is.
    private let isEverywhere: Bool

    static func loadOrMake(folder: DataFolder) throws(DaemonError) -> Placement {
        let files = PrivateFiles(disk: folder.disk)
        let path = folder.path
        if folder.isNew { try folder.makeFolder(DataFolder.ringsName) }
        var secret = try files.read(secretName)
        var ringFile = try files.readBytes(ringName)
        if secret == nil || ringFile == nil {
            // Only as long as nothing can have been placed by them.
            guard try !folder.hasObjects() else {
                throw DaemonError(
                    "The data folder \(path) is damaged: \(secret == nil ? secretName : ringName) is gone, and without it no object is found.",
                    remedy: "Restore that file from a copy. Nothing was changed.")
            }
            try folder.makeFolder(DataFolder.ringsName)
            let made =
                "[swift-hash]\nswift_hash_path_prefix = \(randomHex())\nswift_hash_path_suffix = \(randomHex())\n"
            try files.write(secretName, made)
            let bytes = RingFile.encode(Ring.local(deviceName: localDeviceName))
            try files.write(ringName, bytes)
            (secret, ringFile) = (made, bytes)
        }
        do {
            let ring = try RingFile.decode(ringFile ?? [])
            let local = ring.devices.compactMap { $0 }.filter { $0.name == localDeviceName }
            guard let device = local.first, local.count == 1, ring.devices.compactMap({ $0 }).count == 1 else {
                throw DaemonError(
                    "The ring \(path)/\(ringName) has other devices than this daemon's own (\"\(localDeviceName)\").",
                    remedy: "More than one device is not supported yet; restore the ring that the first start made.")
            }
            let hasher = try RingHasher(
                prefix: Secret(value("swift_hash_path_prefix", in: secret ?? "")),
                suffix: Secret(value("swift_hash_path_suffix", in: secret ?? "")))
            let isEverywhere = (0..<ring.partitionCount).allSatisfy { ring.primaryDevice(of: $0) == device.id }
            return Placement(ring: ring, hasher: hasher, local: device.id, isEverywhere: isEverywhere)
        } catch let error as RingError {
            throw DaemonError(
                "The ring \(path)/\(ringName), or its secret \(secretName), can't be read (\(error)).",
                remedy: "Restore both files from a copy. Nothing was changed.")
        } catch let error as DaemonError {
            throw error
        } catch {
            throw DaemonError("The ring \(path)/\(ringName) can't be read (\(error)).")
        }
    }

    /// Whether the path belongs on this daemon's device: always, with the rings that are let in today.
    func isLocal(_ path: ObjectPath) -> Bool {
        if isEverywhere { return true }
        let hash: PathHash
        if let container = path.container, let object = path.object {
            hash = hasher.hash(account: path.account, container: container, object: object)
        } else if let container = path.container {
            hash = hasher.hash(account: path.account, container: container)
        } else {
            hash = hasher.hash(account: path.account)
        }
        return ring.primaryDevice(of: ring.partition(of: hash)) == local
    }

    private static func randomHex() -> String {
        var random = SystemRandomNumberGenerator()
        return Hex.encode((0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) })
    }

    private static func value(_ name: String, in text: String) -> String {
        for line in text.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            if line[..<equals].trimmed == name { return String(line[line.index(after: equals)...].trimmed) }
        }
        return ""
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var text = self
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}
