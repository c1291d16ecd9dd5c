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
        },
        Migration("identity-0002-groups-delegation") { db in try db.execute(sql: delegationTables) },
        Migration("identity-0003-password-rules") { db in try db.execute(sql: passwordTables) },
        Migration("identity-0004-credentials") { db in try db.execute(sql: credentialTables) },
        Migration("identity-0005-failures-of-nobody") { db in
            try db.execute(sql: "CREATE TABLE failures_of_nobody (id INTEGER PRIMARY KEY, count INTEGER NOT NULL)")
        },
    ]

    /// Credentials (sealed), what an operator keeps here for others to read, and which project sees which endpoint.
    private static let credentialTables = """
        CREATE TABLE credentials (
            id TEXT NOT NULL PRIMARY KEY,
            type TEXT NOT NULL,
            sealed TEXT NOT NULL,
            user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            project_id TEXT REFERENCES projects(id) ON DELETE CASCADE,
            extra TEXT NOT NULL DEFAULT '{}');
        CREATE INDEX credentials_by_user ON credentials(user_id);
        CREATE TABLE documents (
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            body TEXT NOT NULL,
            PRIMARY KEY (kind, id));
        CREATE TABLE endpoint_projects (
            endpoint_id TEXT NOT NULL REFERENCES endpoints(id) ON DELETE CASCADE,
            project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
            PRIMARY KEY (project_id, endpoint_id));
        CREATE TABLE endpoint_group_projects (
            group_id TEXT NOT NULL,
            project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
            PRIMARY KEY (project_id, group_id));
        CREATE TRIGGER documents_gone AFTER DELETE ON documents WHEN OLD.kind = 'endpoint_group' BEGIN
            DELETE FROM endpoint_group_projects WHERE group_id = OLD.id; END;
        CREATE TABLE domain_options (
            domain_id TEXT NOT NULL REFERENCES domains(id) ON DELETE CASCADE,
            section TEXT NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (domain_id, section, name));
        """

    /// When a password was set, what came before it, and wrong ones in a row. Passwords that were there count from now
    /// on. The two options that `User` carries are columns, so that every row of a user decodes alike.
    private static let passwordTables = """
        ALTER TABLE users ADD COLUMN password_set_at INTEGER;
        ALTER TABLE users ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE users ADD COLUMN failed_at INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE users ADD COLUMN ignores_expiry INTEGER NOT NULL
            GENERATED ALWAYS AS (coalesce(json_extract(extra, '$.options.ignore_password_expiry'), 0)) VIRTUAL;
        ALTER TABLE users ADD COLUMN locks_password INTEGER NOT NULL
            GENERATED ALWAYS AS (coalesce(json_extract(extra, '$.options.lock_password'), 0)) VIRTUAL;
        UPDATE users SET password_set_at = CAST(strftime('%s', 'now') AS INTEGER);
        CREATE TABLE password_history (
            user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            hash TEXT NOT NULL,
            set_at INTEGER NOT NULL);
        CREATE INDEX password_history_by_user ON password_history(user_id, set_at);
        """

    /// Grants to groups and inherited ones, roles of domains, and what is delegated (application credentials, trusts). `tags` holds `,a,b,`: no tag has a comma. `extra` is a JSON object.
    private static let delegationTables = """
        ALTER TABLE domains ADD COLUMN tags TEXT NOT NULL DEFAULT '';
        ALTER TABLE domains ADD COLUMN extra TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE projects ADD COLUMN tags TEXT NOT NULL DEFAULT '';
        ALTER TABLE projects ADD COLUMN extra TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE users ADD COLUMN extra TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE services ADD COLUMN extra TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE endpoints ADD COLUMN extra TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE regions ADD COLUMN extra TEXT NOT NULL DEFAULT '{}';
        CREATE TABLE roles_new (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            domain_id TEXT NOT NULL DEFAULT '',
            description TEXT,
            extra TEXT NOT NULL DEFAULT '{}',
            UNIQUE (name, domain_id));
        INSERT INTO roles_new (id, name, description) SELECT id, name, description FROM roles;
        DROP TABLE roles;
        ALTER TABLE roles_new RENAME TO roles;
        CREATE TABLE assignments_new (
            actor_kind TEXT NOT NULL,
            actor_id TEXT NOT NULL,
            target_kind TEXT NOT NULL,
            target_id TEXT NOT NULL,
            role_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
            inherited INTEGER NOT NULL,
            PRIMARY KEY (actor_kind, actor_id, target_kind, target_id, role_id, inherited));
        INSERT INTO assignments_new SELECT 'user', user_id, target_kind, target_id, role_id, 0 FROM assignments;
        DROP TABLE assignments;
        ALTER TABLE assignments_new RENAME TO assignments;
        CREATE INDEX assignments_by_target ON assignments(target_kind, target_id);
        CREATE INDEX assignments_by_role ON assignments(role_id);
        CREATE TABLE groups (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            domain_id TEXT NOT NULL REFERENCES domains(id),
            description TEXT NOT NULL,
            extra TEXT NOT NULL DEFAULT '{}',
            UNIQUE (domain_id, name));
        CREATE TABLE group_members (
            group_id TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
            user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            PRIMARY KEY (user_id, group_id));
        CREATE INDEX group_members_by_group ON group_members(group_id);
        CREATE TRIGGER users_gone AFTER DELETE ON users BEGIN
            DELETE FROM assignments WHERE actor_kind = 'user' AND actor_id = OLD.id; END;
        CREATE TRIGGER groups_gone AFTER DELETE ON groups BEGIN
            DELETE FROM assignments WHERE actor_kind = 'group' AND actor_id = OLD.id; END;
        CREATE TRIGGER projects_gone AFTER DELETE ON projects BEGIN
            DELETE FROM assignments WHERE target_kind = 'project' AND target_id = OLD.id; END;
        CREATE TRIGGER domains_gone AFTER DELETE ON domains BEGIN
            DELETE FROM assignments WHERE target_kind = 'domain' AND target_id = OLD.id;
            DELETE FROM roles WHERE domain_id = OLD.id; END;
        CREATE TABLE application_credentials (
            id TEXT NOT NULL PRIMARY KEY,
            user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            description TEXT,
            secret_hash TEXT NOT NULL,
            expires_at TEXT,
            expires_seconds INTEGER,
            unrestricted INTEGER NOT NULL,
            has_rules INTEGER NOT NULL,
            UNIQUE (user_id, name));
        CREATE TABLE application_credential_roles (
            credential_id TEXT NOT NULL REFERENCES application_credentials(id) ON DELETE CASCADE,
            role_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
            PRIMARY KEY (credential_id, role_id));
        CREATE TABLE access_rules (
            id TEXT NOT NULL PRIMARY KEY,
            user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            service TEXT NOT NULL,
            method TEXT NOT NULL,
            path TEXT NOT NULL,
            UNIQUE (user_id, service, method, path));
        CREATE TABLE application_credential_rules (
            credential_id TEXT NOT NULL REFERENCES application_credentials(id) ON DELETE CASCADE,
            rule_id TEXT NOT NULL REFERENCES access_rules(id),
            PRIMARY KEY (credential_id, rule_id));
        CREATE TABLE trusts (
            id TEXT NOT NULL PRIMARY KEY,
            trustor_user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            trustee_user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            project_id TEXT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
            impersonation INTEGER NOT NULL,
            expires_at TEXT,
            expires_seconds INTEGER,
            remaining_uses INTEGER,
            redelegation_count INTEGER NOT NULL,
            parent_id TEXT REFERENCES trusts(id) ON DELETE CASCADE);
        CREATE INDEX trusts_by_trustor ON trusts(trustor_user_id);
        CREATE INDEX trusts_by_trustee ON trusts(trustee_user_id);
        CREATE TABLE trust_roles (
            trust_id TEXT NOT NULL REFERENCES trusts(id) ON DELETE CASCADE,
            role_id TEXT NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
            PRIMARY KEY (trust_id, role_id));
        """
}
