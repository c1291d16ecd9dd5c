import Primitives
private import Records

/// The token keys: files named by number in a folder of their own, as other identity services keep them.
///
/// `0` is staged (known, but not signing yet), the highest number is the primary that signs, those between are
/// secondaries that still verify. A rotation makes the staged key primary, stages a new one and drops the oldest
/// beyond the limit. Each step is a rename or a synced file, so a crash between any two leaves a folder that `load`
/// completes.
final class KeyRepository: Sendable {
    private let folder: String
    private let randomBytes: @Sendable (Int) -> [UInt8]
    private let mutex = PosixMutex()
    private let keys: PosixGuarded<[Fernet.Key]>

    private static let keyFileBytesMax = 128

    /// Reads the keys, making the folder and the first two if it is empty.
    init(folder: String, randomBytes: @escaping @Sendable (Int) -> [UInt8]) throws(IdentityError) {
        self.folder = folder
        self.randomBytes = randomBytes
        keys = PosixGuarded([])
        do throws(RecordsError) {
            try PrivateFile.makeFolder(folder)
        } catch {
            throw .keyRepository(error.description)
        }
        var numbers = try fileNumbers()
        if numbers.isEmpty {
            try writeNewKey(1)
            numbers = [1]
        } else if numbers == [0] {
            // A crash between the first two files, or a rotation of a folder that had none but the staged key.
            try promote(to: 1)
            numbers = [1]
        }
        if !numbers.contains(0) { try writeNewKey(0) }
        try load()
    }

    /// The primary first, then the others from new to old, the staged one last.
    var current: [Fernet.Key] { mutex.withLock { keys.value } }

    /// When the keys last moved, in Unix seconds.
    func lastRotation() throws(IdentityError) -> Int64 {
        do throws(RecordsError) {
            return try PrivateFile.modified(path(0)) ?? 0
        } catch {
            throw .keyRepository(error.description)
        }
    }

    /// Makes the staged key primary; the numbers of the keys that were dropped.
    func rotate() throws(IdentityError) -> [Int] {
        let numbers = try fileNumbers()
        guard let highest = numbers.last, highest > 0, highest < Int(Int32.max) else {
            throw .keyRepository("\(folder) has no primary key")
        }
        if numbers.first == 0 { try promote(to: highest + 1) }
        try writeNewKey(0)
        // Everything that is neither staged nor among the newest goes, oldest first.
        let active = try fileNumbers().filter { $0 > 0 }
        let dropped = Array(active.dropLast(Limits.activeKeysMax - 1))
        for number in dropped {
            do throws(RecordsError) {
                try PrivateFile.remove(path(number))
            } catch {
                throw .keyRepository(error.description)
            }
        }
        try load()
        return dropped
    }

    private func load() throws(IdentityError) {
        let numbers = try fileNumbers()
        var loaded: [Fernet.Key] = []
        for number in numbers.reversed() { loaded.append(try key(number)) }
        guard numbers.contains(where: { $0 > 0 }) else { throw .keyRepository("\(folder) has no primary key") }
        mutex.withLock { keys.value = loaded }
    }

    private func key(_ number: Int) throws(IdentityError) -> Fernet.Key {
        let bytes: [UInt8]?
        do throws(RecordsError) {
            bytes = try PrivateFile.read(path(number), bytesMax: Self.keyFileBytesMax)
        } catch {
            throw .keyRepository(error.description)
        }
        let text = String(decoding: bytes ?? [], as: UTF8.self).filter { !$0.isWhitespace }
        guard let key = Fernet.Key(text: text) else {
            throw .keyRepository("\(path(number)) is not a key; remove it, and tokens signed with it end")
        }
        return key
    }

    /// Ascending. Names that are no numbers are not ours to read.
    private func fileNumbers() throws(IdentityError) -> [Int] {
        do throws(RecordsError) {
            let numbers = try PrivateFile.names(in: folder).compactMap { name -> Int? in
                guard let number = Int(name), number >= 0, String(number) == name else { return nil }
                return number
            }
            guard numbers.count <= Limits.keyFilesMax else {
                throw RecordsError.file(operation: "list", path: folder, errno: 7)
            }
            return numbers.sorted()
        } catch {
            throw .keyRepository(error.description)
        }
    }

    private func promote(to number: Int) throws(IdentityError) {
        do throws(RecordsError) {
            try PrivateFile.move(from: path(0), to: path(number))
        } catch {
            throw .keyRepository(error.description)
        }
    }

    private func writeNewKey(_ number: Int) throws(IdentityError) {
        do throws(RecordsError) {
            let text = Base64.encodeURL(randomBytes(32), padded: true)
            try PrivateFile.replace(path(number), with: Array(text.utf8))
        } catch {
            throw .keyRepository(error.description)
        }
    }

    private func path(_ number: Int) -> String { "\(folder)/\(number)" }
}
