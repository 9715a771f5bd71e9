//! A message while it is being cleaned: normalised lines, each byte of which knows where it came from.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// A stretch of normalised text and the source it stands for.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Where the stretch starts in the normalised text; it ends where the next segment starts.
    pub(super) start: usize,
    /// The source bytes it stands for.
    pub(super) source: Range<usize>,
    /// True: byte for byte the same as the source. False: only the whole stretch corresponds to the whole range.
    pub(super) verbatim: bool,
}

/// Why a line is not the customer's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Clearly quoted: by `>`, by a block quote.
    Quote,
    /// All that follows the header of an earlier mail, whose own lines are not marked one by one.
    Tail,
    /// All that follows the header of a forwarded mail.
    Forward,
    /// Signature or sign-off block.
    Signature,
    /// Legal footer.
    Legal,
}

/// One non-blank line, trimmed, its white space collapsed.
#[derive(Debug)]
pub(super) struct Line {
    /// Its bytes in [`Draft::text`].
    pub(super) range: Range<usize>,
    /// True when at least one blank line stands before it.
    pub(super) after_blank: bool,
    /// Why it is not the customer's own words; `None`: it is.
    pub(super) mark: Option<Mark>,
}

/// The message so far. Lines follow one another in `text` without separators.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    pub(super) lines: Vec<Line>,
    line_open: bool,
    /// Line breaks since the last visible character.
    breaks: usize,
    /// White space seen but not yet written: its source, and whether that is one plain space.
    gap: Option<(Range<usize>, bool)>,
    mark: Option<Mark>,
}

/// What a newline in the source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newlines {
    /// A line ends, as in plain text.
    Break,
    /// White space like any other, as in HTML.
    Space,
}

impl Draft {
    /// The words of a line.
    pub(super) fn line(&self, index: usize) -> &str {
        self.lines.get(index).map_or("", |line| &self.text[line.range.clone()])
    }

    /// Appends `source[range]`, normalised.
    pub(super) fn push_source(&mut self, source: &str, range: Range<usize>, newlines: Newlines) {
        let start = range.start;
        for (offset, cluster) in source[range].grapheme_indices(true) {
            let at = start + offset;
            self.push_cluster(cluster, at..at + cluster.len(), newlines, true);
        }
    }

    /// Appends text that a character reference such as `&amp;` in `range` of the source stands for.
    pub(super) fn push_decoded(&mut self, text: &str, range: &Range<usize>) {
        for cluster in text.graphemes(true) {
            self.push_cluster(cluster, range.clone(), Newlines::Space, false);
        }
    }

    fn push_cluster(&mut self, cluster: &str, source: Range<usize>, newlines: Newlines, literal: bool) {
        let Some(first) = cluster.chars().next() else {
            return;
        };
        if first.is_whitespace() {
            // A combining mark can stand on a space; CR LF is one cluster.
            let rest = cluster[first.len_utf8()..].trim_start();
            let from = if literal { source.end - rest.len() } else { source.start };
            if newlines == Newlines::Break && is_newline(first) {
                self.break_line();
            } else {
                let range = if literal { source.start..from } else { source.clone() };
                self.push_space(range, literal && cluster == " ");
            }
            if !rest.is_empty() {
                self.push_visible(rest, from..source.end, literal);
            }
        } else {
            self.push_visible(cluster, source, literal);
        }
    }

    fn push_visible(&mut self, cluster: &str, source: Range<usize>, literal: bool) {
        if cluster.len() == 1 {
            if !cluster.as_bytes()[0].is_ascii_control() {
                self.push_text(cluster, source, literal);
            }
            return;
        }
        let visible = || cluster.chars().filter(|c| !is_invisible(*c)).map(plain_quote);
        let mut normal: String = visible().nfkc().collect();
        // Compatibility forms of spacing accents ("´", "¨") would fall apart into a space and a stray mark.
        if normal.starts_with(' ') {
            normal = visible().collect();
        }
        if !normal.is_empty() {
            let same = literal && normal == cluster;
            self.push_text(&normal, source, same);
        }
    }

    fn push_text(&mut self, text: &str, source: Range<usize>, verbatim: bool) {
        let gap = self.gap.take();
        if !self.line_open {
            let at = self.text.len();
            self.lines.push(Line { range: at..at, after_blank: self.breaks > 1 && at > 0, mark: self.mark });
            self.append(text, source, verbatim, true);
            self.line_open = true;
            self.breaks = 0;
        } else {
            if let Some((space, plain)) = gap {
                self.append(" ", space, plain, false);
            }
            self.append(text, source, verbatim, false);
        }
        let end = self.text.len();
        if let Some(line) = self.lines.last_mut() {
            line.range.end = end;
        }
    }

    fn append(&mut self, text: &str, source: Range<usize>, verbatim: bool, new_line: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        match self.segments.last_mut() {
            Some(last) if verbatim && last.verbatim && !new_line && last.source.end == source.start => {
                last.source.end = source.end;
            }
            _ => self.segments.push(Segment { start, source, verbatim }),
        }
    }

    /// White space; `plain` when it is one space that stands in the source as it is.
    pub(super) fn push_space(&mut self, source: Range<usize>, plain: bool) {
        if self.line_open {
            self.gap = Some(match self.gap.take() {
                Some((before, _)) => (before.start..source.end, false),
                None => (source, plain),
            });
        }
    }

    /// Ends the line; a second break in a row makes a blank line.
    pub(super) fn break_line(&mut self) {
        self.line_open = false;
        self.gap = None;
        self.breaks += 1;
    }

    /// Makes sure that at least `count` line breaks stand here.
    pub(super) fn ensure_breaks(&mut self, count: usize) {
        self.line_open = false;
        self.gap = None;
        self.breaks = self.breaks.max(count);
    }

    /// What the lines from here on are.
    pub(super) fn set_mark(&mut self, mark: Option<Mark>) {
        if self.mark != mark {
            self.ensure_breaks(1);
            self.mark = mark;
        }
    }
}

fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that show nothing: controls, zero-width, direction marks, variation selectors, language tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Phones type curly quotes where keyboards type straight ones; to the model they should be the same word.
fn plain_quote(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{b4}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        _ => c,
    }
}
