//! Commands, options and configuration keys of the documentation are those of the program.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use gxn::config::RunConfig;

use super::{Cli, Command};
use crate::commands::config::config_text;

/// Options of other programs that the pages mention.
const OTHERS: [&str; 2] = ["--skip", "--export"];

/// README and the pages of docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let pages = pages.chain(["README.md", "docs/images/README.md"].map(|name| root.join(name)));
    pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// A command line as a shell splits it, up to a comment, a pipe or a redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => (quote, word) = (Some(letter), Some(word.unwrap_or_default())),
            (None, '#' | '|' | '>') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Fails unless the program takes the command and every configuration key in it.
fn assert_taken(command: &[String], page: &Path) {
    let cli = Cli::try_parse_from(command).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let Command::Train(args) = cli.command else { return };
    let text = args.config.as_deref().map(|named| config_text(named).unwrap());
    let given = ["data.source=x".to_owned(), "train.init_from=x".to_owned()];
    RunConfig::parse(text.as_ref(), &[&args.set, &given[..]].concat())
        .unwrap_or_else(|error| panic!("{}: {command:?}: {error}", page.display()));
}

#[test]
fn commands_in_blocks_are_taken() {
    let mut count = 0;
    for (page, text) in pages() {
        let text = text.replace("\\\n", "");
        for block in text.split("\n```").skip(1).step_by(2) {
            for line in block.lines().filter(|line| line.starts_with("gxn ")) {
                assert_taken(&words(line), &page);
                count += 1;
            }
        }
    }
    assert!(count > 70, "{count} commands");
}

#[test]
fn options_in_sentences_exist() {
    let program = Cli::command();
    let has = |command: &clap::Command, long: &str| {
        command.get_arguments().any(|arg| arg.get_long_and_visible_aliases().is_some_and(|all| all.contains(&long)))
    };
    fn all(command: &clap::Command) -> Vec<&clap::Command> {
        std::iter::once(command).chain(command.get_subcommands().flat_map(all)).collect()
    }
    let mut count = 0;
    for (page, text) in pages() {
        let sentences: String = text.split("\n```").step_by(2).collect();
        for code in sentences.split('`').skip(1).step_by(2) {
            let (code, mut command) = (words(code), &program);
            let mut candidates = match code.first().map(String::as_str) {
                Some("gxn") => {
                    code[1..]
                        .iter()
                        .map_while(|word| {
                            command = command.find_subcommand(word)?;
                            Some(())
                        })
                        .for_each(drop);
                    vec![command]
                }
                Some(word) if word.starts_with("--") && !OTHERS.contains(&word) => all(&program),
                _ => continue,
            };
            for option in code.iter().filter_map(|word| word.strip_prefix("--")) {
                let option = option.split('=').next().unwrap_or_default();
                candidates.retain(|command| has(command, option) || ["help", "version"].contains(&option));
                assert!(!candidates.is_empty(), "{}: --{option} in {code:?}", page.display());
                count += 1;
            }
            if code[0] == "--set" {
                assert_taken(&[&["gxn".to_owned(), "train".to_owned()], &code[..]].concat(), &page);
            }
        }
    }
    assert!(count > 50, "{count} options");
}
