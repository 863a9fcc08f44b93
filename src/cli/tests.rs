//! The parts of the command line that need no session.

use clap::{CommandFactory, Parser};

use crate::args::{Cli, misplaced_command};
use crate::print::{headline, safe, thousands};

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example() {
    fn check(command: &clap::Command) {
        for sub in command.get_subcommands() {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                sub.has_subcommands() || help.contains("Example:"),
                "{} has no example",
                sub.get_name()
            );
            check(sub);
        }
    }
    check(&Cli::command());
}

#[test]
fn a_command_behind_options_is_no_prompt() {
    let told = |line: &str| {
        let words = || line.split_whitespace();
        let cli = Cli::try_parse_from(words()).unwrap();
        misplaced_command(&cli, words().map(Into::into)).map(|error| error.to_string())
    };
    let error = told("limn --model m resume").unwrap();
    assert!(error.contains("limn resume …") && error.contains("-- resume"), "{error}");
    for line in ["limn --model m -- resume", "limn --model m why", "limn resume", "limn --model m"]
    {
        assert_eq!(told(line), None, "{line}");
    }
}

#[test]
fn control_characters_become_pictures() {
    assert_eq!(safe("a\u{1b}[31mb\r\n\tc\r\u{7f}"), "a␛[31mb\n\tc␍␡");
    assert_eq!(safe("\u{9b}31m \u{202e}abc"), "\u{fffd}31m \u{fffd}abc");
    assert_eq!(safe("漢字 é 🦀"), "漢字 é 🦀");
}

#[test]
fn headlines_are_one_short_line() {
    assert_eq!(headline("  first\nsecond", 40), "first");
    assert_eq!(headline("漢字漢字漢字", 4), "漢字漢…");
    assert_eq!(headline("", 4), "");
}

#[test]
fn thousands_are_grouped() {
    let grouped: Vec<String> = [0, 12, 123, 1234, 123_456, 1_234_567].map(thousands).to_vec();
    assert_eq!(grouped, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
}
