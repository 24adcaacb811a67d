//! `gxn explain`

use std::path::{Path, PathBuf};

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::explain::{
    CaptionComparison, CellShares, Grid, WordShare, cell_shares, compare_caption, pair_parts, word_shares,
};
use gxn::retrieve::{IndexPlace, Provenance, ScoreParts};
use gxn_base::unicode::printable;
use gxn_base::{Error, Remedy};
use gxn_data::{ImageLimits, ImageSource, load_image};
use serde_json::json;

use crate::args::{ExplainArgs, ReportFormat};
use crate::commands::note_unknown_words;
use crate::exit::ExitCode;
use crate::output::print;

/// Beams of the search for the caption.
const BEAM: usize = 3;

/// Prints why a text and an image have their score.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode> {
    let encoder = Encoder::load_on(&model(args)?, &args.device.open()?)?;
    let image = load_image(&ImageSource::File(args.image.clone()), &ImageLimits::default())?;
    let feature = encoder.image_feature(&image, &ImageLimits::default())?.feature;
    let embedding = encoder.encode_features(&feature).joined(0);
    note_unknown_words(&encoder.unknown_words([args.query.as_str()]));
    let words = word_shares(&encoder, &args.query, &embedding)?;
    let text = encoder.encode_text(&args.query)?.joined(0);
    let parts = pair_parts(&encoder.space(), &text, &embedding)?;
    let grid = Grid { rows: args.grid.min(image.height()), columns: args.grid.min(image.width()) };
    let cells = cell_shares(&encoder, &text, &image, grid)?;
    let caption = match encoder.can_caption() {
        true => encoder.caption_features(&feature, BEAM)?.into_iter().flatten().next(),
        false => None,
    };
    let caption = caption.map(|found| compare_caption(&args.query, &found.caption));
    let score = parts.abstract_level + parts.grounded_level;
    print(&match args.format {
        ReportFormat::Json => {
            let found = json!({"score": score, "parts": parts, "words": words, "cells": cells, "caption": caption});
            format!("{found:#}\n")
        }
        ReportFormat::Text => table(&parts, &words, &cells, caption.as_ref()),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The model that is named, or that of the index which the image lies in.
fn model(args: &ExplainArgs) -> Result<PathBuf> {
    if let Some(model) = &args.model {
        return Ok(model.clone());
    }
    let folder = args.image.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let index = IndexPlace::from(folder)
        .find()
        .map_err(|error| error.with_hint("name the model with --model, or an image of an indexed folder"))?;
    let model = Provenance::of(&index, &index.meta()?)?.model.filter(|model| model.exists());
    Ok(model.ok_or_else(|| {
        Error::not_found(format!("the model that made {index}"), "none where it was", "a run or checkpoint")
            .with_remedy(Remedy::NameIndexModel)
    })?)
}

fn table(parts: &ScoreParts, words: &[WordShare], cells: &CellShares, caption: Option<&CaptionComparison>) -> String {
    let ScoreParts { abstract_level, grounded_level, .. } = parts;
    let mut out = format!(
        "score {:.4}: abstract {abstract_level:.4}, grounded {grounded_level:.4}\n\nwhat it loses without each word\n",
        abstract_level + grounded_level
    );
    for WordShare { word, contribution } in words {
        out += &format!("  {contribution:>8.4}  {}\n", printable(word));
    }
    out += "\nwhat it loses where each part of the image is painted over\n";
    for row in cells.contribution.chunks(cells.columns.max(1) as usize) {
        out += &format!(" {}\n", row.iter().map(|share| format!(" {share:>8.4}")).collect::<String>());
    }
    if let Some(CaptionComparison { text, shared, extra, missing }) = caption {
        let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        out += &format!(
            "\ngenerated caption: {}\n  words of both: {}\n  of the caption alone: {}\n  of the query alone: {}\n",
            printable(text),
            list(shared),
            list(extra),
            list(missing)
        );
    }
    out
}
