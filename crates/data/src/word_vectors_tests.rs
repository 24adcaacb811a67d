//! Tests of reading word vectors in every layout.

use super::*;
use crate::Vocabulary;

/// Numbers: the 4, dog 5, cat 6, été 7.
fn vocabulary() -> Vocabulary {
    Vocabulary::from_texts(["the dog the cat the dog dog the été", "cat"], 1)
}

fn load(name: &str, bytes: &[u8]) -> Result<WordVectors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    WordVectors::load(&path, &vocabulary())
}

fn check(vectors: &WordVectors) {
    assert_eq!(vectors.dimension, 2);
    assert_eq!(vectors.numbers, [4, 5]);
    assert_eq!(vectors.values, [1.0, 2.0, -0.5, 3.0]);
    assert_eq!(vectors.missing, ["cat", "été"]);
    assert_eq!(vectors.coverage(), 0.5);
}

#[test]
fn glove_text() {
    check(&load("glove.txt", b"dog -0.5 3.0\nsky 9 9\nthe 1 2\n").unwrap());
    // A word with spaces and one that is not UTF-8 do not disturb the others.
    check(&load("glove.txt", b"dog -0.5 3.0\n. . . 7 7\n\xff\xfe 8 8\nthe 1 2\n").unwrap());
}

#[test]
fn word2vec_text() {
    check(&load("w2v.txt", b"3 2\ndog -0.5 3.0\nsky 9 9\nthe 1 2\n").unwrap());
}

#[test]
fn word2vec_binary_with_and_without_line_feeds() {
    for end in [&b""[..], b"\n"] {
        let mut bytes = b"3 2\n".to_vec();
        for (word, vector) in [("dog", [-0.5f32, 3.0]), ("sky", [9.0, 9.0]), ("the", [1.0, 2.0])] {
            bytes.extend(word.bytes().chain([b' ']));
            bytes.extend(vector.iter().flat_map(|v| v.to_le_bytes()));
            bytes.extend(end);
        }
        check(&load("w2v.bin", &bytes).unwrap());
        let cut = load("w2v.bin", &bytes[..bytes.len() - 4]).unwrap_err().to_string();
        assert!(cut.contains("vector 3"), "{cut}");
    }
}

#[test]
fn safetensors_with_a_word_list() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u8> =
        [-0.5f32, 3.0, 9.0, 9.0, 1.0, 2.0].iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    let matrix = safetensors::tensor::TensorView::new(Dtype::F16, vec![3, 2], &values).unwrap();
    let file = safetensors::serialize([("emb", matrix)], None).unwrap();
    std::fs::write(folder.path().join("v.safetensors"), &file).unwrap();
    let missing = WordVectors::load(folder.path(), &vocabulary()).unwrap_err().to_string();
    assert!(missing.contains("word list") && missing.contains("v.txt"), "{missing}");
    std::fs::write(folder.path().join("v.txt"), "dog\nsky\nthe\n").unwrap();
    check(&WordVectors::load(folder.path(), &vocabulary()).unwrap());
    check(&WordVectors::load(&folder.path().join("v.safetensors"), &vocabulary()).unwrap());
    std::fs::write(folder.path().join("v.txt"), "dog\nsky\n").unwrap();
    let short = WordVectors::load(folder.path(), &vocabulary()).unwrap_err().to_string();
    assert!(short.contains("found 2 words, expected 3"), "{short}");
}

/// The vocabulary is lower case; cased vectors serve where the exact spelling is absent, whichever comes first.
#[test]
fn other_case_is_second_choice() {
    check(&load("v.txt", b"Dog 7 7\ndog -0.5 3.0\nDOG 8 8\nThe 1 2\n").unwrap());
}

#[test]
fn faults_name_the_place() {
    let fault = |bytes: &[u8]| load("v.txt", bytes).unwrap_err().to_string();
    assert!(fault(b"the 1 2\ndog 3\n").contains("v.txt, line 2"), "{}", fault(b"the 1 2\ndog 3\n"));
    assert!(fault(b"the 1 2\ndog 3 x\n").contains("v.txt, line 2"));
    assert!(fault(b"the 1 NaN\n").contains("the vector of \"the\": found NaN"), "{}", fault(b"the 1 NaN\n"));
    assert!(fault(b"sky 1 2\n").contains("none of the vocabulary's words"));
    assert!(fault(b"").contains("an empty file"));
    assert!(fault(b"hello\nworld\n").contains("neither"));
}

#[test]
#[ignore = "needs GXN_DATA"]
fn published_glove_vectors_load() {
    let folder = crate::testing::published_data().join("glove");
    let vectors = WordVectors::load(&folder, &Vocabulary::from_texts(["the dog a qqxzv"], 1)).unwrap();
    assert_eq!((vectors.dimension, vectors.numbers.len()), (100, 2));
    assert_eq!(vectors.missing, ["a", "qqxzv"]);
}
