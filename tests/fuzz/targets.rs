//! The targets: each parser with valid inputs of its kind and words meaningful to it.

use std::fs;
use std::path::Path;

use syncctl::classify::Label;
use syncctl::classify::decide::Neighbours;
use syncctl::classify::features::{Text, features};
use syncctl::classify::learner::Learner;

/// A parser.
pub struct Target {
    pub name: &'static str,
    pub read: fn(&[u8]),
    /// Valid inputs, in addition to the cases in `tests/cases` whose names begin and end like this.
    pub good: &'static [&'static str],
    pub cases: (&'static str, &'static str),
    pub words: &'static [&'static str],
    /// Valid inputs that are not text.
    pub made: fn() -> Vec<Vec<u8>>,
    /// Bytes of memory that any input may take.
    pub memory: usize,
    /// Percentage of the inputs of a long run. Inverse to the time an input takes, so that all targets end at about the same time.
    pub share: u64,
}

/// Allowance of most parsers.
const LITTLE: usize = 4 << 20;

impl Target {
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let mut names: Vec<String> = fs::read_dir(&folder)
            .expect("tests/cases")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !self.cases.1.is_empty() && name.starts_with(self.cases.0) && name.ends_with(self.cases.1))
            .collect();
        // The same order on every machine.
        names.sort();
        let cases = names.iter().map(|name| fs::read(folder.join(name)).expect("a case"));
        self.good.iter().map(|text| text.as_bytes().to_vec()).chain(cases).chain((self.made)()).collect()
    }
}

pub static TARGETS: [Target; 7] = [
    texts("mail", 14, syncctl::fuzz::mail, MAIL, ("mail-", ".eml"), MAIL_WORDS),
    texts("event", 20, syncctl::fuzz::event, EVENT, ("", ".json"), EVENT_WORDS),
    texts("batch", 20, syncctl::fuzz::batch, BATCH, ("", ""), BATCH_WORDS),
    texts("notification", 20, syncctl::fuzz::notification, NOTIFICATION, ("", ""), NOTIFICATION_WORDS),
    texts("token", 20, syncctl::fuzz::token, TOKEN, ("", ""), TOKEN_WORDS),
    texts("settings", 2, syncctl::fuzz::settings, SETTINGS, ("", ""), SETTINGS_WORDS),
    // A model has a row for each bucket, whatever it has learnt: 8 MiB.
    Target {
        name: "model",
        read: syncctl::fuzz::model,
        good: &[],
        cases: ("", ""),
        words: MODEL_WORDS,
        made: models,
        memory: 12 << 20,
        share: 4,
    },
];

const fn texts(
    name: &'static str,
    share: u64,
    read: fn(&[u8]),
    good: &'static [&'static str],
    cases: (&'static str, &'static str),
    words: &'static [&'static str],
) -> Target {
    Target { name, read, good, cases, words, made: Vec::new, memory: LITTLE, share }
}

/// Models that have learnt nothing, one document, and some of three kinds.
fn models() -> Vec<Vec<u8>> {
    let models = [0, 1, 9].map(|documents| {
        let mut learner = Learner::default();
        for number in 0..documents {
            let label = if number % 3 == 2 { Label::NoneOfThem } else { Label::Project(uuid::Uuid::from_u128(number % 3)) };
            let text = Text { body: ["steel", "roses", "a lottery"][number as usize % 3], ..Text::default() };
            learner.learn(&features(&text), &Neighbours::default(), label).expect("room for a label");
        }
        learner.to_bytes()
    });
    models.to_vec()
}

/// Counts and numbers: NaN, infinite, and the largest.
const MODEL_WORDS: &[&str] =
    &["SCLF\u{1}\0\u{1}\0", "\0", "\u{1}", "\u{7f}", "\0\0\u{40}\u{7f}", "\0\0\0\0", "\0\0\0?", "(knN", "\u{80}\u{1}"];

const MAIL: &[&str] = &[
    "From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.com>\r\nTo: \"Doe, Jane\" <jane@example.com>, Team: a@example.com, b@example.com;\r\nCc: ai+bob@example.com\r\nDate: Tue, 3 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@example.com>\r\nSubject: =?ISO-8859-1?B?/A==?= x\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe =\r\nhttps://docs.google.com/document/d/1\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Gr&uuml;sse<br>&#x1f600;<script>x</script></p>\r\n--b--\r\n--a\r\nContent-Type: application/pdf; name*0*=UTF-8''%C3%BC; name*1=.pdf\r\nContent-Disposition: attachment; filename*=UTF-8''%C3%BC.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\ntext\r\n--a--\r\n",
    "Subject: an invitation\nContent-Type: text/calendar; charset=utf-7\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n",
    "{\"id\":\"1\",\"threadId\":\"t\",\"labelIds\":[\"INBOX\"],\"historyId\":\"17\",\"internalDate\":\"1795000000000\",\"snippet\":\"a &amp; b\",\"sizeEstimate\":512,\"payload\":{\"headers\":[{\"name\":\"From\",\"value\":\"a@example.com\"},{\"name\":\"Subject\",\"value\":\"=?utf-8?B?w7w=?=\"}]},\"syncctl.whole\":{\"text\":\"x\",\"attachments\":[{\"name\":null,\"mime_type\":\"a/b\",\"size\":1}],\"kind\":\"email\",\"note\":null}}",
];
const MAIL_WORDS: &[&str] = &[
    "--a\r\n",
    "--a--\r\n",
    "\r\n\r\n",
    "\r\n ",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "=?utf-8?Q?=C3=BC?= ",
    "=?utf-7?B?",
    "To: ",
    "a@x.org, ",
    "Group: ",
    "<div>",
    "&#",
    "<!--",
    "charset=iso-2022-kr",
    "\x1b$)C\x0e",
    "filename*0*=",
    "X-A: b\r\n",
    "(((",
    "\"",
];

const EVENT: &[&str] = &[
    "{\"id\":\"a\",\"status\":\"confirmed\",\"summary\":\"Review\",\"start\":{\"dateTime\":\"2026-11-02T09:00:00\",\"timeZone\":\"Europe/Berlin\"},\"end\":{\"date\":\"2026-11-03\"},\"attendees\":[{\"email\":\"a@example.com\",\"responseStatus\":\"accepted\"},{\"email\":\"r@resource.calendar.google.com\",\"resource\":true}],\"organizer\":{\"email\":\"a@example.com\"},\"conferenceData\":{\"entryPoints\":[{\"entryPointType\":\"video\",\"uri\":\"https://zoom.us/j/1?pwd=x\"}]},\"location\":\"https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0\",\"description\":\"<a href=\\\"https://meet.google.com/abc-defg-hij\\\">x</a>\",\"recurrence\":[\"RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=12\",\"EXDATE;TZID=W. Europe Standard Time:20261127T090000\",\"RDATE;VALUE=DATE:20261224\"],\"updated\":\"2026-11-01T10:00:00.000Z\"}",
];
const EVENT_WORDS: &[&str] = &[
    "\"recurrence\":[",
    "RRULE:FREQ=",
    "SECONDLY;",
    "YEARLY;BYYEARDAY=366;",
    "BYSETPOS=-1;",
    "INTERVAL=0;",
    "INTERVAL=65535;",
    "UNTIL=99991231T235959Z",
    "COUNT=4294967295;",
    "BYDAY=53MO,-53SU;",
    "BYMONTH=2;BYMONTHDAY=30;",
    "EXRULE:FREQ=DAILY",
    "EXDATE:",
    "\"timeZone\":\"",
    "Pacific/Apia",
    "+20000-01-01T00:00:00Z",
    "0000-01-01",
    "\\u0000",
    "[[[[",
    "{\"a\":",
    "null,",
    "https://urldefense.com/v3/__https://zoom.us/j/1__;!!",
    "https://nam12.safelinks.protection.outlook.com/?url=",
    "https://www.google.com/url?q=",
    "%25",
];

const BATCH: &[&str] = &[
    "multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: application/http\r\nContent-ID: <response-0>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\r\n--b\r\nContent-Type: application/http\r\nContent-ID: <response-1>\r\n\r\nHTTP/1.1 403 Forbidden\r\nRetry-After: 7\r\n\r\n{\"error\":{\"code\":403,\"errors\":[{\"reason\":\"rateLimitExceeded\"}],\"message\":\"x\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"RATE_LIMIT_EXCEEDED\",\"metadata\":{\"quota_limit\":\"PerDay\"}}]}}\r\n--b--\r\n",
];
const BATCH_WORDS: &[&str] = &[
    "--b\r\n",
    "--b--",
    "\r\n\r\n",
    "Content-ID: <response-7>\r\n",
    "Content-ID: <response-18446744073709551615>\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: 0\r\n",
    "HTTP/1.1 429 \r\n",
    "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    "Retry-After: 18446744073709551615\r\n",
    "Transfer-Encoding: chunked\r\n",
    "boundary=",
    "X: y\r\n",
    "{\"error\":",
    "[[",
];

const NOTIFICATION: &[&str] = &[
    "X-Goog-Channel-ID: 7f9c24e8-3b12-4fef-91e0-56a2d5a1c0de\nX-Goog-Channel-Token: t\nX-Goog-Message-Number: 1\nX-Goog-Resource-State: exists\nX-Goog-Resource-ID: r\n\n",
    "query: token=0123456789abcdef\n\n{\"message\":{\"data\":\"eyJlbWFpbEFkZHJlc3MiOiJBbm5AZXhhbXBsZS5jb20iLCJoaXN0b3J5SWQiOjF9\",\"messageId\":\"1\"},\"subscription\":\"projects/p/subscriptions/s\"}",
    "Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJhdWQiOiJhIiwiaXNzIjoiaHR0cHM6Ly9hY2NvdW50cy5nb29nbGUuY29tIiwiZXhwIjo0MTAyNDQ0ODAwfQ.AAAA\n\n{}",
    "X-Webhook-Signature: tp4dUuzkfVp0WNmFHXkTySCv8JvBYHVjb2Vql5wAyFA=\n\n{\"idempotency_key\":\"k1\",\"bot_id\":\"bot_1\",\"data\":{\"b\":[{\"y\":null,\"x\":1.5}],\"a\":\"\\u00e4\"}}",
];
const NOTIFICATION_WORDS: &[&str] = &[
    "X-Goog-Message-Number: ",
    "X-Goog-Channel-ID: ",
    "99999999999999999999",
    "Authorization: Bearer ",
    "eyJhbGciOiJub25lIn0",
    "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ",
    ".",
    "..",
    "token=",
    "%00",
    "\"data\":\"",
    "=",
    "[[[[",
    "{\"a\":",
    "1e400",
    "\\ud800",
    "\n\n",
];

const TOKEN: &[&str] = &[
    "{\"access_token\":\"ya29.a0-_~+/x==\",\"expires_in\":3599,\"scope\":\"https://www.googleapis.com/auth/calendar.readonly\",\"token_type\":\"Bearer\"}",
    "{\"error\":\"invalid_grant\",\"error_description\":\"reauth related error (invalid_rapt)\",\"error_subtype\":\"invalid_rapt\"}",
    "{\"error\":{\"code\":401,\"message\":\"x\",\"status\":\"UNAUTHENTICATED\"}}",
    "https://oauth2.googleapis.com/token",
    "{\"email\":\"ann@example.com\",\"credentials\":{\"type\":\"authorized_user\",\"client_id\":\"1-a.apps\",\"client_secret\":\"s\",\"refresh_token\":\"r\",\"token_uri\":\"https://oauth2.googleapis.com/token\"},\"settings\":{\"gmail\":false}}",
    "{\"email\":\"ann@example.com\",\"subject\":\"bob@example.com\",\"credentials\":{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"s@p\",\"client_id\":\"1\",\"private_key\":\"-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIA==\\n-----END PRIVATE KEY-----\\n\",\"token_uri\":\"https://oauth2.googleapis.com/token\"}}",
    "{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"s@p\",\"private_key\":\"-----BEGIN RSA PRIVATE KEY-----\\nMIIBAA==\\n-----END RSA PRIVATE KEY-----\\n\",\"token_uri\":\"https://oauth2.googleapis.com/token\"}",
    "{\"installed\":{\"client_id\":\"c\",\"client_secret\":\"s\"}}",
    "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RS256\",\"use\":\"sig\",\"kid\":\"k\",\"n\":\"0vx7\",\"e\":\"AQAB\"}]}",
];
const TOKEN_WORDS: &[&str] = &[
    "\"access_token\":\"",
    "\"expires_in\":",
    "\\r\\n",
    "\\u0000",
    "=",
    "\"token_uri\":\"",
    "http://",
    "@",
    ":443",
    "[::1]",
    "xn--",
    "%2f",
    "-----BEGIN PRIVATE KEY-----\\n",
    "\"error\":",
    "{\"a\":",
    "[[[[",
    "reasonable timeframe",
];

const SETTINGS: &[&str] = &[
    "[db]\nurl = \"postgres://ann:secret@localhost/x\"\npool_size = 4\n\n[google]\nroot = \"http://127.0.0.1:8080\"\ntoken_hosts = [\"sts.example.com\"]\ntimeout = \"1m 30s\"\n\n[engine]\nlease = \"30s\"\nrefused_share = 0.1\n\n[gmail]\ndomains = [\"example.com\"]\nvirtual_address = \"ai+{username}@{domain}\"\n\n[[outbox.targets]]\nname = \"n8n\"\nurl = \"https://n8n.example.com/webhook/1\"\nevents = [\"document.*\"]\nsecret = \"c2VjcmV0\"\n\n[healthchecks.jobs]\n\"drive cron\" = \"https://hc.example.com/{job}\"\n\n[push]\naddress = \"https://hooks.example.org\"\n",
    "engine.lease=1h\ndb.pool_size=8\ncalendar.meeting_words=a, b\noutbox.targets=[{name = \"a\", url = \"https://x\"}]\nlog.level=syncctl=debug\nwebhook.status_listen=127.0.0.1:9091\n",
];
const SETTINGS_WORDS: &[&str] = &[
    "[quota.gmail]\nper_day = ",
    "[[outbox.targets]]\n",
    "engine.backoff_cap = \"",
    "100years",
    "18446744073709551615ns",
    "9999999999999999999days",
    "nan",
    "1979-05-27T07:32:00Z",
    "\"\"\"",
    "'''",
    "\\U0010ffff",
    "[[[[",
    "{a = ",
    "a.b.",
    "0x",
    "= \"\"\n",
    "[]",
    "https://",
];
