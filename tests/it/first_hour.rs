//! The first hour with syncctl: what a person at a terminal reads beside the results, and what pipes and scripts get instead.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::World;
use crate::support::library::email;

#[test]
fn a_first_sync_says_what_it_stored_and_at_a_terminal_how_to_see_it() {
    let world = World::with_users(1, 3);
    let ran = world.at_terminal(&["calendar", "cron"]).expect(0).stdout;
    assert!(ran.contains("changed   ") && ran.contains(" events, ") && ran.contains(" calendar"), "{ran}");
    assert!(ran.contains("changes   events: ") && ran.contains("next: `syncctl calendar agenda`"), "{ran}");
    let later = world.at_terminal(&["calendar", "cron", "--force"]).expect(0).stdout;
    assert!(!later.contains("changed ") && !later.contains("next: "), "{later}");
    let other = World::with_users(1, 3);
    let ran = other.syncctl(&["sync", "cron"]).expect(0);
    assert!(ran.stdout.contains("\nchanged   ") && ran.stderr.is_empty() && !ran.stdout.contains("next: "), "{ran:?}");
}

#[test]
fn accounts_are_followed_by_what_to_do_with_them() {
    let world = World::with_users(2, 1);
    let file = world.folder.path().join("accounts.jsonl");
    std::fs::write(&file, world.sim.text("accounts")).expect("writing");
    let file = file.to_str().expect("a path");
    let imported = world.at_terminal(&["accounts", "import", file]).expect(0).stdout;
    assert!(imported.contains("2 renewed") && imported.contains("next: `syncctl accounts check`"), "{imported}");
    for quiet in [&["accounts", "import", file, "--json"][..], &["accounts", "import", file, "--quiet"]] {
        let ran = world.at_terminal(quiet).expect(0).stdout;
        assert!(!ran.contains("next: "), "{ran}");
    }
}

#[test]
fn empty_lists_say_why_and_what_would_fill_them() {
    let world = World::empty();
    for (arguments, why) in [
        (&["accounts", "list"][..], "no accounts yet: add one with `syncctl accounts login`"),
        (&["documents", "list"], "no documents: mail to ai+NAME@DOMAIN, "),
        (&["documents", "list", "--source", "gmail"], "no documents match these options"),
        (&["outbox", "list"], "no deliveries: no targets; add some to the settings as [[outbox.targets]]"),
        (&["outbox", "list", "--state", "dead"], "no deliveries match these options"),
        (&["items", "list"], "nothing in quarantine"),
        (&["projects", "list"], "no open projects; `--all` includes closed ones"),
        (&["projects", "list", "--all"], "no projects; add one with `syncctl projects add`"),
        (&["status"], "no job has run yet: `syncctl sync cron`"),
    ] {
        let ran = world.syncctl(arguments).expect(0);
        assert!(ran.stdout.contains(why), "{arguments:?}: {ran:?}");
    }
    for arguments in [&["calendar", "agenda"][..], &["gmail", "list"], &["drive", "list"]] {
        let ran = world.syncctl(arguments).expect(2);
        assert!(ran.stderr.contains("there is no user yet: add one with `syncctl accounts login`"), "{arguments:?}: {ran:?}");
    }
    let world = World::with_users(1, 0);
    world.syncctl(&["sync", "cron"]).expect(0);
    for (arguments, why) in [
        (&["calendar", "agenda"][..], "no events in these days; --from and --to show others"),
        (&["gmail", "list"], "no messages: the mailbox has received none in the time that is synced"),
        (&["gmail", "list", "--unread"], "no messages match these words and options"),
        (&["drive", "list"], "no files: the user sees none outside the trash"),
        (&["drive", "list", "--shared"], "no files match these options"),
    ] {
        let ran = world.syncctl(arguments).expect(0);
        assert!(ran.stdout.contains(why), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_list_is_read_in_parts_and_says_at_a_terminal_of_how_many() {
    let world = World::empty();
    let user = world.user("ann@example.com");
    for (at, name) in ["m1", "m2", "m3"].into_iter().enumerate() {
        let id = world.document(&email(user, name, name, "text"));
        world.execute(&format!("UPDATE documents SET updated_at = now() - interval '{} days' WHERE id = '{id}'", 10 - at));
    }
    let titles = |arguments: &[&str]| {
        let rows = world.syncctl(&[&["documents", "list", "--json"], arguments].concat()).expect(0).json();
        rows.as_array().expect("rows").iter().map(|row| row["title"].as_str().expect("a title").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(titles(&[]), ["m3", "m2", "m1"]);
    assert_eq!(titles(&["--limit", "1", "--offset", "1"]), ["m2"]);
    assert_eq!(titles(&["--since", "9days"]), ["m3"]);
    let footer = "2 of 3; --offset 2 shows the next ones";
    let seen = world.at_terminal(&["documents", "list", "--limit", "2"]).expect(0).stdout;
    assert!(seen.contains(footer), "{seen}");
    let last = world.at_terminal(&["documents", "list", "--limit", "2", "--offset", "2"]).expect(0).stdout;
    assert!(last.contains("3–3 of 3") && !last.contains("--offset"), "{last}");
    let all = world.at_terminal(&["documents", "list"]).expect(0).stdout;
    assert!(!all.contains(" of 3"), "{all}");
    // Pipes and files get the list alone.
    let file = world.folder.path().join("list");
    let seen = world.at_terminal_with(&["documents", "list", "--limit", "2"], &format!(">{}", file.display())).expect(0).stdout;
    let list = std::fs::read_to_string(&file).expect("the list");
    assert!(seen.contains(footer) && !list.contains(" of 3") && list.lines().count() == 3, "{list}");
    assert!(world.syncctl(&["documents", "list", "--limit", "2"]).expect(0).stderr.is_empty());
}

#[test]
fn ids_alone_are_printed_one_per_line_for_the_next_command() {
    let world = World::with_users(3, 1);
    let ids = world.syncctl(&["accounts", "list", "--ids"]).expect(0).stdout;
    assert_eq!(ids.lines().count(), 3, "{ids}");
    assert_eq!(
        world.syncctl(&["accounts", "list", "--ids", "--offset", "1", "--limit", "1"]).expect(0).stdout.lines().count(),
        1
    );
    world.syncctl_with_input(&["calendar", "batch-poll", "--stdin"], &ids).expect(0);
    assert_eq!(world.rows("streams WHERE service = 'calendar' AND polled_at IS NULL"), 0);
    let document = world.document(&email(world.user("ann@example.com"), "m1", "Budget", "the budget"));
    for arguments in [&["documents", "list", "--ids"][..], &["documents", "search", "budget", "--ids"]] {
        assert_eq!(world.syncctl(arguments).expect(0).stdout, format!("{document}\n"));
    }
    for empty in ["items", "projects", "outbox"] {
        assert_eq!(world.syncctl(&[empty, "list", "--ids"]).expect(0).stdout, "", "nothing for a pipe");
    }
    let both = world.syncctl(&["accounts", "list", "--ids", "--json"]).expect(2);
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
}

#[test]
fn a_mistyped_user_is_suggested_at_a_terminal_and_nowhere_else() {
    let world = World::with_users(2, 1);
    let similar = "did you mean user00001@example.com?";
    let arguments = ["calendar", "poll", "usr00001@example.com"];
    let seen = world.at_terminal(&arguments).expect(2).stdout;
    assert!(seen.contains(similar) && seen.contains("no user usr00001@example.com"), "{seen}");
    let ran = world.syncctl(&arguments).expect(2);
    assert!(!ran.stderr.contains("did you mean") && ran.stderr.contains("no user usr00001@example.com"), "{ran:?}");
    assert_eq!(world.rows("calendar_cron_results WHERE error_message LIKE '%user00001%'"), 0, "it is not stored");
    let other = world.at_terminal(&["gmail", "list", "somebody@example.org"]).expect(2).stdout;
    assert!(!other.contains("did you mean"), "{other}");
}

#[test]
fn ctrl_c_says_what_happens_and_ends_with_its_own_code() {
    let world = World::with_users(3, 5);
    world.sim.fault(json!({ "fault": "stall", "method": "events.list", "times": 1 }));
    let child = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
    let ended = child.wait_with_output().expect("the end");
    world.sim.admin("release", json!({}));
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(130), "{stdout}{stderr}");
    assert!(
        stderr.contains("interrupted: what has been received is stored first; press Ctrl-C again to end immediately"),
        "{stderr}"
    );
    assert!(stdout.contains("stopped   early: stop requested"), "{stdout}");
    world.assert_no_leftovers();
    world.syncctl(&["calendar", "cron"]).expect(0);
}
