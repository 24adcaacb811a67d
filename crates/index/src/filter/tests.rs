use super::value::FieldKind;
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn photo() -> ImageItem {
    let meta = json!({
        "camera": "Pixel 8", "iso": 400, "tags": ["cat", "sofa", 7], "flash": false, "raw": true, "note": null,
        "lens": {"name": "50mm", "f": 1.8}, "width": "own", "year": "2024", "Camera Model": "X 100", "not": 1
    });
    ImageItem {
        id: "2024/05/cat.jpg".into(),
        path: "2024/05/cat.jpg".into(),
        sha256: "ab".into(),
        size: 2_000_000,
        mtime_unix_ms: 1_717_158_600_000, // 2024-05-31 12:30:00 UTC
        file: None,
        width: 4000,
        height: 3000,
        meta: meta.as_object().unwrap().clone(),
    }
}

fn passes(filter: &str) -> bool {
    Filter::parse(filter).unwrap().passes_image(&photo())
}

#[test]
fn comparisons() {
    for yes in [
        "width=4000",
        "width == 4000.0",
        "width>=4000",
        "width<4001",
        "width!=1",
        "size>1e6",
        "height<=3000",
        "name=cat.jpg",
        "name=*.jpg",
        "name='c?t.*'",
        "folder=2024/05",
        "folder=2024/**",
        "folder=2024/05/**",
        "folder=**/05",
        "folder=**",
        "folder=2024/*",
        "path=2024/**/cat.jpg",
        "path=2024/**/05/*.jpg",
        "path=**/*.jpg",
        "camera=\"Pixel 8\"",
        "camera=Pixel*",
        "camera<Q",
        "iso=400",
        "iso>=100",
        "tags=cat",
        "tags=7",
        "tags=s*",
        "flash=false",
        "raw=true",
        "raw",
        "not flash",
        "not note",
        "lens.name=50mm",
        "lens.f<2",
        "lens",
        "meta.width=own",
        "mtime=2024-05-31",
        "mtime>=2024-05-31",
        "mtime<=2024-05-31",
        "mtime<2024-06-01",
        "mtime>2024-05-30",
        "mtime=2024-05-31T12:30:00Z",
        "mtime=1717158600",
        "mtime>2024-05-31T12:29:59",
        "nothing!=x",
        "not nothing",
        "not nothing<1",
        "not nothing=*",
        "width=4000 AND height=3000",
        "width=1 or height=3000 and iso=400",
        "(width=1 or height=3000) and not (iso=1 or iso=2)",
        "not not raw",
        "image.width=4000",
        "size",
    ] {
        assert!(passes(yes), "{yes}");
    }
    for no in [
        "width=4",
        "width>4000",
        "name=cat",
        "name=*.JPG",
        "folder=2024",
        "folder=*",
        "folder=2024/05/",
        "path=*.jpg",
        "path=2024/?05/cat.jpg",
        "camera=pixel*",
        "iso=4",
        "tags=dog",
        "tags>a",
        "flash",
        "note",
        "nothing",
        "nothing=x",
        "nothing<1",
        "nothing>=0",
        "mtime=2024-06-01",
        "mtime<2024-05-31",
        "mtime>2024-05-31",
        "lens.g=1",
        "lens=50mm",
        "width=1 or height=3000 and iso=1",
        "not raw",
        "raw=1",
        "name=cat\\*",
        "iso<4e1",
        "iso=4*",
    ] {
        assert!(!passes(no), "{no}");
    }
    let unknown = ImageItem { path: "top.jpg".into(), ..Default::default() };
    for (filter, expected) in [("size", false), ("mtime<2024-01-01", false), ("folder=\"\"", true), ("folder=**", true)]
    {
        assert_eq!(Filter::parse(filter).unwrap().passes_image(&unknown), expected, "{filter}");
    }
}

#[test]
fn captions_have_the_fields_of_their_image() {
    let caption = CaptionItem { id: "c".into(), image_id: "2024/05/cat.jpg".into(), text: "a cat on a sofa".into() };
    let passes = |filter: &str| {
        let mut called = false;
        let image = || -> std::result::Result<ImageItem, ()> {
            called = true;
            Ok(photo())
        };
        (Filter::parse(filter).unwrap().passes_caption(&caption, image).unwrap(), called)
    };
    assert_eq!(passes("text=*cat* and id=c"), (true, false));
    assert_eq!(passes("text=*dog* or folder=2024/**"), (true, true));
    assert_eq!(passes("image.id=2024/**"), (true, true));
    assert_eq!(passes("image_id=2024/**"), (true, false));
}

#[test]
fn mistakes_are_explained() {
    for (filter, expected) in [
        ("", "place 1 of the filter ``: found its end, expected the name of a field, `not` or `(`"),
        (
            "width>",
            "place 7 of the filter `width>`: found its end, expected a value, in quotes if it has spaces or parentheses",
        ),
        ("größe=1 size=2", "place 9 of the filter `größe=1 size=2`: found `size=2`, expected `and`, `or` or the end"),
        ("(a=1", "place 5 of the filter `(a=1`: found its end, expected `)`, `and` or `or`"),
        ("a='x", "place 3 of the filter `a='x`: found a quote without its end, expected a second quote"),
        ("!a", "place 1 of the filter `!a`: found `!`, expected `!=` or `not`"),
        ("a=1 and or", "place 9 of the filter `a=1 and or`: found `or`, expected the name of a field, `not` or `(`"),
        ("*=1", "place 1 of the filter `*=1`: found `*=1`, expected the name of a field, `not` or `(`"),
    ] {
        let error = Filter::parse(filter).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some());
    }
    for deep in ["(".repeat(100_000), "not ".repeat(100_000), "a and ".repeat(3)] {
        Filter::parse(&deep).unwrap_err();
    }
}

#[test]
fn long_patterns_take_no_time() {
    let image = ImageItem { path: "a".repeat(2000), ..Default::default() };
    let filter = Filter::parse(&format!("path={}b", "*a".repeat(200))).unwrap();
    assert!(!filter.passes_image(&image));
}

#[test]
fn dates_count_as_the_calendar_does() {
    for (text, seconds) in [
        ("1970-01-01", 0i64),
        ("1969-12-31", -86_400),
        ("2000-02-29", 951_782_400),
        ("2024-03-01", 1_709_251_200),
        ("2100-03-01", 4_107_542_400),
        ("0001-01-01", -62_135_596_800),
        ("9999-12-31T23:59:59", 253_402_300_799),
    ] {
        let (found, second) = (Moment::parse(text).unwrap(), Moment::parse(&seconds.to_string()).unwrap());
        assert!(found.starts_with(second), "{text}");
    }
    for bad in [
        "2023-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-32",
        "2024-1",
        "24:00:00",
        "2024-01-01T24:00:00",
        "99999-01-01",
        "",
        "9223372036854775807",
    ] {
        assert_eq!(Moment::parse(bad), None, "{bad}");
    }
}

fn conditions() -> impl Strategy<Value = String> {
    let field = prop_oneof!["[a-z_.é]{1,6}", Just("path".to_string()), "\"[a-z =.*]{1,5}\""]
        .prop_filter("a keyword or a number", |name| {
            !["and", "or", "not"].contains(&name.as_str()) && FieldKind::of(name) == FieldKind::Other
        });
    let value = prop_oneof!["[a-z0-9*?/.-]{1,8}", "\"([a-z *?'()]|\\\\[\"\\\\*])*\"", "'[a-zé ]*'"];
    let operator = prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">=", "==", " = "]);
    let typed = prop_oneof![
        (Just("width"), "-?[0-9]{1,5}(\\.5|e2)?"),
        (Just("image.mtime"), "-?[0-9]{1,10}|2024-0[5-6]-[0-2][1-9](T12:30:00Z?)?")
    ];
    let leaf = prop_oneof![
        field.clone(),
        (field, operator.clone(), value).prop_map(|(f, o, v)| format!("{f}{o}{v}")),
        (typed, operator).prop_map(|((f, v), o)| format!("{f}{o}{v}")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("not {part}")),
        ]
    })
}

/// The plain meaning of a pattern.
fn slow_fit(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => (0..=text.len()).any(|n| slow_fit(rest, &text[n..])),
        ['*', rest @ ..] => {
            (0..=text.len()).take_while(|n| !text[..*n].contains(&'/')).any(|n| slow_fit(rest, &text[n..]))
        }
        ['?', rest @ ..] => text.first().is_some_and(|c| *c != '/') && slow_fit(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && slow_fit(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in any::<String>()) {
        let _ = Filter::parse(&text).map(|filter| filter.passes_image(&photo()));
    }

    #[test]
    fn text_like_filters_gives_an_answer(text in "([a-z]{1,3}|and|or|not|[ =<>!()'\"*\\\\/?]){0,30}") {
        let _ = Filter::parse(&text).map(|filter| filter.passes_image(&photo()));
    }

    #[test]
    fn filters_print_as_they_read(text in conditions()) {
        let filter = Filter::parse(&text).unwrap();
        let again = Filter::parse(&filter.to_string()).unwrap();
        prop_assert_eq!(&again, &filter);
        prop_assert_eq!(again.passes_image(&photo()), filter.passes_image(&photo()));
        let negated = Filter::parse(&format!("not ({text})")).unwrap();
        prop_assert_eq!(negated.passes_image(&photo()), !filter.passes_image(&photo()));
    }

    #[test]
    fn patterns_equal_their_plain_meaning(pattern in "[ab/*?]{0,8}", text in "[ab/]{0,8}") {
        // `**/` and `/**` have a meaning of their own.
        prop_assume!(!pattern.contains("**/") && !pattern.contains("/**"));
        let (wanted, characters): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(Glob::new(&pattern, true).fits(&text), slow_fit(&wanted, &characters));
    }
}

/// Each of them, under `not` too, would have had one answer for every image.
#[test]
fn numbers_and_times_are_compared_with_their_like_alone() {
    for operator in ["=", "!=", "<", "<=", ">", ">="] {
        for (field, value, kind) in [
            ("width", "1o0", "number"),
            ("image.height", "1,000", "number"),
            ("size", "2MB", "number"),
            ("width", "*", "number"),
            ("width", "nan", "number"),
            ("height", "\"\"", "number"),
            ("mtime", "yesterday", "time"),
            ("mtime", "2023-02-30", "time"),
            ("image.mtime", "2024-05*", "time"),
        ] {
            for filter in [format!("{field}{operator}{value}"), format!("id or not (not {field}{operator}{value})")] {
                let error = Filter::parse(&filter).unwrap_err();
                assert!(error.what().starts_with(&format!("`{field}` is a {kind} (place ")), "{error}");
                assert_eq!(error.found().unwrap(), format!("`{}`", value.trim_matches('"')), "{filter}");
                assert!(error.hint().unwrap().contains("alone tests whether it is known"));
            }
        }
    }
    let error = Filter::parse("not mtime>2023-02-30").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`mtime` is a time (place 11 of the filter `not mtime>2023-02-30`): found `2023-02-30`, expected a date such as \
         2024-05-31 or 2024-05-31T12:30:00 (UTC), or seconds since 1970"
    );
}

/// One system writes `é` as one character, another as two, and so do keyboards.
#[test]
fn names_that_read_alike_are_equal() {
    let (one, two) = ("caf\u{e9}", "cafe\u{301}");
    for (file, typed) in [(one, two), (two, one), (one, one), (two, two)] {
        let meta = json!({file: "x", "list": [file]}).as_object().unwrap().clone();
        let image = ImageItem { path: format!("{file}/{file}.png"), meta, ..Default::default() };
        for filter in [
            format!("name={typed}.png"),
            format!("name='{typed}*'"),
            "name=caf?.png".into(),
            format!("folder={typed}/**"),
            format!("path<={typed}/{typed}.png and path>={typed}/{typed}.png"),
            format!("{typed}=x"),
            format!("list={typed}"),
        ] {
            assert!(Filter::parse(&filter).unwrap().passes_image(&image), "{filter} of {file}");
        }
        assert!(!Filter::parse("name=cafe*").unwrap().passes_image(&image), "{file}");
        let caption = CaptionItem { text: format!("a {file}"), ..Default::default() };
        let filter = Filter::parse(&format!("text='* {typed}'")).unwrap();
        assert!(filter.passes_caption(&caption, || Err(())).unwrap());
    }
}

/// Tables hold whole numbers as `2024.0`, too, and names that look like numbers.
#[test]
fn columns_of_numbers_are_equal_as_numbers_and_names_as_they_are_written() {
    let passes = |held: &str, filter: &str| {
        let meta = json!({ "own": held }).as_object().unwrap().clone();
        Filter::parse(filter).unwrap().passes_image(&ImageItem { meta, ..Default::default() })
    };
    for (held, filter) in [("2024.0", "own=2024"), ("2024", "own=2024.00"), ("-3.50", "own=-3.5"), ("0", "own=0.0")] {
        assert!(passes(held, filter) && !passes(held, &filter.replace('=', "!=")), "{held} {filter}");
    }
    for (held, filter) in [
        ("007", "own=7"),
        ("1e3", "own=1000"),
        ("12345678901234567", "own=12345678901234568"),
        ("1.2.0", "own=1.2"),
        ("v2.0", "own=v2"),
        ("2024.5", "own=2024"),
    ] {
        assert!(!passes(held, filter), "{held} {filter}");
    }
}

#[test]
fn long_whole_numbers_compare_in_all_their_digits_and_words_not_with_numbers() {
    let passes = |held: serde_json::Value, filter: &str| {
        let meta = json!({ "own": held }).as_object().unwrap().clone();
        Filter::parse(filter).unwrap().passes_image(&ImageItem { meta, ..Default::default() })
    };
    let id = json!(1_790_000_000_000_000_001_u64);
    assert!(passes(id.clone(), "own=1790000000000000001") && !passes(id.clone(), "own=1790000000000000002"));
    assert!(passes(id.clone(), "own<1790000000000000002") && passes(id, "own>1.5"));
    assert!(passes(json!("2003"), "own>=2000") && passes(json!("2003-05-31"), "own>=2000"));
    for word in ["unknown", ""] {
        assert!(!passes(json!(word), "own>=2000") && !passes(json!(word), "own<2000"), "{word}");
        assert!(passes(json!(word), "own!=2000") && passes(json!(word), "own<x"), "{word}");
    }
}

#[test]
fn columns_are_what_is_not_known_beforehand() {
    let filter = Filter::parse("widht>=1000 and (camera=x or not image.width=3) and text=dog and camera=y").unwrap();
    assert_eq!(filter.columns(Modality::Image), ["camera", "text", "widht"]);
    assert_eq!(filter.columns(Modality::Text), ["camera", "widht"]);
    for (name, kind) in [
        ("camera", Some(ContentKind::Other)),
        ("year", Some(ContentKind::Digits)),
        ("lens.f", Some(ContentKind::Number)),
        ("note", Some(ContentKind::Other)),
        ("lens.g", None),
        ("widht", None),
    ] {
        assert_eq!(content_kind(&photo(), name), kind, "{name}");
    }
}

/// Tables call their columns as they like.
#[test]
fn a_column_of_any_name_can_be_asked_for() {
    for filter in
        ["\"Camera Model\"='X 100'", "'Camera Model' and \"not\"=1", "not \"Camera  Model\"", "'lens.name'=50mm"]
    {
        assert!(passes(filter), "{filter}");
    }
    for name in ["Camera Model", "not", "a\"b\\c", "*", "=", "größe"] {
        let meta = json!({name: 1}).as_object().unwrap().clone();
        let image = ImageItem { meta, ..Default::default() };
        let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let filter = Filter::parse(&quoted).unwrap();
        assert!(filter.passes_image(&image), "{quoted}");
        assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
    }
    Filter::parse("\"\"=1").unwrap_err();
}
