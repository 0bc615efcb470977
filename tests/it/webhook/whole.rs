//! From a change at Google to its row: a channel that syncctl created, a notification that the simulator sends, a poll that the server
//! starts.

use std::time::Instant;

use super::server::Server;
use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, Service};
use crate::support::waiting::until;

#[track_caller]
fn a_change_is_pushed(service: &'static Service) {
    let mut world = World::of(service, 3, 10);
    world.sync_all().expect(0);
    let server = Server::start(&world, &["--drain"]);
    world.set("SYNCCTL_PUSH_ADDRESS", format!("http://{}", server.address));
    world.syncctl(&[service.name, "renew-watches"]).expect(0);
    world.sim.reset_ledger();
    world.churn(6, 3);
    let truth = (service.truth)(&world);
    let started = Instant::now();
    until("the changes come by themselves", || world.stored() == truth);
    println!(
        "{}: {} ms from the change to the row, with the questions of this test",
        service.name,
        started.elapsed().as_millis()
    );
    // Users without changes are not polled.
    let lists = world.sim.ledger()["by_method"].clone();
    assert!(lists.get("calendarList.list").is_none() && lists.get("drives.list").is_none(), "{lists}");
    assert!(server.stop().success());
    world.assert_in_step();
}

#[test]
fn a_changed_event_is_pushed_into_the_database() {
    a_change_is_pushed(&CALENDAR);
}

#[test]
fn a_changed_file_is_pushed_into_the_database() {
    a_change_is_pushed(&DRIVE);
}
