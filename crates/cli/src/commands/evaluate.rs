//! `gxn evaluate` and `gxn compare`

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use gxn::checkpoint::{Encoder, short};
use gxn::evaluate::encode::EncodedDataset;
use gxn::evaluate::{ImaginedEvaluation, PictureEvaluation, caption_page};
use gxn::imagine::picture::{LABEL, contact_sheet, save_png};
use gxn_base::fs::write_text;
use gxn_data::{Dataset, Split};
use gxn_eval::metrics::Bootstrap;
use gxn_eval::{About, Foreign, ForeignPaths, Protocol, Report, ResultNames, Scoring, Similarity, compare_groups};

use crate::args::{CompareArgs, EvaluateArgs, ReportFormat};
use crate::commands::{encode, open_for, report_dropped, split_of};
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};

/// Pictures on the page of captions.
const SHOWN_CAPTIONS: usize = 10;

/// Pictures on the sheet.
const SHOWN_PICTURES: usize = 16;

/// Measures a model, or embeddings of another one.
pub fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    let protocol: Protocol = args.protocol.parse()?;
    let (mut imagined, mut drawn) = (None, None);
    let report = match (&args.model, &args.source) {
        (Some(model), Some(source)) if args.image_embeddings.is_none() => {
            machine_line();
            let stop = stop_flag()?;
            let encoder = Encoder::load(model)?;
            let dataset = open_for(&encoder, source, &args.reading)?;
            let split = split_of(&args.split);
            let scoring = scoring_of(&encoder, args.lambda)?;
            let beam = args.captions.is_some().then(|| usize::from(args.beam));
            let encoded = encode::with_progress(&encoder, &dataset, Some(split), beam, stop)?;
            report_dropped(&encoded.dropped);
            if let Some(folder) = &args.captions {
                let found = ImaginedEvaluation::of(&encoded, &dataset, split, scoring)?;
                let name = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
                let title = format!("{}, {split}", dataset.name);
                let about = format!("{name} ({}), beam {}", short(encoder.fingerprint()), args.beam);
                let page = caption_page(&encoded, &dataset, &title, &about, SHOWN_CAPTIONS)?;
                let names = ResultNames::new(split, &name);
                let mut paths = found.write(folder, &names)?;
                paths.push(folder.join(names.page()));
                write_text(&folder.join(names.page()), &page)?;
                paths.iter().for_each(|path| eprintln!("wrote {}", path.display()));
                imagined = Some(found);
            }
            if let Some(folder) = &args.imagine {
                drawn = Some(imagine_split(&encoder, &encoded, &dataset, scoring, args.seed, folder)?);
            }
            report_of(&encoded, &encoder, model, &dataset, split, protocol, scoring, args.seed)?
        }
        (None, None) => foreign(args, protocol)?,
        _ => bail!("give a model and its data, or --image-embeddings and --caption-embeddings"),
    };
    if let Some(path) = &args.output {
        report.write(path)?;
        eprintln!("wrote {}", path.display());
    }
    match args.format {
        ReportFormat::Text => {
            print(&report.text())?;
            print(&imagined.as_ref().map(ImaginedEvaluation::text).unwrap_or_default())?;
            print(&drawn.as_ref().map(PictureEvaluation::text).unwrap_or_default())?;
        }
        ReportFormat::Json => print(&format!("{}\n", report.to_json()?.trim_end()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The report of a model on one split.
#[allow(clippy::too_many_arguments)]
pub fn measure(
    encoder: &Encoder,
    model: &Path,
    dataset: &Dataset,
    split: Split,
    protocol: Protocol,
    lambda: Option<f32>,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Report> {
    let scoring = scoring_of(encoder, lambda)?;
    let encoded = encode::with_progress(encoder, dataset, Some(split), None, stop)?;
    report_dropped(&encoded.dropped);
    report_of(&encoded, encoder, model, dataset, split, protocol, scoring, seed)
}

/// Measures pictures imagined for a split and writes the figures, a sheet of the first ones and their sentences.
fn imagine_split(
    encoder: &Encoder,
    encoded: &EncodedDataset,
    dataset: &Dataset,
    scoring: Scoring,
    seed: u64,
    folder: &Path,
) -> Result<PictureEvaluation> {
    let (found, texts, pictures) = PictureEvaluation::of(encoder, encoded, dataset, scoring, seed)?;
    std::fs::create_dir_all(folder).map_err(|e| gxn_base::Error::io("cannot make", folder, e))?;
    let write = |name: &str, text: String| -> Result<()> {
        let path = folder.join(name);
        write_text(&path, &text)?;
        eprintln!("wrote {}", path.display());
        Ok(())
    };
    write("imagined_pictures.json", format!("{:#}\n", serde_json::to_value(&found)?))?;
    let shown: Vec<_> = pictures.iter().take(SHOWN_PICTURES).map(|picture| picture.to_rgb()).collect();
    let sheet = folder.join("imagined_sheet.png");
    save_png(&contact_sheet(&shown, 4), &sheet)?;
    eprintln!("wrote {}", sheet.display());
    let lines: String = texts.iter().take(SHOWN_PICTURES).map(|text| format!("{text}\n")).collect();
    write("imagined_sheet.txt", format!("{LABEL}\n{lines}"))?;
    Ok(found)
}

/// The score that the model was trained with, or with another λ.
fn scoring_of(encoder: &Encoder, lambda: Option<f32>) -> Result<Scoring> {
    let mut scoring = gxn::evaluate::encode::scoring(encoder.config());
    if let Some(lambda) = lambda {
        if !(0.0..=1.0).contains(&lambda) || (!encoder.has_grounded_level() && lambda != 1.0) {
            bail!("--lambda {lambda}: expected 0 to 1, and 1 for a model with one level");
        }
        scoring.lambda = lambda;
    }
    Ok(scoring)
}

/// The report of a split that is encoded already.
#[allow(clippy::too_many_arguments)]
pub fn report_of(
    encoded: &EncodedDataset,
    encoder: &Encoder,
    model: &Path,
    dataset: &Dataset,
    split: Split,
    protocol: Protocol,
    scoring: Scoring,
    seed: u64,
) -> Result<Report> {
    let about = About {
        dataset: dataset.name.clone(),
        split: split.to_string(),
        model: format!("{} {}", model.display(), short(encoder.fingerprint())),
        data_sha: Some(dataset.hash()),
    };
    Ok(encoded.report(protocol, scoring, about, Bootstrap { seed, ..Bootstrap::default() })?)
}

/// The report of embeddings from elsewhere.
fn foreign(args: &EvaluateArgs, protocol: Protocol) -> Result<Report> {
    let (Some(images), Some(captions)) = (&args.image_embeddings, &args.caption_embeddings) else {
        bail!("--image-embeddings and --caption-embeddings belong together");
    };
    let similarity = match args.similarity.as_str() {
        "order" => Similarity::Order,
        _ => Similarity::Cosine,
    };
    let paths = ForeignPaths {
        images: images.clone(),
        captions: captions.clone(),
        image_ids: args.image_ids.clone(),
        caption_image_ids: args.caption_image_ids.clone(),
    };
    let foreign = Foreign::read(&paths, similarity)?;
    for note in &foreign.notes {
        eprintln!("note: {note}");
    }
    let scoring = Scoring { similarity, lambda: 1.0 };
    let evaluation =
        protocol.evaluate(foreign.image_ids.len(), &foreign.caption_image, &foreign.embeddings(), scoring)?;
    let about = About {
        dataset: "foreign embeddings".into(),
        split: "given".into(),
        model: format!("{} and {}", images.display(), captions.display()),
        data_sha: None,
    };
    Ok(Report::new(&evaluation, &foreign.image_ids, about, Bootstrap { seed: args.seed, ..Bootstrap::default() })?)
}

/// Compares result files.
pub fn compare(args: &CompareArgs) -> Result<ExitCode> {
    let groups = args.results.iter().map(|files| group(files)).collect::<gxn::Result<Vec<_>>>()?;
    let comparison = compare_groups(&groups, Bootstrap { seed: args.seed, ..Bootstrap::default() })?;
    match args.format {
        ReportFormat::Text => print(&comparison.text())?,
        ReportFormat::Json => print(&format!("{}\n", comparison.to_json()?.trim_end()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The reports of one argument: a file, or several with commas between them.
fn group(files: &Path) -> gxn::Result<Vec<Report>> {
    match files.to_str().filter(|text| text.contains(',') && !files.exists()) {
        Some(list) => list.split(',').map(|file| Report::read(Path::new(file))).collect(),
        None => Ok(vec![Report::read(files)?]),
    }
}
