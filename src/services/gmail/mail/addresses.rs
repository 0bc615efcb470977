//! Lists of addresses in headers, RFC 5322, parsed by mail-parser. Forms that it does not support are rewritten first.

use std::borrow::Cow;
use std::sync::LazyLock;

use mail_parser::{Address, HeaderName, MessageParser};

use super::{encoded_words, one_line};

/// Maximum number of entries of a list: Gmail sends no message to more recipients.
pub const MAX_ENTRIES: usize = 2_000;

/// One entry of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Option<String>,
    pub address: Option<String>,
}

/// Parses a header's value, with encoded words or decoded ones. Returns one entry more than the maximum if the list is too long.
pub fn read(value: &str) -> Vec<Entry> {
    let value = one_line(value);
    let entries = parse(&encoded_words::unified(&value));
    let has_address = |entries: &[Entry]| entries.iter().any(|entry| entry.address.is_some());
    if has_address(&entries) || !value.contains("=?") {
        return entries;
    }
    // Some senders encode the address as well, contrary to the standard.
    let decoded = parse(&encoded_words::decoded(&value));
    if has_address(&decoded) { decoded } else { entries }
}

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| MessageParser::new().header_address(HeaderName::To));

fn parse(value: &str) -> Vec<Entry> {
    let value = if value.contains('"') { Cow::Owned(with_quoted_locals(value)) } else { Cow::Borrowed(value) };
    let block = format!("To: {value}\r\n\r\n");
    let Some(message) = PARSER.parse_headers(block.as_bytes()) else { return Vec::new() };
    let entries = message.to().into_iter().flat_map(Address::iter).take(MAX_ENTRIES + 1);
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::trim).map(str::to_owned);
    entries.map(|entry| Entry { name: owned(&entry.name), address: owned(&entry.address).filter(|a| !a.is_empty()) }).collect()
}

/// Name and address of the first entry with an address. Entries before it are part of its name: `Doe, Jane <jane@example.com>`.
pub fn sender(entries: Vec<Entry>) -> (Option<String>, Option<String>) {
    let is_complete = |entry: &Entry| entry.address.as_deref().is_some_and(|address| address.contains('@'));
    let index = entries.iter().position(is_complete).or_else(|| entries.iter().position(|entry| entry.address.is_some()));
    let last = index.unwrap_or(0);
    let names: Vec<&str> = entries.iter().take(last + 1).filter_map(|entry| entry.name.as_deref()).collect();
    let name = (!names.is_empty()).then(|| names.join(", "));
    (name, index.and_then(|index| entries.into_iter().nth(index)?.address))
}

/// Puts `"john..doe"@example.com` into angle brackets, because a quoted string outside of them is parsed as a name.
fn with_quoted_locals(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    let (mut is_angle, mut comments) = (false, 0_u32);
    let mut at = 0;
    while let Some(c) = value.get(at..).and_then(|rest| rest.chars().next()) {
        let mut end = at + c.len_utf8();
        match c {
            '<' => is_angle = true,
            '>' => is_angle = false,
            '(' => comments += 1,
            ')' => comments = comments.saturating_sub(1),
            '"' if !is_angle && comments == 0 => {
                end = quote_end(value, at);
                if let Some(after) = domain_end(value, end) {
                    out.push_str(&format!("<{}>", &value[at..after]));
                    at = after;
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(&value[at..end]);
        at = end;
    }
    out
}

/// The index after the quote that closes the one at `at`, or else the end of the value.
fn quote_end(value: &str, at: usize) -> usize {
    let mut is_escaped = false;
    for (index, c) in value[at + 1..].char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return at + 1 + index + 1,
            _ => is_escaped = false,
        }
    }
    value.len()
}

/// The end of the domain, if one follows at `at` and no address in angle brackets follows it.
fn domain_end(value: &str, at: usize) -> Option<usize> {
    let domain = value[at..].strip_prefix('@')?;
    let length = domain.find(|c: char| c.is_whitespace() || ",;<>()\"".contains(c)).unwrap_or(domain.len());
    let is_name = domain[length..].trim_start().starts_with('<');
    (length > 0 && !is_name).then_some(at + 1 + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(value: &str) -> Vec<String> {
        read(value).into_iter().filter_map(|entry| entry.address).collect()
    }

    #[test]
    fn addresses_are_found_in_lists_of_every_kind() {
        for (value, addresses) in [
            ("a@x.org", &["a@x.org"][..]),
            ("\"john..doe\"@x.org", &["\"john..doe\"@x.org"]),
            ("\"john doe\"@x.org, b@y.org", &["\"john doe\"@x.org", "b@y.org"]),
            ("b@y.org, \"j,d\"@x.org (home)", &["b@y.org", "\"j,d\"@x.org"]),
            ("J <\"john..doe\"@x.org>", &["\"john..doe\"@x.org"]),
            ("\"a@x.org\" <b@y.org>", &["b@y.org"]),
            ("\"a\"@x.org <b@y.org>", &["b@y.org"]),
            ("Doe, J\u{fc}rgen <j@x.org>", &["j@x.org"]),
            ("Team: a@x.org, b@y.org; c@z.org", &["a@x.org", "b@y.org", "c@z.org"]),
            ("a@x.org; b@y.org", &["a@x.org", "b@y.org"]),
            ("undisclosed-recipients:;", &[]),
            ("=?utf-8?Q?Doe=2C_J=C3=BC?= =?utf-8?Q?rgen?= <j@x.org>", &["j@x.org"]),
            ("=?iso-2022-kr?B?GyQpQw4+SDNnDw==?= <j@x.org>", &["j@x.org"]),
            ("=?utf-8?Q?j=40x.org?=", &["j@x.org"]),
            ("\"never closed <a@x.org>", &[]),
            ("", &[]),
        ] {
            assert_eq!(find(value), addresses, "{value}");
        }
    }

    #[test]
    fn the_sender_is_the_first_entry_with_an_address() {
        for (value, name, address) in [
            ("Doe, J\u{fc}rgen <j@x.org>", Some("Doe, J\u{fc}rgen"), Some("j@x.org")),
            ("=?utf-8?Q?Doe=2C_J=C3=BC?= =?utf-8?Q?rgen?= <j@x.org>", Some("Doe, J\u{fc}rgen"), Some("j@x.org")),
            ("=?utf-8?Q?J=C3=B6rg?= <j@x.org>, b@y.org", Some("J\u{f6}rg"), Some("j@x.org")),
            ("j@x.org (Jane)", Some("Jane"), Some("j@x.org")),
            ("Jane", Some("Jane"), None),
            ("", None, None),
        ] {
            assert_eq!(sender(read(value)), (name.map(str::to_owned), address.map(str::to_owned)), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in "(\"|<|>|@|,|;|:|\\(|\\)|\\\\|=\\?utf-8\\?Q\\?|\\?=| |é|x){0,40}") {
            sender(read(&value));
        }

        #[test]
        fn an_address_is_found_next_to_any_text(name in "[a-zé., ]{0,20}", local in "[a-z.+%']{1,12}", before in "(|b@y\\.org, |\"q\"@y\\.org; |\"n, m\" <c@y\\.org>, )") {
            let address = format!("ai+{local}@example.com");
            let quoted = format!("\"ai+{local}\"@example.com");
            for (value, address) in [
                (format!("{before}\"{name}\" <{address}>"), &address),
                (format!("{before}{address}, x@y.org"), &address),
                (format!("{before}{quoted}, x@y.org"), &quoted),
            ] {
                let addresses = find(&value);
                prop_assert!(addresses.contains(address), "{:?} in {}", addresses, value);
            }
        }
    }
}
