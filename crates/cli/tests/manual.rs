//! What the program says about itself: help, completions, man pages, recipes.

use crate::fixture::{gxn, text, works};
use crate::snapshots::{refused, seen};

/// The commands below `path`, as its help lists them.
fn commands(path: &[&str], help: &str) -> Vec<Vec<String>> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let below = names.filter(|name| *name != "help").map(|name| path.iter().copied().chain([name]));
    below.map(|path| path.map(str::to_owned).collect()).collect()
}

#[test]
fn help_of_every_command() {
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = works([&path[..], &["-h"]].concat()).stdout;
        open.extend(commands(&path, &help));
        let name = ["help", &path.join("-")].join("-");
        crate::snapshots::settings().bind(|| insta::assert_snapshot!(name.trim_end_matches('-'), help));
    }
}

#[test]
fn each_shell_has_a_completion_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = works(["completions", shell]).stdout;
        assert!(script.contains("score-captions") && script.contains("init-from"), "{shell}");
    }
    assert_eq!(gxn(["completions", "cmd"]).code, 2);
}

#[test]
fn man_pages_are_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man");
    assert_eq!(works(["man", text(&man)]).stdout, format!("{}\n", man.display()));
    let mut pages: Vec<String> =
        std::fs::read_dir(&man).unwrap().flatten().map(|page| page.file_name().into_string().unwrap()).collect();
    pages.sort();
    seen!(pages.join("\n"));
    assert!(std::fs::read_to_string(man.join("gxn-train.1")).unwrap().contains("pretrained"));
    refused!(["man", text(&man)]);
}

#[test]
fn recipes_are_listed_and_shown() {
    seen!(works(["config", "list"]).stdout);
    let shown = works(["config", "show", "own"]).stdout;
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/own.toml");
    assert_eq!(shown, std::fs::read_to_string(file).unwrap());
    refused!(["config", "show", "owm"]);
}
