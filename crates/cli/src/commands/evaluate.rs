//! `gxn evaluate` and `gxn compare`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use gxn::checkpoint::short;
use gxn::encoder::Encoder;
use gxn::evaluate::{
    EncodedDataset, GeneratedCaptionsEvaluation, GeneratedImagesEvaluation, Measurement, agreement, caption_page,
};
use gxn::imagine::small_image::{LABEL, contact_sheet, save_png};
use gxn_base::fs::{check_output, write_text};
use gxn_base::words::counted;
use gxn_data::Split;
use gxn_eval::metrics::Bootstrap;
use gxn_eval::{
    About, EmbeddingPaths, ExternalEmbeddings, Judgements, Judging, ObjectLabels, Protocol, RelevanceRule, Report,
    ResultNames, Similarity, captions_of_several_images, check_rerank_weight, compare_groups, report_page,
};

use crate::args::{CompareArgs, EvaluateArgs, ReportFormat};
use crate::commands::{encode, open_for, report_dropped, split_of};
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;

/// Images on the page of captions.
const SHOWN_CAPTIONS: usize = 10;

/// Train images that show which items are hubs, at most: more are not measured to be better.
const BANK_IMAGES: usize = 6000;

/// Images on the sheet.
const SHOWN_IMAGES: usize = 16;

/// A report, and what else was measured, as text.
struct Measured {
    report: Report,
    more: String,
}

/// Measures a model, or embeddings of another program.
pub fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    check_outputs(args)?;
    if let Some(file) = &args.judgements {
        return judged(args, file);
    }
    let protocol: Protocol = args.protocol.parse()?;
    let measured = match (&args.model, &args.source) {
        (Some(model), Some(source)) if args.image_embeddings.is_none() => of_model(args, protocol, model, source)?,
        (None, None) => Measured { report: of_embeddings(args, protocol)?, more: String::new() },
        _ => bail!("give a model and its data, or --image-embeddings and --caption-embeddings"),
    };
    if let Some(path) = &args.output {
        measured.report.write(path)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(path) = &args.html {
        write_text(path, &report_page(&measured.report)?)?;
        eprintln!("wrote {}", path.display());
    }
    match args.format {
        ReportFormat::Text => print(&(measured.report.text() + &measured.more))?,
        ReportFormat::Json => print(&format!("{}\n", measured.report.to_json()?.trim_end()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses places that the results cannot be written to, before anything is measured.
fn check_outputs(args: &EvaluateArgs) -> Result<()> {
    if let (Some(output), Some(html)) = (&args.output, &args.html)
        && output == html
    {
        bail!("--output and --html name one file, {}: give each its own", output.display());
    }
    for path in [&args.output, &args.html].into_iter().flatten() {
        check_output(path)?;
    }
    match [&args.captions, &args.imagine].into_iter().flatten().find(|folder| folder.exists() && !folder.is_dir()) {
        Some(file) => bail!("{}: found a file, expected a folder to write into", file.display()),
        None => Ok(()),
    }
}

fn of_model(args: &EvaluateArgs, protocol: Protocol, model: &Path, source: &Path) -> Result<Measured> {
    if !["own", "verbatim"].contains(&args.relevance.as_str())
        && let Some(file) = listed(Path::new(&args.relevance)).iter().find(|file| !file.is_file())
    {
        bail!("--relevance: found no file {}, expected own, verbatim or a file of pairs", file.display());
    }
    if args.rerank.is_some() && args.relevance != "own" {
        bail!("--rerank counts an image's own captions alone as right; leave out --relevance {}", args.relevance);
    }
    args.rerank_weight.map_or(Ok(()), check_rerank_weight)?;
    if args.rerank.is_some() && args.rerank_weight.is_none() && split_of(&args.split) == Split::Test {
        eprintln!(
            "warning: the weight is chosen on test, which flatters; choose it on val and give it with --rerank-weight"
        );
    }
    let labels = args.object_labels.as_deref().map(ObjectLabels::read).transpose()?;
    machine_line(args.device.device)?;
    stop_flag()?;
    let (first, others) = members(args, model)?;
    let encoder = Encoder::load_on(&first, &args.device.open()?)?.with_prompts(&args.prompt)?.with_feature_cache()?;
    let dataset = open_for(&encoder, source, &args.reading)?;
    let measurement = Measurement::new(&encoder, &first, &dataset, split_of(&args.split));
    let mut measurement = Measurement { protocol, bootstrap: bootstrap(args.seed), ..measurement };
    if let Some(lambda) = args.lambda {
        measurement = measurement.with_lambda(lambda)?;
    }
    measurement.check_protocol()?;
    if args.correct_hubs {
        measurement.check_train_images("show which items are hubs")?;
    }
    if args.rerank.is_some() {
        measurement.check_reranking(args.rerank_captions)?;
    }
    if args.imagine.is_some() {
        encoder.generate_images::<&str>(&[], &[])?; // refused before the split is encoded
    }
    let beam = args.captions.is_some().then(|| usize::from(args.beam));
    let mut encoded = encode::with_progress(&encoder, &dataset, Some(measurement.split), beam)?;
    let mut bank = args.correct_hubs.then(|| bank(&encoder, &measurement)).transpose()?;
    for other in &others {
        let (of_other, bank_of_other) = of_member(other, args, &measurement)?;
        encoded = encoded.beside(&of_other)?;
        bank = bank.zip(bank_of_other).map(|(bank, other)| bank.beside(&other)).transpose()?;
    }
    if let Some(bank) = &bank {
        encoded.correct_hubs(bank, measurement.scoring)?;
    }
    report_dropped(&encoded.dropped);
    let mut more = String::new();
    if let Some(folder) = &args.captions {
        more += &generated_captions(&measurement, &encoded, args.beam, folder)?.text();
    }
    if let Some(folder) = &args.imagine {
        more += &generated_images(&measurement, &encoded, folder)?.text();
    }
    let texts = encoded.caption_texts(&dataset);
    let relevance = match args.relevance.as_str() {
        "verbatim" => RelevanceRule::Verbatim(texts.iter().map(|text| text.to_string()).collect()),
        _ => relevance(args, &encoded.image_ids, &encoded.caption_ids)?,
    };
    if relevance == RelevanceRule::Own {
        note_equal_captions(&texts, &encoded.caption_image);
    }
    let judging = judging(args, relevance)?;
    let mut report = match args.rerank {
        Some(candidates) => reranked(&measurement, &encoded, &judging, candidates as usize, args)?,
        None => measurement.report_by(&encoded, &judging)?,
    };
    if !others.is_empty() {
        report.model = format!("the mean score of {}", model.display());
    }
    if !args.prompt.is_empty() {
        report.model += &format!(", prompts: {}", args.prompt.join(" | "));
    }
    if let Some(labels) = labels {
        report.pmrp = Some(encoded.plausible_match(measurement.scoring, &labels)?);
    }
    Ok(Measured { report, more })
}

/// The models of an ensemble, or the one model; of an ensemble nothing but recall is measured.
fn members(args: &EvaluateArgs, model: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let mut all = listed(model).into_iter();
    let first = all.next().unwrap_or_default();
    let others: Vec<PathBuf> = all.collect();
    if let Some(absent) = others.iter().find(|other| !other.exists()) {
        bail!(
            "the models {}: found nothing at {:?}, expected a run or checkpoint",
            model.display(),
            absent.display().to_string()
        );
    }
    if !others.is_empty() && (args.captions.is_some() || args.imagine.is_some() || args.rerank.is_some()) {
        bail!("--captions, --imagine and --rerank need one model; {} are named: {}", others.len() + 1, model.display());
    }
    Ok((first, others))
}

/// The train images and captions that show which items are hubs.
fn bank(encoder: &Encoder, measurement: &Measurement) -> Result<EncodedDataset> {
    encode::with_progress(encoder, &measurement.train_images(BANK_IMAGES), Some(Split::Train), None)
}

/// The embeddings of a further model of an ensemble, and of its bank where hubs are corrected.
fn of_member(
    path: &Path,
    args: &EvaluateArgs,
    first: &Measurement,
) -> Result<(EncodedDataset, Option<EncodedDataset>)> {
    let encoder = Encoder::load_on(path, &args.device.open()?)?.with_prompts(&args.prompt)?.with_feature_cache()?;
    let other = Measurement::new(&encoder, path, first.dataset, first.split);
    if other.scoring.similarity != first.scoring.similarity {
        bail!(
            "{} and {} compare embeddings differently: their scores have no mean",
            first.model.display(),
            path.display()
        );
    }
    if other.scoring.lambda != first.scoring.lambda && args.lambda.is_none() {
        bail!(
            "{} weighs the abstract level with λ = {}, {} with {}: give one for all with --lambda",
            first.model.display(),
            first.scoring.lambda,
            path.display(),
            other.scoring.lambda
        );
    }
    let encoded = encode::with_progress(&encoder, first.dataset, Some(first.split), None)?;
    let bank = args.correct_hubs.then(|| bank(&encoder, first)).transpose()?;
    Ok((encoded, bank))
}

fn reranked(
    measurement: &Measurement,
    encoded: &EncodedDataset,
    judging: &Judging,
    candidates: usize,
    args: &EvaluateArgs,
) -> Result<Report> {
    let line = ProgressLine::of("re-ranking");
    let report =
        measurement.report_reranked(encoded, judging, candidates, args.rerank_weight, args.rerank_captions, &line);
    line.clear();
    Ok(report?)
}

/// Compares a model's scores with judgements of people.
fn judged(args: &EvaluateArgs, file: &Path) -> Result<ExitCode> {
    let (Some(model), Some(source)) = (&args.model, &args.source) else { bail!("give a model and its data") };
    if listed(model).len() > 1 {
        bail!("--judgements needs one model; several are named: {}", model.display());
    }
    let judgements = Judgements::read(file)?;
    machine_line(args.device.device)?;
    stop_flag()?;
    let encoder = Encoder::load_on(model, &args.device.open()?)?.with_prompts(&args.prompt)?.with_feature_cache()?;
    let dataset = open_for(&encoder, source, &args.reading)?;
    let measurement = Measurement::new(&encoder, model, &dataset, split_of(&args.split));
    let Measurement { scoring, .. } = match args.lambda {
        Some(lambda) => measurement.with_lambda(lambda)?,
        None => measurement,
    };
    let line = ProgressLine::of("encoding");
    let found = agreement(&encoder, model, &dataset, &judgements, scoring, &line);
    line.clear();
    let found = found?;
    if let Some(path) = &args.output {
        found.write(path)?;
        eprintln!("wrote {}", path.display());
    }
    print(&match args.format {
        ReportFormat::Text => found.text(),
        ReportFormat::Json => found.to_json()?,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Own captions only, or also the pairs of a file.
fn relevance(args: &EvaluateArgs, image_ids: &[String], caption_ids: &[String]) -> Result<RelevanceRule> {
    if args.relevance == "own" {
        return Ok(RelevanceRule::Own);
    }
    let (rule, note) = RelevanceRule::read(Path::new(&args.relevance), image_ids, caption_ids)?;
    if let Some(note) = note {
        eprintln!("note: {note}");
    }
    Ok(rule)
}

fn judging(args: &EvaluateArgs, relevance: RelevanceRule) -> Result<Judging> {
    Ok(Judging { relevance, ties: args.ties.parse()?, drop_unpaired: args.drop_unpaired })
}

fn note_equal_captions(texts: &[&str], owners: &[usize]) {
    let equal = captions_of_several_images(texts, owners);
    if equal > 0 {
        let count = counted(texts.len(), "caption");
        eprintln!(
            "note: {equal} of {count} also stand under another image, where they count as wrong; --relevance verbatim counts \
             them as right"
        );
    }
}

fn bootstrap(seed: u64) -> Bootstrap {
    Bootstrap { seed, ..Bootstrap::default() }
}

/// Scores the captions generated for a split and writes them, their scores and a page of the first ones.
fn generated_captions(
    measurement: &Measurement,
    encoded: &EncodedDataset,
    beam: u16,
    folder: &Path,
) -> Result<GeneratedCaptionsEvaluation> {
    let Measurement { encoder, model, dataset, split, scoring, bootstrap, .. } = *measurement;
    let found = GeneratedCaptionsEvaluation::new(encoded, dataset, split, scoring, bootstrap.seed)?;
    let name = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
    let title = format!("{}, {split}", dataset.name);
    let about = format!("{name} ({}), beam {beam}", short(encoder.fingerprint()));
    let names = ResultNames::new(split, &name);
    for path in found.write(folder, &names)? {
        eprintln!("wrote {}", path.display());
    }
    let page = caption_page(encoded, dataset, &title, &about, SHOWN_CAPTIONS)?;
    write(folder, &names.page(), &page)?;
    Ok(found)
}

/// Measures images generated for a split and writes the figures, a sheet of the first ones and their captions.
fn generated_images(
    measurement: &Measurement,
    encoded: &EncodedDataset,
    folder: &Path,
) -> Result<GeneratedImagesEvaluation> {
    let Measurement { encoder, dataset, scoring, bootstrap, .. } = *measurement;
    let (found, texts, images) = GeneratedImagesEvaluation::new(encoder, encoded, dataset, scoring, bootstrap.seed)?;
    std::fs::create_dir_all(folder).map_err(|e| gxn_base::Error::io("cannot make", folder, e))?;
    write(folder, "imagined_pictures.json", &format!("{:#}\n", serde_json::to_value(&found)?))?;
    let shown: Vec<_> = images.iter().take(SHOWN_IMAGES).map(|image| image.to_rgb()).collect();
    let sheet = folder.join("imagined_sheet.png");
    save_png(&contact_sheet(&shown, 4), &sheet)?;
    eprintln!("wrote {}", sheet.display());
    let lines: String = texts.iter().take(SHOWN_IMAGES).map(|text| format!("{text}\n")).collect();
    write(folder, "imagined_sheet.txt", &format!("{LABEL}\n{lines}"))?;
    Ok(found)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    write_text(&path, text)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The report of another program's embeddings.
fn of_embeddings(args: &EvaluateArgs, protocol: Protocol) -> Result<Report> {
    let (Some(images), Some(captions)) = (&args.image_embeddings, &args.caption_embeddings) else {
        bail!("--image-embeddings and --caption-embeddings belong together");
    };
    let similarity = match args.similarity.as_str() {
        "order" => Similarity::Order,
        _ => Similarity::Cosine,
    };
    let paths = EmbeddingPaths {
        images: images.clone(),
        captions: captions.clone(),
        image_ids: args.image_ids.clone(),
        caption_image_ids: args.caption_image_ids.clone(),
    };
    let embeddings = ExternalEmbeddings::read(&paths, similarity)?;
    for note in &embeddings.notes {
        eprintln!("note: {note}");
    }
    if args.relevance == "verbatim" {
        bail!(
            "--relevance verbatim needs the texts of a dataset; for embeddings name a file of pairs with --relevance FILE"
        );
    }
    let rows: Vec<String> = (0..embeddings.caption_image.len()).map(|row| row.to_string()).collect();
    let judging = judging(args, relevance(args, &embeddings.image_ids, &rows)?)?;
    let evaluation = embeddings.evaluate_by(protocol, similarity, &judging)?;
    let about = About {
        dataset: "external embeddings".into(),
        split: "given".into(),
        model: format!("{} and {}", images.display(), captions.display()),
        data_sha: None,
    };
    Ok(Report::new(&evaluation, &embeddings.image_ids, about, bootstrap(args.seed))?)
}

/// Compares result files.
pub fn compare(args: &CompareArgs) -> Result<ExitCode> {
    let groups = args.results.iter().map(|files| group(files)).collect::<gxn::Result<Vec<_>>>()?;
    let comparison = compare_groups(&groups, bootstrap(args.seed))?;
    match args.format {
        ReportFormat::Text => print(&comparison.text())?,
        ReportFormat::Json => print(&format!("{}\n", comparison.to_json()?.trim_end()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The reports of one argument: a file, or several with commas between them.
fn group(files: &Path) -> gxn::Result<Vec<Report>> {
    listed(files).iter().map(|file| Report::read(file)).collect()
}

/// A path, or several with commas between them.
fn listed(paths: &Path) -> Vec<PathBuf> {
    match paths.to_str().filter(|text| text.contains(',') && !paths.exists()) {
        Some(list) => list.split(',').map(PathBuf::from).collect(),
        None => vec![paths.to_path_buf()],
    }
}
