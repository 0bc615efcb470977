//! Model answers in all formats that models use.

use serde_json::{Value, json};
use syncctl::error::Class;
use syncctl::services::classify::endpoint::{Candidate, Choice, Question};

use super::{Desk, id, project};

#[test]
fn the_choice_is_mapped_back_and_its_tokens_are_counted() {
    let desk = Desk::new();
    let host = desk.host();
    for (text, choice) in [
        ("The girders come on Monday", project(0)),
        ("A new drill", project(1)),
        ("Noodles at noon?", Choice::NoneOfThem),
        ("Hello", Choice::Unsure),
    ] {
        let answered = host.ask_about(text).expect(text);
        assert_eq!(answered.choice, choice, "{text}");
        assert!(answered.confidence > 0.0 && answered.usage.prompt_tokens > 100, "{answered:?}");
    }
    let ledger = desk.ledger();
    assert_eq!((&ledger["requests"], &ledger["by_status"]), (&json!(4), &json!({ "200": 4 })));
    let row = desk.world.query(
        "SELECT endpoint, model, calls, prompt_tokens, completion_tokens, failures, day = (now() AT TIME ZONE 'UTC')::date FROM model_usage",
    );
    let address = desk.world.sim.url.strip_prefix("http://").expect("http");
    assert_eq!((row.len(), row[0].get::<_, &str>(0), row[0].get::<_, &str>(1)), (1, address, "small"));
    let counts: [i64; 4] = std::array::from_fn(|at| row[0].get(at + 2));
    let counter = |name: &str| ledger[name].as_i64().expect("a count");
    assert_eq!(counts, [4, counter("prompt_tokens"), counter("completion_tokens"), 0]);
    assert!(row[0].get::<_, bool>(6));
}

#[test]
fn an_ordinary_call_takes_fewer_than_1500_tokens() {
    let desk = Desk::new();
    let description = "What was agreed upon with the city and its suppliers, and who pays for which part of it. ".repeat(3);
    let names: Vec<String> = (0..30).map(|at| format!("Project number {at}")).collect();
    let candidates: Vec<Candidate<'_>> =
        names.iter().enumerate().map(|(at, name)| Candidate { id: id(at), name, description: Some(&description) }).collect();
    let text = "We met on Tuesday, and went through the plan for next week: what is ready, and what has to wait. ".repeat(30);
    let title = "Re: Fwd: Minutes of the weekly meeting, with three open questions";
    let question = Question { title, author: "Ann Miller <ann.miller@example.com>", text: &text, candidates: &candidates };
    let answered = desk.host().ask(&question).expect("an answer");
    assert_eq!(answered.choice, Choice::Unsure);
    let total = answered.usage.prompt_tokens + answered.usage.completion_tokens;
    assert!((500..1_500).contains(&total), "{total} tokens");
    let call = &desk.ledger()["calls"][0]["body"];
    let user = call["messages"][1]["content"].as_str().expect("a prompt");
    let sent = user.split("<text>\n").nth(1).and_then(|rest| rest.split("\n</text>").next()).expect("a text");
    assert_eq!(sent.chars().count(), 2_000);
    assert!(user.contains("p20: Project number 19 - What was") && !user.contains("p21"), "{user}");
    assert_eq!((&call["temperature"], call.get("tools"), call["max_tokens"].is_u64()), (&json!(0), None, true));
    let offered = &call["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"];
    assert_eq!(offered.as_array().map(Vec::len), Some(22), "{offered}");
}

#[test]
fn valid_answers_are_taken_and_others_are_bad_answers() {
    let desk = Desk::new();
    let host = desk.host();
    let modes = [
        ("strict", None),
        ("think", None),
        ("fence", None),
        ("obeys", None),
        ("schema_ignored", Some("no_json")),
        ("empty", Some("empty")),
        ("foreign_id", Some("unknown_id")),
        ("other_user_id", Some("unknown_id")),
        ("nan", Some("no_json")),
        ("truncated", Some("truncated")),
    ];
    for (mode, wrong) in modes {
        desk.configure(json!({ "mode": mode }));
        match (host.ask_about("a drill"), wrong) {
            (Ok(answered), None) => assert_eq!(answered.choice, project(1), "{mode}"),
            (Err(failure), Some(reason)) => {
                assert_eq!((failure.class, failure.reason.as_str()), (Class::BadAnswer, reason), "{mode}");
                assert!(!failure.message.contains("drill"), "{failure}");
            }
            (answer, _) => panic!("{mode}: {answer:?}"),
        }
    }
    // Bad answers are charged.
    let failures = desk.world.count("SELECT failures FROM model_usage WHERE prompt_tokens > calls * 100");
    assert_eq!(failures, 6);
}

#[test]
fn a_form_that_is_refused_is_not_asked_for_again_in_the_run() {
    for dialect in ["openai", "vllm", "llama_cpp", "ollama"] {
        let desk = Desk::new();
        let host = desk.host();
        let forms = || -> Vec<Value> {
            let ledger = desk.ledger();
            let calls = ledger["calls"].as_array().expect("calls").iter();
            calls.map(|call| json!([call["body"]["response_format"]["type"], call["status"]])).collect()
        };
        desk.configure(json!({ "dialect": dialect, "mode": "schema_refused" }));
        for _ in 0..2 {
            assert_eq!(host.ask_about("a drill").expect(dialect).choice, project(1));
        }
        let mut seen = vec![json!(["json_schema", 400]), json!(["json_object", 200]), json!(["json_object", 200])];
        assert_eq!(forms(), seen, "{dialect}");
        desk.configure(json!({ "formats": ["text"] }));
        for _ in 0..2 {
            assert_eq!(host.ask_about("a drill").expect(dialect).choice, project(1));
        }
        seen.extend([json!(["json_object", 400]), json!([null, 200]), json!([null, 200])]);
        assert_eq!(forms(), seen, "{dialect}");
        // Refused requests cost only the request.
        let ledger = desk.ledger();
        let tokens = ledger["prompt_tokens"].as_i64().expect("tokens") + ledger["completion_tokens"].as_i64().expect("tokens");
        assert_eq!(desk.world.budget_tokens(), tokens);
    }
}

#[test]
fn a_model_that_errs_is_right_as_often_as_it_is() {
    let desk = Desk::new();
    let host = desk.host();
    desk.configure(json!({ "right": 0.7 }));
    let right = (0..60).filter(|_| host.ask_about("a drill").expect("an answer").choice == project(1)).count();
    assert!((30..=54).contains(&right), "{right} of 60");
}
