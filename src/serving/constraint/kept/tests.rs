use super::{KEPT_BYTES_MAX, KEPT_MAX, Kept};

/// Whether it had to be made.
fn is_made(kept: &Kept<usize>, text: &str) -> bool {
    let mut is_made = false;
    let made = kept.get(text, || {
        is_made = true;
        text.len()
    });
    assert_eq!(made, text.len());
    is_made
}

#[test]
fn what_was_made_is_not_made_again() {
    let kept = Kept::default();
    assert!(is_made(&kept, "a") && is_made(&kept, "b"));
    assert!(!is_made(&kept, "a") && !is_made(&kept, "b") && !is_made(&kept, "a"));
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let kept = Kept::default();
    let texts: Vec<String> = (0..KEPT_MAX).map(|number| number.to_string()).collect();
    assert!(texts.iter().all(|text| is_made(&kept, text)));
    assert!(!is_made(&kept, "0"));
    assert!(is_made(&kept, "one more"));
    assert!(!is_made(&kept, "0") && is_made(&kept, "1"));
    assert_eq!(kept.entries().len(), KEPT_MAX);
}

#[test]
fn a_text_that_is_too_large_is_not_kept_and_takes_nobodys_place() {
    let kept = Kept::default();
    assert!(is_made(&kept, "a"));
    let half = "x".repeat(KEPT_BYTES_MAX / 2);
    assert!(is_made(&kept, &half) && !is_made(&kept, "a") && !is_made(&kept, &half));
    let large = "x".repeat(KEPT_BYTES_MAX + 1);
    assert!(is_made(&kept, &large) && is_made(&kept, &large));
    assert!(!is_made(&kept, "a") && !is_made(&kept, &half));
    // Two halves and more have no room.
    assert!(is_made(&kept, &half.replace('x', "y")));
    assert!(is_made(&kept, "a") && !is_made(&kept, &half.replace('x', "y")));
    assert!(is_made(&kept, &half));
}
