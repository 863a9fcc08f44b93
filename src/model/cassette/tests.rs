use mock_server::Reply as Answer;

use super::*;
use crate::endpoint::{ApiKey, EndpointConfig};
use crate::tests::{ask, hello, prompt, serve, text, transcript};
use crate::{Model, Part, Reply};

fn recorder(url: &str, folder: &Path) -> Model {
    let config =
        EndpointConfig { key: Some(ApiKey::new("sk-secret")), ..EndpointConfig::new(url, "m") };
    CassetteModel::record(EndpointModel::new(config).unwrap(), folder).unwrap().into()
}

fn player(folder: &Path) -> Model {
    CassetteModel::open(folder).unwrap().into()
}

#[tokio::test]
async fn what_was_recorded_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let deltas = (0..300).map(|n| format!("{n} "));
    let answer = Answer::new().reasoning("hm").text_deltas(deltas).call("f", "{}");
    let server = serve([answer]);
    let model = recorder(&server.url(), folder.path());
    let request = hello(&model);
    let (live, _) = ask(&model, &request).await;
    drop(server);
    let (played, pieces) = ask(&player(folder.path()), &request).await;
    let (live, played) = (live.unwrap(), played.unwrap());
    assert!(pieces.len() > 2);
    assert_eq!(played.parts.len(), 3);
    assert_eq!(Reply { first_at: None, ..played }, Reply { first_at: None, ..live });
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("sk-secret"));
    }
}

#[tokio::test]
async fn failures_are_played_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve([
        Answer::status(429, &[("retry-after", "5")], r#"{"error":"slow"}"#),
        Answer::text("one ").then_text("two").cut_after(2),
        Answer::text("half").without_finish(),
        Answer::html("<p>"),
        Answer::raw_stream("plain words"),
    ]);
    let model = recorder(&server.url(), folder.path());
    let requests: Vec<Request> = (1..=5)
        .map(|n| model.encode(n, &transcript([prompt(&n.to_string())]), &|_| None))
        .collect();
    let mut live = Vec::new();
    for request in &requests {
        live.push(ask(&model, request).await.0.unwrap_err());
    }
    drop(server);
    let player = player(folder.path());
    for (request, live) in requests.iter().zip(live) {
        let played = ask(&player, request).await.0.unwrap_err();
        assert_eq!(played.kind, live.kind);
        assert_eq!(played.partial.parts, live.partial.parts);
        assert_eq!(played.partial.http_status, live.partial.http_status);
    }
}

#[tokio::test]
async fn an_answer_that_is_missing_or_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve([Answer::text("hi")]);
    let recorder = recorder(&server.url(), folder.path());
    ask(&recorder, &hello(&recorder)).await.0.unwrap();
    let model = player(folder.path());
    let request = model.encode(1, &transcript([prompt("something else")]), &|_| None);
    let failure = ask(&model, &request).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unscripted);
    let name = hash(&request);
    for word in [name.as_str(), &folder.path().display().to_string()] {
        assert!(failure.message.contains(word), "{failure}");
    }
    let label = folder.path().join(format!("{name}.json"));
    for broken in ["{", "{}", r#"{"format":"x","version":1,"model":"m","http_status":200}"#] {
        fs::write(&label, broken).unwrap();
        let failure = ask(&model, &request).await.0.unwrap_err();
        assert!(failure.message.contains(&name), "{failure}");
    }
}

#[tokio::test]
async fn the_form_and_the_parameters_are_those_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve([Answer::new().reasoning("hm").call("f", "{}")]);
    let mut config =
        EndpointConfig { api: Api::Responses, ..EndpointConfig::new(&server.url(), "m") };
    config.profile.think = trajectory::event::ThinkTags::Opened;
    config.params.insert("max_tokens".into(), 7.into());
    let inner = EndpointModel::new(config).unwrap();
    let model = Model::from(CassetteModel::record(inner, folder.path()).unwrap());
    let request = hello(&model);
    let live = ask(&model, &request).await.0.unwrap();
    drop(server);
    let player = player(folder.path());
    assert_eq!(hello(&player), request);
    let played = ask(&player, &request).await.0.unwrap();
    assert_eq!(played.parts, live.parts);
    let (there, here) = (model.description(), player.description());
    assert_eq!((here.api, here.params, here.think), (there.api, there.params, there.think));
}

#[tokio::test]
async fn a_server_that_is_not_there_leaves_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve([]);
    let url = server.url();
    drop(server);
    let model = recorder(&url, folder.path());
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_a_failure_that_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve([Answer::text("hi")]);
    let model = recorder(&server.url(), folder.path());
    fs::remove_dir(folder.path()).unwrap();
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unscripted);
    assert_eq!(failure.partial.parts, [text("hi")]);
    assert!(!matches!(failure.partial.parts[0], Part::Reasoning { .. }));
}

#[test]
fn a_folder_must_be_there_to_be_played() {
    let folder = tempfile::tempdir().unwrap();
    let error = CassetteModel::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no recorded answer"), "{error}");
    let missing = folder.path().join("none");
    let error = CassetteModel::open(&missing).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}
