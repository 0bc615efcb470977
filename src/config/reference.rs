//! The settings reference, generated from doc comments and defaults. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use toml::Table;

use super::Settings;
use super::secrets::SECRETS;
use super::tree::flatten;

const HEAD: &str = "# Settings

A setting is a key in a TOML file, an environment variable (`SYNCCTL_` and the key in capitals, dots as underscores), or `--set KEY=VALUE`; later ones
win. `DATABASE_URL` sets `db.url`. A duration is written like `90s`, `5m` or `30days`. Secrets can also be read from a file: append `_FILE` to the name of
the variable and set it to the path, or put the file into `$CREDENTIALS_DIRECTORY`, named like the key with `_` for each dot. A command run by hand with
`/etc/syncctl/syncctl.toml` by a user who may read `/etc/credstore` uses the units' secrets from there (`syncctl.db_url`). `syncctl config show` prints
the values in force.

```console
$ syncctl --set calendar.page_size=500 config show
$ SYNCCTL_ENGINE_CONCURRENCY=64 syncctl calendar cron
```

`syncctl config reference` prints this page; with `--json`, a JSON schema for editors.
";

/// A JSON schema of the settings file. All keys are optional, except inside a list of sections.
pub fn schema() -> Value {
    fn all_optional(schema: &mut Value) {
        if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            fields.values_mut().for_each(all_optional);
            schema.as_object_mut().map(|schema| schema.remove("required"));
        }
    }
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Settings>().to_value();
    all_optional(&mut schema);
    schema
}

/// The reference as Markdown: a table for each section, with keys, defaults and meanings.
///
/// # Errors
/// Returns an error if the defaults cannot be serialized.
pub fn markdown() -> anyhow::Result<String> {
    let mut text = String::from(HEAD);
    section(&mut text, "", &schema(), &defaults()?)?;
    Ok(text)
}

fn defaults() -> anyhow::Result<Defaults> {
    Ok(default_values()?.into_iter().map(|(key, value)| (key, value.to_string())).collect())
}

/// Every setting with its default, as written in a settings file.
pub(super) fn default_values() -> anyhow::Result<BTreeMap<String, toml::Value>> {
    let mut defaults = BTreeMap::new();
    flatten("", &Table::try_from(Settings::default()).context("listing the default settings")?, &mut |key, value| {
        defaults.insert(key, value.clone());
    });
    Ok(defaults)
}

/// An example settings file: every setting with its meaning and default, commented out.
///
/// # Errors
/// Returns an error if the defaults cannot be serialized.
pub fn example() -> anyhow::Result<String> {
    let mut text =
        String::from("# Settings of syncctl. The values shown are the defaults; remove the # of a line to change it.\n");
    let Value::Object(sections) = schema()["properties"].take() else { bail!("the settings have no sections") };
    for (name, schema) in &sections {
        exemplify(&mut text, name, schema, &defaults()?)?;
    }
    Ok(text)
}

fn exemplify(text: &mut String, path: &str, schema: &Value, defaults: &Defaults) -> anyhow::Result<()> {
    let (inner, leaves) = fields(schema);
    writeln!(text, "\n## {}\n[{path}]", described(schema))?;
    for (name, field) in leaves {
        // Lists of sections, and sections whose keys the user chooses, have no single-line form.
        if field["items"].get("properties").is_some() || field.get("additionalProperties").is_some() {
            writeln!(text, "## {path}.{name}: {}", described(field))?;
            continue;
        }
        let default = defaults.get(&format!("{path}.{name}")).context("a setting without a default")?;
        writeln!(text, "## {}\n#{name} = {default}", described(field))?;
    }
    for (name, field) in inner {
        exemplify(text, &format!("{path}.{name}"), field, defaults)?;
    }
    Ok(())
}

type Defaults = BTreeMap<String, String>;

type Fields<'a> = Vec<(&'a String, &'a Value)>;

/// Splits the fields of a section into nested sections and settings.
fn fields(schema: &Value) -> (Fields<'_>, Fields<'_>) {
    schema["properties"].as_object().into_iter().flatten().partition(|(_, field)| field.get("properties").is_some())
}

/// Writes the keys of a section, then its nested sections.
fn section(text: &mut String, path: &str, schema: &Value, defaults: &Defaults) -> anyhow::Result<()> {
    let full_key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let (inner, leaves) = fields(schema);
    if !path.is_empty() {
        writeln!(text, "\n## {path}\n\n{}", described(schema))?;
    }
    if !leaves.is_empty() {
        writeln!(text, "\n| key | default | meaning |\n|---|---|---|")?;
    }
    for (name, field) in &leaves {
        let key = full_key(name);
        let default = match defaults.get(&key).map(String::as_str) {
            _ if SECRETS.contains(&key.as_str()) => "secret".into(),
            Some("\"\"" | "[]") | None => "–".into(),
            Some(value) => format!("`{value}`"),
        };
        writeln!(text, "| `{key}` | {default} | {} |", described(field))?;
    }
    for (name, field) in &leaves {
        let Some(fields) = field["items"]["properties"].as_object() else { continue };
        writeln!(text, "\nIn each `[[{}]]`:\n\n| key | meaning |\n|---|---|", full_key(name))?;
        for (key, field) in fields {
            writeln!(text, "| `{key}` | {} |", described(field))?;
        }
    }
    for (name, field) in inner {
        section(text, &full_key(name), field, defaults)?;
    }
    Ok(())
}

/// The description of a field or section on one line.
fn described(schema: &Value) -> String {
    let words: Vec<&str> = schema["description"].as_str().unwrap_or_default().split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_page_is_the_reference_and_describes_every_setting() {
        let page = markdown().expect("the reference");
        for line in page.lines().filter(|line| line.starts_with('|')) {
            assert!(!line.ends_with("|  |"), "a setting without a doc comment: {line}");
        }
        let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md")).expect("docs/settings.md");
        assert!(page == kept, "docs/settings.md is outdated: syncctl config reference > docs/settings.md");
    }

    #[test]
    fn the_example_file_sets_nothing_and_its_commented_lines_are_the_defaults() {
        let example = example().expect("an example");
        let defaults = default_values().expect("the defaults");
        assert_eq!(defaults["retention.runs"].as_str(), Some("90days"));
        let uncommented: Vec<&str> =
            example.lines().map(|line| if line.starts_with("##") { "" } else { line.trim_start_matches('#') }).skip(1).collect();
        let mut listed = BTreeMap::new();
        flatten("", &toml::from_str(&uncommented.join("\n")).expect("TOML"), &mut |key, value| {
            _ = listed.insert(key, value.clone())
        });
        for (key, value) in &defaults {
            assert!(listed.remove(key).as_ref() == Some(value) || key == "outbox.targets", "{key} is not in the example");
        }
        assert!(listed.is_empty(), "{listed:?}");
    }

    #[test]
    fn the_json_schema_accepts_any_subset_of_settings_and_no_other_key() {
        let schema = jsonschema::validator_for(&schema()).expect("a schema");
        let valid =
            |text: &str| schema.is_valid(&serde_json::to_value(toml::from_str::<Table>(text).expect("TOML")).expect("JSON"));
        assert!(valid(""));
        assert!(valid("db.pool_size = 4\ngmail.window = 'all'\nquota.gmail.per_day = 5"));
        assert!(valid("[[outbox.targets]]\nname = 'n8n'\nurl = 'https://n8n.example.com/webhook/1'"));
        for wrong in ["db.pool = 4", "db.pool_size = 'four'", "gmail.store = 'some'", "[[outbox.targets]]\nname = 'n8n'"] {
            assert!(!valid(wrong), "{wrong}");
        }
    }
}
