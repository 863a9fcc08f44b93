use std::path::Path;

use super::{APPARMOR, apparmor};

#[test]
fn the_profile_for_apparmor_names_this_program_wherever_it_lies() {
    let here = apparmor(Some(Path::new("/opt/a [1]/\"limn\"")));
    assert!(here.starts_with(APPARMOR) && here.contains("profile limn /{usr/"), "{here}");
    assert!(
        here.contains(r#"profile limn-here "/opt/a \[1\]/\"limn\"" flags=(unconfined)"#),
        "{here}"
    );
    // What cannot be written down is left out.
    assert_eq!(apparmor(Some(Path::new("/opt/line\nfeed"))), APPARMOR);
    assert_eq!(apparmor(None), APPARMOR);
}
