//! `gxn imagine`

use std::process::ExitCode;

use anyhow::Result;
use gxn::checkpoint::{Encoder, short};
use gxn::imagine::small_image::{LABEL, contact_sheet, save_png};
use gxn_base::fs::write_text;
use serde_json::json;

use crate::args::ImagineArgs;
use crate::output::print;

/// Writes pictures that the model imagines for sentences, and a sheet of them: a row a sentence, a column a noise.
pub fn imagine(args: &ImagineArgs) -> Result<ExitCode> {
    let encoder = Encoder::load(&args.model)?;
    let count = usize::from(args.count);
    let seeds: Vec<u64> = (0..count as u64).map(|at| args.seed + at).collect();
    // The same noises for every sentence, so that they can be compared.
    let texts: Vec<&str> = args.texts.iter().flat_map(|text| std::iter::repeat_n(text.as_str(), count)).collect();
    let all_seeds: Vec<u64> = args.texts.iter().flat_map(|_| seeds.iter().copied()).collect();
    let pictures: Vec<_> = encoder.imagine(&texts, &all_seeds)?.iter().map(|picture| picture.to_rgb()).collect();
    std::fs::create_dir_all(&args.output).map_err(|e| gxn_base::Error::io("cannot make", &args.output, e))?;
    let mut entries = Vec::new();
    for ((picture, text), seed) in pictures.iter().zip(&texts).zip(&all_seeds) {
        let path = args.output.join(format!("imagined_{}_{seed}.png", slug(text)));
        save_png(picture, &path)?;
        print(&format!("{}\n", path.display()))?;
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        entries.push(json!({"file": file, "text": text, "seed": seed}));
    }
    let sheet = args.output.join("imagined_sheet.png");
    save_png(&contact_sheet(&pictures, count), &sheet)?;
    print(&format!("{}\n", sheet.display()))?;
    let about = json!({"label": LABEL, "model": short(encoder.fingerprint()), "pictures": entries});
    let path = args.output.join("imagined.json");
    write_text(&path, &format!("{about:#}\n"))?;
    eprintln!("{LABEL}");
    Ok(ExitCode::SUCCESS)
}

/// The first words of a sentence as part of a file name.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug: String = words.take(8).collect::<Vec<_>>().join("-").to_lowercase();
    let end = slug.char_indices().nth(48).map_or(slug.len(), |(at, _)| at);
    slug.truncate(end);
    if slug.is_empty() { "picture".into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn file_names_hold_words_only() {
        assert_eq!(slug("A brown dog, runs/on ../grass!"), "a-brown-dog-runs-on-grass");
        assert_eq!(slug("../.."), "picture");
        assert_eq!(slug(&"ä".repeat(80)).chars().count(), 48);
    }
}
