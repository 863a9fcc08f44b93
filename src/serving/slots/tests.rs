use proptest::prelude::*;

use crate::slots::{Place, Slots};

/// A job took its slot, wrote, and left.
fn pass(slots: &mut Slots, prompt: &[u32], reply: &[u32]) -> Place {
    let place = slots.choose(0, prompt).unwrap();
    slots.take(place.slot, 0, prompt, place.cached);
    slots.push(place.slot, &prompt[place.cached..]);
    slots.push(place.slot, reply);
    slots.leave(place.slot);
    place
}

fn text(first: u32, length: u32) -> Vec<u32> {
    (first..first + length).collect()
}

#[test]
fn a_session_goes_on_in_its_slot_even_when_its_reply_is_written_otherwise() {
    let mut slots = Slots::new(3);
    let prompt = text(0, 100);
    assert_eq!(pass(&mut slots, &prompt, &text(500, 50)).slot, 0);
    // The thoughts of the reply are left out in the next prompt, and the last words of the first
    // prompt opened them.
    let next = [&prompt[..97], &text(520, 30)].concat();
    assert_eq!(pass(&mut slots, &next, &[]), Place { slot: 0, cached: 97, source: None });
}

#[test]
fn a_new_session_takes_an_empty_slot_and_then_the_one_that_was_taken_longest_ago() {
    let mut slots = Slots::new(2);
    let places: Vec<usize> =
        [0, 1000, 0, 2000].map(|first| pass(&mut slots, &text(first, 50), &[]).slot).into();
    assert_eq!(places, [0, 1, 0, 1]);
}

#[test]
fn a_beginning_in_common_is_copied_unless_it_is_short() {
    let mut slots = Slots::new(2);
    pass(&mut slots, &text(0, 100), &[]);
    let other = [text(0, 40), text(900, 60)].concat();
    assert_eq!(slots.choose(0, &other), Some(Place { slot: 1, cached: 40, source: Some(0) }));
    let other = [text(0, 10), text(900, 60)].concat();
    assert_eq!(slots.choose(0, &other), Some(Place { slot: 1, cached: 0, source: None }));
    assert_eq!(slots.choose(1, &text(0, 100)), Some(Place { slot: 1, cached: 0, source: None }));
}

#[test]
fn where_there_is_one_slot_it_keeps_what_fits() {
    let mut slots = Slots::new(1);
    pass(&mut slots, &text(0, 100), &[]);
    let other = [text(0, 40), text(900, 60)].concat();
    assert_eq!(pass(&mut slots, &other, &[]), Place { slot: 0, cached: 40, source: None });
    assert_eq!((slots.held(0), slots.held_by_all(), slots.busy()), (100, 100, 0));
}

#[test]
fn busy_slots_are_looked_into_and_left_alone() {
    let mut slots = Slots::new(2);
    let prompt = text(0, 100);
    slots.take(0, 0, &prompt, 0);
    slots.push(0, &prompt[..64]);
    assert_eq!(slots.choose(0, &prompt), Some(Place { slot: 1, cached: 64, source: Some(0) }));
    slots.take(1, 0, &prompt, 64);
    assert_eq!(slots.choose(0, &prompt), None);
}

proptest! {
    /// Whatever came before, what is said to be there is there, it is idle, and a token is left.
    #[test]
    fn a_place_holds_what_it_says(
        jobs in prop::collection::vec((prop::collection::vec(0u32..3, 1..60), 0usize..2, any::<bool>()), 1..30),
    ) {
        let mut slots = Slots::new(3);
        let mut held: Vec<(usize, Vec<u32>)> = vec![(0, Vec::new()); 3];
        let mut busy: Vec<usize> = Vec::new();
        for (prompt, variant, stays) in jobs {
            if busy.len() == 3 {
                slots.leave(busy.remove(0));
            }
            let place = slots.choose(variant, &prompt).unwrap();
            prop_assert!(!busy.contains(&place.slot));
            prop_assert!(place.cached < prompt.len());
            let (kind, tokens) = &held[place.source.unwrap_or(place.slot)];
            prop_assert!(place.cached == 0 || *kind == variant);
            prop_assert_eq!(&tokens[..place.cached], &prompt[..place.cached]);
            slots.take(place.slot, variant, &prompt, place.cached);
            slots.push(place.slot, &prompt[place.cached..]);
            prop_assert_eq!(slots.held(place.slot), prompt.len());
            held[place.slot] = (variant, prompt);
            if stays { busy.push(place.slot) } else { slots.leave(place.slot) }
            prop_assert_eq!(slots.busy(), busy.len());
        }
    }
}
