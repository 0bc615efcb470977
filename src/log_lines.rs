//! Lines on standard error: text for people, JSON for programs, or with the priorities of systemd's journal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use chrono::{SecondsFormat, Utc};
use env_logger::fmt::Formatter;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};
use serde_json::{Map, json};

use crate::config::{Log, LogFormat};
use crate::progress;

/// The format of this process. Global, like standard error.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts the log with this filter.
pub fn begin(settings: &Log, filter: &str) {
    let format = *FORMAT.get_or_init(|| resolved(settings.format));
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    // Below `info`, these print tokens, statements with their values, or addresses.
    for module in ["yup_oauth2", "tokio_postgres", "postgres", "hyper", "hyper_util", "h2", "reqwest", "rustls"] {
        builder.filter_module(module, log::LevelFilter::Warn);
    }
    // It repeats the error of the refused connection.
    builder.filter_module("rustls_platform_verifier", log::LevelFilter::Off);
    match format {
        LogFormat::Json => _ = builder.format(as_json),
        LogFormat::Systemd => _ = builder.format(with_priority),
        LogFormat::Auto | LogFormat::Text => {}
    }
    // A terminal gets colours, unless NO_COLOR is set, and progress bars that log lines must not overwrite.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    builder.write_style(if colours { env_logger::WriteStyle::Always } else { env_logger::WriteStyle::Never });
    builder.target(env_logger::Target::Pipe(Box::new(progress::AboveBars::default())));
    builder.init();
}

/// Writes the error with which a command ends, or a request to the user. `message` is one line.
pub fn complain(message: &str) {
    let line = match *FORMAT.get_or_init(|| resolved(LogFormat::Auto)) {
        LogFormat::Json => json_line(Level::Error, "syncctl", message, Map::new()),
        LogFormat::Systemd => format!("<{}>{message}\n", priority(Level::Error)),
        LogFormat::Auto | LogFormat::Text => format!("syncctl: {message}\n"),
    };
    progress::above_bars(&line);
}

/// The format for `auto`: systemd's, if standard error leads to its journal.
fn resolved(format: LogFormat) -> LogFormat {
    match format {
        LogFormat::Auto if is_journal() => LogFormat::Systemd,
        LogFormat::Auto => LogFormat::Text,
        format => format,
    }
}

/// Whether standard error is the stream that systemd connected to its journal: systemd.exec(5), `$JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// A priority of syslog(3), as the journal reads it at the beginning of a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn with_priority(buffer: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    write!(buffer, "<{}>{}", priority(record.level()), record.args())?;
    for (key, value) in &fields(record) {
        match value.as_str() {
            Some(text) => write!(buffer, " {key}={text}")?,
            None => write!(buffer, " {key}={value}")?,
        }
    }
    writeln!(buffer)
}

fn as_json(buffer: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let line = json_line(record.level(), record.target(), &record.args().to_string(), fields(record));
    buffer.write_all(line.as_bytes())
}

/// One object: the fields of the record beside time, level, module and message.
fn json_line(level: Level, target: &str, message: &str, fields: Map<String, serde_json::Value>) -> String {
    let mut object = json!({
        "time": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "level": level.as_str().to_lowercase(),
        "target": target,
        "message": message,
    });
    for (key, value) in fields {
        if object.get(&key).is_none() {
            object[key] = value;
        }
    }
    format!("{}\n", progress::harmless_json(object.to_string()))
}

/// The fields of a record, such as `status=200`.
fn fields(record: &Record<'_>) -> Map<String, serde_json::Value> {
    struct Collected(Map<String, serde_json::Value>);
    impl<'kvs> VisitSource<'kvs> for Collected {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
            let value = serde_json::to_value(&value).unwrap_or_else(|_| value.to_string().into());
            self.0.insert(key.to_string(), value);
            Ok(())
        }
    }
    let mut collected = Collected(Map::new());
    // Only a visitor can fail, and this one does not.
    let _ = record.key_values().visit(&mut collected);
    collected.0
}
