import Testing

@testable import Images

@Suite("Records of images") struct RegistryTests {
    @Test("an id is never given twice, not even that of a deleted image")
    func ids() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        try await fixture.service.delete(id, for: fixture.ann)
        await #expect(throws: ImageError.conflict("Image ID \(id) already exists!")) {
            try await fixture.queued("again") { $0.id = id }
        }
        await #expect(throws: ImageError.noImage(id)) { try await fixture.service.image(id, for: fixture.admin) }
        try await fixture.end()
    }

    @Test("strangers see what is public, ask for what is a community's, and know nothing of the rest")
    func visibility() async throws {
        let fixture = try await Fixture()
        var ids: [ImageVisibility: String] = [:]
        for visibility in ImageVisibility.allCases where visibility != .public {
            ids[visibility] = try await fixture.queued(visibility.rawValue) { $0.visibility = visibility }
        }
        var new = NewImage()
        new.visibility = .public
        ids[.public] = try await fixture.service.create(new, for: fixture.admin).image.id
        func seen(_ query: ImageQuery, _ asker: ImageAsker) async throws -> Set<String> {
            Set(try await fixture.service.images(query, for: asker).map(\.image.id))
        }
        #expect(try await seen(ImageQuery(), fixture.bob) == [try #require(ids[.public])])
        var all = ImageQuery()
        all.visibility = .all
        #expect(try await seen(all, fixture.bob) == Set([ids[.public], ids[.community]].compactMap { $0 }))
        #expect(try await seen(ImageQuery(), fixture.ann) == Set(ids.values))
        for hidden in [ImageVisibility.private, .shared] {
            let id = try #require(ids[hidden])
            await #expect(throws: ImageError.noImage(id)) { try await fixture.service.image(id, for: fixture.bob) }
        }
        try await fixture.end()
    }

    @Test("a member sees a shared image in listings once it has accepted, and the owner can't accept for it")
    func members() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        _ = try await fixture.service.addMember("home", to: id, for: fixture.ann)
        #expect(try await fixture.service.image(id, for: fixture.bob).image.id == id)
        #expect(try await fixture.service.images(ImageQuery(), for: fixture.bob).isEmpty)
        await #expect(throws: ImageError.self) {
            try await fixture.service.setMember("home", of: id, to: .accepted, for: fixture.ann)
        }
        _ = try await fixture.service.setMember("home", of: id, to: .accepted, for: fixture.bob)
        #expect(try await fixture.service.images(ImageQuery(), for: fixture.bob).map(\.image.id) == [id])
        await #expect(throws: ImageError.self) {
            try await fixture.service.removeMember("home", from: id, for: fixture.bob)
        }
        try await fixture.service.removeMember("home", from: id, for: fixture.ann)
        await #expect(throws: ImageError.noImage(id)) { try await fixture.service.image(id, for: fixture.bob) }
        try await fixture.end()
    }

    @Test("pages follow one another without a gap in every order, missing values included", arguments: [true, false])
    func paging(isDescending: Bool) async throws {
        let fixture = try await Fixture()
        for number in 0..<23 {
            _ = try await fixture.queued("image") { new in
                new.name = number % 3 == 0 ? nil : "image \(number % 5)"
                if number % 4 == 0 { new.diskFormat = nil }
            }
        }
        for column in [ImageQuery.Column.name, .diskFormat, .size, .createdAt, .id] {
            var query = ImageQuery()
            query.order = [ImageQuery.Order(column, isDescending: isDescending)]
            query.limit = 1_000
            let whole = try await fixture.service.images(query, for: fixture.ann).map(\.image.id)
            #expect(whole.count == 23)
            query.limit = 4
            var pages: [String] = []
            while true {
                let page = try await fixture.service.images(query, for: fixture.ann).map(\.image.id)
                pages += page
                guard let last = page.last else { break }
                query.marker = last
            }
            #expect(pages == whole)
        }
        try await fixture.end()
    }

    @Test("an update is carried out as a whole or not at all")
    func atomicUpdate() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        await #expect(throws: ImageError.self) {
            try await fixture.service.update(
                id, [.name("new"), .property("a", "1"), .removedProperty("not there")], for: fixture.ann)
        }
        let detail = try await fixture.service.image(id, for: fixture.ann)
        #expect(detail.image.name == "image")
        #expect(detail.properties.isEmpty)
        try await fixture.end()
    }

    @Test("readers change nothing, and don't get the bytes")
    func readers() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.active()
        #expect(try await fixture.service.image(id, for: fixture.rita).image.status == .active)
        await #expect(throws: ImageError.denied("modify_image")) {
            try await fixture.service.update(id, [.name("x")], for: fixture.rita)
        }
        await #expect(throws: ImageError.denied("download_image")) {
            try await fixture.bytes(of: id, for: fixture.rita)
        }
        await #expect(throws: ImageError.denied("delete_image")) {
            try await fixture.service.delete(id, for: fixture.rita)
        }
        try await fixture.end()
    }

    @Test("a protected image is not deleted, and a deactivated one not handed out but to administrators")
    func protection() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.active()
        _ = try await fixture.service.update(id, [.isProtected(true)], for: fixture.ann)
        await #expect(throws: ImageError.self) { try await fixture.service.delete(id, for: fixture.admin) }
        try await fixture.service.deactivate(id, for: fixture.ann)
        await #expect(throws: ImageError.self) { try await fixture.bytes(of: id) }
        #expect(try await fixture.bytes(of: id, for: fixture.admin) == [1, 2, 3])
        try await fixture.service.reactivate(id, for: fixture.ann)
        #expect(try await fixture.bytes(of: id) == [1, 2, 3])
        try await fixture.end()
    }
}
