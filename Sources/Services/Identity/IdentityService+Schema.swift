private import GRDB
package import Records

extension IdentityService {
    /// Identity's tables. Append only: see `Migration`.
    package static let migrations: [Migration] = [
        Migration("identity-0001-users-projects-roles") { db in
            try db.execute(
                sql: """
                    CREATE TABLE domains (
                        id TEXT NOT NULL PRIMARY KEY,
                        name TEXT NOT NULL UNIQUE,
                        description TEXT NOT NULL,
                        enabled INTEGER NOT NULL);
                    CREATE TABLE projects (
                        id TEXT NOT NULL PRIMARY KEY,
                        name TEXT NOT NULL,
                        domain_id TEXT NOT NULL REFERENCES domains(id),
                        parent_id TEXT REFERENCES projects(id),
                        description TEXT NOT NULL,
                        enabled INTEGER NOT NULL,
                        UNIQUE (domain_id, name));
                    CREATE INDEX projects_by_parent ON projects(parent_id);
                    CREATE TABLE users (
                        id TEXT NOT NULL PRIMARY KEY,
                        name TEXT NOT NULL,
                        domain_id TEXT NOT NULL REFERENCES domains(id),
                        default_project_id TEXT,
                        email TEXT,
                        description TEXT,
                        password_hash TEXT,
                        enabled INTEGER NOT NULL,
                        UNIQUE (domain_id, name));
                    CREATE TABLE roles (
                        id TEXT NOT NULL PRIMARY KEY,
                        name TEXT NOT NULL UNIQUE,
                        description TEXT);
                    CREATE TABLE implied_roles (
                        prior_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
                        implied_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
                        PRIMARY KEY (prior_id, implied_id));
                    CREATE TABLE assignments (
                        user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
                        target_kind TEXT NOT NULL,
                        target_id TEXT NOT NULL,
                        role_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
                        PRIMARY KEY (user_id, target_kind, target_id, role_id));
                    CREATE INDEX assignments_by_target ON assignments(target_kind, target_id);
                    CREATE TABLE regions (
                        id TEXT NOT NULL PRIMARY KEY,
                        description TEXT NOT NULL,
                        parent_id TEXT REFERENCES regions(id));
                    CREATE TABLE services (
                        id TEXT NOT NULL PRIMARY KEY,
                        type TEXT NOT NULL,
                        name TEXT NOT NULL,
                        description TEXT,
                        enabled INTEGER NOT NULL,
                        built_in INTEGER NOT NULL);
                    CREATE TABLE endpoints (
                        id TEXT NOT NULL PRIMARY KEY,
                        service_id TEXT NOT NULL REFERENCES services(id) ON DELETE CASCADE,
                        interface TEXT NOT NULL,
                        region_id TEXT REFERENCES regions(id),
                        url TEXT NOT NULL,
                        enabled INTEGER NOT NULL);
                    CREATE INDEX endpoints_by_service ON endpoints(service_id);
                    CREATE TABLE revocations (
                        kind TEXT NOT NULL,
                        subject TEXT NOT NULL,
                        user_id TEXT,
                        issued_before INTEGER NOT NULL,
                        expires_at INTEGER NOT NULL,
                        PRIMARY KEY (kind, subject));
                    CREATE INDEX revocations_by_user ON revocations(user_id);
                    CREATE INDEX revocations_by_expiry ON revocations(expires_at);
                    """)
        }
    ]
}
