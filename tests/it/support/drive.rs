//! Helpers for Drive tests: the state in the simulator and in the database, in the same terms, and the events so far.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::World;
use super::sim::field;
use super::world::RunResult;

/// The files visible to a user: address and file → name, version, trashed.
pub type Seen = BTreeMap<(String, String), (String, i64, bool)>;

/// What the simulator shows a user of a file besides its name and version, as `STORED_DETAILS` reads it from the tables. Without the IDs of permissions
/// in shared drives: they change with the members, and no feed says so for each file.
pub fn details(row: &Value) -> String {
    let shown = &row["details"];
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::Bool(flag) => Some(if *flag { "t" } else { "f" }.to_owned()),
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let list = |name: &str| shown[name].as_array().cloned().unwrap_or_default();
    let owners: Vec<String> = list("owners").iter().filter_map(|owner| text(&owner["emailAddress"])).collect();
    let mut permissions: Vec<Vec<String>> = list("permissions")
        .iter()
        .map(|one| {
            let details = one["permissionDetails"].as_array().cloned().unwrap_or_default();
            let inherited = Value::Bool(details.iter().all(|detail| detail["inherited"] == true));
            let names = ["emailAddress", "domain"].map(|name| text(&one[name]).map(|name| name.to_lowercase()));
            let fields = ["id", "type", "role"].map(|name| text(&one[name]));
            let rest = [&inherited, &one["allowFileDiscovery"]].map(text);
            fields.into_iter().chain(names).chain(rest).flatten().collect()
        })
        .collect();
    permissions.sort();
    let permissions: Vec<String> = permissions.into_iter().map(|one| one.join("/")).collect();
    let known = match (shown["permissions"].is_array(), shown["permissionIds"].is_array()) {
        (true, _) => "all",
        (false, true) => "ids",
        (false, false) => "none",
    };
    let parts = [
        text(&shown["ownedByMe"]),
        text(&shown["starred"]),
        text(&shown["shared"]),
        text(&shown["description"]),
        text(&shown["shortcutDetails"]["targetId"]),
        (!owners.is_empty()).then(|| owners.join(",")),
        Some(known.to_owned()),
        (!permissions.is_empty()).then(|| permissions.join(",")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("|")
}

/// An expression over `drive_file_access a` and `drive_files f`.
pub const STORED_DETAILS: &str = "concat_ws('|', a.owned_by_me, a.starred, f.shared, f.description, f.shortcut_target_id,
  array_to_string(f.owners, ','), a.permissions_known,
  (SELECT string_agg(concat_ws('/', p.permission_id, p.type, p.role, p.email, p.domain, p.inherited, p.allow_file_discovery), ','
     ORDER BY p.permission_id COLLATE \"C\")
   FROM drive_permissions p WHERE p.user_id = a.user_id AND p.stream_id = a.stream_id AND p.file_id = a.file_id AND p.type IS NOT NULL))";

impl World {
    /// This many users with this many files each, imported and not synced yet.
    pub fn with_files(users: u32, files: u32) -> Self {
        let world = Self::empty();
        world.sim.generate(users, 0);
        world.sim.admin("drive/generate", json!({ "files": files, "seed": 7 }));
        world.import();
        world
    }

    /// `drive cron` of everything, due or not.
    pub fn sync_drive(&self) -> RunResult {
        self.syncctl(&["drive", "cron", "--force", "--json"])
    }

    pub fn churn_files(&self, changes: u32, seed: u64) {
        self.sim.admin("drive/churn", json!({ "changes": changes, "seed": seed }));
    }

    /// Adds a file of this user's.
    pub fn add_file(&self, user: &str, name: &str, content: &str) -> String {
        let answer = self.sim.admin("drive/files", json!({ "user": user, "name": name, "content": content }));
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// Calls the simulator's admin side of Drive.
    pub fn drive_admin(&self, method: &str, path: &str, body: &Value) {
        let url = format!("{}/admin/drive/{path}", self.sim.url);
        let request = match method {
            "PUT" => ureq::put(url).header("content-type", "application/json").send(body.to_string()),
            _ => ureq::delete(url).header("content-type", "application/json").force_send_body().send(body.to_string()),
        };
        request.unwrap_or_else(|error| panic!("{method} admin/drive/{path}: {error}"));
    }

    pub fn watch(&self, user: &str, file: &str) {
        self.syncctl(&["drive", "watch-file", "add", user, file]).expect(0);
    }

    fn files_at_google(&self) -> Seen {
        let text = self.sim.text("drive/state");
        text.lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).expect("a JSON line");
                let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{name} in {row}")).to_owned();
                let version = text("version").parse().expect("a number");
                ((text("user"), text("id")), (text("name"), version, row["trashed"] == true))
            })
            .collect()
    }

    /// Asserts that owners, permissions and the like of each user's files are those that the simulator shows them.
    #[track_caller]
    pub fn assert_details_in_step(&self) {
        let truth = self.sim.lines("drive/state", |row| ((field(row, "user"), String::new(), field(row, "id")), details(row)));
        let stored = self.collect(&format!(
            "SELECT u.email, '', a.file_id, {STORED_DETAILS} FROM drive_file_access a JOIN users u ON u.id = a.user_id
             JOIN drive_files f USING (file_id) WHERE a.deleted_at IS NULL"
        ));
        let differ = truth.iter().filter(|(key, details)| stored.get(*key) != Some(details));
        let differ: Vec<_> = differ.map(|(key, details)| (key, details, stored.get(key))).take(3).collect();
        assert!(
            differ.is_empty() && stored.len() == truth.len(),
            "{} at Google, {} stored: {differ:#?}",
            truth.len(),
            stored.len()
        );
        let left = "drive_permissions p WHERE NOT EXISTS (SELECT FROM drive_file_access a
          WHERE a.stream_id = p.stream_id AND a.file_id = p.file_id AND a.deleted_at IS NULL)";
        assert_eq!(self.rows(left), 0, "permissions of files that a user no longer sees");
    }

    /// Asserts that each user's files are those that the simulator shows them, and that each is stored once.
    #[track_caller]
    pub fn assert_files_in_step(&self) {
        let rows = self.query(
            "SELECT u.email, a.file_id, a.name, a.version, a.trashed, f.name, f.version, f.trashed, f.deleted_at IS NULL
             FROM drive_file_access a JOIN users u ON u.id = a.user_id JOIN drive_files f USING (file_id) WHERE a.deleted_at IS NULL",
        );
        let stored: Seen = rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3), row.get(4)))).collect();
        let truth = self.files_at_google();
        let differ: Vec<_> = truth.iter().filter(|(key, value)| stored.get(*key) != Some(value)).take(5).collect();
        let excess: Vec<_> = stored.keys().filter(|key| !truth.contains_key(*key)).take(5).collect();
        assert!(
            differ.is_empty() && excess.is_empty(),
            "{} at Google, {} stored; lost or stale {differ:?}, excess {excess:?}",
            truth.len(),
            stored.len()
        );
        assert_eq!(rows.len(), stored.len(), "a user sees a file through one feed");
        for row in &rows {
            let (of_user, of_file): ((String, i64, bool), (String, i64, bool)) =
                ((row.get(2), row.get(3), row.get(4)), (row.get(5), row.get(6), row.get(7)));
            assert!(of_user == of_file && row.get(8), "{of_user:?} and {of_file:?}");
        }
        self.assert_details_in_step();
        let seen = truth.keys().map(|(_, file)| file).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(self.count("SELECT count(*) FROM drive_files WHERE deleted_at IS NULL"), seen as i64, "visible files");
    }

    /// The actions of all events so far, in order: address, file, action.
    pub fn file_events(&self) -> Vec<(String, String, String)> {
        let rows = self.query(
            "SELECT u.email, e.payload ->> 'file_id', e.payload ->> 'action' FROM outbox_events e JOIN users u ON u.id = e.user_id
             WHERE e.type = 'drive.file.' || (e.payload ->> 'action') ORDER BY e.seq",
        );
        assert_eq!(rows.len() as i64, self.outbox_events());
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    /// The actions of this user's events.
    pub fn actions(&self, user: &str) -> Vec<String> {
        self.file_events().into_iter().filter(|(email, _, _)| email == user).map(|(_, _, action)| action).collect()
    }
}
