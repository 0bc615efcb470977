//! Items that crash the process that reads them (here by exhausting memory), and processes that are killed by people: the former are found
//! and quarantined by ID, the latter quarantine nothing.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{CALENDAR, GMAIL, Service};
use crate::support::waiting::until;

/// Memory limit of a process, in KiB: several times what a run needs, and less than reading the message takes.
const MEMORY: u64 = 14 << 10;
const MESSAGE: usize = 4 << 20;

/// This many users in sync, with leases that lapse soon.
fn world(service: &'static Service, users: u32) -> World {
    let mut world = World::of(service, users, 5);
    world.set("SYNCCTL_ENGINE_LEASE", "500ms");
    world.set("SYNCCTL_GMAIL_STORE", "all");
    // A large message takes the simulator long on a busy machine.
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "10m");
    world.sync_all().expect(0);
    world
}

/// A command with this memory limit in KiB.
fn limited(world: &World, arguments: &[&str], kib: u64) -> Command {
    let inner = world.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -c 0; ulimit -d {kib}; exec \"$0\" \"$@\"")]).arg(inner.get_program());
    command.args(inner.get_args()).env_clear().stdin(Stdio::null());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

struct Ended {
    /// `None`: ended by a signal.
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    #[track_caller]
    fn died(self) {
        assert!(self.code.is_none(), "{:?}: {}{}", self.code, self.stdout, self.stderr);
    }

    #[track_caller]
    fn json(self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).expect("a report")
    }
}

/// Runs the service's job with little memory, and lets its leases lapse.
fn run(world: &World, kib: u64) -> Ended {
    let output = limited(world, world.service.jobs[0], kib).output().expect("it starts");
    world.wait_until_leases_lapse();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

const CONDEMNED: &str = "quarantined_items WHERE is_deadly";

#[test]
fn a_message_that_kills_its_process_is_quarantined_by_its_id_and_all_others_go_on() {
    let world = world(&GMAIL, 3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.folder.path().join("deadly.eml");
    fs::write(&file, format!("Subject: deadly\r\n\r\n{}", "x y\r\n".repeat(MESSAGE / 5))).expect("a file");
    world.sim.admin("mail/load", json!({ "user": users[0], "path": file }));
    for user in &users {
        world.sim.admin("mail/messages", json!({ "user": user, "raw": "Subject: beside\r\n\r\nx" }));
    }
    run(&world, MEMORY).died();
    run(&world, MEMORY).died();
    let report = run(&world, MEMORY).json(0);
    assert_eq!((&report["failed_streams"], &report["error"]), (&json!(0), &Value::Null), "{report}");
    assert!(report["quarantined"].as_u64().is_some_and(|count| count > 0), "{report}");
    assert_eq!(world.messages_about("beside"), 3);
    assert_eq!(world.quarantined(), 1);
    assert_eq!(world.rows(CONDEMNED), 1);
    let listed = world.syncctl(&["items", "list"]).expect(0).stdout;
    assert!(listed.contains("the process that read this item died, twice"), "{listed}");
    world.assert_no_leftovers();

    // From now on it costs nothing, even when everything is listed again.
    assert_eq!(run(&world, MEMORY).json(0)["idle_streams"], 3);
    world.expire();
    run(&world, MEMORY).json(0);
    assert_eq!((world.rows(CONDEMNED), world.most_lapses()), (1, 0));

    // With more memory, a person can have it read.
    world.syncctl(&["items", "retry"]).expect(0);
    assert_eq!(world.quarantined(), 0);
    world.assert_in_step();
}

#[test]
fn a_page_that_ends_its_process_is_a_failure_of_its_stream_alone() {
    let mut world = World::empty();
    world.set("SYNCCTL_ENGINE_LEASE", "500ms");
    let credentials = json!({ "type": "authorized_user", "client_id": "1-a", "client_secret": "s", "refresh_token": "r" });
    let line = json!({ "email": "ann@example.com", "credentials": credentials }).to_string();
    world.syncctl_with_input(&["accounts", "import", "-"], &line).expect(0);
    let receiver = Receiver::start();
    receiver.answer(|request| match request.path.as_str() {
        "/token" => Reply::Full(200, Vec::new(), json!({ "access_token": "t", "expires_in": 3600 }).to_string()),
        _ => Reply::Endless(200, 1 << 30),
    });
    world.set("SYNCCTL_GOOGLE_ROOT", format!("http://127.0.0.1:{}", receiver.port));
    world.set("SYNCCTL_ENGINE_ANSWER_MAX_SIZE", "1000000000");
    world.set("SYNCCTL_GOOGLE_BATCH_SIZE", "1");
    run(&world, MEMORY).died();
    run(&world, MEMORY).died();
    let report = run(&world, MEMORY).json(1);
    let example = report["errors"]["internal"]["example"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned();
    assert!(example.contains("the process that polled this stream ended with signal: 6"), "{example}");
    assert_eq!((&report["failed_streams"], &report["quarantined"]), (&json!(1), &json!(0)), "{report}");
    world.assert_no_leftovers();
}

/// Starts the job, and kills it while Google does not answer, as people and machines do.
fn killed_while_google_is_silent(world: &World) {
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let mut run: Child = world.command(world.service.jobs[0]).stdout(Stdio::piped()).spawn().expect("it starts");
    world.wait_for_stall();
    run.kill().expect("a signal");
    // Its child processes hold its output: this waits for them, too.
    run.wait_with_output().expect("the end");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    world.wait_until_leases_lapse();
}

fn kills_condemn_nothing(service: &'static Service) {
    let world = world(service, 3);
    world.churn(12, 7);
    // The later ones while streams are polled in separate processes.
    for _ in 0..6 {
        killed_while_google_is_silent(&world);
    }
    assert!(world.most_lapses() >= 2);
    let report = world.sync_all().expect(0).json();
    assert_eq!((&report["failed_streams"], &report["quarantined"]), (&json!(0), &json!(0)), "{report}");
    // Streams polled separately are in the run's report.
    assert_eq!(report["total_users"], 3, "{report}");
    world.assert_in_step();
    world.assert_no_leftovers();
    assert_eq!(world.quarantined(), 0);
    assert_eq!(world.most_lapses(), 0);
}

#[test]
fn mailboxes_whose_runs_are_killed_again_and_again_lose_nothing_to_quarantine() {
    kills_condemn_nothing(&GMAIL);
}

#[test]
fn calendars_whose_runs_are_killed_again_and_again_lose_nothing_to_quarantine() {
    kills_condemn_nothing(&CALENDAR);
}

#[test]
fn isolated_streams_are_released_when_the_run_is_stopped() {
    let world = world(&GMAIL, 2);
    world.churn(8, 3);
    killed_while_google_is_silent(&world);
    killed_while_google_is_silent(&world);
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let run = world.spawn(world.service.jobs[0]);
    world.wait_for_stall();
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::TERM).expect("a signal");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    let output = run.wait_with_output().expect("the end");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["stopped_early"], "stop requested", "{report}");
    world.assert_no_leftovers();
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn isolated_streams_do_not_wait_for_first_passes() {
    let world = world(&GMAIL, 2);
    world.churn(8, 3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let of = |user: &str| format!("user_id = (SELECT id FROM users WHERE email = '{user}')");
    // One of the two has its mailbox read again, page by page, and Google is slow. Two processes died with the other one.
    world.execute(&format!("UPDATE streams SET cursor = NULL, full_pass_at = NULL WHERE {}", of(&users[0])));
    world.execute(&format!("UPDATE streams SET lapses = 2 WHERE {}", of(&users[1])));
    world.sim.fault(json!({ "fault": "stall", "method": "messages.list", "user": users[0] }));
    let polled = format!("streams WHERE lapses = 0 AND {}", of(&users[1]));
    let run = world.spawn(world.service.jobs[0]);
    world.wait_for_stall();
    until("the other one is polled, without waiting for the first pass", || world.rows(&polled) > 0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    let output = run.wait_with_output().expect("the end");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}
