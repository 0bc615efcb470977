//! A large database: one user whom the simulator has, too, among many whose rows are made by SQL.

use serde_json::json;

use crate::support::{Sim, World, postgres};

/// Weekly series and single events within the window, of each calendar: with 490 days, a thousand instances.
const SERIES: u64 = 13;
const SINGLES: u64 = 90;

/// Numbers of rows.
#[derive(Debug)]
pub struct Size {
    pub users: u64,
    pub events: u64,
    pub messages: u64,
    pub files: u64,
}

impl Size {
    pub fn of_environment() -> Self {
        let number = |name: &str, default| {
            std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
        };
        let size = Self {
            users: number("USERS", 10_000),
            events: number("EVENTS", 10_000_000),
            messages: number("MESSAGES", 10_000_000),
            files: number("FILES", 2_000_000),
        };
        assert!(size.events >= size.users * (SERIES + SINGLES), "EVENTS is less than {} for each user", SERIES + SINGLES);
        size
    }
}

/// A database with one user, synced.
pub fn world() -> World {
    let database = postgres::shared().database();
    let search = format!("ALTER DATABASE {} SET search_path = syncctl", database.name());
    database.connect().batch_execute(&search).expect("a search path");
    let (url, folder) = (database.url(), tempfile::tempdir().expect("a temporary folder"));
    let mut world =
        World { sim: Sim::start(), database, folder, url, settings: Vec::new(), service: &crate::support::service::CALENDAR };
    for service in ["GMAIL", "DRIVE"] {
        for limit in ["USER_PER_MINUTE", "PROJECT_PER_MINUTE", "PER_DAY"] {
            let name: &'static str = format!("SYNCCTL_QUOTA_{service}_{limit}").leak();
            world.set(name, "1000000000");
        }
    }
    world.set("SYNCCTL_GMAIL_WINDOW", "all");
    world.syncctl(&["accounts", "rekey", "--new-key", "--set", "db.auto_migrate=on"]).expect(0);
    world.sim.generate(1, 1_000);
    world.sim.admin("mail/generate", json!({ "messages": 1_000, "seed": 7 }));
    world.sim.admin("drive/generate", json!({ "files": 500, "seed": 7 }));
    world.import();
    for service in ["calendar", "gmail", "drive"] {
        world.syncctl(&[service, "cron", "--force"]).expect(0);
    }
    world
}

/// Adds the many users with their rows. Their streams are not due.
pub fn fill(world: &World, size: &Size) {
    let Size { users, events, messages, files } = size;
    let run = |what: &str, statement: String| {
        let (seconds, ()) =
            crate::shared::figures::timed(|| world.execute(&format!("SET synchronous_commit = off; {statement}")));
        eprintln!("  {what}: {seconds:.0} s");
    };
    run(
        "users",
        format!(
            "INSERT INTO users (email) SELECT 'many' || n || '@example.com' FROM generate_series(1, {users}) n;
             INSERT INTO accounts (user_id, kind, project, credentials)
               SELECT u.id, a.kind, a.project, a.credentials FROM users u, (SELECT * FROM accounts LIMIT 1) a WHERE u.email LIKE 'many%';
             INSERT INTO calendars (user_id, calendar_id, summary, time_zone, access_role, is_primary, selected, raw)
               SELECT id, email, email, 'Europe/Berlin', 'owner', true, true, '{{}}' FROM users WHERE email LIKE 'many%';
             INSERT INTO streams (user_id, service, kind, resource, cursor, due_at, full_pass_at)
               SELECT u.id, k.service, k.kind, coalesce(k.resource, u.email), 'cursor', now() + interval '1 day', now() FROM users u,
                 (VALUES ('calendar', 'events', NULL), ('gmail', 'mailbox', NULL), ('drive', 'changes', 'my-drive')) k (service, kind, resource)
               WHERE u.email LIKE 'many%'"
        ),
    );
    run(
        "series",
        events_of("series", SERIES, "now() - interval '100 days' + k * interval '11 hours'", "'[\"RRULE:FREQ=WEEKLY\"]'::jsonb"),
    );
    run("events", events_of("single", SINGLES, "now() - interval '80 days' + k * interval '5 days 7 hours'", "NULL::jsonb"));
    let history = events / users - SERIES - SINGLES;
    run("history", events_of("past", history, "now() - interval '100 days' - k * interval '9 hours'", "NULL::jsonb"));
    run("messages", messages_of(messages / users));
    run("files", files_of(files / users));
}

/// Events of each of the many users.
fn events_of(kind: &str, count: u64, start: &str, recurrence: &str) -> String {
    format!(
        "INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, event_type, summary, start_at, end_at, time_zone, organizer,
           attendees_count, ical_uid, etag, updated, raw)
         SELECT s.id, e.id, s.user_id, s.resource, 'confirmed', 'default', e.title, e.start, e.start + interval '1 hour', 'Europe/Berlin', s.resource, 2,
           e.id || '@google.com', '\"1\"', now(), jsonb_strip_nulls(jsonb_build_object('id', e.id, 'status', 'confirmed', 'summary', e.title,
             'iCalUID', e.id || '@google.com', 'etag', '\"1\"', 'updated', '2026-11-01T00:00:00Z', 'recurrence', {recurrence},
             'start', jsonb_build_object('dateTime', to_json(e.start) #>> '{{}}', 'timeZone', 'Europe/Berlin'),
             'end', jsonb_build_object('dateTime', to_json(e.start + interval '1 hour') #>> '{{}}', 'timeZone', 'Europe/Berlin'),
             'organizer', jsonb_build_object('email', s.resource, 'self', true),
             'attendees', jsonb_build_array(jsonb_build_object('email', s.resource, 'self', true, 'responseStatus', 'accepted'),
               jsonb_build_object('email', 'guest' || k % 50 || '@example.net', 'responseStatus', 'needsAction'))))
         FROM streams s, generate_series(1, {count}) k, LATERAL (SELECT '{kind}' || s.id || 'x' || k AS id, 'Meeting ' || k AS title,
           date_trunc('minute', {start}) AS start OFFSET 0) e
         WHERE s.service = 'calendar' AND s.resource LIKE 'many%'"
    )
}

fn messages_of(count: u64) -> String {
    format!(
        "INSERT INTO gmail_labels (stream_id, label_id, user_id, name, kind)
           SELECT s.id, l.id, s.user_id, l.name, l.kind FROM streams s,
             (VALUES ('INBOX', 'INBOX', 'system'), ('UNREAD', 'UNREAD', 'system'), ('Label_1', 'Invoices', 'user')) l (id, name, kind)
           WHERE s.service = 'gmail' AND s.resource LIKE 'many%';
         INSERT INTO gmail_messages (stream_id, message_id, user_id, thread_id, history_id, labels, received_at, from_address, from_name, to_addresses,
           subject, snippet, size_estimate, rfc822_message_id, headers)
         SELECT s.id, m.id, s.user_id, to_hex(1700000000000000 + s.id * 1000000 + k / 3), k,
           CASE WHEN k % 50 = 0 THEN '{{INBOX,Label_1}}' WHEN k % 20 = 0 THEN '{{INBOX,UNREAD}}' ELSE '{{INBOX}}' END::text[],
           now() - k * interval '2 hours', 'sender' || k % 200 || '@example.net', 'Sender', ARRAY[s.resource], 'Subject of message ' || k,
           'The first words of a message of some length, as Gmail shows them in its lists.', 4000, m.id || '@example.net', '[]'
         FROM streams s, generate_series(1, {count}) k, LATERAL (SELECT to_hex(1700000000000000 + s.id * 1000000 + k) AS id OFFSET 0) m
         WHERE s.service = 'gmail' AND s.resource LIKE 'many%'"
    )
}

/// Files in folders of a hundred; one of twenty is shared with an outsider.
fn files_of(count: u64) -> String {
    format!(
        "CREATE TEMPORARY TABLE many AS SELECT s.id AS stream_id, s.user_id, u.email, k, 'file' || s.id || 'x' || k AS file_id,
             CASE WHEN k % 100 = 1 THEN ARRAY['root' || s.id] ELSE ARRAY['file' || s.id || 'x' || (k - k % 100 + 1)] END AS parents
           FROM streams s JOIN users u ON u.id = s.user_id, generate_series(1, {count}) k WHERE s.service = 'drive' AND u.email LIKE 'many%';
         INSERT INTO drive_files (file_id, name, mime_type, parents, version, size, modified_at, raw, created_at, owners, owner_names, shared)
           SELECT file_id, 'File ' || k, 'text/plain', parents, 1, 1000, now() - k * interval '1 hour', '{{}}', now(), ARRAY[email], ARRAY['Many'],
             k % 20 = 0 FROM many;
         INSERT INTO drive_file_access (stream_id, file_id, user_id, name, parents, version, content_key, owned_by_me, starred, permissions_known)
           SELECT stream_id, file_id, user_id, 'File ' || k, parents, 1, '1', true, false, 'all' FROM many;
         INSERT INTO drive_permissions (user_id, stream_id, file_id, permission_id, type, role, email)
           SELECT user_id, stream_id, file_id, p.id, 'user', p.role, CASE p.role WHEN 'owner' THEN email ELSE 'outsider@example.net' END FROM many,
             (VALUES ('1', 'owner'), ('2', 'reader')) p (id, role) WHERE p.role = 'owner' OR k % 20 = 0;
         DROP TABLE many"
    )
}

/// What autovacuum does in time.
pub fn analyze(world: &World) {
    let (seconds, ()) = crate::shared::figures::timed(|| world.execute("VACUUM ANALYZE"));
    eprintln!("  vacuum: {seconds:.0} s; {} of disk", world.text("SELECT pg_size_pretty(pg_database_size(current_database()))"));
}
