//! The event of a decision, whether by a person or not.

use serde_json::{Map, Value, json};
use uuid::Uuid;

pub const CLASSIFIED: &str = "document.classified";

/// The fields of `document.classified` in addition to those of every event. `project`: id and name.
pub(in crate::db) fn about(
    project: Option<(Uuid, &str)>,
    decided_by: Option<&str>,
    confidence: Option<f32>,
    previous: Option<Uuid>,
) -> Map<String, Value> {
    [
        ("project".to_owned(), json!(project.map(|(id, name)| json!({ "id": id, "name": name })))),
        ("decided_by".to_owned(), json!(decided_by)),
        ("confidence".to_owned(), json!(confidence)),
        ("previous_project_id".to_owned(), json!(previous)),
    ]
    .into_iter()
    .collect()
}
