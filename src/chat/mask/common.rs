//! What two texts, or two lists, have in common.

use serde_json::Value;

/// How many tokens two lists have in common at their beginning.
pub(super) fn same(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Every text within a value.
pub(super) fn strings<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::String(_) => into.push(value),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, into)),
        _ => {}
    }
}

/// How many bytes two texts have in common at their beginning, cut where a character ends.
pub(super) fn common(one: &str, other: &str) -> usize {
    const STEP: usize = 4096;
    let (a, b) = (one.as_bytes(), other.as_bytes());
    let shorter = a.len().min(b.len());
    let mut same = 0;
    while same < shorter {
        let end = (same + STEP).min(shorter);
        if a[same..end] == b[same..end] {
            same = end;
            continue;
        }
        same += a[same..end].iter().zip(&b[same..end]).take_while(|(a, b)| a == b).count();
        break;
    }
    one.floor_char_boundary(same)
}
