//! The search page: its files, which the program contains. `index.html` is `/`, the others are `/assets/NAME`.

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    /// Value of the header `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal: $content_type:expr,)*) => {
        /// Name, content type and bytes of every file in `page/`.
        const FILES: &[(&str, Asset)] = &[
            $(($name, Asset { content_type: $content_type, bytes: include_bytes!(concat!("../page/", $name)) }),)*
        ];
    };
}

files! {
    "index.html": HTML,
    "icon.svg": SVG,
    "page.css": CSS,
    "panels.css": CSS,
    "search.css": CSS,
    "address.js": SCRIPT,
    "api.js": SCRIPT,
    "asked.js": SCRIPT,
    "chart.js": SCRIPT,
    "chips.js": SCRIPT,
    "data.js": SCRIPT,
    "dom.js": SCRIPT,
    "evaluate.js": SCRIPT,
    "explained.js": SCRIPT,
    "failures.js": SCRIPT,
    "hits.js": SCRIPT,
    "imagined.js": SCRIPT,
    "opened.js": SCRIPT,
    "page.js": SCRIPT,
    "picker.js": SCRIPT,
    "query.js": SCRIPT,
    "save.js": SCRIPT,
    "search.js": SCRIPT,
    "server.js": SCRIPT,
    "theme.js": SCRIPT,
    "train.js": SCRIPT,
    "uploads.js": SCRIPT,
}

/// The file of a name, such as `page.css`.
pub(crate) fn asset(name: &str) -> Option<Asset> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, asset)| *asset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        std::str::from_utf8(asset(name).unwrap().bytes).unwrap()
    }

    /// A file that is not in the list would be missing from the program without a word.
    #[test]
    fn every_file_of_the_folder_is_in_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut known: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    /// What the page refers to exists, and nothing of it lies elsewhere: `'self'` is all that its policy allows.
    #[test]
    fn the_page_refers_to_its_own_files_only() {
        let html = text("index.html");
        for address in html.split("/assets/").skip(1) {
            let name = address.split('"').next().unwrap();
            assert!(asset(name).is_some(), "{name}");
        }
        assert!(!html.contains("style=") && !html.contains("onclick=") && !html.contains("://"), "{html}");
        for (name, asset_of) in FILES.iter().filter(|(_, asset)| asset.content_type == SCRIPT) {
            let script = std::str::from_utf8(asset_of.bytes).unwrap();
            for import in script.split("from './").skip(1) {
                let imported = import.split('\'').next().unwrap();
                assert!(asset(imported).is_some(), "{name} imports {imported}");
            }
            assert!(!script.contains("innerHTML") && !script.contains("eval("), "{name}");
        }
    }
}
