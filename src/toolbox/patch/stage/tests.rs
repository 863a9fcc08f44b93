//! All files or none, on disk.

use super::*;
use crate::tests::Bench;

#[test]
fn what_was_written_is_put_back_when_a_later_file_fails() {
    let bench = Bench::new();
    bench.put("a", "a\n");
    bench.put("b", "b\n");
    let workspace = Workspace::open(&bench.workspace()).unwrap();
    let mut stage = Stage::new(&workspace);
    for (path, content) in [("a", "A\n"), ("new/n", "n\n"), ("b", "B\n")] {
        let (at, _) = stage.maybe(path).unwrap();
        stage.set(at, content.as_bytes().to_vec()).unwrap();
    }
    // Somebody makes a folder of it between the look and the write.
    std::fs::remove_file(bench.workspace().join("b")).unwrap();
    std::fs::create_dir(bench.workspace().join("b")).unwrap();
    let failure = stage.commit(&CancellationToken::new()).unwrap_err();
    let Failure::Error(told) = failure else { panic!("{failure:?}") };
    assert!(told.contains("b is a directory") && told.contains("Nothing was written"), "{told}");
    assert_eq!(bench.get("a"), "a\n");
    assert_eq!(bench.names(), ["a", "b"]);
}

#[test]
fn a_file_that_went_comes_back_when_the_next_cannot_go() {
    let bench = Bench::new();
    bench.put("a", "a\n");
    bench.put("b", "b\n");
    let workspace = Workspace::open(&bench.workspace()).unwrap();
    let mut stage = Stage::new(&workspace);
    for path in ["a", "b"] {
        let (at, _) = stage.content(path).unwrap();
        stage.delete(at);
    }
    std::fs::remove_file(bench.workspace().join("b")).unwrap();
    std::fs::create_dir(bench.workspace().join("b")).unwrap();
    stage.commit(&CancellationToken::new()).unwrap_err();
    assert_eq!(bench.get("a"), "a\n");
}

#[test]
fn what_is_no_file_is_neither_read_nor_replaced() {
    let bench = Bench::new();
    bench.fifo("fifo");
    bench.put("dir/f", "");
    let workspace = Workspace::open(&bench.workspace()).unwrap();
    let mut stage = Stage::new(&workspace);
    for path in ["fifo", "dir"] {
        assert!(stage.maybe(path).is_err());
    }
}
