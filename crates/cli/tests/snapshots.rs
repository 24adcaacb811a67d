//! Messages as people see them: whole, with what differs from run to run and from machine to machine left out.
//!
//! `INSTA_UPDATE=always cargo test -p gxn-cli` writes the snapshots again; read the difference before you commit it.

use std::path::Path;

use crate::fixture::Ran;

/// What is replaced, first to last.
const FILTERS: [(&str, &str); 22] = [
    (r"gxn\.exe", "gxn"),
    (r"gxn \d+\.\d+\.\d+: CPU \(.*\), f32, \d+ threads?", "[MACHINE]"),
    (r"(?m)^note: the \w+ GPU of this machine is not used.*\n", ""),
    (r#"[^\s"'`(:=]*/cli-\d+\b"#, "[SHARED]"),
    (r#"[^\s"'`(:=]*/\.tmp\w{6}\b"#, "[TEMP]"),
    (r"\.tmp\w{6}\b", "[TEMP]"),
    (r"\bcreated_unix_s: \d+", "created_unix_s: [TIME]"),
    (r"\bbytes: \d+", "bytes: [N]"),
    (r"\.writing-\w+", ".writing-[X]"),
    // Progress is a matter of time.
    (r"(?m)^(?:\w+ )+\d+ of \d+ \w+(?:,.*)?\n", ""),
    (r"(?m)^epoch \d+, step \d+/\d+.*\n", ""),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[DATE]"),
    (r"\b[0-9a-f]{12,64}\b", "[HASH]"),
    (r"(?:, |; )?\b\d+(?:\.\d+)? \w+/s\b", ""),
    (r", \d+\.\d+ s per \w+", ""),
    (r"\b\d+ h \d\d min\b|\b\d+(?:\.\d+)? (?:s|min)\b", "[TIME]"),
    (r"\b\d+ MiB\b", "[N] MiB"),
    (r"\b\d+ bytes\b", "[N] bytes"),
    (r" \(best\)|best epoch \d+ ", ""),
    (r"[-+]?\d+\.\d+(?:e-?\d+)?", "[N]"),
    (r"-?\[N\](?:/-?\[N\])+", "[N]"),
    (r" {2,}\[N\]", " [N]"),
];

/// Settings of every snapshot.
pub fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots"));
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, replacement);
    }
    settings
}

/// Exit code 1, nothing on stdout, `error:` on stderr.
pub fn assert_is_refusal(ran: &Ran) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.lines().any(|line| line.starts_with("error: ")), "{ran:?}");
}

/// Compares a text with its snapshot.
macro_rules! seen {
    ($text:expr) => {{
        let seen: &str = &$text;
        crate::snapshots::settings().bind(|| insta::assert_snapshot!(seen));
    }};
}

/// What was refused, with its whole message.
macro_rules! refusal {
    ($ran:expr) => {{
        let ran: &crate::fixture::Ran = &$ran;
        crate::snapshots::assert_is_refusal(ran);
        crate::snapshots::seen!(ran.stderr);
    }};
}

/// Runs what must be refused.
macro_rules! refused {
    ($args:expr) => {{
        let ran = crate::fixture::gxn($args);
        crate::snapshots::refusal!(ran);
        ran
    }};
}

pub(crate) use {refusal, refused, seen};
