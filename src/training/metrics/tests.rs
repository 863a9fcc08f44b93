use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::*;

fn step(step: u64, loss: f64) -> Metric {
    Metric::Step(Step { step, loss, samples: vec!["one/0.0".to_owned()], ..Step::default() })
}

fn losses(history: &History) -> Vec<(u64, f64)> {
    history.steps.values().map(|step| (step.step, step.loss)).collect()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path()).unwrap();
    let phases_s = [("forward".to_owned(), 0.5)].into();
    let whole = Step { step: 1, loss: 2.5, phases_s, eta_s: 60.0, ..Step::default() };
    let all = [
        Metric::Started(Started { steps: 20, pid: 7, ..Started::default() }),
        Metric::Step(whole),
        Metric::HeldOut(HeldOut {
            step: 1,
            loss: 2.4,
            tool_validity: Some(0.5),
            ..HeldOut::default()
        }),
        Metric::Checkpoint(Checkpoint { step: 1, folder: "c".to_owned(), ..Checkpoint::default() }),
        Metric::Rung(Rung { step: 1, why: "no memory".to_owned(), ..Rung::default() }),
        Metric::Note(Note { text: "a note".to_owned() }),
        Metric::Stopped(Stopped { step: 1, ..Stopped::default() }),
        Metric::Finished(Finished { step: 20, ..Finished::default() }),
    ];
    for metric in &all {
        writer.add(metric.clone()).unwrap();
    }
    writer.sync().unwrap();
    let lines = read_all(folder.path()).unwrap();
    let read: Vec<&Metric> = lines.iter().map(|line| &line.metric).collect();
    assert_eq!(read, all.iter().collect::<Vec<_>>());
    assert!(lines.iter().all(|line| line.at_ms > 1_700_000_000_000));
    let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(text.contains(r#""type":"held_out""#), "{text}");
}

#[test]
fn a_loss_that_is_no_number_is_read_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path()).unwrap();
    writer
        .add(Metric::Step(Step {
            step: 1,
            loss: f64::NAN,
            eta_s: f64::INFINITY,
            ..Step::default()
        }))
        .unwrap();
    let history = History::of(folder.path()).unwrap();
    let step = history.latest().unwrap();
    assert!(step.loss.is_nan() && step.eta_s.is_nan() && step.lr == 0.0);
}

#[test]
fn half_a_line_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut follower = Follower::new(folder.path());
    assert_eq!(follower.read().unwrap(), []);
    let line = serde_json::to_string(&Line { at_ms: 1, metric: step(1, 2.0) }).unwrap();
    let (first, second) = line.split_at(20);
    let mut file =
        OpenOptions::new().create(true).append(true).open(folder.path().join(FILE)).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    assert_eq!(follower.read().unwrap(), []);
    file.write_all(second.as_bytes()).unwrap();
    assert_eq!(follower.read().unwrap(), []);
    file.write_all(b"\n").unwrap();
    assert_eq!(follower.read().unwrap().len(), 1);
    assert_eq!(follower.read().unwrap(), []);
}

#[test]
fn half_a_line_of_a_killed_process_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    Writer::open(folder.path()).unwrap().add(step(1, 2.0)).unwrap();
    let path = folder.path().join(FILE);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"at_ms\":1,\"ty").unwrap();
    let mut follower = Follower::new(folder.path());
    assert_eq!(follower.read().unwrap().len(), 1);
    Writer::open(folder.path()).unwrap().add(step(2, 1.5)).unwrap();
    assert_eq!(follower.read().unwrap().len(), 1);
    assert_eq!(losses(&History::of(folder.path()).unwrap()), [(1, 2.0), (2, 1.5)]);
}

#[test]
fn lines_of_a_newer_limn_and_lines_that_are_none_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"at_ms\":5,\"type\":\"weather\",\"sky\":\"grey\"}\nno json\n\n\
                 {\"at_ms\":6,\"type\":\"step\",\"step\":3,\"loss\":1.0,\"colour\":\"new\"}\n";
    fs::write(folder.path().join(FILE), lines).unwrap();
    let read = read_all(folder.path()).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].metric, Metric::Unknown);
    let mut history = History::default();
    history.extend(read);
    assert_eq!(history.latest().map(|step| step.loss), Some(1.0));
}

#[test]
fn a_line_without_end_is_skipped_and_not_held() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = vec![b'x'; 6 << 20];
    text.extend_from_slice(b"\n{\"at_ms\":6,\"type\":\"step\",\"step\":3}\n");
    fs::write(folder.path().join(FILE), text).unwrap();
    assert_eq!(read_all(folder.path()).unwrap().len(), 1);
}

#[test]
fn a_follower_begins_again_when_the_file_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path()).unwrap();
    writer.add(step(1, 2.0)).unwrap();
    writer.add(step(2, 2.0)).unwrap();
    let mut follower = Follower::new(folder.path());
    assert_eq!(follower.read().unwrap().len(), 2);
    fs::remove_file(folder.path().join(FILE)).unwrap();
    Writer::open(folder.path()).unwrap().add(step(1, 3.0)).unwrap();
    assert_eq!(follower.read().unwrap().len(), 1);
}

#[test]
fn steps_that_are_made_again_after_a_kill_count_once() {
    let line = |metric| Line { at_ms: 0, metric };
    let started = |step| line(Metric::Started(Started { step, steps: 4, ..Started::default() }));
    let held_out = |step| line(Metric::HeldOut(HeldOut { step, loss: 9.0, ..HeldOut::default() }));
    let mut history = History::default();
    history.extend([
        started(0),
        line(step(1, 3.0)),
        line(step(2, 2.0)),
        held_out(2),
        line(step(3, 8.0)),
    ]);
    history.extend([line(Metric::Stopped(Stopped::default()))]);
    assert!(history.stopped.is_some());
    history.extend([started(1), line(step(2, 2.5))]);
    assert_eq!(losses(&history), [(1, 3.0), (2, 2.5)]);
    assert!(history.held_out.is_empty() && history.stopped.is_none());
}
