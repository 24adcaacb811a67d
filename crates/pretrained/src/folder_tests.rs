use std::fs;

use gxn_base::Kind;
use tempfile::TempDir;

use super::*;

fn folder(files: Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn refusal(files: Files) -> (Kind, String) {
    let folder = folder(files);
    let error = EncoderFolder::open(folder.path()).and_then(|folder| folder.weights()).unwrap_err();
    let hint = error.hint().unwrap_or_default().into_owned();
    (error.kind(), format!("{error}; {hint}").replace(&folder.path().display().to_string(), "DIR"))
}

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a str)];

const CLIP: (&str, &str) = ("config.json", r#"{"model_type": "clip", "projection_dim": 512}"#);

#[test]
fn a_complete_folder_opens() {
    for (kind, family) in
        [("clip", Family::Clip), ("siglip", Family::Siglip), ("dinov2", Family::Dinov2), ("bert", Family::Bert)]
    {
        let config = format!(r#"{{"model_type": "{kind}", "hidden_size": 8}}"#);
        let folder = folder(&[("config.json", &config), ("model.safetensors", "weights")]);
        let encoder = EncoderFolder::open(folder.path()).unwrap();
        assert_eq!((encoder.family(), encoder.path()), (family, folder.path()));
        assert_eq!(encoder.config()["hidden_size"], 8);
        assert_eq!(encoder.weights().unwrap(), [folder.path().join("model.safetensors")]);
    }
}

/// The hub's cache holds commits in `snapshots`; the folder above stands for the current one.
#[test]
fn a_folder_of_the_hubs_cache_is_its_snapshot() {
    let folder = folder(&[
        ("refs/main", "abc123\n"),
        ("snapshots/abc123/config.json", CLIP.1),
        ("snapshots/000000/config.json", r#"{"model_type": "bert"}"#),
    ]);
    let encoder = EncoderFolder::open(folder.path()).unwrap();
    assert_eq!(encoder.path(), folder.path().join("snapshots/abc123"));
    fs::write(folder.path().join("refs/main"), "../../elsewhere").unwrap();
    assert_eq!(EncoderFolder::open(folder.path()).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn shards_come_once_and_in_order() {
    let index =
        r#"{"weight_map": {"b": "model-2.safetensors", "a": "model-1.safetensors", "c": "model-2.safetensors"}}"#;
    let files =
        [CLIP, ("model.safetensors.index.json", index), ("model-1.safetensors", "1"), ("model-2.safetensors", "2")];
    let whole = folder(&files);
    let shards = EncoderFolder::open(whole.path()).unwrap().weights().unwrap();
    assert_eq!(shards, ["model-1.safetensors", "model-2.safetensors"].map(|name| whole.path().join(name)));

    let (kind, text) = refusal(&files[..3]);
    assert_eq!(kind, Kind::NotFound);
    assert!(text.starts_with("DIR/model-2.safetensors: found no file"), "{text}");
    for index in
        [r#"{"weight_map": {"a": "../secret"}}"#, r#"{"weight_map": {}}"#, "{}", "[]", r#"{"weight_map": {"a": 1}}"#]
    {
        let (kind, text) = refusal(&[CLIP, ("model.safetensors.index.json", index)]);
        assert_eq!(kind, Kind::Invalid, "{text}");
    }
}

/// Each layout that is not read, with what its error says.
#[test]
fn what_is_missing_or_of_another_kind_is_named() {
    let cases: &[(Files, Kind, &str)] = &[
        (&[], Kind::NotFound, "no config.json"),
        (
            &[("open_clip_config.json", "{}"), ("open_clip_model.safetensors", "1")],
            Kind::Unsupported,
            "OpenCLIP's own layout",
        ),
        (&[("0_CLIPModel/config.json", "{}"), ("1_Pooling/config.json", "{}")], Kind::NotFound, "in 0_CLIPModel only"),
        (&[CLIP], Kind::NotFound, "no weights"),
        (&[CLIP, ("pytorch_model.bin", "1")], Kind::Unsupported, "pytorch_model.bin alone, expected model.safetensors"),
        (&[CLIP, ("tf_model.h5", "1")], Kind::Unsupported, "tf_model.h5 alone"),
        (
            &[
                CLIP,
                ("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 605157884\n"),
            ],
            Kind::Invalid,
            "DIR/model.safetensors: found a pointer of Git LFS",
        ),
        (&[CLIP, ("model.safetensors", "<!DOCTYPE html><html>")], Kind::Invalid, "a web page"),
        (&[CLIP, ("model.safetensors", "")], Kind::Invalid, "an empty file"),
        (&[("config.json", "{"), ("model.safetensors", "1")], Kind::Invalid, "DIR/config.json: found EOF"),
        (&[("config.json", "[1]")], Kind::Invalid, "expected a JSON object"),
        (&[("config.json", "{}")], Kind::Invalid, "no model_type"),
        (
            &[("config.json", r#"{"model_type": "blip"}"#)],
            Kind::Unsupported,
            "blip, expected clip, siglip, dinov2 or bert",
        ),
        (&[("config.json", r#"{"model_type": "siglip2"}"#)], Kind::Unsupported, "NaFlex"),
    ];
    for (files, kind, words) in cases {
        let (found, text) = refusal(files);
        assert_eq!(found, *kind, "{text}");
        assert!(text.contains(words), "{text} lacks {words}");
    }
}

#[test]
fn a_file_is_no_folder_and_a_wrong_path_is_not_found() {
    let folder = folder(&[CLIP]);
    let error = EncoderFolder::open(&folder.path().join("config.json")).unwrap_err();
    assert_eq!((error.kind(), error.found()), (Kind::Invalid, Some("a file")));
    assert_eq!(EncoderFolder::open(&folder.path().join("nowhere")).unwrap_err().kind(), Kind::NotFound);
}
