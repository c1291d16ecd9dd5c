import GRDB

/// How images are read from and written to their tables. For use inside a transaction.
enum ImageRows {
    static let columns = """
        id, name, status, visibility, owner, protected, hidden, size, virtual_size, disk_format, container_format,
        min_disk, min_ram, checksum, hash_algorithm, hash_value, data_key, staged_key, created_at, updated_at
        """

    static func decode(_ row: Row) throws -> Image {
        guard let status = ImageStatus(rawValue: row["status"]),
            let visibility = ImageVisibility(rawValue: row["visibility"])
        else { throw DatabaseError(message: "an image's row has an unknown status or visibility") }
        return Image(
            id: row["id"], name: row["name"], status: status, visibility: visibility, owner: row["owner"],
            isProtected: row["protected"], isHidden: row["hidden"], size: row["size"],
            virtualSize: row["virtual_size"], diskFormat: row["disk_format"],
            containerFormat: row["container_format"], minDisk: row["min_disk"], minRAM: row["min_ram"],
            checksum: row["checksum"], hashAlgorithm: row["hash_algorithm"], hashValue: row["hash_value"],
            dataKey: row["data_key"], stagedKey: row["staged_key"], createdAt: row["created_at"],
            updatedAt: row["updated_at"])
    }

    /// nil if there is none, or it was deleted.
    static func find(_ db: Database, _ id: String) throws -> Image? {
        try Row.fetchOne(
            db, sql: "SELECT \(columns) FROM images WHERE id = ? AND deleted_at IS NULL", arguments: [id]
        ).map(decode)
    }

    static func insert(_ db: Database, _ image: Image) throws {
        try db.execute(
            sql: "INSERT INTO images (\(columns)) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            arguments: [image.id] + values(image) + [image.createdAt, image.updatedAt])
    }

    /// Writes all but the id and the time it was made.
    static func update(_ db: Database, _ image: Image) throws {
        try db.execute(
            sql: """
                UPDATE images SET name = ?, status = ?, visibility = ?, owner = ?, protected = ?, hidden = ?, size = ?,
                virtual_size = ?, disk_format = ?, container_format = ?, min_disk = ?, min_ram = ?, checksum = ?,
                hash_algorithm = ?, hash_value = ?, data_key = ?, staged_key = ?, updated_at = ? WHERE id = ?
                """, arguments: values(image) + [image.updatedAt, image.id])
    }

    private static func values(_ image: Image) -> StatementArguments {
        [
            image.name, image.status.rawValue, image.visibility.rawValue, image.owner, image.isProtected,
            image.isHidden, image.size, image.virtualSize, image.diskFormat, image.containerFormat, image.minDisk,
            image.minRAM, image.checksum, image.hashAlgorithm, image.hashValue, image.dataKey, image.stagedKey,
        ]
    }

    static func detail(_ db: Database, _ image: Image) throws -> ImageDetail {
        try details(db, [image])[0]
    }

    /// In the order given; three queries, however many images.
    static func details(_ db: Database, _ images: [Image]) throws -> [ImageDetail] {
        guard !images.isEmpty else { return [] }
        let marks = databaseQuestionMarks(count: images.count)
        let ids = StatementArguments(images.map(\.id))
        var properties: [String: [String: String]] = [:]
        for row in try Row.fetchAll(
            db, sql: "SELECT image_id, name, value FROM image_properties WHERE image_id IN (\(marks))", arguments: ids)
        {
            properties[row["image_id"], default: [:]][row["name"]] = row["value"]
        }
        func texts(_ table: String, _ column: String) throws -> [String: [String]] {
            var found: [String: [String]] = [:]
            for row in try Row.fetchAll(
                db, sql: "SELECT image_id, \(column) FROM \(table) WHERE image_id IN (\(marks)) ORDER BY \(column)",
                arguments: ids)
            {
                found[row["image_id"], default: []].append(row[column])
            }
            return found
        }
        let tags = try texts("image_tags", "tag")
        let stores = try texts("image_stores", "store")
        return images.map { image in
            ImageDetail(
                image: image, properties: properties[image.id] ?? [:], tags: tags[image.id] ?? [],
                stores: stores[image.id] ?? [])
        }
    }

    static func setTags(_ db: Database, _ id: String, _ tags: [String]) throws {
        try db.execute(sql: "DELETE FROM image_tags WHERE image_id = ?", arguments: [id])
        for tag in Set(tags) {
            try db.execute(sql: "INSERT INTO image_tags (image_id, tag) VALUES (?, ?)", arguments: [id, tag])
        }
    }

    static func setProperty(_ db: Database, _ id: String, _ name: String, _ value: String) throws {
        try db.execute(
            sql: """
                INSERT INTO image_properties (image_id, name, value) VALUES (?, ?, ?)
                ON CONFLICT (image_id, name) DO UPDATE SET value = excluded.value
                """, arguments: [id, name, value])
    }

    @discardableResult
    static func removeProperty(_ db: Database, _ id: String, _ name: String) throws -> Bool {
        try db.execute(
            sql: "DELETE FROM image_properties WHERE image_id = ? AND name = ?", arguments: [id, name])
        return db.changesCount > 0
    }

    static func property(_ db: Database, _ id: String, _ name: String) throws -> String? {
        try String.fetchOne(
            db, sql: "SELECT value FROM image_properties WHERE image_id = ? AND name = ?", arguments: [id, name])
    }

    static func setStores(_ db: Database, _ id: String, _ stores: [String]) throws {
        try db.execute(sql: "DELETE FROM image_stores WHERE image_id = ?", arguments: [id])
        for store in Set(stores) {
            try db.execute(sql: "INSERT INTO image_stores (image_id, store) VALUES (?, ?)", arguments: [id, store])
        }
    }

    static func memberStatus(_ db: Database, _ id: String, _ project: String) throws -> MemberStatus? {
        try String.fetchOne(
            db, sql: "SELECT status FROM image_members WHERE image_id = ? AND member = ?", arguments: [id, project]
        ).flatMap(MemberStatus.init(rawValue:))
    }

    /// Notes bytes that nobody refers to any more; they are removed behind the transaction, or after a restart.
    static func discard(_ db: Database, key: String?) throws {
        guard let key else { return }
        let users = try Int.fetchOne(
            db, sql: "SELECT COUNT(*) FROM images WHERE data_key = ? OR staged_key = ?", arguments: [key, key])
        guard users == 0 else { return }
        // The disk that was read out of them goes with them; one that is being read out is its reader's to remove.
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO image_trash (key)
                SELECT disk_key FROM image_disks WHERE data_key = ? AND virtual_size IS NOT NULL
                """, arguments: [key])
        // Its row stays until then, under a name that no bytes have: a restart finds it.
        try db.execute(
            sql: "UPDATE image_disks SET data_key = 'gone/' || disk_key WHERE data_key = ? AND virtual_size IS NULL",
            arguments: [key])
        try db.execute(sql: "DELETE FROM image_disks WHERE data_key = ?", arguments: [key])
        try db.execute(sql: "INSERT OR IGNORE INTO image_trash (key) VALUES (?)", arguments: [key])
    }
}
