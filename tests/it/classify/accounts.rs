//! Users whose accounts are no longer called.

use serde_json::json;
use uuid::Uuid;

use super::{Desk, by, mail_of};
use crate::support::World;

#[test]
fn documents_of_a_user_whose_account_is_revoked_or_ended_are_judged() {
    let world = World::with_users(2, 1);
    let users: Vec<(Uuid, String)> =
        world.query("SELECT id, email FROM users ORDER BY email").iter().map(|row| (row.get(0), row.get(1))).collect();
    for (_, name) in &users {
        world.syncctl(&["projects", "add", name, "Bridge"]).expect(0);
    }
    world.sync_all().expect(0);
    // One on purpose, one by Google.
    world.syncctl(&["accounts", "revoke", &users[0].1]).expect(0);
    world.sim.admin("revoke", json!({ "user": users[1].1 }));
    world.forget_access_tokens();
    world.make_all_due();
    let _ = world.sync_all();
    assert_eq!(world.rows("accounts WHERE state IN ('revoked', 'ended')"), 2);
    let desk = Desk { user: users[0].0, world };
    for (user, _) in &users {
        let mail = |id: &str| mail_of(&desk.world, *user, &format!("{id}{user}"), "t1", "bob@example.com", id);
        let (first, second) = (mail("a"), mail("b"));
        desk.assign(&[(first, "Bridge")]);
        desk.world.syncctl(&["classify", "smart-poll", &second.to_string()]).expect(0);
        assert_eq!(desk.holds(second), by("kin", "Bridge"));
        let third = mail("c");
        desk.cron();
        assert_eq!((desk.holds(third), desk.queued()), (by("kin", "Bridge"), 0));
    }
    desk.world.syncctl(&["accounts", "remove", &users[0].1, "--yes"]).expect(0);
    desk.cron();
    assert_eq!(desk.world.decided_documents(), 3);
}
