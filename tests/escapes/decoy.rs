//! A process of the host that one would like to reach, and that tells when somebody does.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::ground::PATH;
use crate::probes;

pub struct Decoy {
    child: Child,
    orders: Option<ChildStdin>,
    events: BufReader<ChildStdout>,
    /// Where everything is.
    pub facts: Value,
}

impl Decoy {
    pub fn start(base: &Path, secret: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-I", "-c", probes::HOST])
            .arg(base)
            .env("PATH", PATH)
            .env("LIMN_DECOY", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let orders = child.stdin.take();
        let mut events = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        events.read_line(&mut line).unwrap();
        let facts = serde_json::from_str(&line).expect("the decoy says where everything is");
        Self { child, orders, events, facts }
    }

    /// Has something done; what reached the decoy before. An empty answer to `None` means that it
    /// is dead.
    pub fn order(&mut self, order: &str) -> Option<Vec<String>> {
        let orders = self.orders.as_mut()?;
        writeln!(orders, "{order}").ok()?;
        let done = format!("done {}", order.split(' ').next().unwrap_or_default());
        let mut told = Vec::new();
        loop {
            let mut line = String::new();
            if self.events.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let event: Value = serde_json::from_str(&line).unwrap();
            match event["event"].as_str().unwrap_or_default() {
                name if name == done => return Some(told),
                name => told.push(name.to_owned()),
            }
        }
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        // The end of its orders lets it clean up.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
