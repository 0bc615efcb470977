//! The shapes of generated mail: content headers, an empty line, content.

use chrono::{DateTime, Utc};
use data_encoding::BASE64_MIME;
use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use super::words;

/// A random shape; a broken one announces a boundary that never occurs.
pub fn body(text: &mut Vec<u8>, broken: bool, at: DateTime<Utc>, owner: &str, chance: &mut SmallRng) {
    let boundary = format!("=_{:016x}", chance.random::<u64>());
    let prose = words::prose(chance);
    match chance.random_range(0..100) {
        _ if broken => {
            text.extend_from_slice(
                format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--other\r\n").as_bytes(),
            );
            text.extend_from_slice(&plain(&prose));
        }
        0..20 => text.extend_from_slice(&plain(&prose)),
        20..28 => text.extend_from_slice(&words::in_an_old_charset(chance)),
        28..55 => multipart(text, "alternative", &boundary, &[plain(&prose), html(&prose)]),
        55..68 => {
            let inner = alternative(&[plain(&prose), html(&prose)], &boundary);
            let mut parts = vec![inner];
            for number in 0..chance.random_range(1..4) {
                parts.push(attachment(number, chance));
            }
            multipart(text, "mixed", &boundary, &parts);
        }
        68..78 => text.extend_from_slice(&html(&prose)),
        78..86 => {
            let calendar = invitation(at, owner, chance);
            let inner = alternative(
                &[plain(&prose), html(&prose), part("text/calendar; charset=UTF-8; method=REQUEST", "7bit", &calendar)],
                &boundary,
            );
            let file = part(
                "application/ics; name=\"invite.ics\"\r\nContent-Disposition: attachment; filename=\"invite.ics\"",
                "base64",
                &BASE64_MIME.encode(calendar.as_bytes()),
            );
            multipart(text, "mixed", &boundary, &[inner, file]);
        }
        86..93 => {
            let prose = format!(
                "{} shared a file with you\r\n{}\r\n",
                words::PEOPLE.choose(chance).map_or("Somebody", |person| person.0),
                words::drive_link(chance)
            );
            multipart(text, "alternative", &boundary, &[plain(&prose), html(&prose)]);
        }
        93..96 => {
            let inner = format!(
                "From: old@partner.example\r\nTo: {owner}\r\nSubject: What was forwarded\r\nDate: {}\r\nMessage-ID: <fwd.{boundary}@partner.example>\r\nContent-Type: text/plain\r\n\r\n{prose}",
                at.to_rfc2822()
            );
            multipart(text, "mixed", &boundary, &[plain("See below.\r\n"), part("message/rfc822", "7bit", &inner)]);
        }
        96..98 => {
            let report = "Reporting-MTA: dns; mx.partner.example\r\n\r\nFinal-Recipient: rfc822; gone@partner.example\r\nAction: failed\r\nStatus: 5.1.1\r\n";
            multipart(
                text,
                "report; report-type=delivery-status",
                &boundary,
                &[plain("Delivery failed.\r\n"), part("message/delivery-status", "7bit", report)],
            );
        }
        _ => {
            let image = part(
                "image/png; name=\"logo.png\"\r\nContent-ID: <logo>\r\nContent-Disposition: inline; filename=\"logo.png\"",
                "base64",
                "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==\r\n",
            );
            multipart(text, "related", &boundary, &[html("<img src=\"cid:logo\">\r\n"), image]);
        }
    }
}

fn part(kind: &str, encoding: &str, content: &str) -> Vec<u8> {
    format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{content}").into_bytes()
}

fn plain(prose: &str) -> Vec<u8> {
    part("text/plain; charset=\"UTF-8\"", "quoted-printable", &words::quoted_printable(prose))
}

fn html(prose: &str) -> Vec<u8> {
    let body = prose.replace("\r\n", "<br>\r\n");
    let page = format!("<html><head><style>p {{ margin: 0 }}</style></head><body><p>{body}</p></body></html>\r\n");
    part("text/html; charset=UTF-8", "base64", &BASE64_MIME.encode(page.as_bytes()))
}

fn alternative(parts: &[Vec<u8>], boundary: &str) -> Vec<u8> {
    let mut text = Vec::new();
    multipart(&mut text, "alternative", &format!("{boundary}_alt"), parts);
    text
}

fn multipart(text: &mut Vec<u8>, kind: &str, boundary: &str, parts: &[Vec<u8>]) {
    text.extend_from_slice(format!("Content-Type: multipart/{kind};\r\n\tboundary=\"{boundary}\"\r\n\r\n").as_bytes());
    for part in parts {
        text.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        text.extend_from_slice(part);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
}

fn attachment(number: u32, chance: &mut SmallRng) -> Vec<u8> {
    let (kind, name) = *[
        ("application/pdf", "filename=\"offer.pdf\""),
        ("application/zip", "filename=\"logs.zip\""),
        // Non-ASCII file names by RFC 2231, and in violation of it.
        ("application/vnd.ms-excel", "filename*=UTF-8''%C3%9Cbersicht.xls"),
        ("image/jpeg", "filename=\"=?UTF-8?B?5Zuz6KGoLmpwZw==?=\""),
    ]
    .choose(chance)
    .unwrap_or(&("application/octet-stream", "filename=\"data\""));
    let bytes: Vec<u8> = (0..chance.random_range(500..12_000)).map(|_| chance.random()).collect();
    let kind = format!("{kind}\r\nContent-Disposition: attachment;\r\n {name}\r\nX-Attachment-Id: f_{number}");
    part(&kind, "base64", &BASE64_MIME.encode(&bytes))
}

fn invitation(at: DateTime<Utc>, owner: &str, chance: &mut SmallRng) -> String {
    let start = at + chrono::Duration::days(chance.random_range(1..14));
    let time = |at: DateTime<Utc>| at.format("%Y%m%dT%H%M%SZ");
    format!(
        "BEGIN:VCALENDAR\r\nPRODID:-//Sim//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:{:016x}@partner.example\r\nDTSTAMP:{}\r\nDTSTART:{}\r\nDTEND:{}\r\nSUMMARY:Planning\r\nATTENDEE;RSVP=TRUE:mailto:{owner}\r\nLOCATION:https://meet.google.com/abc-defg-hij\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        chance.random::<u64>(),
        time(at),
        time(start),
        time(start + chrono::Duration::hours(1))
    )
}
