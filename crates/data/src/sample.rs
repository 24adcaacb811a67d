//! A commented sample of each format that [`Dataset::open`](super::Dataset::open) understands, for people who begin.

/// One format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The name to ask for it by.
    pub name: &'static str,
    /// What it is and when to take it.
    pub about: &'static str,
    /// Files as they would lie on disk: name, content. Empty content stands for an image.
    pub files: &'static [(&'static str, &'static str)],
}

/// Every format, the simplest first.
pub const SAMPLES: [Sample; 12] = [
    Sample {
        name: "folder",
        about: "Images with texts of the same name beside them, one caption a line. The simplest to make by hand.\n\
                Folders called train, val and test at the top give the splits; without them the content of each\n\
                image decides (90 % train, 5 % val, 5 % test), so that copies stay together.",
        files: &[
            ("beach.jpg", ""),
            ("beach.txt", "Two dogs run along the beach.\nDogs playing near the sea.\n"),
            ("kitchen.png", ""),
            ("kitchen.txt", "A woman cuts bread.\n"),
        ],
    },
    Sample {
        name: "two-folders",
        about: "Images in images/, texts of the same stems in captions/ (or texts/, text/, txt/, labels/).",
        files: &[("images/beach.jpg", ""), ("captions/beach.txt", "Two dogs run along the beach.\n")],
    },
    Sample {
        name: "jsonl",
        about: "The native format: one JSON object a line. `image` is a path from images/ or from the file's folder;\n\
                `split`, `id` and `meta` may be left out; `caption` with one string is accepted for `captions`.",
        files: &[
            (
                "captions.jsonl",
                "{\"image\":\"beach.jpg\",\"captions\":[\"Two dogs run along the beach.\",\"Dogs near the sea.\"],\"split\":\"train\",\"id\":\"beach\",\"meta\":{\"place\":\"Rimini\"}}\n\
                 {\"image\":\"kitchen.png\",\"caption\":\"A woman cuts bread.\",\"split\":\"test\"}\n",
            ),
            ("images/beach.jpg", ""),
            ("images/kitchen.png", ""),
        ],
    },
    Sample {
        name: "csv",
        about: "A table with a header, one caption a row (tabs, bars and semicolons separate too). Image columns:\n\
                filepath, image, image_path, …; caption columns: title, caption, text, …; others can be named\n\
                in the options. `split` and `id` are understood, further columns are kept as meta.",
        files: &[
            (
                "captions.csv",
                "image,caption,split\nbeach.jpg,\"Two dogs run along the beach, fast.\",train\n\
                 beach.jpg,Dogs near the sea.,train\nkitchen.png,A woman cuts bread.,test\n",
            ),
            ("images/beach.jpg", ""),
            ("images/kitchen.png", ""),
        ],
    },
    Sample {
        name: "kaggle",
        about: "Flickr8k as Kaggle has it: captions.txt with the header `image,caption`, commas in captions without\n\
                quotes, the images in Images/.",
        files: &[
            (
                "captions.txt",
                "image,caption\nbeach.jpg,Two dogs run , fast , along the beach .\nkitchen.png,A woman cuts bread .\n",
            ),
            ("Images/beach.jpg", ""),
            ("Images/kitchen.png", ""),
        ],
    },
    Sample {
        name: "conceptual",
        about: "The shape of Conceptual Captions: no header, the caption, a tab, the file. The published table has an\n\
                address in place of the file; nothing is downloaded, so fetch the images first.",
        files: &[
            ("train.tsv", "Two dogs run along the beach\timages/beach.jpg\nA woman cuts bread\timages/kitchen.png\n"),
            ("images/beach.jpg", ""),
            ("images/kitchen.png", ""),
        ],
    },
    Sample {
        name: "token",
        about: "Flickr8k's and Flickr30k's own layout: name.jpg#NUMBER, a tab, the caption. Splits come from\n\
                *trainImages.txt, *devImages.txt and *testImages.txt beside it, if they are there.",
        files: &[
            (
                "Flickr8k.token.txt",
                "beach.jpg#0\tTwo dogs run along the beach .\nkitchen.png#0\tA woman cuts bread .\n",
            ),
            ("Flickr_8k.trainImages.txt", "beach.jpg\n"),
            ("Flickr_8k.testImages.txt", "kitchen.png\n"),
            ("images/beach.jpg", ""),
            ("images/kitchen.png", ""),
        ],
    },
    Sample {
        name: "imagefolder",
        about: "Hugging Face's imagefolder: a table called metadata.jsonl or metadata.csv in a folder of images; `file_name`\n\
                is a path from there. Folders called train, validation and test give the splits.",
        files: &[
            ("train/metadata.jsonl", "{\"file_name\":\"beach.jpg\",\"text\":\"Two dogs run along the beach.\"}\n"),
            ("train/beach.jpg", ""),
            ("test/metadata.jsonl", "{\"file_name\":\"kitchen.png\",\"text\":\"A woman cuts bread.\"}\n"),
            ("test/kitchen.png", ""),
        ],
    },
    Sample {
        name: "karpathy",
        about: "Karpathy's JSON (dataset_coco.json, dataset_flickr30k.json, …). Images lie in images/ beside it or in the\n\
                folder that the options name, below `filepath` if it is given. The split restval is train,\n\
                unless the options leave it out.",
        files: &[
            (
                "dataset.json",
                "{\"images\":[{\"filename\":\"beach.jpg\",\"split\":\"train\",\"sentences\":[{\"raw\":\"Two dogs run along the beach.\"}]},\n\
                 \u{20}          {\"filename\":\"kitchen.png\",\"split\":\"test\",\"sentences\":[{\"raw\":\"A woman cuts bread.\"}]}]}\n",
            ),
            ("images/beach.jpg", ""),
            ("images/kitchen.png", ""),
        ],
    },
    Sample {
        name: "coco",
        about: "COCO captions JSON. In a folder (or its annotations/) captions_train2017.json and captions_val2017.json\n\
                give the splits by their names. One file alone holds none: join several with `::`, or split by\n\
                content with the rule hash:0.9/0.05/0.05.",
        files: &[
            (
                "annotations/captions_train2017.json",
                "{\"images\":[{\"id\":1,\"file_name\":\"beach.jpg\"}],\n\
                 \u{20}\"annotations\":[{\"id\":10,\"image_id\":1,\"caption\":\"Two dogs run along the beach.\"}]}\n",
            ),
            (
                "annotations/captions_val2017.json",
                "{\"images\":[{\"id\":2,\"file_name\":\"kitchen.png\"}],\n\
                 \u{20}\"annotations\":[{\"id\":11,\"image_id\":2,\"caption\":\"A woman cuts bread.\"}]}\n",
            ),
            ("train2017/beach.jpg", ""),
            ("val2017/kitchen.png", ""),
        ],
    },
    Sample {
        name: "parquet",
        about: "Shards of Hugging Face's `datasets`: a column that is a struct of `bytes` and `path`, and a caption or a\n\
                list of captions. Names such as train-00000-of-00003.parquet, or folders, give the splits; a column\n\
                `split` does so too. Rows of such a shard as JSON, bytes in place of the file that holds them:",
        files: &[(
            "data/train-00000-of-00001.parquet",
            "{\"image\":{\"bytes\":\"beach.jpg\",\"path\":\"beach.jpg\"},\"captions\":[\"Two dogs run along the beach.\",\"Dogs near the sea.\"]}\n\
             {\"image\":{\"bytes\":\"kitchen.png\",\"path\":\"kitchen.png\"},\"captions\":[\"A woman cuts bread.\"]}\n",
        )],
    },
    Sample {
        name: "webdataset",
        about: "Tar shards, opened as shards-{0000..0042}.tar or by their folder: members of one stem make a sample, an\n\
                image (jpg, jpeg, png, webp) with a txt (one caption a line) or a json (`captions` or\n\
                `caption`; `split` stands in all samples or in none).",
        files: &[
            ("000000.jpg", ""),
            ("000000.txt", "Two dogs run along the beach.\n"),
            ("000001.png", ""),
            ("000001.json", "{\"captions\":[\"A woman cuts bread.\"],\"place\":\"Milan\"}\n"),
        ],
    },
];

impl Sample {
    /// Title, advice and files as text; comment lines begin with `#`.
    pub fn text(&self) -> String {
        let mut text = format!("# {}\n", self.name);
        self.about.lines().for_each(|line| text += &format!("# {}\n", line.trim()));
        for (name, content) in self.files {
            if content.is_empty() {
                text += &format!("--- {name}   (an image)\n");
            } else {
                text += &format!("--- {name}\n{content}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use super::*;
    use crate::{Dataset, SourceOptions};

    /// What people are told to write is what the reader accepts, without anything dropped.
    #[test]
    fn every_sample_opens() {
        for sample in &SAMPLES {
            let folder = tempfile::tempdir().unwrap();
            if sample.name == "parquet" {
                crate::testing::parquet_of_json(folder.path(), sample.files[0].1);
            }
            let mut tar = tar::Builder::new(Vec::new());
            for (at, (name, content)) in sample.files.iter().enumerate() {
                let mut bytes = content.as_bytes().to_vec();
                if bytes.is_empty() {
                    let image = image::RgbImage::from_pixel(2, 2, image::Rgb([at as u8; 3]));
                    image.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
                }
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, name, &bytes[..]).unwrap();
                if sample.name != "webdataset" && sample.name != "parquet" {
                    let path = folder.path().join(name);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
            }
            if sample.name == "webdataset" {
                fs::write(folder.path().join("shards-0000.tar"), tar.into_inner().unwrap()).unwrap();
            }
            let strict = SourceOptions { strict: true, ..SourceOptions::default() };
            let data = Dataset::open(folder.path(), &strict).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
            assert_eq!(data.images.len(), if sample.name == "two-folders" { 1 } else { 2 }, "{}", sample.name);
            assert!(data.captions.iter().any(|caption| caption.text.starts_with("Two dogs")), "{}", sample.name);
            let text = sample.text();
            assert!(text.starts_with(&format!("# {}\n# ", sample.name)), "{text}");
        }
    }
}
