//! From a message as it was sent to the customer's own words, without losing where each word stood.

use std::ops::Range;

use super::{
    draft::{Draft, Mark, Newlines, Segment},
    html, quotes, signature,
};

/// A forward says what the forwarder wants only if they wrote at least this many words themselves.
const OWN_WORDS_WITH_FORWARD: usize = 4;

/// A cleaned message: what is left for the model, and what was set aside.
///
/// Offsets into the cleaned text are called clean offsets, those into the caller's text source offsets; both count bytes
/// of UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Cleaned {
    text: String,
    segments: Vec<Segment>,
    set_aside: Vec<SetAside>,
}

/// A stretch of the source that is not the customer's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Source offsets, on character boundaries.
    pub range: Range<usize>,
    /// Why it was set aside.
    pub reason: Reason,
}

/// Why a stretch was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It quotes or forwards an earlier message.
    QuotedReply,
    /// A signature or sign-off block.
    Signature,
    /// A legal or confidentiality footer.
    LegalFooter,
}

impl Cleaned {
    /// The customer's own words: NFKC of each visible character, no mark-up, one `\n` between lines, no other white space than single spaces.
    ///
    /// Empty when nothing of the message is the customer's own.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The source offsets of a stretch of clean text, on character boundaries of the source.
    ///
    /// Offsets past the end or inside a character are moved to the nearest boundary that keeps the whole character in.
    /// A wider stretch never gives a narrower answer.
    #[must_use]
    pub fn source_range(&self, clean: Range<usize>) -> Range<usize> {
        let mut start = clean.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = clean.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let from = self.source_start(start);
        if start == end {
            return from..from;
        }
        from..self.source_end(end)
    }

    /// What was set aside, in the order of the source, without overlaps.
    #[must_use]
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// Where the character at this clean offset starts in the source.
    fn source_start(&self, clean: usize) -> usize {
        let after = self.segments.partition_point(|s| s.start <= clean);
        match self.segments[..after].last() {
            None => 0,
            Some(s) if s.verbatim => s.source.start + (clean - s.start),
            Some(s) if clean == self.text.len() => s.source.end,
            Some(s) => s.source.start,
        }
    }

    /// Where the character that ends at this clean offset ends in the source.
    fn source_end(&self, clean: usize) -> usize {
        let after = self.segments.partition_point(|s| s.start < clean);
        match self.segments[..after].last() {
            None => 0,
            Some(s) if s.verbatim => s.source.start + (clean - s.start),
            Some(s) => s.source.end,
        }
    }

    /// Appends a line of the draft, whose segments are `segments`.
    fn push_line(&mut self, draft: &Draft, range: Range<usize>, segments: &[Segment]) {
        let Some(first) = segments.first() else {
            return;
        };
        if let Some(last) = self.segments.last() {
            self.segments.push(Segment {
                start: self.text.len(),
                source: last.source.end..first.source.start,
                verbatim: false,
            });
            self.text.push('\n');
        }
        let shift = self.text.len();
        self.segments.extend(segments.iter().map(|s| Segment { start: s.start - range.start + shift, ..s.clone() }));
        self.text.push_str(&draft.text[range]);
    }

    fn push_aside(&mut self, source: Range<usize>, reason: Reason, joins: bool) {
        match self.set_aside.last_mut() {
            Some(last) if joins && last.reason == reason => last.range.end = source.end,
            _ => self.set_aside.push(SetAside { range: source, reason }),
        }
    }
}

/// Cleans one message, plain text or HTML, in time linear in its length.
///
/// Whatever is not clearly quoted, a signature or a legal footer stays.
#[must_use]
pub fn clean(text: &str) -> Cleaned {
    let mut draft = html::read(text).unwrap_or_else(|| {
        let mut draft = Draft::default();
        draft.push_source(text, 0..text.len(), Newlines::Break);
        draft
    });
    quotes::mark(&mut draft);
    signature::mark(&mut draft);
    restore(&mut draft);
    assemble(&draft)
}

/// Takes back what was marked when too little would be left without it.
fn restore(draft: &mut Draft) {
    let own: usize = (0..draft.lines.len())
        .filter(|&i| draft.lines[i].mark.is_none())
        .map(|i| draft.line(i).split(' ').filter(|w| w.contains(char::is_alphanumeric)).count())
        .sum();
    let quoted = draft.lines.iter().any(|l| matches!(l.mark, Some(Mark::Quote | Mark::Tail | Mark::Forward)));
    for line in &mut draft.lines {
        let back = match line.mark {
            Some(Mark::Forward) => own < OWN_WORDS_WITH_FORWARD,
            Some(Mark::Tail) => own == 0,
            Some(Mark::Signature | Mark::Legal) => own == 0 && !quoted,
            Some(Mark::Quote) | None => false,
        };
        if back {
            line.mark = None;
        }
    }
}

fn assemble(draft: &Draft) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut segments = draft.segments.as_slice();
    let mut joins = false;
    for line in &draft.lines {
        let count = segments.partition_point(|s| s.start < line.range.end);
        let (own, rest) = segments.split_at(count);
        segments = rest;
        let reason = match line.mark {
            None => {
                cleaned.push_line(draft, line.range.clone(), own);
                joins = false;
                continue;
            }
            Some(Mark::Quote | Mark::Tail | Mark::Forward) => Reason::QuotedReply,
            Some(Mark::Signature) => Reason::Signature,
            Some(Mark::Legal) => Reason::LegalFooter,
        };
        if let (Some(first), Some(last)) = (own.first(), own.last()) {
            cleaned.push_aside(first.source.start..last.source.end, reason, joins);
            joins = true;
        }
    }
    cleaned
}

#[cfg(test)]
#[path = "clean_tests.rs"]
mod tests;
