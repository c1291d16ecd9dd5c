import ControlFace
import HTTPTypes
import Images

extension Routes {
    static let imageRoutes: [Route] =
        [
            Route(.get, "images", .reader, "get_images") { h, c async throws(ImageError) in
                let request = try ImageListRequest(c)
                let images = try await h.images.images(request.query, for: c.asker)
                return .ok(request.body(images, hasSeveralStores: h.hasSeveralStores))
            },
            Route(.post, "images", .member, "add_image") { h, c async throws(ImageError) in try await h.create(c) },
            Route(.get, "images/*", .anyone, "get_image") { h, c async throws(ImageError) in
                h.view(try await h.images.image(c.arguments[0], for: c.asker))
            },
            Route(.patch, "images/*", .anyone, "modify_image") { h, c async throws(ImageError) in
                try await h.update(c)
            },
            Route(.delete, "images/*", .anyone, "delete_image") { h, c async throws(ImageError) in
                try await h.images.delete(c.arguments[0], for: c.asker)
                return .noContent
            },
            Route(.post, "images/*/actions/deactivate", .anyone, "deactivate") { h, c async throws(ImageError) in
                try await h.images.deactivate(c.arguments[0], for: c.asker)
                return .noContent
            },
            Route(.post, "images/*/actions/reactivate", .anyone, "reactivate") { h, c async throws(ImageError) in
                try await h.images.reactivate(c.arguments[0], for: c.asker)
                return .noContent
            },
            Route(.put, "images/*/tags/*", .anyone, "modify_image") { h, c async throws(ImageError) in
                try await h.images.addTag(c.arguments[1], to: c.arguments[0], for: c.asker)
                return .noContent
            },
            Route(.delete, "images/*/tags/*", .anyone, "modify_image") { h, c async throws(ImageError) in
                try await h.images.removeTag(c.arguments[1], from: c.arguments[0], for: c.asker)
                return .noContent
            },
        ] + memberRoutes + dataRoutes + importRoutes + locationRoutes

    private static let memberRoutes: [Route] = [
        Route(.get, "images/*/members", .anyone, "get_members") { h, c async throws(ImageError) in
            let members = try await h.images.members(of: c.arguments[0], for: c.asker)
            return .ok(
                .of(["members": .array(members.map(Views.member)), "schema": .string("/v2/schemas/members")]))
        },
        Route(.post, "images/*/members", .anyone, "add_member") { h, c async throws(ImageError) in
            guard let member = try JSON.object(c.object())["member"]?.string, !member.isEmpty else {
                throw .invalid("Expected a dict in the form {\"member\": \"image_id\"}")
            }
            return .ok(Views.member(try await h.images.addMember(member, to: c.arguments[0], for: c.asker)))
        },
        Route(.get, "images/*/members/*", .anyone, "get_member") { h, c async throws(ImageError) in
            .ok(Views.member(try await h.images.member(c.arguments[1], of: c.arguments[0], for: c.asker)))
        },
        Route(.put, "images/*/members/*", .anyone, "modify_member") { h, c async throws(ImageError) in
            guard let text = try JSON.object(c.object())["status"]?.string else {
                throw .invalid("Expected a status to be specified.")
            }
            guard let status = MemberStatus(rawValue: text) else {
                throw .invalid("Invalid status \(text): it must be pending, accepted or rejected.")
            }
            return .ok(
                Views.member(
                    try await h.images.setMember(c.arguments[1], of: c.arguments[0], to: status, for: c.asker)))
        },
        Route(.delete, "images/*/members/*", .anyone, "delete_member") { h, c async throws(ImageError) in
            try await h.images.removeMember(c.arguments[1], from: c.arguments[0], for: c.asker)
            return .noContent
        },
    ]
}

extension Handlers {
    var hasSeveralStores: Bool { images.configuration.stores.count > 1 }

    func view(_ detail: ImageDetail) -> Reply { .ok(Views.image(detail, hasSeveralStores: hasSeveralStores)) }

    func create(_ call: Call) async throws(ImageError) -> Reply {
        let detail = try await images.create(try ImageFields.image(try call.object()), for: call.asker)
        var reply = view(detail)
        reply.status = .created
        reply.headers[.location] = "\(call.base)/v2/images/\(detail.image.id)"
        reply.headers[.importMethods] = images.configuration.importMethods.joined(separator: ",")
        if hasSeveralStores { reply.headers[.storeIDs] = images.configuration.stores.joined(separator: ",") }
        return reply
    }

    func update(_ call: Call) async throws(ImageError) -> Reply {
        let type = call.headers[.contentType]?.prefix { $0 != ";" }.lowercased() ?? ""
        guard ImagePatch.types.contains(type) else {
            var reply = Reply.fault(
                .unsupportedMediaType,
                "Unsupported content type. Must be one of the following: \(ImagePatch.types.joined(separator: ", ")).")
            reply.headers[.acceptPatch] = ImagePatch.types.joined(separator: ", ")
            return reply
        }
        return view(
            try await images.update(
                call.arguments[0], try ImagePatch.changes(call.body, type: type), for: call.asker))
    }
}

extension HTTPField.Name {
    static var importMethods: Self { Self("OpenStack-image-import-methods") ?? .vary }
    static var storeIDs: Self { Self("OpenStack-image-store-ids") ?? .vary }
    static var acceptPatch: Self { Self("Accept-Patch") ?? .vary }
}
