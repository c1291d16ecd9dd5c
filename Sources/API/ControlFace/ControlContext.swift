package import HTTPFace
package import Hummingbird
import NIOCore

/// What the responder knows of a request beside the request itself: who sends it.
package struct ControlContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    package let client: ClientAddress

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        client = ClientAddress(source.channel.remoteAddress)
    }
}
