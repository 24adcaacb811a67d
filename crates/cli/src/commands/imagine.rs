//! `gxn imagine`

use anyhow::Result;
use gxn::checkpoint::short;
use gxn::encoder::Encoder;
use gxn::imagine::small_image::{LABEL, contact_sheet, save_png};
use gxn_base::fs::write_text;
use serde_json::json;

use crate::args::ImagineArgs;
use crate::commands::note_unknown_words;
use crate::exit::ExitCode;
use crate::output::print;

/// Writes images generated from texts, and a sheet of them: a row per text, a column per noise.
pub fn imagine(args: &ImagineArgs) -> Result<ExitCode> {
    let encoder = Encoder::load_on(&args.model, &args.device.open()?)?;
    let count = usize::from(args.count);
    let seeds: Vec<u64> = (0..count as u64).map(|at| args.seed + at).collect();
    // The same noises for every text, so that images can be compared.
    let texts: Vec<&str> = args.texts.iter().flat_map(|text| std::iter::repeat_n(text.as_str(), count)).collect();
    let all_seeds: Vec<u64> = args.texts.iter().flat_map(|_| seeds.iter().copied()).collect();
    let images: Vec<_> = encoder.generate_images(&texts, &all_seeds)?.iter().map(|image| image.to_rgb()).collect();
    note_unknown_words(&encoder.unknown_words(args.texts.iter().map(String::as_str)));
    std::fs::create_dir_all(&args.output).map_err(|e| gxn_base::Error::io("cannot make", &args.output, e))?;
    let mut entries = Vec::new();
    for ((image, text), seed) in images.iter().zip(&texts).zip(&all_seeds) {
        let path = args.output.join(format!("imagined_{}_{seed}.png", slug(text)));
        save_png(image, &path)?;
        print(&format!("{}\n", path.display()))?;
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        entries.push(json!({"file": file, "text": text, "seed": seed}));
    }
    let sheet = args.output.join("imagined_sheet.png");
    save_png(&contact_sheet(&images, count), &sheet)?;
    print(&format!("{}\n", sheet.display()))?;
    let about = json!({"label": LABEL, "model": short(encoder.fingerprint()), "pictures": entries});
    let path = args.output.join("imagined.json");
    write_text(&path, &format!("{about:#}\n"))?;
    eprintln!("{LABEL}");
    Ok(ExitCode::SUCCESS)
}

/// The first words of a text as part of a file name.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug: String = words.take(8).collect::<Vec<_>>().join("-").to_lowercase();
    let end = slug.char_indices().nth(48).map_or(slug.len(), |(at, _)| at);
    slug.truncate(end);
    if slug.is_empty() { "image".into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn file_names_hold_words_only() {
        assert_eq!(slug("A brown dog, runs/on ../grass!"), "a-brown-dog-runs-on-grass");
        assert_eq!(slug("../.."), "image");
        assert_eq!(slug(&"ä".repeat(80)).chars().count(), 48);
    }
}
