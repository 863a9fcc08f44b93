//! What a terminal sends.

use super::bytes;

fn check(keys: &str, expect: &[u8]) {
    assert_eq!(bytes(keys, false).unwrap(), expect, "{keys}");
}

#[test]
fn keys_are_what_a_terminal_sends() {
    check("", b"");
    check("enter", b"\r");
    check("ctrl-c", b"\x03");
    check("Ctrl-D ctrl+z ^C C-a", b"\x04\x1a\x03\x01");
    check("ctrl-[ ctrl-\\ ctrl-space", b"\x1b\x1c\0");
    check("up down left right", b"\x1b[A\x1b[B\x1b[D\x1b[C");
    check("ctrl-left shift-up alt-f5", b"\x1b[1;5D\x1b[1;2A\x1b[15;3~");
    check("esc escape tab shift-tab space backspace", b"\x1b\x1b\t\x1b[Z \x7f");
    check(
        "delete pageup pgdn home end insert f1 f12",
        b"\x1b[3~\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[2~\x1bOP\x1b[24~",
    );
    check("y : - é alt-x shift-g", "y:-é\x1bxG".as_bytes());
    assert_eq!(bytes("up f5 home", true).unwrap(), b"\x1bOA\x1b[15~\x1bOH");
}

#[test]
fn an_unknown_key_is_told_the_names() {
    for keys in ["entr", "hyper-x", "ctrl-é", "f13", "ctrl-", "enter nope"] {
        let told = bytes(keys, false).unwrap_err();
        assert!(told.starts_with("There is no key") && told.contains("pagedown"), "{told}");
    }
}
