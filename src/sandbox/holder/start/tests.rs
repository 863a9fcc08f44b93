use std::time::{Duration, Instant};

use super::is_given_up;
use crate::holder::message;

#[test]
fn a_command_that_nobody_waits_for_is_noticed_before_it_starts() {
    let (limn, holder) = message::pair().unwrap();
    assert!(!is_given_up(&holder), "limn waits");
    drop(limn);
    // A child that another test is just starting may hold its end a moment longer.
    let since = Instant::now();
    while !is_given_up(&holder) {
        assert!(since.elapsed() < Duration::from_secs(60), "it is never noticed");
        std::thread::yield_now();
    }
}
