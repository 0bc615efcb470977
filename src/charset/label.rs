//! Interprets charset labels: the names of the WHATWG list, and many others that occur in mail.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, REPLACEMENT, SHIFT_JIS, UTF_8, UTF_16LE, X_USER_DEFINED,
};
use oem_cp::code_table::DECODING_TABLE_CP_MAP;
use oem_cp::code_table_type::TableType;

use super::seven_bit::SevenBit;

/// The meaning of a label.
pub enum Label {
    /// No information: ASCII, or a name for an unknown charset.
    Silent,
    Named(Charset),
    /// An unknown name, reduced to letters and digits.
    Unknown(String),
}

/// A charset, by its decoder.
pub enum Charset {
    Browsers(&'static Encoding),
    Dos(&'static TableType),
    SevenBit(SevenBit),
    Utf7(::charset::Charset),
}

/// Parses a label, such as `ISO-8859-1`, `latin-1`, `cp949` or `ks_c_5601-1987`.
pub fn read(label: &str) -> Label {
    let label = label.trim_matches(|c: char| c.is_whitespace() || "\"'<>;".contains(c));
    // RFC 2231 appends a language; some registered names end in a year.
    let label = label.split(['*', ':']).next().unwrap_or_default();
    let lower = label.to_ascii_lowercase();
    let key: String = lower.strip_prefix("x-").unwrap_or(&lower).chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let silent =
        ["", "ascii", "usascii", "ansix341968", "iso646us", "isoir6", "csascii", "unknown", "unknown8bit", "userdefined", "8bit"];
    if silent.contains(&key.as_str())
        || ["7bit", "binary", "default", "defaultcharset", "none", "ansi", "autodetect"].contains(&key.as_str())
    {
        return Label::Silent;
    }
    let named =
        special(&key).or_else(|| browsers(&lower)).or_else(|| browsers(&key)).or_else(|| alias(&key)).or_else(|| numbered(&key));
    named.map_or_else(|| Label::Unknown(key), Label::Named)
}

/// Charsets that the WHATWG list replaces with a single U+FFFD.
fn special(key: &str) -> Option<Charset> {
    Some(match key {
        "iso2022kr" | "csiso2022kr" | "cp50225" => Charset::SevenBit(SevenBit::Korean),
        "iso2022cn" | "iso2022cnext" | "csiso2022cn" | "cp50227" => Charset::SevenBit(SevenBit::Chinese),
        "hzgb2312" | "hz" | "hzgb" | "cp52936" => Charset::SevenBit(SevenBit::Hz),
        "utf7" | "unicode11utf7" | "csutf7" | "csunicode11utf7" | "cp65000" => {
            Charset::Utf7(::charset::Charset::for_label(b"utf-7")?)
        }
        _ => return None,
    })
}

fn browsers(label: &str) -> Option<Charset> {
    let encoding = Encoding::for_label(label.as_bytes())?;
    (encoding != REPLACEMENT && encoding != X_USER_DEFINED).then_some(Charset::Browsers(encoding))
}

fn alias(key: &str) -> Option<Charset> {
    Some(Charset::Browsers(match key {
        "utf8sig" | "utf8mb4" | "utf8mb3" | "csutf8" | "utf" => UTF_8,
        "utf16" | "ucs2" | "unicode" => UTF_16LE,
        "euckr" | "uhc" | "ksc56011987" | "ksc56011989" | "ksx1001" | "ksc5601" | "ksc" => EUC_KR,
        "gb2312" | "gb23121980" | "gb231280" | "euccn" | "gbk" => GBK,
        "gb180302000" | "gb180302005" => GB18030,
        "shiftjis" | "sjis" | "mskanji" | "windows31j" => SHIFT_JIS,
        "eucjp" | "ujis" | "eucjpms" => EUC_JP,
        "big5hkscs" | "big5eten" | "cnbig5" => BIG5,
        key if key.starts_with("iso2022jp") => ISO_2022_JP,
        "koi8r" | "koi8" => return browsers("koi8-r"),
        "koi8u" | "koi8ru" => return browsers("koi8-u"),
        "macroman" => return browsers("macintosh"),
        "tis620" => return browsers("windows-874"),
        key => return browsers(&format!("iso-8859-{}", key.strip_prefix("iso8859").or_else(|| key.strip_prefix("8859"))?)),
    }))
}

/// Code pages by number.
fn numbered(key: &str) -> Option<Charset> {
    let digits = key.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    if !["windows", "win", "cp", "ibm", "ms", "oem", "dos", "codepage", "cspc", ""].contains(&key.strip_suffix(digits)?) {
        return None;
    }
    let page: u16 = digits.parse().ok()?;
    match page {
        1250..=1258 | 874 => browsers(&format!("windows-{page}")),
        28591..=28606 => browsers(&format!("iso-8859-{}", page - 28590)),
        65001 => browsers("utf-8"),
        932 | 943 | 942 => browsers("shift_jis"),
        936 | 1386 => browsers("gbk"),
        54936 => browsers("gb18030"),
        949 | 51949 | 970 | 1363 => browsers("euc-kr"),
        950 | 951 => browsers("big5"),
        20932 | 51932 => browsers("euc-jp"),
        50220..=50222 => browsers("iso-2022-jp"),
        20866 => browsers("koi8-r"),
        21866 => browsers("koi8-u"),
        819 | 923 => browsers("iso-8859-15").filter(|_| page == 923).or_else(|| browsers("iso-8859-1")),
        10000 => browsers("macintosh"),
        page => DECODING_TABLE_CP_MAP.get(&page).map(Charset::Dos),
    }
}
