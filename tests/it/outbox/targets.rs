//! Targets: what they receive, which are allowed, and how they are configured.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{documents, in_state, settings, world};
use crate::support::World;
use crate::support::receiver::Receiver;

#[test]
fn a_request_carries_its_event_and_a_signature_that_holds() {
    let receiver = Receiver::start();
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), "wherever\n").expect("writing");
    let world = world(&[("n8n", &receiver, &format!("secret_file = \"{}\"", secret.path().display()))], "");
    let documents = documents(1);
    let ids = world.emit("drive.file.modified", &documents);
    world.syncctl(&["deliver"]).expect(0);
    let request = receiver.take().pop().expect("a request");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("x-syncctl-event"), "drive.file.modified");
    assert!(request.header("user-agent").starts_with("syncctl/"));
    assert_eq!(request.key(), ids[0].to_string());
    let payload = request.json();
    assert_eq!((&payload["id"], &payload["document_id"]), (&ids[0].to_string().into(), &documents[0].to_string().into()));
    let header = request.header("x-syncctl-signature");
    let (time, signature) = header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("t=…,v1=…");
    let signature = data_encoding::HEXLOWER.decode(signature.as_bytes()).expect("hexadecimal");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"wherever").expect("a key");
    mac.update(format!("{time}.{}", request.body).as_bytes());
    mac.verify_slice(&signature).expect("the signature of the body as it was sent");
    let age = chrono::Utc::now().timestamp() - time.parse::<i64>().expect("seconds");
    assert!((0..60).contains(&age), "{age} s old");
}

#[test]
fn a_key_among_the_credentials_of_a_unit_is_found_by_its_name() {
    let receiver = Receiver::start();
    let mut world = world(&[("n8n", &receiver, "secret_file = \"n8n\"")], "");
    std::fs::write(world.folder.path().join("n8n"), "wherever").expect("writing");
    world.set("CREDENTIALS_DIRECTORY", world.folder.path().display().to_string());
    world.emit("drive.file.modified", &documents(1));
    world.syncctl(&["deliver"]).expect(0);
    assert!(receiver.take()[0].headers.contains_key("x-syncctl-signature"));
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let receiver = Receiver::start();
    let world = world(&[("n8n", &receiver, "")], "");
    world.emit("drive.file.modified", &documents(1));
    world.syncctl(&["deliver"]).expect(0);
    assert!(!receiver.take()[0].headers.contains_key("x-syncctl-signature"));
}

#[test]
fn each_target_gets_the_events_it_names() {
    let (all, drive, exact) = (Receiver::start(), Receiver::start(), Receiver::start());
    let targets = [
        ("all", &all, ""),
        ("drive", &drive, "events = [\"drive.*\"]"),
        ("exact", &exact, "events = [\"gmail.message.deleted\", \"drive.file.trashed\"]"),
    ];
    let world = world(&targets, "");
    let kinds =
        ["drive.file.modified", "drive.file.trashed", "gmail.message.detected", "gmail.message.deleted", "drivexfile.modified"];
    for kind in kinds {
        world.emit(kind, &documents(1));
    }
    world.syncctl(&["deliver"]).expect(0);
    let got = |receiver: &Receiver| {
        let mut kinds: Vec<String> = receiver.take().iter().map(|request| request.header("x-syncctl-event").to_owned()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(got(&all).len(), 5);
    assert_eq!(got(&drive), ["drive.file.modified", "drive.file.trashed"]);
    assert_eq!(got(&exact), ["drive.file.trashed", "gmail.message.deleted"]);
}

#[test]
fn without_targets_events_wait_for_the_first_one() {
    let mut world = World::empty();
    world.emit("drive.file.modified", &documents(2));
    let output = world.syncctl(&["deliver"]).expect(0);
    assert!(output.stdout.contains("[[outbox.targets]]"), "{}", output.stdout);
    let receiver = Receiver::start();
    settings(&mut world, &[("n8n", &receiver, "")], "allow_private = true");
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(receiver.take().len(), 2);
}

#[test]
fn a_private_address_is_not_called_by_number_or_by_name() {
    let receiver = Receiver::start();
    let mut world = World::empty();
    world.emit("drive.file.modified", &documents(1));
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001"] {
        let target = format!("[{{ name = \"n8n\", url = \"http://{host}:{}/hook\" }}]", receiver.port);
        let set = format!("outbox.targets={target}");
        let output = world.syncctl(&["deliver", "--set", &set]).expect(1);
        assert!(output.stderr.contains("outbox.allow_private=true"), "{host}: {}", output.stderr);
        assert_eq!(receiver.connections(), 0, "{host}");
        // The event is not to blame.
        assert_eq!(world.count("SELECT attempts::bigint FROM outbox_deliveries WHERE claimed_by IS NULL"), 0, "{host}");
    }
    settings(&mut world, &[("n8n", &receiver, "")], "allow_private = true");
    world.syncctl(&["deliver"]).expect(0);
    assert_eq!(in_state(&world, "delivered"), 1);
}

#[test]
fn a_target_that_cannot_be_one_ends_the_run_with_its_line() {
    let mut world = World::empty();
    let receiver = Receiver::start();
    let good = format!("[[outbox.targets]]\nname = \"a\"\nurl = \"{}\"\n", receiver.url());
    let refused = [
        ("colour = \"red\"", ":7: outbox.targets[1].colour: unknown field"),
        ("secret = 12345", ":7: outbox.targets[1].secret: must be a string"),
        ("secret_file = \"/nowhere/key\"", "outbox.targets[1]: secret_file /nowhere/key"),
        ("events = [\"dri*\"]", "events are names, or prefixes"),
    ];
    let file = world.folder.path().join("settings.toml");
    world.set("SYNCCTL_CONFIG", file.display().to_string());
    for (line, message) in refused {
        let second = format!("[[outbox.targets]]\nname = \"b\"\nurl = \"https://n8n.example.com\"\n{line}\n");
        std::fs::write(&file, format!("{good}{second}")).expect("writing");
        let output = world.syncctl(&["deliver"]).expect(78);
        assert!(output.stderr.contains(message), "{line}: {}", output.stderr);
        assert!(!output.stderr.contains("12345"), "{}", output.stderr);
    }
    std::fs::write(&file, format!("{good}{good}")).expect("writing");
    let twice = world.syncctl(&["deliver"]).expect(78);
    assert!(twice.stderr.contains("targets with distinct names"), "{}", twice.stderr);
}

#[test]
fn the_settings_show_targets_without_their_secrets() {
    let mut world = World::empty();
    let target = "[{ name = \"n8n\", url = \"https://me:hunter2@n8n.example.com/hook\", secret = \"hunter3\" }]";
    world.set("SYNCCTL_OUTBOX_TARGETS", target);
    let shown = world.syncctl(&["config", "show"]).expect(0).stdout;
    assert!(shown.contains("https://n8n.example.com/***"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
    world.set("SYNCCTL_OUTBOX_TARGETS", "[{ name = \"n8n\", secret = \"hunter3\" ");
    let broken = world.syncctl(&["config", "show"]).expect(78);
    assert!(!broken.stderr.contains("hunter"), "{}", broken.stderr);
}
