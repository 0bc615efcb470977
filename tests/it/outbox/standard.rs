//! The headers of Standard Webhooks.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{documents, world};
use crate::support::receiver::{Receiver, Reply, Request};

const KEY: &[u8] = b"a key of at least 24 bytes";

/// What the specification says that the signature is.
fn signature(key: &[u8], request: &Request) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.body).as_bytes());
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

#[test]
fn a_delivery_has_the_headers_of_standard_webhooks_and_retries_keep_the_id() {
    let receiver = Receiver::start();
    receiver.answer(|request| Reply::Status(if request.number == 1 { 503 } else { 200 }));
    let world = world(&[("n8n", &receiver, &format!("secret = \"whsec_{}\"", BASE64.encode(KEY)))], "");
    let ids = world.emit("drive.file.modified", &documents(1));
    world.syncctl(&["deliver"]).expect(1);
    world.syncctl(&["deliver"]).expect(0);
    let requests = receiver.take();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!((request.header("webhook-id"), request.key()), (ids[0].to_string().as_str(), ids[0].to_string().as_str()));
        let age = chrono::Utc::now().timestamp() - request.header("webhook-timestamp").parse::<i64>().expect("seconds");
        assert!((0..60).contains(&age), "{age} s old");
        assert_eq!(request.header("webhook-signature"), signature(KEY, request));
        assert!(request.headers.contains_key("x-syncctl-signature"));
    }
}

#[test]
fn the_key_is_base64_with_or_without_the_prefix_or_the_secret_itself() {
    let encoded = BASE64.encode(KEY);
    for (secret, key) in [(encoded.as_str(), KEY), ("not base64!", b"not base64!")] {
        let receiver = Receiver::start();
        let world = world(&[("n8n", &receiver, &format!("secret = \"{secret}\""))], "");
        world.emit("drive.file.modified", &documents(1));
        world.syncctl(&["deliver"]).expect(0);
        let request = receiver.take().remove(0);
        assert_eq!(request.header("webhook-signature"), signature(key, &request), "{secret}");
    }
    let receiver = Receiver::start();
    let unsigned = world(&[("n8n", &receiver, "")], "");
    unsigned.emit("drive.file.modified", &documents(1));
    unsigned.syncctl(&["deliver"]).expect(0);
    let request = receiver.take().remove(0);
    assert!(request.headers.contains_key("webhook-id") && !request.headers.contains_key("webhook-signature"));
    let broken = world(&[("n8n", &receiver, "secret = \"whsec_hunter2!\"")], "");
    let output = broken.syncctl(&["deliver"]).expect(78);
    assert!(output.stderr.contains("a key in base64") && !output.stderr.contains("hunter2"), "{}", output.stderr);
}
