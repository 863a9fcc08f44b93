use trajectory::event::{
    AssistantText, CallStatus, ConfigChanged, Ended, Observation, Prompt, RoundEnded, ToolCall,
};
use trajectory::{
    Body, Event, EventId, Message, RunId, Sample, SampleMessage, ToolEffect, ToolSpec,
};

use super::{Gate, Gates, Waivers};

/// A session from letters: `p`rompt, a call of `s`hell or `q`uery with its result, a call that is
/// `d`enied, an `o`pen call, an `a`nswer, a round that ends by itself (`.`) or is cut short (`!`).
fn session(letters: &str) -> Vec<Event> {
    offered(&["shell", "query"], letters)
}

/// The same with these tools on offer.
fn offered(tools: &[&str], letters: &str) -> Vec<Event> {
    let tool = |name: &&str| ToolSpec {
        name: (*name).to_owned(),
        description: String::new(),
        parameters: serde_json::json!({}),
        effect: ToolEffect::ReadOnly,
        grammar: None,
    };
    let tools = Some(tools.iter().map(tool).collect());
    let mut bodies: Vec<Body> = vec![ConfigChanged { tools, ..ConfigChanged::default() }.into()];
    for (number, letter) in letters.chars().enumerate() {
        let number = number as u32;
        let mut call = |name: &str, status: Option<CallStatus>| {
            bodies.push(
                ToolCall {
                    request: number,
                    call: number,
                    id: format!("id-{number}"),
                    name: name.to_owned(),
                    arguments: "{}".to_owned(),
                    freeform: false,
                    signature: None,
                    malformed: None,
                }
                .into(),
            );
            bodies.extend(status.map(|status| {
                Body::from(Observation {
                    call: number,
                    status,
                    shown: "out".to_owned(),
                    exec: None,
                    exit: None,
                    output: None,
                    truncated: None,
                    attachments: Vec::new(),
                    duration_us: 0,
                })
            }));
        };
        match letter {
            's' => call("shell", Some(CallStatus::Ok)),
            'q' => call("query", Some(CallStatus::Ok)),
            'd' => call("shell", Some(CallStatus::Denied)),
            'o' => call("shell", None),
            'p' => bodies.push(Prompt { text: "go".to_owned(), ..Prompt::default() }.into()),
            'a' => bodies.push(
                AssistantText { request: number, text: "ok".to_owned(), interrupted: false }.into(),
            ),
            end => bodies.push(
                RoundEnded {
                    ended: if end == '.' { Ended::Completed } else { Ended::Interrupted },
                    ..serde_json::from_str("{\"ended\":\"completed\"}").unwrap()
                }
                .into(),
            ),
        }
    }
    let event = |(seq, body): (usize, Body)| Event {
        id: EventId::new(),
        seq: seq as u64,
        parent: None,
        run: RunId::new(),
        round: 1,
        source: body.source(),
        wall_ns: 0,
        mono_ns: 0,
        copied: false,
        body,
    };
    bodies.into_iter().enumerate().map(event).collect()
}

/// What the session said.
fn samples(said: &str) -> Vec<Sample> {
    let message = Message::User { content: said.to_owned(), attachments: Vec::new() };
    let message = SampleMessage { message, spans: Vec::new(), seqs: Vec::new(), request: None };
    vec![Sample { model: None, tools: Vec::new(), messages: vec![message] }]
}

#[track_caller]
fn check(letters: &str, expected: &[Gate]) {
    let mut gates = Gates::default();
    let passed = gates.pass("id", &session(letters), &samples(letters));
    let found: Vec<Gate> = gates.found.keys().copied().collect();
    assert_eq!((found.as_slice(), passed), (expected, expected.is_empty()), "{letters}");
}

#[test]
fn a_session_is_finished_when_its_last_round_came_to_an_answer() {
    check("psa.", &[]);
    check("pa.psa.", &[]);
    for cut in ["psa!", "ps.", "pa.ps", "psa", "p", "pa.p"] {
        check(cut, &[Gate::Unfinished]);
    }
}

#[test]
fn every_call_has_its_result() {
    check("psoa.", &[Gate::Unpaired]);
}

#[test]
fn what_comes_four_times_in_a_row_is_a_loop() {
    check("psssa.", &[]);
    check("pssssa.", &[Gate::Loops]);
    check("psqsqsqa.", &[]);
    check("psqsqsqsqa.", &[Gate::Loops]);
    // Who is told something new may try the same again.
    check("pssa.pssa.", &[]);
}

#[test]
fn a_session_without_its_tools_is_refused() {
    check("pdssa.", &[]);
    check("pdsa.", &[Gate::Refused]);
    let mut gates = Gates::default();
    assert!(!gates.pass("id", &offered(&["query"], "psa."), &samples("x")));
    assert!(gates.found.contains_key(&Gate::Refused));
    // A fork that was asked nothing yet has its tools, and no sample.
    assert!(gates.pass("fork", &session("psa."), &[]));
}

#[test]
fn of_two_that_are_the_same_the_first_stays() {
    let mut gates = Gates::default();
    assert!(gates.pass("one", &session("psa."), &samples("same")));
    assert!(gates.pass("two", &session("psa."), &samples("other")));
    assert!(!gates.pass("three", &session("psa."), &samples("same")));
    assert_eq!(gates.found[&Gate::Duplicates].sessions, ["three"]);
}

#[test]
fn of_two_that_are_the_same_one_that_is_left_out_keeps_no_other_out() {
    let mut gates = Gates::default();
    assert!(!gates.pass("one", &session("psa!"), &samples("same")));
    assert!(gates.pass("two", &session("psa."), &samples("same")));
}

#[test]
fn a_gate_is_waived_for_a_reason_and_still_says_what_it_found() {
    let mut waivers = Waivers::default();
    assert!(waivers.add("loops").is_err());
    assert!(waivers.add("loops= ").is_err());
    assert!(waivers.add("loop=x").unwrap_err().contains("loops"));
    waivers.add("loops=it gets out of them").unwrap();
    let mut gates = Gates::new(&waivers);
    assert!(gates.pass("id", &session("pssssa."), &samples("x")));
    let found = &gates.found[&Gate::Loops];
    assert_eq!((found.sessions.len(), found.waived.as_deref()), (1, Some("it gets out of them")));
}
