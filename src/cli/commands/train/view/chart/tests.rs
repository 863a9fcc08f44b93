use super::*;

fn dots(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.chars().skip(LABEL_COLUMNS).collect()).collect()
}

#[test]
fn a_curve_that_falls_goes_from_the_upper_left_to_the_lower_right() {
    let values: Vec<f64> = (0..16).map(|step| 3.0 - f64::from(step) / 8.0).collect();
    let lines = draw(&values, 17, 4);
    assert_eq!(dots(&lines), ["⠑⢄", "⠀⠀⠑⢄", "⠀⠀⠀⠀⠑⢄", "⠀⠀⠀⠀⠀⠀⠑⢄"]);
    assert!(lines[0].starts_with("  3.0000 ") && lines[3].starts_with("  1.1250 "));
}

#[test]
fn a_jump_has_no_holes() {
    assert_eq!(dots(&draw(&[1.0, 0.0], 13, 2)), ["⢱", "⢸"]);
    assert_eq!(dots(&draw(&[0.0, 1.0], 13, 2)), ["⢸", "⡸"]);
}

#[test]
fn a_high_curve_uses_all_its_rows() {
    let lines = draw(&[2.5, 2.25], 100, 8);
    assert_eq!(dots(&lines), ["⢱", "⢸", "⢸", "⢸", "⢸", "⢸", "⢸", "⢸"]);
}

#[test]
fn values_that_are_none_and_too_many_are_drawn_all_the_same() {
    assert!(draw(&[], 40, 4).is_empty());
    assert!(draw(&[f64::NAN], 40, 4).is_empty());
    assert_eq!(draw(&[2.0], 40, 4).len(), 4);
    let many: Vec<f64> = (0..100_000).map(|step| f64::from(step % 7)).collect();
    let lines = draw(&many, 40, 4);
    assert!(lines.iter().all(|line| line.chars().count() <= 40));
    assert_eq!(draw(&[1.0, 2.0], 0, 1).len(), 1);
    assert!(draw(&[1.0, 2.0], 40, 0).is_empty());
}
