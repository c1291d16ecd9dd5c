import ControlFace
import Primitives

/// Times as the API writes and reads them: `YYYY-MM-DDTHH:MM:SS.ffffff`, always UTC, from microseconds.
enum ShownTime {
    static func text(_ microseconds: Int64) -> String {
        let seconds = microseconds >= 0 ? microseconds / 1_000_000 : (microseconds - 999_999) / 1_000_000
        let rest = String(microseconds - seconds * 1_000_000)
        let date = CivilDate(unixSeconds: seconds)
        return date.text(dateSeparator: "-", timeSeparator: ":") + "."
            + String(repeating: "0", count: max(0, 6 - rest.count)) + rest
    }

    static func microseconds(_ text: String) -> Int64? { ISOTime.microseconds(text) }
}
