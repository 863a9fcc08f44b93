use std::fs;
use std::path::Path;

use super::read;

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn the_nearest_file_has_the_last_word_and_the_repository_is_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let workspace = repository.join("crates/one");
    fs::create_dir_all(repository.join(".git")).unwrap();
    put(&folder.path().join("AGENTS.md"), "not ours");
    put(&repository.join("AGENTS.md"), "Use tabs.\n");
    put(&workspace.join("AGENTS.md"), "Use spaces.");
    let own = folder.path().join("config/AGENTS.md");
    put(&own, "Be brief.");
    assert_eq!(
        read(&workspace, Some(&own)),
        "\n\n# Instructions of the user (AGENTS.md)\nBe brief.\
         \n\n# Instructions of the folder 2 above (AGENTS.md)\nUse tabs.\
         \n\n# Instructions of the workspace (AGENTS.md)\nUse spaces."
    );
}

#[test]
fn without_a_repository_only_the_workspace_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("work");
    put(&folder.path().join("AGENTS.md"), "not ours");
    fs::create_dir_all(&workspace).unwrap();
    assert_eq!(read(&workspace, None), "");
}

#[test]
fn a_link_out_of_the_repository_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("work");
    put(&folder.path().join("secret"), "a key");
    put(&workspace.join("CLAUDE.md"), "Follow me.");
    std::os::unix::fs::symlink("../secret", workspace.join("AGENTS.md")).unwrap();
    assert_eq!(read(&workspace, None), "");
    fs::remove_file(workspace.join("AGENTS.md")).unwrap();
    std::os::unix::fs::symlink("CLAUDE.md", workspace.join("AGENTS.md")).unwrap();
    assert!(read(&workspace, None).ends_with("Follow me."));
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("AGENTS.md"), &"ä".repeat(40_000));
    let text = read(folder.path(), None);
    assert!(text.len() < 33_000, "{}", text.len());
    assert!(text.ends_with("read the file for the rest]"));
    fs::remove_file(folder.path().join("AGENTS.md")).unwrap();
    fs::create_dir(folder.path().join("AGENTS.md")).unwrap();
    assert_eq!(read(folder.path(), None), "");
}
