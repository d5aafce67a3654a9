//! The text of the manifest, and messages that name its lines.

use std::ops::Range;

/// A manifest's text.
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// The text of the file `name`.
    pub(crate) const fn new(name: &'a str, text: &'a str) -> Source<'a> {
        Source { name, text }
    }

    /// The text.
    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }

    /// A message for the line in which `at` (byte offsets) begins.
    pub(crate) fn error(&self, at: Range<usize>, message: &str) -> String {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}: error: {message}", self.name)
    }
}
