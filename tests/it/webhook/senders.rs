//! Gmail's pushes by secret and by Google's token, and Attendee's by signature.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use super::server::Server;
use crate::support::World;
use crate::support::service::GMAIL;

/// A push of Pub/Sub for this address.
fn push(address: &str, id: &str) -> Vec<u8> {
    let data = BASE64.encode(json!({ "emailAddress": address, "historyId": "42" }).to_string().as_bytes());
    json!({ "message": { "data": data, "messageId": id }, "subscription": "projects/p/subscriptions/s" }).to_string().into_bytes()
}

pub fn mailboxes() -> (World, String) {
    let world = World::of(&GMAIL, 2, 3);
    world.sync_all().expect(0);
    world.put_off_all();
    let address = world.emails().remove(0);
    (world, address)
}

#[test]
fn a_push_with_the_secret_makes_that_mailbox_due() {
    let (mut world, address) = mailboxes();
    world.set("SYNCCTL_WEBHOOK_GMAIL_TOKEN", "a secret of the push address");
    let server = Server::start(&world, &[]);
    let right = "/gmail?token=a+secret+of+the+push+address";
    assert_eq!(server.post("/gmail?token=guessed", &[], &push(&address, "1")), 401);
    assert_eq!(server.post("/gmail", &[], &push(&address, "1")), 401);
    assert_eq!(world.due_streams(), 0);
    assert_eq!(server.post(right, &[], b"{}"), 400);
    assert_eq!(server.post(right, &[], &push("nobody@elsewhere.example", "0")), 200, "nothing to send again for");
    assert_eq!(server.post(right, &[], &push(&address, "\0")), 400);
    assert_eq!(server.post(right, &[], &push(&address.to_uppercase(), "1")), 200);
    assert_eq!(world.due_streams(), 1);
    world.put_off_all();
    assert_eq!(server.post(right, &[], &push(&address, "1")), 200);
    assert_eq!(world.due_streams(), 0, "it came before");
    assert_eq!(world.notifications(), 2);
}

/// A server that has Google's keys.
struct Keys {
    url: String,
    requests: Arc<AtomicU32>,
}

fn keys(pair: &RsaKeyPair) -> Keys {
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let set = json!({ "keys": [{ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "known",
        "n": BASE64URL_NOPAD.encode(&n), "e": BASE64URL_NOPAD.encode(&e) }] })
    .to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/certs", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&requests);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncache-control: public, max-age=3600\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                set.len()
            );
            let _ = stream.write_all(format!("{head}{set}").as_bytes());
        }
    });
    Keys { url, requests }
}

fn token(pair: &RsaKeyPair, kid: &str, claims: &Value) -> String {
    let head = BASE64URL_NOPAD.encode(json!({ "alg": "RS256", "typ": "JWT", "kid": kid }).to_string().as_bytes());
    let message = format!("{head}.{}", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &ring::rand::SystemRandom::new(), message.as_bytes(), &mut signature).expect("signed");
    format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[test]
fn a_push_with_googles_token_must_be_for_us_by_our_account_and_fresh() {
    let pem = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/google-sim/data/service-account.pem"))
        .expect("a key");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&BASE64.decode(body.as_bytes()).expect("base64")).expect("a key");
    let keys = keys(&pair);
    let (mut world, address) = mailboxes();
    world.set("SYNCCTL_WEBHOOK_OIDC_AUDIENCE", "https://hooks.example.org/gmail");
    world.set("SYNCCTL_WEBHOOK_OIDC_EMAIL", "push@project.iam.gserviceaccount.com");
    world.set("SYNCCTL_WEBHOOK_KEYS_URL", keys.url.clone());
    let server = Server::start(&world, &[]);
    let now = chrono::Utc::now().timestamp();
    let claims = |name: &str, value: Value| {
        let mut claims = json!({ "iss": "https://accounts.google.com", "aud": "https://hooks.example.org/gmail", "exp": now + 600, "iat": now,
            "email": "push@project.iam.gserviceaccount.com", "email_verified": true });
        claims[name] = value;
        claims
    };
    let send_as = |scheme: &str, token: &str| {
        let bearer = format!("{scheme}{token}");
        server.post("/gmail", &[("authorization", &bearer)], &push(&address, "1"))
    };
    let send = |token: &str| send_as("Bearer ", token);
    let right = token(&pair, "known", &claims("iat", now.into()));
    for (name, value) in [
        ("aud", json!("https://somebody.else.example")),
        ("iss", json!("https://accounts.example.com")),
        ("exp", json!(now - 600)),
        ("nbf", json!(now + 600)),
        ("email", json!("other@project.iam.gserviceaccount.com")),
        ("email_verified", json!(false)),
    ] {
        assert_eq!(send(&token(&pair, "known", &claims(name, value))), 401, "{name}");
    }
    assert_eq!(keys.requests.load(Ordering::Relaxed), 1, "keys are kept");
    for _ in 0..5 {
        assert_eq!(send(&token(&pair, "unheard-of", &claims("iat", now.into()))), 401);
    }
    assert_eq!(keys.requests.load(Ordering::Relaxed), 2, "looked for once, and not again within the minute");
    let (message, signature) = right.rsplit_once('.').expect("three parts");
    let mut forged = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64");
    forged[9] ^= 1;
    assert_eq!(send(&format!("{message}.{}", BASE64URL_NOPAD.encode(&forged))), 401);
    let unsigned =
        right.split('.').nth(1).map(|claims| format!("{}.{claims}.", BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"known"}"#)));
    assert_eq!(send(&unsigned.expect("claims")), 401);
    for scheme in ["", "Bearer", "Basic ", "bearer\t"] {
        assert_eq!(send_as(scheme, &right), 401, "{scheme}");
    }
    assert_eq!(world.due_streams(), 0);
    assert_eq!(send(&right), 200);
    assert_eq!(world.due_streams(), 1);
    // A scheme is case-insensitive (RFC 9110, 11.1).
    for scheme in ["bearer ", "BEARER ", "bEARER  "] {
        assert_eq!(send_as(scheme, &right), 200, "{scheme}");
    }
    assert_eq!(send(&token(&pair, "known", &claims("nbf", json!(now - 5)))), 200);
}

#[test]
fn attendee_is_known_by_its_signature() {
    let mut world = World::empty();
    let key = b"thirty-two bytes that both know.";
    world.set("SYNCCTL_WEBHOOK_ATTENDEE_SECRET", BASE64.encode(key));
    let server = Server::start(&world, &[]);
    let signed = r#"{"bot_id":"bot_1","data":{"a":1,"b":"ü"},"idempotency_key":"key-1","trigger":"bot.state_change"}"#;
    let sent =
        r#"{"idempotency_key": "key-1", "bot_id": "bot_1", "trigger": "bot.state_change", "data": {"b": "\u00fc", "a": 1}}"#;
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("a key").chain_update(signed.as_bytes());
    let signature = BASE64.encode(&mac.finalize().into_bytes());
    let send = |signature: &str, body: &str| server.post("/attendee", &[("X-Webhook-Signature", signature)], body.as_bytes());
    assert_eq!(send(&signature, &sent.replace("bot_1", "bot_2")), 401);
    assert_eq!(send("bm90IGl0", sent), 401);
    assert_eq!(server.post("/attendee", &[], sent.as_bytes()), 401);
    assert_eq!(send(&signature, "no JSON"), 400);
    assert_eq!(world.notifications(), 0);
    assert_eq!((send(&signature, sent), send(&signature, sent)), (200, 200));
    assert_eq!(world.rows("notifications WHERE source = 'attendee' AND key = 'key-1'"), 1);
}
