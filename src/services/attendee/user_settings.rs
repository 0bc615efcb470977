//! The settings of a user that send bots to their meetings (`users.settings`). Pure.

use serde_json::{Value, json};

/// Whether bots join all of the user's meetings that they can join.
const BOTS: &str = "attendee";
/// The name of the bots' project; the default project if there is none.
const PROJECT: &str = "attendee_project";

/// The change of the settings that sends bots.
pub fn on(project: Option<&str>) -> Value {
    json!({ BOTS: true, PROJECT: project })
}

/// The change of the settings that sends no more bots.
pub fn off() -> Value {
    json!({ BOTS: null, PROJECT: null })
}

/// Rejects values of other types, because they would be ignored silently.
///
/// # Errors
/// Returns the key and its allowed values.
pub fn check(settings: &Value) -> Result<(), &'static str> {
    if settings.get(BOTS).is_some_and(|value| !value.is_boolean() && !value.is_null()) {
        return Err("settings.attendee: must be true or false");
    }
    if settings.get(PROJECT).is_some_and(|name| !name.is_string() && !name.is_null()) {
        return Err("settings.attendee_project: must be the name of a project");
    }
    Ok(())
}
