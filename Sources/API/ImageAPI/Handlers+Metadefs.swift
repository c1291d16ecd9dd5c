import ControlFace
import HTTPTypes
import Images

extension Routes {
    static let metadefRoutes: [Route] = []
}
