//! Hints: how each remedy is followed on the command line.

use gxn_base::Remedy;

/// The remedy as commands and flags.
pub fn flags(remedy: &Remedy) -> String {
    let command = match remedy {
        Remedy::NameData => "name one with --train-data, or data.source in the configuration",
        Remedy::ShowFormats => "`gxn data init` prints a sample of each format",
        Remedy::CheckData => "`gxn data check` gives the reason for each",
        Remedy::GiveDecodeCommand => {
            "give a program that decodes them, for example --decode-cmd 'heif-convert {in} {out}.png'"
        }
        Remedy::NameColumns => "name the columns with --csv-img-key and --csv-caption-key",
        Remedy::CopyImages => "copy the images too: --copy-images",
        Remedy::GiveSplits => "give splits in the data, or split by content with --split-by",
        Remedy::MoreValidation => {
            "give val more images and train again: other splits of the same data would put train images into val"
        }
        Remedy::ShowConfig => "`gxn train --print-config` prints every key with its default",
        Remedy::NameWeights(files) => {
            return format!("gxn never downloads. Get one of these and name it with --pretrained-image:\n  {files}");
        }
        Remedy::BuildWith(feature) => {
            return format!(
                "build it in: cargo install --path crates/cli --features {feature}; or compute on the CPU: --device cpu"
            );
        }
        Remedy::SmallerBatch(pairs) => {
            return format!("try --batch-size {pairs} in a new run, with another --name; or --device cpu");
        }
        Remedy::NameRun => "`gxn train` writes runs; name the run's folder or one of its checkpoints",
        Remedy::NameIndexModel => "name the run that made the index with --model; `gxn info INDEX` shows its path",
        Remedy::ResumeOrRename => "continue it with --resume, or give the new run another --name",
        Remedy::StartRun => "start it without --resume",
        Remedy::TrainCaptions => "train one: gxn train flickr8k-i2t-xe --init-from RUN",
        Remedy::TrainGenerator => {
            "train one: gxn train flickr8k-t2i-pretrain --init-from RUN, then flickr8k-t2i from that"
        }
        Remedy::MakeIndex => "make one with `gxn index DIR --model RUN`, or name one with --index",
        Remedy::IndexDataset => "index a dataset rather than a folder: gxn index DATA --model RUN --index DIR",
        Remedy::IndexAgain => "run `gxn index` again, or remove the index's folder first",
        Remedy::RepairIndex => "`gxn index repair INDEX` encodes what is damaged again, and nothing else",
        Remedy::Reindex => "make it again with `gxn index reindex DIR --model RUN`",
        Remedy::ReplaceSource => {
            "name another folder with --index, or replace the source with --other-source: items that the new source lacks \
             are deleted from the index"
        }
        Remedy::KeepImages => {
            "--images-only goes on with all images of the folder; --other-source makes it the index of the dataset and \
             deletes images without captions"
        }
        Remedy::KeepFormat => {
            "`gxn data check SOURCE` says what could not be read; --other-source takes the data as they are read now: items \
             that they lack are deleted from the index"
        }
        Remedy::FixDataset => {
            "`gxn data check SOURCE` says what is wrong with it; --other-source goes on without captions, which are then \
             deleted from the index"
        }
        Remedy::SameOptions => "make all with the same options of gxn index",
        Remedy::IncludeHidden => "hidden files and folders are skipped; --include-hidden reads them",
        Remedy::AllParts => "name all parts, or leave --only-parts out: then nothing is deleted",
        Remedy::Calibrate => "calibrate it first: gxn calibrate MODEL DATA",
        Remedy::Recalibrate => "calibrate again: gxn calibrate MODEL DATA",
        Remedy::GiveImageIds => "give the ids of the images with --image-ids",
        Remedy::GiveCaptionImages => "give each caption's image with --image-ids and --caption-image-ids",
        Remedy::MakeReport => "make one with `gxn evaluate MODEL DATA --output report.json`",
        Remedy::GiveReferences => "the results come first; references are given with --references",
        Remedy::GiveCorpus => "give the captions that a model was trained on with --df, for cider_d",
        Remedy::ChooseDevice => "name another one with --device (or GXN_DEVICE); --device cpu computes on the CPU",
        Remedy::ChooseLambda => "--lambda takes 0 to 1; leave it out for a model with one level",
        Remedy::GiveKey => "give a key with GXN_API_KEY or --api-key, or let everybody in with --insecure",
        other => return other.words().into_owned(),
    };
    command.to_owned()
}
