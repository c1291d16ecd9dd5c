import Disks
import Foundation
import SCSI
import Testing

@testable import Daemon

/// Where persistent reservations outlive a loss of power.
@Suite struct ReservationFilesTests {
    private static let volume = "7f0f001f-2586-4c88-b282-bc8156f37e17"

    @Test func whatIsSavedIsFoundAgainAndAnEmptyRecordLeavesNoFile() throws {
        let scratch = try ScratchFolder()
        try FileManager.default.createDirectory(
            atPath: scratch.path + "/" + ReservationFiles.folder, withIntermediateDirectories: false)
        let files = ReservationFiles(files: PrivateFiles(disk: try SystemDisk(root: scratch.path)))
        let path = scratch.path + "/" + ReservationFiles.folder + "/" + Self.volume
        let store = files.store(of: Self.volume)
        #expect(try store.load() == nil)
        try store.save([1, 2, 3])
        #expect(try files.store(of: Self.volume).load() == [1, 2, 3])
        try store.save([])
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try store.load() == nil)
    }

    @Test func aVolumeThatNobodyIsAttachedToHasNoReservations() throws {
        let scratch = try ScratchFolder()
        try FileManager.default.createDirectory(
            atPath: scratch.path + "/" + ReservationFiles.folder, withIntermediateDirectories: false)
        let files = ReservationFiles(files: PrivateFiles(disk: try SystemDisk(root: scratch.path)))
        try files.store(of: Self.volume).save([1])
        try files.forget(Self.volume)
        #expect(try files.store(of: Self.volume).load() == nil)
        // Twice is as good as once.
        try files.forget(Self.volume)
    }
}
