use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixtures::Arithmetic;
use crate::http::fixtures::{Plan, Site, WAIT_MAX, joined, says, says_with};
use crate::http::{Listen, serve_with};
use crate::server::ServeError;
use crate::{Answer, Engine, EngineError, Facts, Piece};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn many_clients_at_once_are_all_answered_with_their_own() {
    let site = Site::open();
    for client in 0..64 {
        site.when(&format!("Client {client}"), &format!("You are number {client}."));
    }
    let asked = (0..64).map(|client| {
        let site = &site;
        async move {
            let body = says(&format!("Client {client}"));
            if client % 2 == 0 {
                let answer = site.chat(body).await;
                return answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
            }
            joined(&site.stream(CHAT, body).await, "/choices/0/delta/content")
        }
    });
    for (client, said) in together(asked).await.into_iter().enumerate() {
        assert_eq!(said, format!("You are number {client}."));
    }
    site.until("limn_requests_running 0").await;
    let metrics = site.get("/metrics").await.1;
    let answered = "limn_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 64";
    assert!(metrics.contains(answered), "{metrics}");
    assert!(metrics.contains("limn_time_to_first_token_seconds_count 64"), "{metrics}");
}

/// All of these, at the same time.
async fn together<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// A request written by hand.
fn raw(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_slot() {
    let site = Site::open();
    for stream in [false, true] {
        let endless = json!({ "ignore_eos": true, "max_tokens": 1900, "stream": stream });
        site.control.permit(2);
        let client = site.raw(&raw(&says_with("Go on and on", endless)));
        site.until("limn_requests_running 1").await;
        drop(client);
        let before = site.control.counts().calls;
        // A token for each question whether it is over: were it not noticed, 1900 would be written.
        while !site.get("/metrics").await.1.contains("limn_requests_running 0\n") {
            site.control.permit(1);
        }
        let calls = site.control.counts().calls - before;
        assert!(calls < 1000, "{calls} tokens were written for nobody");
        site.control.release();
    }
}

#[tokio::test]
async fn a_stream_says_that_it_is_alive_while_the_prompt_is_read() {
    let mut plan = Plan::new();
    plan.patience.silence = Duration::from_millis(20);
    let site = plan.open();
    site.when("Read all of this", "Done.");
    site.control.permit(0);
    let mut body = says("Read all of this");
    body["stream"] = true.into();
    let mut client = site.raw(&raw(&body));
    let mut heard = String::new();
    let mut bytes = [0; 4096];
    while heard.matches(": still here").count() < 2 {
        let count = client.read(&mut bytes).unwrap();
        assert!(count > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    site.control.release();
    while !heard.contains("[DONE]") {
        let count = client.read(&mut bytes).unwrap();
        assert!(count > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(heard.contains("\"content\":\"D\""), "{heard}");
}

#[tokio::test]
async fn when_too_many_wait_others_are_told_when_to_come_back() {
    let mut plan = Plan::new();
    plan.facts.slots = 1;
    plan.settings.waiting_max = 1;
    let site = plan.open();
    site.control.permit(0);
    let one = site.raw(&raw(&says("First")));
    site.control.wait_until_held();
    let two = site.raw(&raw(&says("Second")));
    site.until("limn_requests_waiting 1").await;
    let response = site.send(CHAT, says("Third")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
    assert!(response.text().await.unwrap().contains("overloaded_error"));
    drop((one, two));
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up() {
    let site = Site::open();
    let mut endless = says_with("Go on", json!({ "ignore_eos": true, "max_tokens": 1900 }));
    endless["stream"] = true.into();
    // It reads nothing, and others are answered.
    let slow = site.raw(&raw(&endless));
    site.when("Hello there", "Yes.");
    for _ in 0..3 {
        assert_eq!(
            site.chat(says("Hello there")).await["choices"][0]["message"]["content"],
            "Yes."
        );
    }
    drop(slow);
    site.until("limn_requests_running 0").await;
}

#[tokio::test]
async fn a_server_that_ends_lets_go_of_those_that_go_on_and_on() {
    let mut site = Site::open();
    let endless = json!({ "ignore_eos": true, "max_tokens": 1900 });
    site.control.permit(3);
    let client = site.raw(&raw(&says_with("Go on and on", endless)));
    site.until("limn_requests_running 1").await;
    drop(site.end.take());
    site.control.release();
    let served = site.thread.take().unwrap().join().unwrap();
    assert!(served.is_ok());
    let answer = crate::http::fixtures::rest(&client);
    let is_answered =
        answer.is_empty() || answer.contains("200 OK") || answer.contains("goes down");
    assert!(is_answered, "{answer}");
}

/// An engine that takes the scheduler's thread down with it, where nothing is guarded.
struct Deadly(Arithmetic);

impl Engine for Deadly {
    fn facts(&self) -> Facts {
        assert_ne!(std::thread::current().name(), Some("scheduler"), "as it has to be");
        self.0.facts()
    }

    fn forward(
        &mut self,
        variant: usize,
        pieces: &[Piece<'_>],
    ) -> Result<Vec<Answer>, EngineError> {
        self.0.forward(variant, pieces)
    }

    fn truncate(&mut self, slot: usize, tokens: usize) {
        self.0.truncate(slot, tokens);
    }

    fn give_back(&mut self, slot: usize) -> bool {
        self.0.give_back(slot)
    }

    fn copy(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), EngineError> {
        self.0.copy(from, to, tokens)
    }
}

#[test]
fn a_server_that_can_generate_nothing_any_more_ends() {
    let Plan { server, facts, patience, settings } = Plan::new();
    let engine = Box::new(Deadly(Arithmetic::new(facts).0));
    let listen = Listen { host: "127.0.0.1".to_owned(), port: 0 };
    // Nobody tells it to end before long.
    let shutdown = async { tokio::time::sleep(WAIT_MAX).await };
    let served = serve_with(server, engine, &listen, (patience, settings), |_| {}, shutdown);
    assert!(matches!(served, Err(ServeError::Scheduler)), "{served:?}");
}
