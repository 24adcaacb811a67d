//! Self-contained pages from templates: [`page`], [`fill`] and [`escape`].

/// How every page begins; its style goes on in the template.
const HEAD: &str = include_str!("page_head.html");

/// A whole page: what all have in common up to their first rules of style, where `template` goes on, with its `title`.
pub fn page(template: &str, values: &[(&str, &str)]) -> String {
    fill(&[HEAD, template].concat(), values)
}

/// `template` with every `{{name}}` replaced by its value, which must be HTML already.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page += before;
        let Some((name, after)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        page += values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        rest = after;
    }
    page + rest
}

/// Text that is shown as it is in HTML and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<b>\"a\" & b"), "&lt;b&gt;&quot;a&quot; &amp; b");
    }

    /// A value is not searched for places of its own.
    #[test]
    fn places_are_filled_once() {
        let page = fill("<p>{{a}} and {{b}}, {{a}}{{none}}</p>", &[("a", "{{b}}"), ("b", "2")]);
        assert_eq!(page, "<p>{{b}} and 2, {{b}}</p>");
    }
}
