use trajectory::DeviceId;

use super::workspace_key;

#[test]
fn a_workspace_cannot_be_guessed_by_its_name() {
    let (here, there) = (DeviceId::new(), DeviceId::new());
    assert_eq!(workspace_key(here, "/home/ada"), workspace_key(here, "/home/ada"));
    assert_ne!(workspace_key(here, "/home/ada"), workspace_key(there, "/home/ada"));
}
