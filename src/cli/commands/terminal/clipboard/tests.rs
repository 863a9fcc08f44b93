use std::time::Duration;

use super::printed;

#[test]
fn a_program_that_hangs_is_not_waited_for() {
    let long = Duration::from_secs(60);
    assert_eq!(printed("echo", &["-n", "bytes"], long).as_deref(), Some(&b"bytes"[..]));
    assert_eq!(printed("false", &[], long), None);
    assert_eq!(printed("no-such-program", &[], long), None);
    // It says nothing, and would for ever.
    assert_eq!(printed("sleep", &["100000"], Duration::from_millis(50)), None);
}
