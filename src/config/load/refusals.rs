//! Messages about settings that cannot be used: where, which one, and what is allowed.

use super::{Layers, Origin};
use crate::config::secrets::masked;
use crate::error::Fault;
use crate::similar;

impl Layers {
    /// The message for an unknown key: a similar one, and the keys its section allows.
    pub(super) fn unknown(&self, key: &str) -> String {
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        let prefix = format!("{section}.");
        let siblings: Vec<&str> =
            self.leaves.keys().filter_map(|known| known.strip_prefix(&prefix)).filter(|rest| !rest.contains('.')).collect();
        let similar = similar::closest(key, self.leaves.keys().map(String::as_str));
        let similar = similar.map(|similar| format!("; did you mean {similar}?")).unwrap_or_default();
        if siblings.is_empty() {
            let mut sections: Vec<&str> = self.leaves.keys().filter_map(|known| Some(known.split_once('.')?.0)).collect();
            sections.dedup();
            return format!("unknown setting {key:?}; the sections are {}{similar}", sections.join(", "));
        }
        format!("unknown setting {key:?}; [{section}] allows {}{similar}", siblings.join(", "))
    }

    /// The message for a variable with our prefix that sets nothing.
    pub(super) fn unknown_variable(&self, name: &str) -> String {
        let variables: Vec<String> =
            self.leaves.keys().map(|key| format!("SYNCCTL_{}", key.replace('.', "_").to_uppercase())).collect();
        let similar = similar::closest(name, variables.iter().map(String::as_str));
        let similar = similar.map(|similar| format!("; did you mean ${similar}?")).unwrap_or_default();
        format!(
            "${name}: no such setting; variables are SYNCCTL_ and a key of `syncctl config show` in capitals, dots as underscores{similar}"
        )
    }

    /// The error for a value inside a list of sections, with its line but without the value, which may be a secret.
    pub(super) fn refused_inside(&self, key: &str, path: &str, reason: &str) -> Fault {
        let origin = match self.leaves.get(key) {
            Some((_, Origin::File { path: file, line })) => {
                let lines = || self.lines.get(file).into_iter().flatten();
                let inside = || lines().filter(|(known, _)| known.starts_with(path)).map(|(_, line)| *line).min();
                let own = lines().find(|(known, _)| *known == path).map(|(_, line)| *line);
                Origin::File { path: file.clone(), line: own.or_else(inside).unwrap_or(*line) }
            }
            Some((_, origin)) => origin.clone(),
            None => Origin::Default,
        };
        let reason = if path.ends_with(".secret") { "must be a string" } else { reason };
        Fault::settings(format!("{origin}: {path}: {reason}"))
    }

    /// The error for a value of the wrong form or out of bounds.
    pub(super) fn refused(&self, key: &str, reason: &str) -> Fault {
        let (value, origin) = match self.leaves.get(key) {
            Some((value, origin)) => (masked(key, value), origin.to_string()),
            None => (String::new(), "settings".into()),
        };
        Fault::settings(format!("{origin}: {key} = {value}: {reason}"))
    }
}
