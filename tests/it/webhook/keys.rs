//! Google replaces the keys for Pub/Sub's tokens while the server runs.

use serde_json::json;

use super::senders::mailboxes;
use super::server::Server;
use crate::support::waiting::until;

const TOPIC: &str = "projects/acme/topics/mail";
const ACCOUNT: &str = "push@acme.iam.gserviceaccount.com";

#[test]
fn replaced_keys_are_fetched_when_a_token_needs_them_and_not_more_than_once_a_minute() {
    let (mut world, address) = mailboxes();
    let keys = format!("{}/oauth2/v3/certs", world.sim.url);
    world.set("SYNCCTL_WEBHOOK_OIDC_AUDIENCE", "https://hooks.example.org/gmail");
    world.set("SYNCCTL_WEBHOOK_OIDC_EMAIL", ACCOUNT);
    world.set("SYNCCTL_WEBHOOK_KEYS_URL", keys);
    world.set("SYNCCTL_PUSH_GMAIL_TOPIC", TOPIC);
    let server = Server::start(&world, &[]);
    let endpoint = format!("http://{}/gmail", server.address);
    let subscription =
        json!({ "topic": TOPIC, "endpoint": endpoint, "email": ACCOUNT, "audience": "https://hooks.example.org/gmail" });
    world.sim.admin("push/subscription", subscription);
    let key_requests = || world.sim.get("push/keys")["asked"].as_u64().expect("a number");
    let mail = || world.sim.admin("mail/messages", json!({ "user": address, "raw": "Subject: x\r\n\r\nx" }));

    world.syncctl(&["gmail", "renew-watches"]).expect(0);
    until("the first messages of two watches", || world.notifications() == 2);
    mail();
    until("a message", || world.notifications() == 3);
    assert_eq!(key_requests(), 1, "keys are kept");

    world.sim.admin("push/keys", json!({}));
    mail();
    until("a message that is signed with the new key", || world.notifications() == 4);
    assert_eq!(key_requests(), 2);

    // Anyone can name unknown keys.
    for nth in 0..20 {
        let head = data_encoding::BASE64URL_NOPAD
            .encode(json!({ "alg": "RS256", "kid": format!("made-up-{nth}") }).to_string().as_bytes());
        let bearer = format!("Bearer {head}.e30.AAAA");
        assert_eq!(server.post("/gmail", &[("authorization", &bearer)], b"{}"), 401);
    }
    assert_eq!(key_requests(), 2, "a minute has not passed");
    world.sim.admin("push/keys", json!({}));
    mail();
    until("Pub/Sub to give up", || world.sim.get("push/count")["failed"] == 1);
    assert_eq!((key_requests(), world.notifications()), (2, 4), "the third key is not known before the minute is over");
    assert!(server.stop().success());
}
