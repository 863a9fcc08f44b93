use super::{Kind, of_call};
use crate::theme::{Background, Depth, Theme};

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

#[test]
fn where_there_is_room_the_sides_stand_beside_each_other() {
    let theme = Theme::new(Background::Dark, Depth::None);
    let arguments =
        r#"{"file_path":"a","old_string":"same\none\ntwo\nend\n","new_string":"same\n1\nend\n"}"#;
    let diff = of_call("edit", arguments).unwrap();
    let text = |columns: usize| -> Vec<String> {
        let rows = diff.rows(columns, 100, &theme);
        rows.iter().map(|row| row.to_string().trim_end().to_owned()).collect()
    };
    let rows = text(140);
    let columns = |row: &str| -> Vec<String> {
        row.split('│').map(|side| side.trim().to_owned()).collect()
    };
    assert_eq!(columns(&rows[0]), ["same", "same"]);
    assert_eq!(columns(&rows[1]), ["- one", "+ 1"]);
    assert_eq!(columns(&rows[2]), ["- two", ""]);
    assert_eq!(columns(&rows[3]), ["end", "end"]);
    assert_eq!(text(80), ["  same", "- one", "- two", "+ 1", "  end"]);
    // What only comes has nothing beside it.
    let new = of_call("write", r#"{"file_path":"a","content":"1\n2\n"}"#).unwrap();
    assert_eq!(new.rows(140, 100, &theme).len(), 2);
    assert!(!new.rows(140, 100, &theme)[0].to_string().contains('│'));
}
