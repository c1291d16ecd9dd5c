import GRDB

/// An image's bytes on their way out.
package struct ImageData: Sendable {
    package let byteCount: Int64
    package let checksum: String?
    private let reader: any ImageReader
    private let service: ImageService

    init(byteCount: Int64, checksum: String?, reader: any ImageReader, service: ImageService) {
        self.byteCount = byteCount
        self.checksum = checksum
        self.reader = reader
        self.service = service
    }

    /// Fills a buffer of the caller's; blocks.
    package func readHere(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) {
        try unsafe reader.read(at: offset, into: buffer)
    }

    /// Runs something that blocks, such as `readHere`, on a thread that may.
    package func onThread<T: Sendable>(
        _ body: @escaping @Sendable () throws(ImageError) -> T
    ) async throws(ImageError) -> T {
        try await service.onDataThread(body)
    }
}

extension ImageService {
    /// The bytes; nil if there are none yet.
    package func data(of id: String, for asker: ImageAsker) async throws(ImageError) -> ImageData? {
        let image = try await read { db in
            let image = try Self.visible(db, id, for: asker)
            guard asker.isMember else { throw ImageError.denied("download_image") }
            return image
        }
        if image.status == .deactivated, !asker.isAdmin {
            throw .forbidden("The requested image has been deactivated. Image data download is forbidden.")
        }
        guard image.status == .active || image.status == .deactivated, let key = image.dataKey, let size = image.size
        else { return nil }
        let reader = try await onDataThread { [store] () throws(ImageError) in try store.open(key) }
        return ImageData(byteCount: size, checksum: image.checksum, reader: reader, service: self)
    }
}
