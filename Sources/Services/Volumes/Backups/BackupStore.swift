package import VolumeDrivers

/// Where backups keep their objects: containers of projects, as the object service has them. Bound on the top floor.
///
/// Objects are written and deleted whole, and calls may be repeated. A failure is told as drivers tell theirs.
package protocol BackupStore: Sendable {
    /// What records of exported backups name as the driver.
    var driverName: String { get }
    /// Makes the container if it isn't there. `.invalid` if it can't have that name.
    func prepare(_ place: BackupPlace) async throws(DriverError)
    /// Begins an object, which is there once its writer has finished, in place of one of the same name.
    func write(_ name: String, in place: BackupPlace) async throws(DriverError) -> any BackupObjectWriter
    /// `.absent` if there is no such object.
    func open(_ name: String, in place: BackupPlace) async throws(DriverError) -> any BackupObjectReader
    /// An absent one is no failure.
    func delete(_ name: String, in place: BackupPlace) async throws(DriverError)
    /// The names that begin so, in order, behind `marker`: at most `Limits.backupNamesPageMax`; none behind the last.
    func names(
        prefix: String, after marker: String?, in place: BackupPlace
    ) async throws(DriverError) -> [String]
}

package struct BackupPlace: Sendable, Hashable {
    package var projectID: String
    package var container: String

    package init(projectID: String, container: String) {
        self.projectID = projectID
        self.container = container
    }
}

/// One caller at a time; `finish` or `abort` once.
package protocol BackupObjectWriter: Sendable {
    /// Takes the next bytes, and returns when there is room for more.
    func append(_ data: [UInt8]) async throws(DriverError)
    /// The object is durable when this returns.
    func finish() async throws(DriverError)
    /// Nothing is left of it.
    func abort() async
}

/// One caller at a time.
package protocol BackupObjectReader: Sendable {
    var byteCount: Int { get }
    /// Within the object; every byte was verified on this read.
    func read(_ range: Range<Int>) async throws(DriverError) -> [UInt8]
}

/// There is no backup service: nothing can be made, and the API says so.
package struct NoBackups: BackupStore {
    package init() {}
    package var driverName: String { "" }
    private var missing: DriverError { .failed("there is no backup service") }
    package func prepare(_ place: BackupPlace) async throws(DriverError) { throw missing }
    package func write(
        _ name: String, in place: BackupPlace
    ) async throws(DriverError) -> any BackupObjectWriter { throw missing }
    package func open(
        _ name: String, in place: BackupPlace
    ) async throws(DriverError) -> any BackupObjectReader { throw missing }
    package func delete(_ name: String, in place: BackupPlace) async throws(DriverError) { throw missing }
    package func names(
        prefix: String, after marker: String?, in place: BackupPlace
    ) async throws(DriverError) -> [String] { throw missing }
}
