//! Projects that a person removed from a document: they are never assigned to it again automatically, and any other may be.

use super::{Desk, by};

/// Removes the current project of a document.
fn unassign(desk: &Desk, document: uuid::Uuid) {
    desk.world.syncctl(&["projects", "unassign", &document.to_string()]).expect(0);
}

#[test]
fn where_kin_may_not_decide_the_sender_does() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "eve@example.com", "a");
    let said: Vec<_> = (0..3).map(|n| desk.mail(&format!("s{n}"), &format!("s{n}"), "bob@example.com", "")).collect();
    let open = desk.mail("m2", "t1", "bob@example.com", "b");
    desk.assign(&[(first, "Bridge"), (said[0], "Garden"), (said[1], "Garden"), (said[2], "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(open), by("kin", "Bridge"));
    unassign(&desk, open);
    desk.cron();
    assert_eq!(desk.holds(open), by("sender", "Garden"));
    // That was wrong too.
    unassign(&desk, open);
    desk.cron();
    assert_eq!(desk.holds(open), None);
    // Neither a new text nor more training brings one of them back.
    desk.mail("m2", "t1", "bob@example.com", "another text");
    desk.assign(&[(desk.mail("s9", "s9", "bob@example.com", ""), "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(open), None);
}

#[test]
fn where_the_sender_may_not_decide_the_model_does() {
    let desk = Desk::new();
    let said: Vec<_> = (0..3).map(|n| desk.mail(&format!("s{n}"), &format!("s{n}"), "bob@example.com", "rivet")).collect();
    desk.assign(&[(said[0], "Garden"), (said[1], "Garden"), (said[2], "Garden")]);
    desk.teach(60);
    let open = desk.mail("m1", "m1", "bob@example.com", &super::words(0, 901));
    desk.cron();
    assert_eq!(desk.holds(open), by("sender", "Garden"));
    unassign(&desk, open);
    desk.cron();
    assert_eq!(desk.holds(open), by("model", "Bridge"));
}

#[test]
fn where_its_best_label_may_not_be_given_the_model_goes_on_with_the_next_by_its_own_measure() {
    let desk = Desk::new();
    desk.teach(60);
    // About two subjects.
    let open = desk.mail("m1", "m1", "", &format!("{} {}", super::words(0, 901), super::words(1, 901)));
    desk.cron();
    let candidates = || {
        let report = desk.world.syncctl(&["classify", "explain", &open.to_string(), "--json"]).expect(0).json();
        let of = |index: usize| {
            let one = &report["candidates"][index];
            (one["label"]["name"].as_str().unwrap_or_default().to_owned(), one["confidence"].as_f64().expect("a confidence"))
        };
        [of(0), of(1)]
    };
    let [(first, _), (second, before)] = candidates();
    desk.assign(&[(open, &first)]);
    unassign(&desk, open);
    let [(best, confidence), _] = candidates();
    // The better candidate above it no longer reduces its confidence.
    assert!(best == second && confidence > before, "{best} {confidence}, {second} {before}");
    desk.cron();
    assert_ne!(desk.holds(open), by("model", &first));
}

#[test]
fn who_moves_a_document_and_takes_it_out_again_has_refused_both() {
    let desk = Desk::new();
    let first = desk.mail("m1", "t1", "bob@example.com", "a");
    let open = desk.mail("m2", "t1", "bob@example.com", "b");
    desk.assign(&[(first, "Bridge")]);
    desk.cron();
    desk.assign(&[(open, "Garden")]);
    unassign(&desk, open);
    desk.assign(&[(first, "Garden")]);
    desk.cron();
    assert_eq!(desk.holds(open), None, "its kin are of a project that was taken away too");
    let explained = desk.world.syncctl(&["classify", "explain", &open.to_string(), "--json"]).expect(0).json();
    assert_eq!(explained["refused"].as_array().map(Vec::len), Some(2), "{explained}");
    // A confirmed assignment is not removed.
    let kept = desk.mail("m3", "t1", "bob@example.com", "c");
    desk.cron();
    assert_eq!(desk.holds(kept), by("kin", "Garden"));
    desk.assign(&[(kept, "Garden")]);
    let explained = desk.world.syncctl(&["classify", "explain", &kept.to_string(), "--json"]).expect(0).json();
    assert_eq!(explained["refused"].as_array().map(Vec::len), Some(0), "{explained}");
}
