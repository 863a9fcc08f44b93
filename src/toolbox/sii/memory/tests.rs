//! Where the line goes.

use super::*;

#[track_caller]
fn check(before: &str, after: &str) {
    assert_eq!(added(before, "- new"), after, "{before:?}");
}

#[test]
fn the_line_goes_to_the_end_of_its_section() {
    check("", "## Memory\n\n- new\n");
    check("# Rules\n\nBe kind.\n\n", "# Rules\n\nBe kind.\n\n## Memory\n\n- new\n");
    check("## Memory\n\n- old\n", "## Memory\n\n- old\n- new\n");
    check("## Memory\n- old\n\n## Next\ntext\n", "## Memory\n- old\n- new\n\n## Next\ntext\n");
    check("## Memory\n", "## Memory\n\n- new\n");
    check("## Memory\n\n\n# Next\n", "## Memory\n\n- new\n\n# Next\n");
    check("## Memory\r\n\r\n- old\r\n", "## Memory\r\n\r\n- old\r\n- new\r\n");
}
