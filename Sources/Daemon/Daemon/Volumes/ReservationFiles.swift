private import BlockDevices
import Primitives
import SCSI

/// Persistent reservations that outlive a loss of power (APTPL), a small file for each volume that has any, under
/// `reservations/` in the data folder.
struct ReservationFiles: Sendable {
    static let folder = "reservations"

    private let files: PrivateFiles

    init(files: PrivateFiles) { self.files = files }

    /// - Parameter volume: a UUID of the service's, so that no other text becomes a file's name.
    func store(of volume: String) -> any ReservationStore { OneFile(files: files, name: Self.name(of: volume)) }

    /// Nobody is attached any more, so nobody is left who holds anything.
    func forget(_ volume: String) throws(DaemonError) { try files.remove(Self.name(of: volume)) }

    private static func name(of volume: String) -> String {
        folder + "/" + volume.filter { $0.isHexDigit || $0 == "-" }
    }

    private final class OneFile: ReservationStore {
        private let files: PrivateFiles
        private let name: String

        init(files: PrivateFiles, name: String) {
            self.files = files
            self.name = name
        }

        func load() throws(ReservationStoreError) -> [UInt8]? {
            do throws(DaemonError) { return try files.readBytes(name) } catch {
                throw ReservationStoreError("\(error)")
            }
        }

        func save(_ blob: [UInt8]) throws(ReservationStoreError) {
            do throws(DaemonError) {
                if blob.isEmpty { try files.remove(name) } else { try files.write(name, blob) }
            } catch {
                throw ReservationStoreError("\(error)")
            }
        }
    }
}
