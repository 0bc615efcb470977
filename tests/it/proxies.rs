//! Google is reachable only through a proxy: user grants and service accounts both get their tokens through it, and events their targets.

use uuid::Uuid;

use crate::support::World;
use crate::support::proxy::{HOST, Proxy};
use crate::support::receiver::Receiver;

/// This many users, the first half with a service account, whose default Google host is `origin`.
fn both_kinds(world: &World, users: u32, origin: &str) {
    world.sim.generate(users, 3);
    let lines = world.accounts_of_both_kinds().replace(&world.sim.url, origin);
    world.syncctl_with_input(&["accounts", "import", "-"], &lines).expect(0);
}

#[test]
fn behind_an_https_proxy_both_kinds_of_credentials_get_their_tokens_over_the_same_connections() {
    let mut world = World::empty();
    let proxy = Proxy::before(&world.sim.url, world.folder.path());
    let origin = format!("https://{HOST}");
    world.set("SYNCCTL_GOOGLE_ROOT", &origin);
    both_kinds(&world, 12, &origin);
    world.set("SSL_CERT_FILE", proxy.ca.display().to_string());
    world.set("HTTPS_PROXY", &proxy.url);
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "1");
    world.sync_all().expect(0);
    world.assert_in_step();
    let tunnels = proxy.targets();
    assert!(tunnels.iter().all(|target| *target == format!("{HOST}:443")), "{tunnels:?}");
    assert!((1..6).contains(&tunnels.len()), "a connection for each of six service accounts: {tunnels:?}");
}

#[test]
fn a_plain_proxy_serves_both_kinds_and_no_proxy_goes_past_it() {
    let mut world = World::empty();
    let proxy = Proxy::before(&world.sim.url, world.folder.path());
    both_kinds(&world, 4, &world.sim.url);
    world.set("HTTP_PROXY", &proxy.url);
    world.sync_all().expect(0);
    world.assert_in_step();
    let seen = proxy.targets().len();
    assert!(seen > 0, "nothing went by the proxy");
    world.set("NO_PROXY", "127.0.0.1");
    world.forget_access_tokens();
    world.sync_all().expect(0);
    assert_eq!(proxy.targets().len(), seen, "{:?}", proxy.targets());
}

#[test]
fn events_go_through_the_proxy_to_public_targets_and_not_to_names_of_the_private_network() {
    let receiver = Receiver::start();
    let mut world = World::empty();
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", receiver.port), world.folder.path());
    world.set("SSL_CERT_FILE", proxy.ca.display().to_string());
    world.set("HTTPS_PROXY", &proxy.url);
    world.emit("drive.file.modified", &[Uuid::new_v4()]);
    let deliver = |world: &World, host: &str, code: i32| {
        let targets = format!("outbox.targets=[{{ name = \"n8n\", url = \"https://{host}/hook\" }}]");
        world.syncctl(&["deliver", "--set", &targets]).expect(code)
    };
    for host in ["localhost", "127.0.0.1"] {
        let refused = deliver(&world, host, 1);
        assert!(refused.stderr.contains("outbox.allow_private=true"), "{host}: {}", refused.stderr);
    }
    assert!(proxy.targets().is_empty(), "{:?}", proxy.targets());
    deliver(&world, HOST, 0);
    assert_eq!((proxy.targets(), receiver.take().len()), (vec![format!("{HOST}:443")], 1));
    let checked =
        world.syncctl(&["doctor", "--set", &format!("outbox.targets=[{{ name = \"n8n\", url = \"https://{HOST}/hook\" }}]")]);
    assert!(checked.stdout.contains(&format!("n8n answers at {}", proxy.url.trim_start_matches("http://"))), "{checked:?}");
}
