//! Watches of Gmail, and their Pub/Sub messages.

use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};

use crate::receiver::Got;
use crate::{Google, USER, reason};

const TOPIC: &str = "projects/p/topics/mail";
const WATCH: &str = "/gmail/v1/users/me/watch";
const ACCOUNT: &str = "push@p.iam.example.com";

fn subscribed() -> Google {
    let google = Google::start();
    google.admin("push/subscription", json!({ "topic": TOPIC, "endpoint": google.receiver.url, "email": ACCOUNT }));
    google
}

fn watch(google: &Google, labels: Value) -> Value {
    let (status, answer) = google.post(WATCH, &json!({ "topicName": TOPIC, "labelIds": labels }));
    assert_eq!(status, 200, "{answer}");
    answer
}

fn mail(google: &Google, labels: Value) {
    google.admin("mail/messages", json!({ "user": USER, "raw": "Subject: x\r\n\r\nx", "labels": labels }));
}

fn newest(google: &Google) -> Value {
    google.read("/gmail/v1/users/me/profile")["historyId"].clone()
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url")).expect("JSON")
}

/// Gmail's payload in a Pub/Sub message.
fn said(got: &Got) -> Value {
    let body: Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(body["subscription"], "projects/p/subscriptions/mail");
    let data = BASE64.decode(body["message"]["data"].as_str().expect("data").as_bytes()).expect("base64");
    serde_json::from_slice(&data).expect("JSON")
}

#[test]
fn a_watch_notifies_its_topic_at_once_and_then_once_a_second() {
    let google = subscribed();
    let answer = watch(&google, json!([]));
    let lives = answer["expiration"].as_str().expect("text").parse::<i64>().expect("milliseconds") - google.now();
    assert!((lives - 604_800_000).abs() < 5_000);
    let first = google.receiver.at_least(1);
    assert_eq!(said(&first[0]), json!({ "emailAddress": USER, "historyId": answer["historyId"] }));
    (0..20).for_each(|_| mail(&google, json!(["INBOX"])));
    std::thread::sleep(Duration::from_millis(2_500));
    let got = google.receiver.got();
    assert!((2..5).contains(&got.len()), "coalesced: {}", got.len());
    assert!(got.windows(2).all(|pair| pair[1].at - pair[0].at > Duration::from_millis(900)));
    assert_eq!(said(&got[got.len() - 1])["historyId"], newest(&google));
}

#[test]
fn a_token_of_pub_sub_is_good_against_the_published_keys() {
    let google = subscribed();
    watch(&google, json!([]));
    let got = google.receiver.at_least(1);
    let token = got[0].header("authorization").strip_prefix("Bearer ").expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (head, claims) = signed.split_once('.').expect("three parts");
    let keys = google.read("/oauth2/v3/certs");
    let key = &keys["keys"][0];
    assert_eq!((&decode(head)["kid"], &decode(head)["alg"]), (&key["kid"], &json!("RS256")));
    let part = |name: &str| BASE64URL_NOPAD.decode(key[name].as_str().expect("a part").as_bytes()).expect("base64url");
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
    let key = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).expect("a good signature");
    let claims = decode(claims);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://accounts.google.com"), &json!(google.receiver.url)));
    assert_eq!((&claims["email"], &claims["email_verified"]), (&json!(ACCOUNT), &json!(true)));
    assert!((claims["exp"].as_i64().expect("a time") - google.now() / 1_000 - 3_600).abs() < 5);
}

#[test]
fn only_mail_with_a_watched_label_is_announced() {
    let google = subscribed();
    watch(&google, json!(["INBOX"]));
    google.receiver.at_least(1);
    mail(&google, json!(["SENT"]));
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(google.receiver.got().len(), 1);
    mail(&google, json!(["INBOX"]));
    assert_eq!(google.receiver.at_least(2).len(), 2);
}

#[test]
fn a_mailbox_has_one_watch_and_none_after_its_stop() {
    let google = subscribed();
    watch(&google, json!([]));
    google.receiver.at_least(1);
    watch(&google, json!(["INBOX"]));
    let lines = google.text("/admin/push/watches");
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.contains(r#""labels":["INBOX"]"#), "{lines}");
    google.receiver.at_least(2);
    let (status, _) = google.post("/gmail/v1/users/me/stop", &json!({}));
    assert_eq!(status, 204);
    assert_eq!(google.text("/admin/push/watches"), "");
    mail(&google, json!(["INBOX"]));
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(google.receiver.got().len(), 2);
    let history = google.read("/admin/push/history");
    assert_eq!((&history[0]["api"], &history[0]["intervals"].as_array().map(Vec::len)), (&json!("gmail"), &Some(1)));
}

#[test]
fn pub_sub_delivers_again_what_is_not_acknowledged() {
    let google = subscribed();
    google.receiver.answer(&[503, 401]);
    watch(&google, json!([]));
    let got = google.receiver.at_least(3);
    let id = |got: &Got| serde_json::from_str::<Value>(&got.body).expect("JSON")["message"]["messageId"].clone();
    assert!(got.iter().all(|again| id(again) == id(&got[0])));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(google.read("/admin/push/count"), json!({ "sent": 1, "delivered": 1, "failed": 0, "dropped": 0 }));
}

#[test]
fn a_watch_without_sense_is_refused() {
    let google = subscribed();
    assert_eq!(reason(&google.post(WATCH, &json!({}))), (400, "invalidArgument"));
    assert_eq!(reason(&google.post(WATCH, &json!({ "topicName": "mail" }))), (400, "invalidArgument"));
    assert_eq!(reason(&google.post(WATCH, &json!({ "topicName": TOPIC, "labelIds": ["Nothing"] }))), (400, "invalidArgument"));
}
