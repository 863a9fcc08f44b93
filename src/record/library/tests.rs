//! What is said about sessions, and the list of them.

use trajectory::SessionId;
use trajectory::event::Ended;

use crate::tests::{Story, home, start};
use crate::*;

#[tokio::test]
async fn the_catalogue_follows_the_files() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    assert!(library.list().unwrap().is_empty());
    let mut first = Story::begin(&home);
    first.round("the first").await;
    let mut second = Story::begin(&home);
    second.round("the second").await;
    let (first_id, second_id) = (first.end().await, second.id());

    let rows = library.list().unwrap();
    let ids: Vec<SessionId> = rows.iter().map(|row| row.session).collect();
    assert_eq!(ids, [second_id, first_id], "newest first");
    assert_eq!((rows[0].live, rows[0].status.ended), (true, None));
    assert_eq!((rows[1].live, rows[1].status.ended), (false, Some(Ended::Completed)));
    assert_eq!(rows[1].status.title.as_deref(), Some("the first"));
    assert_eq!(library.list().unwrap(), rows, "from the catalogue as from the files");
    assert_eq!(Library::scan(&home).unwrap(), rows);

    second.round("more").await;
    let rows = library.list().unwrap();
    assert_eq!((rows[0].status.rounds, rows[0].live), (2, true));
    second.end().await;
    assert_eq!(library.list().unwrap()[0].status.ended, Some(Ended::Completed));
    library.rebuild(&mut |_, _| {}).unwrap();
    assert_eq!(library.list().unwrap().len(), 2);

    std::fs::write(home.session_file(first_id), b"nonsense").unwrap();
    std::fs::write(home.sessions().join("notes.db"), b"foreign").unwrap();
    let rows = library.list().unwrap();
    assert_eq!(rows.len(), 2);
    let error = rows[1].error.as_deref().unwrap();
    assert!(error.contains(&first_id.to_string()), "{error}");
    assert!(rows[0].error.is_none());
    home.remove(first_id).unwrap();
    assert_eq!(library.list().unwrap().len(), 1);
}

#[test]
fn the_latest_answer_counts_and_none_is_lost() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let (id, other) = (SessionId::new(), SessionId::new());
    assert_eq!(library.outcome(id).unwrap(), None);
    library.set_outcome(id, Outcome::Failure, "verifier", None).unwrap();
    library.set_outcome(id, Outcome::Success, "user", Some("fox")).unwrap();
    library.set_review(id, Review::Accepted, Some("owl")).unwrap();
    library.set_outcome(other, Outcome::Unknown, "judge", None).unwrap();
    assert_eq!(library.outcome(id).unwrap(), Some(Outcome::Success));
    assert_eq!(library.review(id).unwrap(), Some(Review::Accepted));
    assert_eq!(library.review(other).unwrap(), None);
    let all = library.annotations(id).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!((all[0].value.as_str(), all[0].source.as_str()), ("failure", "verifier"));
    let answers = library.answers("outcome").unwrap();
    assert_eq!(answers[&id], "success");
    assert_eq!(answers[&other], "unknown");
}

/// What was said last counts, also where the clock was set back since what was said before.
#[test]
fn the_latest_answer_is_not_told_by_the_clock() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let id = SessionId::new();
    library.set_outcome(id, Outcome::Failure, "user", None).unwrap();
    let of_2100 = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 4_102_444_800, 0));
    let change = "UPDATE annotation SET id = ?, at_ns = 4102444800000000000";
    library.connection.execute(change, [of_2100.as_bytes()]).unwrap();
    library.set_outcome(id, Outcome::Success, "user", None).unwrap();
    assert_eq!(library.outcome(id).unwrap(), Some(Outcome::Success));
    let said = library.annotations(id).unwrap();
    assert_eq!(said.iter().map(|it| it.value.as_str()).collect::<Vec<_>>(), ["failure", "success"]);
    assert!(said[1].at_ns < said[0].at_ns);
}

#[tokio::test]
async fn a_removed_session_is_gone_from_every_file() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("a very particular prompt").await;
    let id = story.end().await;
    let library = Library::open(&home).unwrap();
    library.list().unwrap();
    library.annotate(id, "comment", "a very particular comment", "user", None).unwrap();
    drop(library);
    home.remove(id).unwrap();
    assert!(matches!(home.remove(id), Err(RecordError::NotFound { .. })));
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            assert!(!path.to_string_lossy().contains(&id.to_string()), "{}", path.display());
            let bytes = std::fs::read(&path).unwrap();
            let trace = b"very particular";
            let found = bytes.windows(trace.len()).any(|window| window == trace);
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn sessions_are_found_by_prefix() {
    let (_folder, home) = home();
    let ids: Vec<SessionId> = (0..12).map(|_| SessionId::new()).collect();
    for id in &ids {
        drop(Recorder::create(&home, start(*id)).unwrap());
    }
    let last = ids.last().unwrap();
    assert_eq!(home.find("last").unwrap(), *last);
    assert_eq!(home.find(&last.to_string()).unwrap(), *last);
    assert_eq!(home.find(&last.to_string().to_uppercase()[..35]).unwrap(), *last);
    assert!(matches!(home.find(""), Err(RecordError::NotFound { .. })));
    assert!(matches!(home.find("zzz"), Err(RecordError::NotFound { .. })));
    let error = home.find("0").unwrap_err().to_string();
    assert!(error.contains("12 sessions") && error.contains(&ids[0].to_string()), "{error}");
    assert!(error.len() < 400, "{error}");
    assert_eq!(home.session_ids().unwrap(), ids);
}

#[test]
fn a_damaged_library_says_so() {
    let (_folder, home) = home();
    std::fs::write(home.path().join("limn.db"), vec![7; 5000]).unwrap();
    let error = Library::open(&home).unwrap_err();
    assert!(error.to_string().contains("limn.db"), "{error}");
    std::fs::write(home.path().join("device"), "nobody").unwrap();
    let error = Home::open(home.path()).unwrap_err();
    assert!(error.to_string().contains("a device id"), "{error}");
    let file = home.path().join("device");
    assert!(Home::open(&file).is_err());
}
