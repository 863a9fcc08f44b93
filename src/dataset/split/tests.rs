use proptest::prelude::*;

use super::Splits;

fn splits(text: &str, seed: u64) -> Splits {
    Splits { seed, ..text.parse().unwrap() }
}

#[test]
fn parts_are_read_and_what_is_none_is_named() {
    let parsed = splits("train=90,test=10", 0);
    let parts: Vec<(&str, u32)> =
        parsed.parts.iter().map(|part| (part.name.as_str(), part.weight)).collect();
    assert_eq!(parts, [("train", 90), ("test", 10)]);
    for bad in ["", "train", "train=", "train=0", "=1", "a/b=1", "a=1,a=2", "a=1,", "a=-1"] {
        assert!(bad.parse::<Splits>().is_err(), "{bad:?}");
    }
}

#[test]
fn shares_are_as_asked() {
    let splits = splits("train=80,validation=10,test=10", 1);
    let count = |name: &str| {
        let groups = (0..10_000).map(|number| number.to_string());
        groups.filter(|group| splits.of(group) == Some(name)).count()
    };
    let counts = ["train", "validation", "test"].map(count);
    assert_eq!(counts.iter().sum::<usize>(), 10_000);
    assert!((7_800..8_200).contains(&counts[0]), "{counts:?}");
    assert!((850..1_150).contains(&counts[1]), "{counts:?}");
}

proptest! {
    /// Whatever else there is, a group is where it was; and whole datasets have no parts.
    #[test]
    fn a_group_has_one_part(group in ".*", seed in any::<u64>()) {
        let first = splits("train=3,test=1", seed);
        let part = first.of(&group).map(str::to_owned);
        prop_assert!(part.is_some());
        prop_assert_eq!(first.clone().of(&group).map(str::to_owned), part);
        let whole = Splits { seed, parts: Vec::new() };
        prop_assert_eq!(whole.of(&group), None);
    }
}
