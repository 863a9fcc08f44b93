use trajectory::{Body, Event, Recorded, SessionId};

use crate::tests::{Story, home, sound};
use crate::{Archive, Home, Library, RecordError, Recorder, fork};

fn events(archive: &Archive) -> Vec<Event> {
    archive.events().unwrap().into_iter().map(Recorded::into_inner).collect()
}

async fn two_rounds(home: &Home) -> SessionId {
    let mut story = Story::begin(home);
    story.round("first").await;
    story.round("second").await;
    story.end().await
}

#[tokio::test]
async fn a_fork_has_the_past_as_context_and_a_life_of_its_own() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let original = events(&sound(&home, id));
    let forked = fork(&home, id, None).unwrap();
    let archive = sound(&home, forked);
    let copied = events(&archive);
    assert!(copied.iter().take(original.len()).all(|event| event.copied));
    for (copy, event) in copied.iter().zip(&original) {
        assert_eq!((copy.seq, copy.round, copy.wall_ns), (event.seq, event.round, event.wall_ns));
        assert_eq!(copy.body, event.body);
        assert_ne!(copy.id, event.id);
    }
    let row = archive.session().unwrap();
    assert_eq!(row.parent, Some((id, original.last().unwrap().id)));
    let before = sound(&home, id).request_points().unwrap();
    assert_eq!(archive.request_points().unwrap(), before);
    assert!(trajectory::samples(&copied, &before).is_empty());
    // Numbers go on where those of the original stood.
    let mut story = Story::resume(&home, forked);
    assert_eq!((story.events.len(), story.recorder.id()), (copied.len(), forked));
    story.round("third").await;
    story.end().await;
    let archive = sound(&home, forked);
    let points = archive.request_points().unwrap();
    assert_eq!(points.len(), before.len() + 2);
    assert!(points.iter().zip(points.iter().skip(1)).all(|(one, next)| one.request < next.request));
    assert_eq!(events(&sound(&home, id)), original);
    // A fork of a fork knows of both.
    let again = fork(&home, forked, None).unwrap();
    assert_eq!(sound(&home, again).request_points().unwrap(), points);
}

#[tokio::test]
async fn a_point_within_a_round_ends_it() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let original = events(&sound(&home, id));
    let prompt = original.iter().rfind(|event| matches!(event.body, Body::Prompt(_))).unwrap();
    let forked = fork(&home, id, Some(prompt.seq)).unwrap();
    let archive = sound(&home, forked);
    let kinds: Vec<&str> = events(&archive).iter().map(|event| event.body.kind()).collect();
    assert!(
        kinds.ends_with(&["prompt", "interruption", "round_ended", "session_ended"]),
        "{kinds:?}"
    );
    // The request after the prompt is not of this session.
    assert_eq!(archive.request_points().unwrap().len(), 2);
    // Nothing is left to be recovered.
    let resumed = Recorder::resume(&home, forked).unwrap();
    assert_eq!(resumed.events.len(), kinds.len());
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused_and_leaves_nothing() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let original = events(&sound(&home, id));
    let call = original.iter().find(|event| matches!(event.body, Body::ToolCall(_))).unwrap();
    for at in [call.seq, original.len() as u64] {
        let refused = fork(&home, id, Some(at)).unwrap_err();
        assert!(matches!(refused, RecordError::Refused { .. }), "{refused}");
    }
    assert_eq!(home.session_ids().unwrap(), [id]);
}

#[tokio::test]
async fn a_fork_may_go_where_the_original_may() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let library = Library::open(&home).unwrap();
    for (field, value) in [("consent", "team"), ("consent", "private"), ("outcome", "success")] {
        library.annotate(id, field, value, "user", Some("fox")).unwrap();
    }
    let forked = fork(&home, id, None).unwrap();
    let said = library.annotations(forked).unwrap();
    let [consent] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((consent.field.as_str(), consent.value.as_str()), ("consent", "private"));
    assert_eq!((consent.source.as_str(), consent.annotator.as_deref()), ("user", Some("fox")));
}
