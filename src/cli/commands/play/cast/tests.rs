//! Text out of bytes that come in any pieces.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn pieces_of_any_size_are_the_same_text(
        bytes in prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)],
        cuts in proptest::collection::vec(1..5_usize, 0..40),
    ) {
        let mut text = Text::default();
        let mut told = String::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            told.push_str(&text.take(now));
            rest = later;
        }
        told.push_str(&text.take(rest));
        told.push_str(&text.rest());
        prop_assert_eq!(told, String::from_utf8_lossy(&bytes));
    }
}
