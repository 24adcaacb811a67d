//! `gxn config list|show`: the recipes, which the program contains.

use std::path::Path;

use anyhow::Result;
use gxn::config::ConfigText;
use gxn_base::Error;

use crate::args::RecipeArgs;
use crate::exit::ExitCode;
use crate::output::print;

/// Name and text of each recipe.
const RECIPES: [(&str, &str); 14] = [
    ("own", include_str!("../../configs/own.toml")),
    ("on-encoder", include_str!("../../configs/on-encoder.toml")),
    ("finetune", include_str!("../../configs/finetune.toml")),
    ("distil", include_str!("../../configs/distil.toml")),
    ("demo", include_str!("../../configs/demo.toml")),
    ("demo-captions", include_str!("../../configs/demo-captions.toml")),
    ("flickr8k", include_str!("../../configs/flickr8k.toml")),
    ("flickr8k-vsepp", include_str!("../../configs/flickr8k-vsepp.toml")),
    ("flickr8k-best", include_str!("../../configs/flickr8k-best.toml")),
    ("flickr8k-i2t-xe", include_str!("../../configs/flickr8k-i2t-xe.toml")),
    ("flickr8k-i2t-mix", include_str!("../../configs/flickr8k-i2t-mix.toml")),
    ("flickr8k-t2i-pretrain", include_str!("../../configs/flickr8k-t2i-pretrain.toml")),
    ("flickr8k-t2i", include_str!("../../configs/flickr8k-t2i.toml")),
    ("flickr8k-ablation", include_str!("../../configs/flickr8k-ablation.toml")),
];

/// Those that go on with a trained run.
const ON_A_RUN: [&str; 7] = [
    "finetune",
    "distil",
    "demo-captions",
    "flickr8k-i2t-xe",
    "flickr8k-i2t-mix",
    "flickr8k-t2i-pretrain",
    "flickr8k-t2i",
];

/// Prints the name of each recipe and the first line of its header.
pub fn list() -> Result<ExitCode> {
    let width = RECIPES.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = RECIPES.iter().map(|(name, text)| format!("{name:width$}  {}\n", description(text)));
    print(&lines.collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a recipe.
pub fn show(args: &RecipeArgs) -> Result<ExitCode> {
    print(recipe(&args.name).ok_or_else(|| unknown(&args.name))?)?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration that `named` means: a recipe, or else a file. A file that is called like a recipe is `./own`.
///
/// # Errors
/// When it is neither, or the file cannot be read.
pub fn config_text(named: &Path) -> gxn::Result<ConfigText> {
    let bare = named.to_str().filter(|name| !name.contains(['/', '\\', '.']));
    match (bare, bare.and_then(recipe)) {
        (Some(name), Some(text)) => Ok(ConfigText { name: format!("the recipe {name}"), text: text.into() }),
        (Some(name), None) if !named.exists() => Err(unknown(name)),
        _ => ConfigText::read(named),
    }
}

/// Whether `named` is a recipe that goes on with a trained run.
pub fn begins_with_a_run(named: &Path) -> bool {
    named.to_str().is_some_and(|name| ON_A_RUN.contains(&name))
}

fn recipe(name: &str) -> Option<&'static str> {
    RECIPES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The first line of a recipe's header.
fn description(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).collect();
    Error::not_found(
        format!("the configuration {name}"),
        "no such recipe or file",
        format!("a file or one of {}", names.join(", ")),
    )
    .with_hint("`gxn config list` describes the recipes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn::ablation::AblationPlan;
    use gxn::config::RunConfig;

    #[test]
    fn every_recipe_is_valid_and_described() {
        for (name, text) in RECIPES {
            let text = ConfigText { name: name.into(), text: text.into() };
            assert!(description(&text.text).ends_with('.'), "{name}: {}", description(&text.text));
            if text.text.contains("[[stage]]") {
                AblationPlan::read(&text, &[]).unwrap();
            } else {
                // What a recipe begins with is named by the user.
                let start = ["train.init_from=runs/mine".to_string()];
                RunConfig::parse(Some(&text), &start).unwrap();
            }
        }
    }

    #[test]
    fn a_recipe_names_no_path_outside_what_the_user_gives() {
        for (name, text) in RECIPES {
            let values = text.lines().filter(|line| !line.starts_with('#'));
            let fixed: Vec<&str> = values.filter(|line| line.contains('/') && !line.contains("$GXN_DATA/")).collect();
            assert!(fixed.is_empty(), "{name}: {fixed:?}");
        }
    }

    #[test]
    fn every_recipe_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
        let mut known = RECIPES.map(|(name, _)| name);
        names.sort();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
