//! Where sentences start and end.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Words whose full stop rarely ends a sentence although a capital follows.
const ABBREVIATIONS: [&str; 14] =
    ["Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St.", "Sr.", "Jr.", "vs.", "e.g.", "i.e.", "Ref.", "approx.", "Tel."];

/// Shortened words of three letters or more that are followed by lower case without ending a sentence.
const SHORTENED: [&str; 16] = [
    "etc", "incl", "excl", "approx", "esp", "min", "max", "tel", "ext", "acct", "appt", "dept", "ref", "hrs", "mins",
    "est",
];

/// The sentences of a text as byte ranges: in order, apart, trimmed, never empty, together holding every visible character.
///
/// A line break ends a sentence too, so each item of a list is one.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // Whether the next piece belongs to the sentence before it.
    let mut goes_on = false;
    let pieces = text.split_sentence_bound_indices().flat_map(|(at, piece)| split_lower_case(at, piece));
    for (at, piece) in pieces {
        let trimmed = piece.trim();
        let ends_line = piece.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
        if trimmed.is_empty() {
            goes_on &= !ends_line;
            continue;
        }
        let start = at + (piece.len() - piece.trim_start().len());
        let range = start..start + trimmed.len();
        let same_line = goes_on;
        goes_on = !ends_line;
        match found.last_mut() {
            Some(last) if same_line && (!has_words(trimmed) || stays_open(&text[last.clone()])) => {
                last.end = range.end;
            }
            _ => found.push(range),
        }
    }
    found
}

/// Splits "it broke. please help.": Unicode's rules need a capital there, people in a chat write none.
fn split_lower_case(at: usize, piece: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut word = 0;
    for (end, _) in piece.match_indices(' ') {
        let stem = piece[word..end].strip_suffix('.');
        word = end + 1;
        let ends = stem.is_some_and(|stem| {
            stem.len() >= 3
                && stem.chars().all(char::is_alphabetic)
                && !SHORTENED.contains(&stem.to_lowercase().as_str())
        });
        let goes_on = piece[word..].starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit());
        if ends && goes_on {
            parts.push((at + start, &piece[start..word]));
            start = word;
        }
    }
    parts.push((at + start, &piece[start..]));
    parts
}

/// A smiley or a row of dashes is part of the sentence before it.
fn has_words(piece: &str) -> bool {
    piece.contains(char::is_alphanumeric)
}

/// The sentence so far ends in an abbreviation, an initial or a list number ("1."), not in an end.
fn stays_open(sentence: &str) -> bool {
    let (before, word) = sentence.rsplit_once(' ').unwrap_or(("", sentence));
    let word = word.trim_start_matches(['(', '"', '\'']);
    let Some(stem) = word.strip_suffix('.') else {
        return false;
    };
    let mut chars = stem.chars();
    let initial = matches!((chars.next(), chars.next()), (Some(c), None) if c.is_uppercase() && c != 'I');
    let number = before.is_empty() && stem.len() <= 3 && stem.bytes().all(|b| b.is_ascii_digit());
    initial || number || ABBREVIATIONS.contains(&word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|r| &text[r]).collect()
    }

    #[test]
    fn sentences_lines_and_items() {
        assert_eq!(
            split("It broke. Twice! Why?\nHelp  \n- one\n- two"),
            ["It broke.", "Twice!", "Why?", "Help", "- one", "- two"]
        );
        assert_eq!(split("好的。不行!"), ["好的。", "不行!"]);
    }

    #[test]
    fn what_only_looks_like_an_end() {
        assert_eq!(
            split("Mr. P. Jones paid 14.30 at 5 p.m. today. Was it I. Maybe."),
            ["Mr. P. Jones paid 14.30 at 5 p.m. today.", "Was it I.", "Maybe."]
        );
        assert_eq!(
            split("1. Open the door. 2 more. it is late, approx. an hour... or two. bye"),
            ["1. Open the door.", "2 more.", "it is late, approx. an hour... or two.", "bye"]
        );
        assert_eq!(split("Great. :-)"), ["Great. :-)"]);
        assert_eq!(split("Dear Mr.\nIt broke"), ["Dear Mr.", "It broke"]);
    }

    proptest! {
        #[test]
        fn everything_visible_is_in_a_sentence(text in any::<String>()) {
            let mut at = 0;
            for range in sentences(&text) {
                prop_assert!(range.start >= at && range.start < range.end);
                prop_assert!(text[at..range.start].trim().is_empty());
                prop_assert_eq!(text[range.clone()].trim(), &text[range.clone()]);
                at = range.end;
            }
            prop_assert!(text[at..].trim().is_empty());
        }
    }
}
