use super::{Kind, of_call};

#[test]
fn an_edit_is_told_by_its_lines() {
    let arguments =
        r#"{"file_path":"a.rs","old_string":"one\ntwo\nthree\n","new_string":"one\n2\nthree\n"}"#;
    let diff = of_call("edit", arguments).unwrap();
    let kinds: Vec<Kind> = diff.lines.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Same, Kind::Removed, Kind::Added, Kind::Same]);
    assert_eq!((diff.path.as_str(), diff.count().as_str()), ("a.rs", "+1 −1"));
}

#[test]
fn a_patch_names_its_files() {
    let patch = "*** Begin Patch\n*** Update File: a.rs\n@@ fn x\n one\n-two\n+2\n*** Add File: b.rs\n+new\n*** End Patch";
    let diff = of_call("apply_patch", patch).unwrap();
    assert_eq!((diff.path.as_str(), diff.count().as_str()), ("a.rs, b.rs", "+2 −1"));
}

#[test]
fn what_changes_nothing_has_no_diff() {
    assert_eq!(of_call("read", r#"{"file_path":"a"}"#), None);
    assert_eq!(of_call("edit", "{\"file_path\":"), None);
}

#[test]
fn escapes_in_an_edit_do_not_get_through() {
    let diff =
        of_call("write", r#"{"file_path":"a\u001b[2J","content":"\u001b]0;x\u0007\n"}"#).unwrap();
    assert!(!diff.path.contains('\u{1b}') && !diff.lines[0].1.contains('\u{1b}'));
}
