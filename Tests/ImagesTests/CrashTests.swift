import GRDB
import Synchronization
import Testing

@testable import Images

@Suite("Images and crashes") struct CrashTests {
    private static let ann = CrashRig.ann
    private static let staged: [UInt8] = Array(repeating: 9, count: 5_000)

    private static func queued(_ service: ImageService, _ format: String = "raw") async throws -> String {
        var new = NewImage()
        new.diskFormat = format
        new.containerFormat = "bare"
        return try await service.create(new, for: ann).image.id
    }

    private static func active(
        _ service: ImageService, _ bytes: [UInt8] = staged, _ format: String = "raw"
    ) async throws -> String {
        let id = try await queued(service, format)
        let upload = try await service.beginUpload(id, store: nil, expected: nil, for: ann)
        try await Fixture.feed(bytes, to: upload)
        try await upload.finish()
        return id
    }

    private static func stage(_ service: ImageService, _ id: String) async throws {
        let stage = try await service.beginStaging(id, expected: nil, for: ann)
        try await Fixture.feed(staged, to: stage)
        try await stage.finish()
    }

    private static func request(_ source: ImageImport, stores: [String]? = nil) -> ImportRequest {
        ImportRequest(source: source, stores: stores, allStores: false, allMustSucceed: true, input: "{}")
    }

    /// What must be so behind any start: the images are what they say, nothing is under way, nothing is left over.
    private static func check(_ service: ImageService, _ store: MemoryImages, _ place: String) async throws {
        let images = try await service.images(ImageQuery(), for: ann).map(\.image)
        for image in images {
            let bytes = image.dataKey.flatMap { store.bytes($0) }
            switch image.status {
            case .active: #expect(bytes.map { Int64($0.count) } == image.size, "\(place): an active image's bytes")
            case .queued:
                #expect(image.dataKey == nil && image.stagedKey == nil && image.size == nil, "\(place): queued")
            case .uploading: #expect(image.stagedKey.flatMap { store.bytes($0) } == staged, "\(place): staged bytes")
            default: Issue.record("\(place): an image is \(image.status)")
            }
        }
        let (disks, tasks, properties) = try await service.read { db in
            (
                try Row.fetchAll(db, sql: "SELECT disk_key, virtual_size FROM image_disks").map {
                    (key: $0["disk_key"] as String, isDone: $0["virtual_size"] as Int64? != nil)
                }, try String.fetchAll(db, sql: "SELECT status FROM image_tasks"),
                try Int.fetchOne(
                    db, sql: "SELECT COUNT(*) FROM image_properties WHERE name = 'os_glance_import_task'")
            )
        }
        #expect(!disks.contains { !$0.isDone }, "\(place): a disk that nobody makes")
        #expect(Set(tasks).isSubset(of: ["success", "failure"]), "\(place): \(tasks)")
        #expect(properties == 0, "\(place): an import that nobody carries out")
        let known = images.flatMap { [$0.dataKey, $0.stagedKey] }.compactMap { $0 } + disks.map(\.key)
        #expect(store.keys == Set(known), "\(place): bytes that nobody has, or that are gone")
    }

    enum Import: CaseIterable { case staged, web, copy, other }

    @Test(
        "an import that a crash interrupts at any step is done or undone, and can be had again",
        arguments: Import.allCases)
    func imports(kind: Import) async throws {
        let rig = try await CrashRig()
        let other = kind == .other ? try await Self.active(rig.service) : ""
        let id = kind == .copy ? try await Self.active(rig.service) : try await Self.queued(rig.service)
        let request =
            switch kind {
            case .staged: Self.request(.staged)
            case .web: Self.request(.web("http://example.org/"), stores: ["chunks", "more"])
            case .copy: Self.request(.copy, stores: ["more"])
            case .other: Self.request(.other(image: other, region: "RegionOne", interface: "public"))
            }
        let pictures = try await rig.watch {
            if kind == .staged { try await Self.stage(rig.service, id) }
            _ = try await rig.service.beginImport(request, of: id, for: Self.ann)
        }
        #expect(pictures.count >= 3)
        var outcomes: Set<Bool> = []
        for (index, picture) in pictures.enumerated() {
            try await rig.started(from: picture) { service, store in
                let place = "\(kind), picture \(index) of \(pictures.count)"
                try await Self.check(service, store, place)
                var detail = try await service.image(id, for: Self.ann)
                let task = try await service.tasks(of: id, for: Self.ann).first?.status
                let isDone = kind == .copy ? detail.stores.contains("more") : detail.image.status == .active
                if let task { #expect((task == .success) == isDone, "\(place): the task says \(task)") }
                outcomes.insert(isDone)
                if !isDone {
                    if kind == .staged, detail.image.status == .queued { try await Self.stage(service, id) }
                    _ = try await service.beginImport(request, of: id, for: Self.ann)
                    await service.settle()
                    detail = try await service.image(id, for: Self.ann)
                }
                #expect(detail.image.status == .active, "\(place): \(detail.image.status)")
                let bytes = detail.image.dataKey.flatMap { store.bytes($0) }
                #expect(bytes == (kind == .web ? CrashRig.web : Self.staged), "\(place)")
                if kind == .copy || kind == .web { #expect(Set(detail.stores) == ["chunks", "more"], "\(place)") }
                try await Self.check(service, store, place + ", again")
            }
        }
        #expect(outcomes == [false, true], "pictures of both sides")
        try await rig.end()
    }

    @Test("a disk that is made when the daemon dies, at any step, is made anew, and nothing of it is left")
    func conversion() async throws {
        let rig = try await CrashRig()
        let id = try await Self.active(rig.service, MemoryConverter.vmdk(sectors: 40), "vmdk")
        let pictures = try await rig.watch { _ = try await rig.service.diskKey(of: id) }
        #expect(pictures.count >= 8)
        var outcomes: Set<Bool> = []
        for (index, picture) in pictures.enumerated() {
            try await rig.started(from: picture) { service, store in
                try await Self.check(service, store, "picture \(index)")
                outcomes.insert(try await service.hasDisk(id))
                let disk = try await service.diskKey(of: id)
                let expected = CrashRig.disk + [UInt8](repeating: 0, count: 40 * 512 - CrashRig.disk.count)
                #expect(store.bytes(disk) == expected, "picture \(index)")
                try await Self.check(service, store, "picture \(index), again")
            }
        }
        #expect(outcomes == [false, true])
        try await rig.end()
    }

    @Test("an image that is deleted while a disk is made of it leaves nothing, also if the daemon dies at any step")
    func deletedMeanwhile() async throws {
        let rig = try await CrashRig()
        let id = try await Self.active(rig.service, MemoryConverter.vmdk(sectors: 40), "vmdk")
        let pictures = try await rig.watch {
            let deletion = PosixOnce()
            await #expect(throws: ImageError.self) {
                _ = try await rig.service.diskKey(of: id) { percent in
                    guard percent > 0 else { return }
                    // From the thread that makes the disk, which waits for it: the deletion comes in between.
                    deletion.run { try await rig.service.delete(id, for: Self.ann) }
                }
            }
            #expect(deletion.failure == nil)
        }
        #expect(rig.store.keys.isEmpty)
        for (index, picture) in pictures.enumerated() {
            try await rig.started(from: picture) { service, store in
                try await Self.check(service, store, "picture \(index)")
            }
        }
        try await rig.end()
    }

    @Test("an image that is deleted while its bytes come leaves nothing, also if the daemon dies at any step")
    func deletedWhileTheyCome() async throws {
        for fetches in [false, true] {
            let rig = try await CrashRig()
            let id = try await Self.queued(rig.service)
            let pictures = try await rig.watch {
                if fetches {
                    rig.meanwhile.value.withLock { $0 = { try await rig.service.delete(id, for: Self.ann) } }
                    _ = try await rig.service.beginImport(Self.request(.web("http://a/")), of: id, for: Self.ann)
                    await rig.service.settle()
                } else {
                    let upload = try await rig.service.beginUpload(id, store: nil, expected: nil, for: Self.ann)
                    try await Fixture.feed(Self.staged, to: upload)
                    try await rig.service.delete(id, for: Self.ann)
                    await #expect(throws: ImageError.self) { try await upload.finish() }
                }
            }
            #expect(rig.store.keys.isEmpty)
            for (index, picture) in pictures.enumerated() {
                try await rig.started(from: picture) { service, store in
                    try await Self.check(service, store, "fetches \(fetches), picture \(index)")
                }
            }
            try await rig.end()
        }
    }

    @Test("a volume's image that is deleted while it is saving leaves nothing, also if the daemon dies at any step")
    func adoptedAndDeleted() async throws {
        for deletes in [false, true] {
            let rig = try await CrashRig()
            var new = NewImage()
            new.diskFormat = "qcow2"
            new.containerFormat = "bare"
            let pictures = try await rig.watch {
                let id = try await rig.service.adopt(new, byteCount: Int64(CrashRig.web.count), for: Self.ann) { key in
                    rig.store.put(key, CrashRig.web)
                }
                if deletes { try await rig.service.delete(id, for: Self.ann) }
            }
            if deletes { #expect(rig.store.keys.isEmpty) }
            for (index, picture) in pictures.enumerated() {
                try await rig.started(from: picture) { service, store in
                    try await Self.check(service, store, "picture \(index)")
                }
            }
            try await rig.end()
        }
    }
}
