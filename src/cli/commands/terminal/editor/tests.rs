use std::io::Write;

use super::{line, read};

#[test]
fn what_is_not_utf_8_is_said_and_kept() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"caf\xe9\n").unwrap();
    let path = file.path().to_owned();
    let told = read(file).unwrap_err();
    assert!(told.contains("not all UTF-8") && told.contains(path.to_str().unwrap()), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), b"caf\xe9\n");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_taken_leaves_nothing_behind() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all("café\n".as_bytes()).unwrap();
    let path = file.path().to_owned();
    assert_eq!(read(file).unwrap(), "café\n");
    assert!(!path.exists());
}

#[test]
fn one_command_takes_the_place_of_the_shell() {
    for (editor, expected) in [
        ("vi", "exec vi \"$1\""),
        ("code --wait", "exec code --wait \"$1\""),
        ("LANG=C vi", "LANG=C vi \"$1\""),
        ("cp draft \"$1\"; vi", "cp draft \"$1\"; vi \"$1\""),
    ] {
        assert_eq!(line(editor), expected);
    }
}
