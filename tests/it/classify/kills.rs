//! Killed and parallel runs, and concurrent decisions of people: no decision is lost, and nothing is decided or sent twice.

use std::os::unix::process::ExitStatusExt as _;

use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::{Desk, mail_of};
use crate::support::gate::Gate;
use crate::support::waiting::until;
use crate::support::{World, postgres};

/// Number of runs to kill: 100, or `SYNCCTL_TEST_KILLS`.
fn kills() -> u64 {
    std::env::var("SYNCCTL_TEST_KILLS").map_or(100, |kills| kills.parse().expect("SYNCCTL_TEST_KILLS is a number"))
}

/// Invariants after kills: each decision was sent once, in order; a person's decision is kept.
fn nothing_is_doubled_or_lost(world: &World) {
    let wrong = |what: &str, statement: &str| assert_eq!(world.count(statement), 0, "{what}");
    wrong(
        "words of people that do not hold",
        "SELECT count(*) FROM (SELECT DISTINCT ON (document_id) document_id, action, project_id FROM project_corrections ORDER BY document_id, id DESC) c
         LEFT JOIN document_projects p USING (document_id)
         WHERE c.action <> 'unassigned' AND (p.decided_by IS DISTINCT FROM 'human' OR p.project_id IS DISTINCT FROM c.project_id)",
    );
    wrong(
        "decisions that were sent twice in a row",
        "SELECT count(*) FROM (SELECT payload -> 'project' AS now, payload -> 'decided_by' AS by, lag(payload -> 'project') OVER told AS before,
             lag(payload -> 'decided_by') OVER told AS by_before
           FROM outbox_events WHERE type = 'document.classified' WINDOW told AS (PARTITION BY subject ORDER BY seq)) e
         WHERE now = before AND by = by_before",
    );
    wrong(
        "documents whose last event says something else than what holds",
        "SELECT count(*) FROM (SELECT DISTINCT ON (subject) subject, payload FROM outbox_events WHERE type = 'document.classified' ORDER BY subject, seq DESC) e
         JOIN documents d ON d.id = e.subject LEFT JOIN document_projects p ON p.document_id = d.id
         WHERE e.payload #>> '{project,id}' IS DISTINCT FROM p.project_id::text OR d.project_id IS DISTINCT FROM p.project_id
           OR e.payload ->> 'decided_by' IS DISTINCT FROM p.decided_by",
    );
    wrong(
        "decisions that were never sent",
        "SELECT count(*) FROM document_projects p WHERE NOT EXISTS (SELECT FROM outbox_events e WHERE e.subject = p.document_id)",
    );
    wrong("documents that wait", "SELECT count(*) FROM classify_queue");
    wrong("leases", "SELECT count(*) FROM streams WHERE claimed_by IS NOT NULL");
}

#[test]
fn kills_lose_no_assignment_and_double_no_decision() {
    let kills = kills();
    let mut desk = Desk::new();
    desk.world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    desk.teach(40);
    desk.cron();
    let server = postgres::shared();
    let gate = Gate::before(&server.socket_dir(), server.port());
    let (direct, through) = (desk.world.url.clone(), gate.url(desk.world.database.name(), server.port()));
    let mut chance = rand::rngs::StdRng::seed_from_u64(7);
    let (mut killed, mut round, mut said) = (0, 0, 20);
    while killed < kills {
        assert!(round < 10 * kills, "only {killed} of {round} runs had not ended when they were to be killed");
        let new: Vec<Uuid> = (0..3).map(|kind| desk.about(kind, 1_000 + usize::try_from(round).expect("a round"))).collect();
        if round % 3 == 0 {
            desk.assign(&[(new[0], ["Bridge", "Garden", "--none"][chance.random_range(0..3)])]);
        }
        desk.world.url.clone_from(&through);
        gate.freeze_after(chance.random_range(1..=said * 3 / 2), chance.random());
        let mut run = desk.world.spawn(&["classify", "cron"]);
        desk.world.url.clone_from(&direct);
        if gate.stands_still_before_the_end_of(&mut run) {
            run.kill().expect("killing the run");
        } else {
            // The number of messages of a run depends on the decisions to learn: assume that the next one sends as many.
            said = gate.passed();
        }
        let status = run.wait_with_output().expect("the run ends").status;
        killed += u64::from(status.signal() == Some(9));
        gate.open();
        desk.world.wait_until_leases_lapse();
        round += 1;
    }
    desk.cron();
    desk.cron();
    nothing_is_doubled_or_lost(&desk.world);
    let (decided, abandoned) = (desk.world.documents_decided_by("model"), desk.world.results_in("classify", "abandoned"));
    eprintln!("killed {killed} of {round} runs, {abandoned} recorded as abandoned; the model decided {decided} documents");
    assert!(decided > 0);
    assert!(abandoned > 0);
}

/// Blocks a page that has its judgements ready, before it locks any document, while the row of `gate` is locked.
fn gate(desk: &Desk) {
    desk.world.execute(
        "CREATE TABLE gate (id int); INSERT INTO gate VALUES (1);
         CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM gate FOR UPDATE; RETURN NEW; END $$;
         CREATE TRIGGER wait_at_gate BEFORE UPDATE OF cursor ON streams FOR EACH ROW EXECUTE FUNCTION wait_at_gate()",
    );
}

/// Waits until this many sessions wait for a lock.
fn until_waiting(desk: &Desk, sessions: i64) {
    until(&format!("{sessions} sessions wait"), || desk.world.lock_waits() == sessions);
}

#[test]
fn a_person_who_speaks_while_a_run_judges_is_not_overridden() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    desk.assign(&[(first, "Bridge")]);
    gate(&desk);
    for (n, (project, holds)) in
        [("Garden", Some("Garden")), ("--none", None), ("Bridge", Some("Bridge"))].into_iter().enumerate()
    {
        // The latest decisions are learnt: the next page is one of judgements.
        desk.cron();
        let document = desk.mail(&format!("n{n}"), "t1", "bob@example.com", "b");
        let mut hold = desk.world.database.connect();
        hold.batch_execute("BEGIN; SELECT 1 FROM gate FOR UPDATE").expect("the gate");
        let run = desk.world.spawn(&["classify", "cron"]);
        until_waiting(&desk, 1);
        desk.assign(&[(document, project)]);
        hold.batch_execute("COMMIT").expect("the gate opens");
        assert!(run.wait_with_output().expect("the run ends").status.success());
        assert_eq!(desk.holds(document), Some(("human".into(), holds.map(str::to_owned))));
        assert_eq!(desk.events(document).len(), 1);
        // Back to one subject, for the next round.
        desk.assign(&[(document, "Bridge")]);
    }
    desk.cron();
    nothing_is_doubled_or_lost(&desk.world);
}

#[test]
fn an_assignment_that_is_removed_while_a_run_classifies_stays_removed() {
    let desk = Desk::new();
    let (first, second) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t1", "bob@example.com", "b"));
    desk.assign(&[(first, "Bridge")]);
    desk.cron();
    gate(&desk);
    desk.mail("m2", "t1", "bob@example.com", "another text");
    let mut hold = desk.world.database.connect();
    hold.batch_execute("BEGIN; SELECT 1 FROM gate FOR UPDATE").expect("the gate");
    let run = desk.world.spawn(&["classify", "cron"]);
    until_waiting(&desk, 1);
    desk.world.syncctl(&["projects", "unassign", &second.to_string()]).expect(0);
    hold.batch_execute("COMMIT").expect("the gate opens");
    assert!(run.wait_with_output().expect("the run ends").status.success());
    assert_eq!(desk.holds(second), None);
    desk.cron();
    desk.cron();
    assert_eq!((desk.holds(second), desk.queued()), (None, 0));
    nothing_is_doubled_or_lost(&desk.world);
}

#[test]
fn a_lesson_that_has_to_wait_for_rows_is_learnt_after_all() {
    let desk = Desk::new();
    let (first, second) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t1", "bob@example.com", "b"));
    desk.assign(&[(first, "Bridge")]);
    let mut hold = desk.world.database.connect();
    hold.batch_execute(
        "BEGIN; INSERT INTO classify_passes (user_id) SELECT id FROM users ON CONFLICT (user_id) DO UPDATE SET near = '{}'",
    )
    .expect("the pass");
    let run = desk.world.spawn(&["classify", "cron"]);
    // It waits for the pass, gives up, and is postponed.
    until_waiting(&desk, 1);
    until_waiting(&desk, 0);
    hold.batch_execute("ROLLBACK").expect("the pass is free");
    let ended = run.wait_with_output().expect("the run ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    desk.cron();
    assert_eq!((desk.holds(second), desk.queued()), (super::by("kin", "Bridge"), 0));
}

#[test]
fn a_poll_before_a_lesson_keeps_nothing_from_it() {
    let desk = Desk::new();
    let (first, open) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t2", "eve@example.com", "b"));
    let near = desk.mail("m3", "t2", "eve@example.com", "c");
    desk.assign(&[(first, "Bridge")]);
    desk.world.syncctl(&["classify", "poll", &open.to_string()]).expect(0);
    desk.assign(&[(near, "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(open), super::by("kin", "Garden"));
}

#[test]
fn four_processes_share_the_work_and_double_nothing() {
    let desk = Desk::new();
    let users: Vec<Uuid> = (0..6)
        .map(|n| {
            let (email, user) = (format!("user{n}@example.com"), desk.world.user(&format!("user{n}@example.com")));
            desk.world.syncctl(&["projects", "add", &email, "Bridge"]).expect(0);
            user
        })
        .collect();
    let mut said = Vec::new();
    for user in users {
        for thread in 0..40 {
            let mail = |id: &str| mail_of(&desk.world, user, &format!("{id}{thread}"), &format!("t{thread}"), "", id);
            said.push((mail("a"), "Bridge"));
            mail("b");
        }
    }
    desk.assign(&said);
    for _ in 0..2 {
        let runs: Vec<_> = (0..4).map(|_| desk.world.spawn(&["classify", "cron", "--parallel"])).collect();
        for run in runs {
            let ended = run.wait_with_output().expect("the run ends");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
    nothing_is_doubled_or_lost(&desk.world);
    assert_eq!(desk.world.documents_decided_by("kin"), 6 * 40);
    assert_eq!(desk.world.rows("outbox_events WHERE payload ->> 'decided_by' = 'kin'"), 6 * 40);
}
