use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_replaced_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.json");
    replace(&path, b"one").unwrap();
    replace(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["facts.json"]);
    let error = replace(&folder.path().join("missing/facts.json"), b"").unwrap_err();
    assert!(error.to_string().contains("missing/facts.json"), "{error}");
}

#[test]
fn a_folder_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let making = Making::within(folder.path()).unwrap();
    fs::write(making.path().join("file"), "text").unwrap();
    drop(making);
    assert_eq!(names(folder.path()), [""; 0]);
    let making = Making::within(folder.path()).unwrap();
    fs::create_dir(making.path().join("inner")).unwrap();
    fs::write(making.path().join("inner/file"), "text").unwrap();
    assert!(making.place(&folder.path().join("made")).unwrap());
    assert_eq!(fs::read(folder.path().join("made/inner/file")).unwrap(), b"text");
    let second = Making::within(folder.path()).unwrap();
    assert!(!second.place(&folder.path().join("made")).unwrap());
    assert_eq!(names(folder.path()), ["made"]);
}

#[test]
fn what_a_killed_process_left_is_swept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(format!("{MAKING}abc"))).unwrap();
    fs::write(folder.path().join(format!("{MAKING}abc/file")), "half").unwrap();
    fs::write(folder.path().join(format!("{MAKING}def")), "half").unwrap();
    fs::write(folder.path().join("kept"), "whole").unwrap();
    sweep(folder.path(), Duration::from_secs(3_600));
    assert_eq!(names(folder.path()).len(), 3, "somebody may be making them just now");
    sweep(folder.path(), Duration::ZERO);
    assert_eq!(names(folder.path()), ["kept"]);
}
