use std::fs::OpenOptions;
use std::io::Write;

use super::{Answer, FILE, add, read_all};

fn answer(step: u64, said: &str) -> Answer {
    Answer { step, said: said.to_owned(), valid: true, ..Answer::default() }
}

#[test]
fn answers_come_back_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read_all(folder.path()).unwrap(), []);
    add(folder.path(), &[answer(0, "Hm\n\u{1f680}"), answer(0, "")]).unwrap();
    // Half a line, as a process that is killed leaves it, costs that line alone.
    let path = folder.path().join(FILE);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"step\":1,\"sa\n").unwrap();
    add(folder.path(), &[answer(2, "read")]).unwrap();
    let expected = [answer(0, "Hm\n\u{1f680}"), answer(0, ""), answer(2, "read")];
    assert_eq!(read_all(folder.path()).unwrap(), expected);
}

#[test]
fn answers_that_cannot_be_written_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(FILE)).unwrap();
    let told = add(folder.path(), &[answer(0, "")]).unwrap_err().to_string();
    assert!(told.contains(FILE), "{told}");
}
