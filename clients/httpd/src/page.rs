//! The status page: one HTML document that fetches `/status.json` every second and loads nothing else.

/// The document.
pub(crate) const PAGE: &str = include_str!("page.html");
/// The icon of the tab.
pub(crate) const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\">\
     <rect width=\"32\" height=\"32\" rx=\"7\" fill=\"#0b6e99\"/>\
     <path d=\"M4 21h24M8 21v-5a8 8 0 0 1 16 0v5M13 21v-5a3 3 0 0 1 6 0v5\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2.5\"/></svg>\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that makes a browser load from elsewhere, and no markup made from data.
    #[test]
    fn page_is_self_contained() {
        for forbidden in [
            "http://",
            "https://",
            "src=",
            "@import",
            "innerHTML",
            "document.write",
            "eval(",
        ] {
            let page = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(
            !PAGE.contains("<link") || PAGE.contains("<link rel=\"icon\" href=\"/favicon.ico\"")
        );
        for tag in [
            "html", "head", "body", "style", "script", "table", "section", "main", "svg",
        ] {
            let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
            assert_eq!(
                PAGE.matches(&open).count(),
                PAGE.matches(&close).count() + usize::from(tag == "head"),
                "{tag}"
            );
        }
    }

    /// Every id that the script looks for exists.
    #[test]
    fn script_and_markup_agree() {
        for part in PAGE.split("$('").skip(1) {
            let id = part.split('\'').next().unwrap();
            assert!(PAGE.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}
