//! HTML to lines, with the quoted and signature parts that mail clients mark in their mark-up.

use std::{collections::HashSet, ops::Range};

use html5gum::{Span, StartTag, Token, Tokenizer, emitters::default::DefaultEmitter};

use super::draft::{Draft, Mark, Newlines};

/// Elements that mail clients and rich-text editors write. A text is HTML only if one of them is properly used in it.
const EVIDENCE: &str = "a b blockquote br center div em font h1 h2 h3 h4 hr i img li ol p pre small span strong sub sup \
    table tbody td tr u ul";

/// Elements that start on a line of their own.
const BLOCKS: &str = "address article aside blockquote body center dd details dir div dl dt fieldset figcaption figure \
    footer form h1 h2 h3 h4 h5 h6 header hr html li main menu nav ol p pre section summary table tbody tfoot thead tr ul";

/// Other elements that are mark-up; a tag of any other name, such as `<bob@x.com>` or `<order id>`, is text.
const OTHERS: &str = "a abbr acronym area audio b base big br button canvas caption cite code col colgroup data del dfn em \
    embed font frame frameset head i iframe img input ins kbd label legend link map mark meta nobr noscript object optgroup \
    option param picture q s samp script select small source span strike strong style sub sup svg td template textarea th \
    time title tt u var video wbr xml";

/// Elements whose content is not for readers.
const HIDDEN: &str = "script style title";

/// Elements without an end tag.
const VOID: &str = "area base br col embed hr img input link meta param source wbr";

/// Classes and ids that mail clients give to an earlier mail or the line that introduces it.
const QUOTED: &str = "gmail_attr gmail_extra gmail_quote gmail_quote_container moz-cite-prefix yahoo_quoted \
    protonmail_quote tutanota_quote zmail_extra gmx_quote";

/// Those of them that also hold answers written between and below the quotes.
const MIXED: &str = "gmail_extra gmail_quote gmail_quote_container yahoo_quoted protonmail_quote zmail_extra";

/// Ids behind which everything is an earlier mail: Outlook on the web, on phones, on the Mac.
const TAIL: &str = "divRplyFwdMsg appendonsend OLK_SRC_BODY_SECTION ms-outlook-mobile-reference-message \
    mail-editor-reference-message-container";

/// Classes and ids of signatures.
const SIGNATURE: &str = "gmail_signature gmail_signature_prefix moz-signature Signature AppleMailSignature \
    ms-outlook-mobile-signature protonmail_signature_block tutanota_signature";

/// A tag, comment or doctype; all that stands between two of them is text.
struct Tag {
    kind: Kind,
    name: String,
    source: Range<usize>,
    /// Class and id, separated by white space.
    names: String,
    style: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    End,
    Comment,
    Doctype,
}

impl Tag {
    fn is(&self, list: &str) -> bool {
        listed(list, &self.name)
    }

    fn is_called(&self, list: &str) -> bool {
        self.names.split_ascii_whitespace().any(|name| listed(list, name.strip_prefix("x_").unwrap_or(name)))
    }

    /// Office writes elements such as `<o:p>`; `<https://…>` and `<mailto:…>` are text.
    fn is_markup(&self) -> bool {
        let office = || self.name.split_once(':').is_some_and(|(space, name)| space.len() <= 3 && !name.is_empty());
        self.is(BLOCKS) || self.is(OTHERS) || office()
    }

    /// What begins at this start tag and ends at its end tag.
    fn region(&self, quotes_follow: bool) -> Option<Mark> {
        if self.is(VOID) {
            return None;
        }
        if self.is_called(SIGNATURE) {
            return Some(Mark::Signature);
        }
        if self.is_called(QUOTED) && !self.is("blockquote") {
            let mixed = self.is_called(MIXED);
            return match (mixed, quotes_follow) {
                (true, true) => None,
                (true, false) => Some(Mark::Tail),
                (false, _) => Some(Mark::Quote),
            };
        }
        // The "increase indent" button of mail clients makes block quotes too, but without a border.
        let indent = self.style.contains("border:none") && self.style.contains("margin");
        (self.is("blockquote") && !indent).then_some(Mark::Quote)
    }
}

fn listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|entry| entry == word)
}

/// The text of a message as its reader sees it; `None` when the message is not HTML.
pub(super) fn read(source: &str) -> Option<Draft> {
    if !source.contains('<') {
        return None;
    }
    let tags = tags(source);
    let newlines = newlines(source, &tags)?;
    let last_quote = tags.iter().rposition(|tag| tag.kind == Kind::Start && tag.is("blockquote"));
    let mut reader =
        Reader { source, newlines, draft: Draft::default(), region: None, tail: false, preformatted: 0, blocks: 0 };
    let mut at = 0;
    let mut hidden = false;
    for (index, tag) in tags.iter().enumerate() {
        if !tag.is_markup() && matches!(tag.kind, Kind::Start | Kind::End) {
            continue;
        }
        if !hidden {
            reader.text(at..tag.source.start);
        }
        at = tag.source.end;
        // An element that is never closed would swallow the rest of the message.
        hidden = tag.kind == Kind::Start
            && tag.is(HIDDEN)
            && tags.get(index + 1).is_some_and(|next| next.kind == Kind::End && next.name == tag.name);
        match tag.kind {
            Kind::Start => reader.start(tag, last_quote.is_some_and(|last| last > index)),
            Kind::End => reader.end(tag),
            Kind::Comment | Kind::Doctype => {}
        }
    }
    reader.text(at..source.len());
    Some(reader.draft)
}

/// The tags of a text, in order, apart, on character boundaries.
fn tags(source: &str) -> Vec<Tag> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let mut tags = Vec::new();
    let mut at = 0;
    // Reading from a string cannot fail, so nothing is dropped here.
    for token in Tokenizer::new_with_emitter(source, emitter).flatten() {
        let tag = match token {
            Token::StartTag(tag) => Tag {
                names: format!("{} {}", attribute(&tag, "class"), attribute(&tag, "id")),
                style: attribute(&tag, "style").replace(' ', ""),
                ..silent(Kind::Start, &tag.name, tag.span)
            },
            Token::EndTag(tag) => silent(Kind::End, &tag.name, tag.span),
            Token::Comment(comment) => silent(Kind::Comment, b"", comment.span),
            Token::Doctype(doctype) => silent(Kind::Doctype, &doctype.name, doctype.span),
            Token::String(_) | Token::Error(_) => continue,
        };
        // What lacks its `>` runs to the end of the message; better to show it than to lose the words in it.
        let whole = source.get(tag.source.clone()).is_some_and(|text| text.starts_with('<') && text.ends_with('>'));
        if whole && tag.source.start >= at {
            at = tag.source.end;
            tags.push(tag);
        }
    }
    tags
}

fn silent(kind: Kind, name: &[u8], span: Span<usize>) -> Tag {
    Tag {
        kind,
        name: String::from_utf8_lossy(name).into_owned(),
        source: span.start..span.end,
        names: String::new(),
        style: String::new(),
    }
}

fn attribute(tag: &StartTag<usize>, name: &str) -> String {
    tag.attributes.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

/// What newlines outside of all blocks mean; `None` when the text is not HTML.
///
/// It is when it says so, or when its tags are mostly those of mail clients and are closed as they must be.
fn newlines(source: &str, tags: &[Tag]) -> Option<Newlines> {
    let closed: HashSet<&str> = tags.iter().filter(|tag| tag.kind == Kind::End).map(|tag| tag.name.as_str()).collect();
    let mut declared = false;
    let mut proper = 0_usize;
    let mut foreign = 0_usize;
    let mut line_tags = false;
    for tag in tags {
        match tag.kind {
            Kind::Doctype => declared |= tag.name == "html",
            Kind::Start if tag.is("html body") => declared |= closed.contains(tag.name.as_str()),
            Kind::Start if tag.is(EVIDENCE) && (tag.is(VOID) || closed.contains(tag.name.as_str())) => {
                proper += 1;
                line_tags |= tag.is("br p");
            }
            Kind::Start if !tag.is_markup() && !tag.name.contains(['@', ':']) => foreign += 1,
            _ => {}
        }
    }
    if !declared && (proper == 0 || foreign > proper) {
        return None;
    }
    // Somebody who breaks lines by tags has the newlines from their editor; a pasted snippet stands among real lines.
    let by_tags = declared || line_tags || source.trim_start().starts_with('<');
    Some(if by_tags { Newlines::Space } else { Newlines::Break })
}

struct Reader<'a> {
    source: &'a str,
    /// What newlines outside of all blocks mean.
    newlines: Newlines,
    draft: Draft,
    /// The marked element we are in, and how many of its name are open.
    region: Option<(String, usize)>,
    /// Past the header of an earlier mail: what follows to the end is marked.
    tail: bool,
    preformatted: usize,
    blocks: usize,
}

impl Reader<'_> {
    fn start(&mut self, tag: &Tag, quotes_follow: bool) {
        if !self.tail && tag.is_called(TAIL) {
            self.tail = true;
            self.region = None;
            self.draft.set_mark(Some(Mark::Tail));
        }
        if let Some((name, open)) = &mut self.region {
            if *name == tag.name {
                *open += 1;
            }
        } else if !self.tail
            && let Some(mark) = tag.region(quotes_follow)
        {
            self.region = Some((tag.name.clone(), 1));
            self.draft.set_mark(Some(mark));
        }
        self.spacing(tag);
        if tag.name == "pre" {
            self.preformatted += 1;
        }
        if tag.is(BLOCKS) && !tag.is("hr html body") {
            self.blocks += 1;
        }
    }

    fn end(&mut self, tag: &Tag) {
        self.spacing(tag);
        if tag.name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
        if tag.is(BLOCKS) {
            self.blocks = self.blocks.saturating_sub(1);
        }
        if let Some((name, open)) = &mut self.region
            && *name == tag.name
        {
            *open -= 1;
            if *open == 0 {
                self.region = None;
                self.draft.set_mark(None);
            }
        }
    }

    fn spacing(&mut self, tag: &Tag) {
        if tag.name == "br" {
            self.draft.break_line();
        } else if tag.is("p h1 h2 h3 h4 h5 h6 blockquote pre ul ol hr") {
            self.draft.ensure_breaks(2);
        } else if tag.is(BLOCKS) {
            self.draft.ensure_breaks(1);
        } else if tag.is("td th") {
            self.draft.push_space(tag.source.clone(), false);
        }
    }

    /// Text between two tags, its character references decoded.
    fn text(&mut self, range: Range<usize>) {
        let newlines = match (self.preformatted, self.blocks) {
            (0, 0) => self.newlines,
            (0, _) => Newlines::Space,
            _ => Newlines::Break,
        };
        let mut at = range.start;
        while let Some(ampersand) = self.source[at..range.end].find('&') {
            let start = at + ampersand;
            self.draft.push_source(self.source, at..start, newlines);
            let name = self.source[start + 1..range.end]
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'#')
                .count();
            let mut end = start + 1 + name;
            if self.source[end..range.end].starts_with(';') {
                end += 1;
            }
            let reference = &self.source[start..end];
            match decode(reference) {
                Some(text) => self.draft.push_decoded(&text, &(start..end)),
                None => self.draft.push_source(self.source, start..end, newlines),
            }
            at = end;
        }
        self.draft.push_source(self.source, at..range.end, newlines);
    }
}

/// What a character reference stands for; `None` when it is no reference.
fn decode(reference: &str) -> Option<String> {
    if reference.len() < 3 {
        return None;
    }
    let mut text = String::new();
    // Reading from a string cannot fail, so nothing is dropped here.
    for token in Tokenizer::new(reference).flatten() {
        if let Token::String(part) = token {
            text.push_str(&String::from_utf8_lossy(&part));
        }
    }
    (text != reference).then_some(text)
}
