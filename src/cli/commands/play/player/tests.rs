//! What the terminal is told, in which order, and where that stands.

use tokio::sync::mpsc::{Receiver, channel};

use super::*;
use crate::commands::play::timeline::tests::recorded;

/// A player, the keys to it, and what it tells.
struct Stage {
    keys: Sender<Command>,
    told: Receiver<Update>,
    /// The kinds of what was told since the conversation was empty.
    kinds: Vec<String>,
    place: Playback,
}

async fn stage(speed: f64, from: u64) -> Stage {
    let (folder, archive) = recorded().await;
    let timeline = Timeline::read(&archive, false).unwrap();
    let (updates, told) = channel(4_096);
    let (keys, commands) = channel(16);
    let player = Player::new(timeline, speed, updates);
    tokio::spawn(async move {
        player.run(from, commands).await;
        drop(folder);
    });
    Stage { keys, told, kinds: Vec::new(), place: Playback::default() }
}

impl Stage {
    /// Takes what is told until the place fits.
    async fn until(&mut self, fits: impl Fn(&Playback) -> bool) {
        loop {
            match self.told.recv().await.expect("it plays") {
                Update::Cleared => self.kinds.clear(),
                Update::Event(event) => self.kinds.push(event.body.kind().to_owned()),
                Update::Progress(Progress::Output { .. }) => self.kinds.push("output".to_owned()),
                Update::Progress(_) => self.kinds.push("words".to_owned()),
                Update::Playback(place) => {
                    self.place = place;
                    if fits(&place) {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    async fn press(&mut self, play: Play) {
        self.keys.send(Command::Play(play)).await.unwrap();
    }

    fn events(&self) -> Vec<&str> {
        let kinds = self.kinds.iter().map(String::as_str);
        kinds.filter(|kind| !["words", "output"].contains(kind)).collect()
    }
}

const ALL: [&str; 9] = [
    "prompt",
    "reasoning",
    "message",
    "tool_call",
    "tool_started",
    "observation",
    "message",
    "round_ended",
    "prompt",
];

#[tokio::test]
async fn it_plays_to_the_end_in_order_and_begins_again() {
    let mut stage = stage(1_024.0, 0).await;
    stage.until(|place| place.events == 9 && place.is_paused).await;
    assert_eq!(stage.events(), ALL);
    let at = |kind: &str| stage.kinds.iter().position(|it| it == kind).unwrap();
    assert!(at("prompt") < at("words") && at("words") < at("reasoning"));
    assert_eq!(stage.kinds.iter().filter(|kind| *kind == "output").count(), 2);
    assert_eq!(stage.place.at_us, stage.place.length_us);
    stage.press(Play::Pause).await;
    stage.until(|place| place.events == 0).await;
    stage.until(|place| place.events == 9 && place.is_paused).await;
    assert_eq!(stage.events(), ALL);
}

#[tokio::test]
async fn it_steps_jumps_and_stands_still() {
    let mut stage = stage(1.0 / 16.0, 4).await;
    stage.until(|place| place.events == 4).await;
    assert_eq!(stage.events(), ALL[..4]);
    stage.press(Play::Event { back: false }).await;
    stage.until(|place| place.events == 5 && place.is_paused).await;
    stage.press(Play::Event { back: true }).await;
    stage.until(|place| place.events == 4).await;
    assert_eq!(stage.events(), ALL[..4]);
    stage.press(Play::Round { back: false }).await;
    stage.until(|place| place.events == 9).await;
    assert_eq!(stage.events(), ALL);
    stage.press(Play::Round { back: true }).await;
    stage.until(|place| place.events == 1).await;
    assert_eq!(stage.events(), ["prompt"]);
    stage.press(Play::Tenths(0)).await;
    stage.until(|place| place.events == 0).await;
    assert!(stage.kinds.is_empty());
    for _ in 0..20 {
        stage.press(Play::Speed { faster: false }).await;
    }
    stage.until(|place| place.speed == SPEEDS.0).await;
    stage.keys.send(Command::Leave).await.unwrap();
    while stage.told.recv().await.is_some() {}
}
