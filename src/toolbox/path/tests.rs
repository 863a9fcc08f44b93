//! A path that is read is beneath the workspace by its letters.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_has_only_plain_names(
        text in "\\PC{0,30}|(/?(\\.\\.|\\.|a|b|~|//|[\\x00-\\x1f])/?){0,8}"
    ) {
        let folder = tempfile::TempDir::new().unwrap();
        let workspace = Workspace::open(folder.path()).unwrap();
        for text in [text.clone(), format!("{}/{text}", folder.path().display())] {
            match Relative::parse(&text, &workspace) {
                Ok(path) => prop_assert!(
                    path.as_path().components().all(|part| matches!(part, Component::Normal(_)))
                ),
                Err(told) => prop_assert!(told.len() < 2_000),
            }
        }
    }
}
