import ControlFace
import HTTPTypes

/// The one version there is.
enum Versions {
    static func reply(base: String, isRoot: Bool) -> Reply {
        let version = JSON.of([
            "id": .string("v3.0"), "status": .string("CURRENT"),
            "version": .string(Microversion.newest.description),
            "min_version": .string(Microversion.oldest.description), "updated": .string("2023-08-31T00:00:00Z"),
            "links": .array([
                .of([
                    "rel": .string("describedby"), "type": .string("text/html"),
                    "href": .string("https://docs.openstack.org/"),
                ]),
                .of(["rel": .string("self"), "href": .string("\(base)/v3/")]),
            ]),
            "media-types": .array([
                .of([
                    "base": .string("application/json"),
                    "type": .string("application/vnd.openstack.volume+json;version=3"),
                ])
            ]),
        ])
        return Reply(isRoot ? .multipleChoices : .ok, .of(["versions": .array([version])]))
    }
}
