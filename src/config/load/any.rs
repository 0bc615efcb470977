//! Reads untrusted settings, for `crate::fuzz`.

use std::path::Path;
use std::sync::LazyLock;

use super::{Credentials, Layers, Origin};

/// Reads bytes as a settings file, and each line as `--set KEY=VALUE`.
pub(crate) fn read_any(input: &[u8]) {
    static DEFAULTS: LazyLock<Layers> =
        LazyLock::new(|| Layers::of_defaults().unwrap_or_else(|error| panic!("the defaults cannot be listed: {error:#}")));
    let text = String::from_utf8_lossy(input);
    let mut file = DEFAULTS.clone();
    let read = file.add_text(Path::new("syncctl.toml"), &text);
    std::hint::black_box(
        read.and_then(|()| file.finish(Vec::new(), &Credentials::None)).map_err(|error| format!("{error:#}")).is_ok(),
    );
    let mut flags = DEFAULTS.clone();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let set = flags.set_text(key.trim(), value.trim().trim_matches('"'), Origin::Flag);
        std::hint::black_box(set.map_err(|error| format!("{error:#}")).is_ok());
    }
    std::hint::black_box(flags.finish(Vec::new(), &Credentials::None).is_ok());
}
