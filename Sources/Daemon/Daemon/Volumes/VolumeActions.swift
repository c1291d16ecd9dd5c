private import ChunkVolumes
import Chunks
import ISCSI
import Logging
import Primitives
import Volumes

/// What `apus volume` asks for. Blocks.
struct VolumeActions: Sendable {
    let store: ChunkStore
    let service: VolumeService
    let exports: VolumeExports
    let logger: Logger

    func list() -> AdminReply {
        answering { () throws(VolumeError) in
            let sessions = Dictionary(grouping: exports.sessions(), by: \.volume)
            return try service.volumeLines().map { line in
                [
                    line.id, line.name ?? "-", "\(line.size) GiB", line.status, "\(line.snapshots)",
                    "\(line.attachments)", "\(sessions[line.id]?.count ?? 0)", line.projectID,
                ]
            }
        } title: {
            ["ID", "NAME", "SIZE", "STATUS", "SNAPSHOTS", "ATTACHMENTS", "SESSIONS", "PROJECT"]
        }
    }

    func space(of volume: String?) -> AdminReply {
        if let volume { return layers(of: volume) }
        return answering { () throws(VolumeError) in
            try service.volumeLines().map { line in
                let name = ChunkVolumeDriver.storedName(ofVolume: line.id)
                let layers: [LayerSpace]
                do throws(LayerError) {
                    layers = try store.space(of: name, findsNames: false)
                } catch {
                    return [line.id, line.name ?? "-", "\(line.size) GiB", "-", "-", "-", "-"]
                }
                let own = layers.filter { !$0.isShared }
                let shared = layers.filter(\.isShared)
                return [
                    line.id, line.name ?? "-", "\(line.size) GiB", size(own, \.writtenBytes), size(own, \.storedBytes),
                    size(shared, \.storedBytes), "\(layers.count)",
                ]
            }
        } title: {
            ["ID", "NAME", "SIZE", "WRITTEN", "STORED", "SHARED", "LAYERS"]
        }
    }

    private func layers(of volume: String) -> AdminReply {
        do throws(LayerError) {
            let layers = try store.space(of: ChunkVolumeDriver.storedName(ofVolume: volume))
            return table(
                ["LAYER", "OF", "WRITTEN", "STORED", "SHARED"],
                layers.map { layer in
                    [
                        "\(layer.layer)", layer.name?.string ?? "a name that is gone", size([layer], \.writtenBytes),
                        size([layer], \.storedBytes), layer.isShared ? "yes" : "no",
                    ]
                })
        } catch {
            if case .noSuchHandle = error { return .refused("There is no volume \(volume) in the store.") }
            return .refused("The store can't tell: \(error).")
        }
    }

    func sessions(of volume: String?) -> AdminReply {
        table(
            ["SESSION", "VOLUME", "INITIATOR", "ADDRESS", "SINCE", "COMMANDS", "READ", "WRITTEN"],
            exports.sessions().filter { volume == nil || $0.volume == volume }.map { id, session in
                [
                    "\(session.id)", id, session.initiator, session.address, Self.time(session.since),
                    "\(session.traffic.commands)", StatusReport.size(Int64(clamping: session.traffic.bytesOut)),
                    StatusReport.size(Int64(clamping: session.traffic.bytesIn)),
                ]
            })
    }

    func endSession(_ id: UInt64) -> AdminReply {
        guard exports.endSession(id) else { return .refused("There is no session \(id).") }
        logger.notice("iSCSI session ended by the operator", metadata: ["session": "\(id)"])
        return AdminReply(succeeded: true, text: "Session \(id) has ended.")
    }

    // MARK: Tables

    private func answering(
        _ rows: () throws(VolumeError) -> [[String]], title: () -> [String]
    ) -> AdminReply {
        do throws(VolumeError) {
            return table(title(), try rows())
        } catch {
            return .refused("\(error).")
        }
    }

    private func table(_ title: [String], _ rows: [[String]]) -> AdminReply {
        AdminReply(succeeded: true, text: TextTable.lines(title, rows).joined(separator: "\n"))
    }

    private static func time(_ unixSeconds: Int64) -> String {
        CivilDate(unixSeconds: unixSeconds).text(dateSeparator: "-", timeSeparator: ":") + "Z"
    }

    private func size(_ layers: [LayerSpace], _ bytes: (LayerSpace) -> UInt64) -> String {
        StatusReport.size(Int64(clamping: layers.reduce(0) { $0 + bytes($1) }))
    }
}
