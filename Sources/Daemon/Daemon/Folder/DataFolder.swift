package import Disks
private import Glibc

/// The folder that holds everything the daemon keeps, locked for as long as this object lives.
///
/// ```
/// format            what wrote this folder
/// lock              held by the one daemon, or by `apus fsck`
/// control.db        users, projects, roles (SQLite)
/// fernet-keys/      the keys of tokens
/// conversions/      images on their way through qemu-img; emptied at start
/// objects/          the engine's: the log and its indexes
/// reservations/     persistent reservations of volumes that outlive a restart
/// rings/            object.ring.gz, and the secrets of the ring's hash
/// apus.sock         for the `apus` command, while the daemon runs
/// openrc clouds.yaml endpoints.json   what clients need, written at start
/// ```
package final class DataFolder: Sendable {
    package static let formatName = "format"
    package static let formatText = "apus data folder 1\n"
    package static let lockName = "lock"
    package static let socketName = "apus.sock"
    package static let databaseName = "control.db"
    package static let tokenKeysName = "fernet-keys"
    package static let objectsName = "objects"
    package static let ringsName = "rings"

    package let path: String
    package let disk: SystemDisk
    /// Whether this start found it empty.
    package let isNew: Bool
    private let lock: any DiskLock

    /// Makes the folder if its parent is there, takes the lock, and makes sure of the format.
    /// - Parameter create: false: the folder must be an Apus one already (`apus fsck`).
    package init(path: String, create: Bool) throws(DaemonError) {
        guard !path.isEmpty else {
            throw DaemonError("The data folder's name is empty.", remedy: "Name one with --data.")
        }
        self.path = path
        if !create, access(path + "/" + Self.formatName, F_OK) != 0 {
            throw DaemonError(
                "\(path) is not an Apus data folder.", remedy: "Name the folder that apusd was started with.")
        }
        try Self.refuseForeign(path)
        try Self.makePrivate(path, create: create)
        do {
            disk = try SystemDisk(root: path)
        } catch {
            throw DaemonError(
                "The data folder \(path) can't be opened (\(error)).",
                remedy: "Does it belong to the user who runs this?")
        }
        do {
            lock = try disk.lock(Self.lockName)
        } catch {
            if error.code == EWOULDBLOCK {
                throw DaemonError(
                    "Another apusd, or apus fsck, is using \(path).",
                    remedy: "Stop it first, or start this one with another --data.")
            }
            throw DaemonError(
                "The data folder \(path) can't be locked (\(error)).",
                remedy: "Does it belong to the user who runs this?")
        }
        isNew = try Self.checkFormat(disk, path: path)
    }

    package var socketPath: String { path + "/" + Self.socketName }
    package var databasePath: String { path + "/" + Self.databaseName }
    package var tokenKeysPath: String { path + "/" + Self.tokenKeysName }
    package var objectsPath: String { path + "/" + Self.objectsName }

    /// Makes a folder in it, durably.
    package func makeFolder(_ name: String) throws(DaemonError) {
        do {
            try disk.makeDirectory(name)
            try disk.syncDirectory("")
        } catch {
            throw DaemonError("\(path)/\(name) can't be made (\(error)).")
        }
    }

    /// Whether the engine has been here.
    func hasObjects() throws(DaemonError) -> Bool {
        do {
            return try disk.list(Self.objectsName).isEmpty == false
        } catch {
            if error.isNotFound { return false }
            throw DaemonError("The folder \(objectsPath) can't be looked at (\(error)).")
        }
    }

    /// Refuses a folder that lost its users, projects and roles: a new `control.db` would give every project a new
    /// id, and all that was stored would lie unreachable under the old ones.
    func checkControl(objectsWereWritten: Bool) throws(DaemonError) {
        guard objectsWereWritten, try !has(Self.databaseName) else { return }
        throw DaemonError(
            "The data folder \(path) is damaged: objects were stored in it, but \(Self.databaseName) is gone.",
            remedy:
                "Copy the newest \(Self.databaseName).backup file beside it to \(databasePath), and start again. Nothing was changed."
        )
    }

    /// Refuses a folder that lost its objects: an empty store must not take their place.
    func checkObjects() throws(DaemonError) {
        guard try has(Self.databaseName), try !hasObjects() else { return }
        throw DaemonError(
            "The data folder \(path) is damaged: it has a \(Self.databaseName), but the store in \(Self.objectsName) is gone.",
            remedy: "Restore that folder, or start on another one. Nothing was changed.")
    }

    func has(_ name: String) throws(DaemonError) -> Bool {
        do {
            return try disk.list("").contains(name)
        } catch {
            throw DaemonError("The data folder \(path) can't be listed (\(error)).")
        }
    }

    private static func makePrivate(_ path: String, create: Bool) throws(DaemonError) {
        if create, mkdir(path, 0o700) != 0, errno != EEXIST {
            let code = errno
            throw DaemonError(
                "The data folder \(path) can't be made: errno \(code).",
                remedy: code == ENOENT
                    ? "Make its parent folder first." : "Choose one that this user may write, with --data.")
        }
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw DaemonError("The data folder \(path) can't be looked at: errno \(errno).")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw DaemonError("\(path) is not a folder.") }
        guard status.st_uid == geteuid() else {
            throw DaemonError(
                "The data folder \(path) belongs to another user (uid \(status.st_uid)).",
                remedy: "Run this as that user, or give the folder away.")
        }
        if status.st_mode & 0o077 != 0, chmod(path, 0o700) != 0 {
            throw DaemonError(
                "The data folder \(path) is open to others, and its mode can't be changed: errno \(errno).")
        }
    }

    /// Looks before anything is touched: a folder with other people's things in it stays as it is.
    private static func refuseForeign(_ path: String) throws(DaemonError) {
        guard let stream = opendir(path) else { return }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name == formatName { return }
            if name != ".", name != ".." { names.append(name) }
        }
        try refuse(strange(names), path)
    }

    private static func strange(_ names: [String]) -> [String] {
        names.filter { $0 != lockName && $0 != "lost+found" && $0 != formatName + PrivateFiles.temporarySuffix }
    }

    private static func refuse(_ strange: [String], _ path: String) throws(DaemonError) {
        if strange.contains(databaseName) || strange.contains(objectsName) || strange.contains(tokenKeysName) {
            throw DaemonError(
                "The data folder \(path) is damaged: it has data in it, but its file \"\(formatName)\" is gone.",
                remedy:
                    "Restore that file (its one line is \"\(formatText.dropLast())\") or the whole folder. Nothing was changed."
            )
        }
        if let first = strange.filter({ !$0.hasSuffix(".json") && !$0.hasSuffix(".log") }).min() {
            throw DaemonError(
                "\(path) is not an Apus data folder, and it is not empty (\"\(first)\").",
                remedy: "Give --data an empty or a new folder. Nothing was changed.")
        }
    }

    /// True for a folder that nothing was kept in yet; it is then marked as ours.
    private static func checkFormat(_ disk: SystemDisk, path: String) throws(DaemonError) -> Bool {
        let files = PrivateFiles(disk: disk)
        if let text = try files.read(formatName) {
            if text == formatText { return false }
            let shown = text.prefix(60).filter { $0 != "\n" && $0 != "\r" }
            throw DaemonError(
                "The data folder \(path) was written by another version (\"\(shown)\").",
                remedy: "Use the apusd that wrote it, or start this one on another folder. Nothing was changed.")
        }
        let names: [String]
        do {
            names = try disk.list("")
        } catch {
            throw DaemonError("The data folder \(path) can't be listed (\(error)).")
        }
        // Again under the lock.
        try refuse(strange(names), path)
        try files.write(formatName, formatText)
        return true
    }
}
