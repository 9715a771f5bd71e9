//! What stands at the end of a mail without saying anything: signatures, sign-off blocks, legal footers.
//!
//! All rules look only at the last lines that are not marked yet, so nothing in the middle of a message is touched. A bare
//! name or "Regards, Ann" stays: it does no harm, and guessing names would.

use super::draft::{Draft, Mark};

/// The most lines a signature has, and the longest of them in characters.
const LINES: usize = 8;
const LINE_CHARS: usize = 90;

/// A line of at least so many words that ends like a sentence is one.
const SENTENCE_WORDS: usize = 6;

/// What mobile and desktop clients append, by language.
const SENT_FROM: [&str; 22] = [
    "sent from my ",
    "sent from a ",
    "sent from outlook",
    "sent from mail for",
    "sent from yahoo",
    "sent from proton",
    "sent from samsung",
    "sent from gmail",
    "sent with ",
    "sent via ",
    "get outlook for ",
    "get bluemail for ",
    "von meinem ",
    "gesendet von ",
    "gesendet mit ",
    "envoyé de mon ",
    "envoyé depuis ",
    "enviado desde mi ",
    "enviado do meu ",
    "inviato da ",
    "verzonden vanaf ",
    "отправлено с ",
];

/// Sign-offs that are no more than that. Thanks are left out: they say how somebody feels.
const SIGN_OFFS: [&str; 34] = [
    "regards",
    "kind regards",
    "kindest regards",
    "best regards",
    "warm regards",
    "warmest regards",
    "with regards",
    "with kind regards",
    "with best regards",
    "rgds",
    "br",
    "kr",
    "best",
    "all the best",
    "best wishes",
    "cheers",
    "sincerely",
    "sincerely yours",
    "yours sincerely",
    "yours faithfully",
    "yours truly",
    "respectfully",
    "cordially",
    "yours",
    "mit freundlichen grüßen",
    "freundliche grüße",
    "viele grüße",
    "mfg",
    "cordialement",
    "bien à vous",
    "saludos",
    "un saludo",
    "cordiali saluti",
    "met vriendelijke groet",
];

/// Sign-offs that thank: they stay, the contact details below them go.
const THANKS: [&str; 9] = [
    "thanks",
    "thank you",
    "many thanks",
    "thanks and regards",
    "thanks & regards",
    "thank you and regards",
    "thanks in advance",
    "thanks again",
    "with thanks",
];

/// How the first line of a legal footer starts.
const LEGAL_OPENERS: [&str; 34] = [
    "this e-mail",
    "this email",
    "this message",
    "this communication",
    "this transmission",
    "this mail",
    "confidentiality",
    "confidential:",
    "notice:",
    "disclaimer",
    "legal notice",
    "legal disclaimer",
    "important notice",
    "important:",
    "privileged",
    "the information contained",
    "the information in this",
    "the contents of this",
    "the content of this",
    "any views",
    "if you are not the intended",
    "if you have received this",
    "please consider the environment",
    "consider the environment",
    "think before you print",
    "please think before printing",
    "registered in ",
    "registered office",
    "diese e-mail",
    "diese nachricht",
    "ce message",
    "este mensaje",
    "este correo",
    "questo messaggio",
];

/// What only legal footers say.
const LEGAL_PROOF: [&str; 18] = [
    "intended recipient",
    "not the addressee",
    "intended solely",
    "solely for the use",
    "intended only for",
    "legally privileged",
    "may contain confidential",
    "contain privileged",
    "contains confidential",
    "contain confidential",
    "are confidential",
    "the environment before printing",
    "before you print",
    "registered in england",
    "vertrauliche informationen",
    "confidentiel",
    "confidencial",
    "riservat",
];

/// Words of somebody who writes about themselves; a legal footer has none.
const FIRST_PERSON: [&str; 8] = ["i", "my", "me", "i'm", "i've", "i'd", "i'll", "mine"];

/// Marks the signature and the legal footers at the end of the message.
pub(super) fn mark(draft: &mut Draft) {
    let mut signed = false;
    // A bound, so that a text made of footers does not cost the square of its length.
    for _ in 0..8 {
        let Some(end) = (0..draft.lines.len()).rev().find(|&i| draft.lines[i].mark.is_none()) else {
            return;
        };
        let marked = mark_legal(draft, end) || mark_sent_from(draft, end) || !signed && mark_block(draft, end);
        if !marked {
            return;
        }
        // A mail has one signature block; what looks like a second one above it is the customer's.
        signed |= draft.lines[end].mark == Some(Mark::Signature) && !is_sent_from(draft.line(end));
    }
}

/// The first line of the unmarked run that ends at `end`.
fn run_start(draft: &Draft, end: usize, longest: usize) -> usize {
    let mut start = end;
    while start > 0 && end - start < longest && draft.lines[start - 1].mark.is_none() {
        start -= 1;
    }
    start
}

/// Marks a paragraph, or the rest of one, that opens and reads like a legal footer.
fn mark_legal(draft: &mut Draft, end: usize) -> bool {
    let mut start = end;
    // A footer wrapped at 70 columns can take two dozen lines.
    for _ in 0..30 {
        let line = draft.line(start).to_lowercase();
        if LEGAL_OPENERS.iter().any(|o| opens(&line, o)) {
            break;
        }
        let above = start.checked_sub(1).is_some_and(|i| draft.lines[i].mark.is_none());
        if draft.lines[start].after_blank || !above {
            return false;
        }
        start -= 1;
    }
    let text = (start..=end).map(|i| draft.line(i).to_lowercase()).collect::<Vec<_>>().join(" ");
    let proven = LEGAL_PROOF.iter().any(|p| text.contains(p));
    let personal = text.split(' ').any(|word| FIRST_PERSON.contains(&word.trim_matches([',', '.', ';', '(', ')'])));
    if !proven || personal {
        return false;
    }
    if start > 0 && draft.lines[start - 1].mark.is_none() && is_rule(draft.line(start - 1)) {
        start -= 1;
    }
    set(draft, start, end, Mark::Legal)
}

/// Whether the line starts with these words, perhaps after a rule, a star or a bracket.
fn opens(line: &str, opener: &str) -> bool {
    line.trim_start_matches(|c: char| !c.is_alphanumeric()).starts_with(opener)
}

/// Marks "Sent from my iPhone", also where a name stands below it.
fn mark_sent_from(draft: &mut Draft, end: usize) -> bool {
    let start = run_start(draft, end, 2);
    let Some(line) = (start..=end).rev().find(|&i| is_sent_from(draft.line(i))) else {
        return false;
    };
    if (line + 1..=end).any(|i| !is_detail(draft.line(i))) {
        return false;
    }
    set(draft, line, line, Mark::Signature)
}

fn is_sent_from(line: &str) -> bool {
    let lower = line.to_lowercase();
    let words = lower.split(' ').count();
    // "Sent from my phone because my laptop is dead" says something.
    SENT_FROM.iter().any(|s| lower.starts_with(s))
        && (words <= 6 || words <= 12 && lower.contains("excuse"))
        && !lower.ends_with(['?', '!', ':'])
}

/// Marks a block of contact details below a `--` line or a sign-off.
fn mark_block(draft: &mut Draft, end: usize) -> bool {
    let start = run_start(draft, end, LINES + 1);
    for index in (start..=end).rev() {
        let line = draft.line(index);
        let first = if is_delimiter(line) {
            Some(index)
        } else if is_one_of(line, &SIGN_OFFS) {
            has_contact(draft, index + 1, end).then_some(index)
        } else if is_one_of(line, &THANKS) {
            has_contact(draft, index + 1, end).then_some(index + 1)
        } else {
            None
        };
        if let Some(first) = first {
            return says_something(draft, first) && set(draft, first, end, Mark::Signature);
        }
        if !is_detail(line) {
            return false;
        }
    }
    false
}

/// Whether the customer's own words stand above this line.
fn says_something(draft: &Draft, before: usize) -> bool {
    (0..before).any(|i| draft.lines[i].mark.is_none() && draft.line(i).contains(char::is_alphanumeric))
}

/// `-- ` by the standard; clients write it with other dashes too.
fn is_delimiter(line: &str) -> bool {
    matches!(line, "--" | "—" | "---" | "__" | "––")
}

/// A line drawn with dashes or the like.
fn is_rule(line: &str) -> bool {
    line.len() >= 3 && line.bytes().all(|b| b.is_ascii_punctuation())
}

fn is_one_of(line: &str, list: &[&str]) -> bool {
    let phrase = line.trim_end_matches([',', '.', '!', ';', '-', ' ']).to_lowercase();
    list.contains(&phrase.as_str())
}

/// A short line that is not a sentence: a name, a role, a company, a number, an address.
fn is_detail(line: &str) -> bool {
    let words = line.split(' ').count();
    let sentence = words >= SENTENCE_WORDS && line.ends_with(['.', '!', ':']) && !line.contains(" | ");
    // Logs and code are often pasted below the name.
    let code = line.contains(['{', '}', '[', ']', '=', '$', '\\', '`', '>', ';']) && !line.contains('@');
    let clock =
        line.split(' ').any(|word| word.split(':').count() == 3 && word.starts_with(|c: char| c.is_ascii_digit()));
    line.chars().count() <= LINE_CHARS
        && !sentence
        && !code
        && !clock
        && !line.ends_with('?')
        && !line.starts_with("P.S")
        && !line.starts_with("PS")
}

/// Whether name and contact details stand in these lines: at least two, one of them more than a name.
fn has_contact(draft: &Draft, start: usize, end: usize) -> bool {
    end > start && (start + 1..=end).any(|i| is_contact(draft.line(i)))
}

fn is_contact(line: &str) -> bool {
    let digits = line.bytes().filter(u8::is_ascii_digit).count();
    let phone = digits >= 7
        && line.bytes().all(|b| b.is_ascii_digit() || b" +-()./:|".contains(&b) || b.is_ascii_alphabetic())
        && line.split(' ').filter(|w| w.contains(char::is_alphabetic)).count() <= 3;
    let company = line.split([' ', ',']).any(|word| {
        matches!(
            word.trim_end_matches('.'),
            "Ltd"
                | "LLC"
                | "Inc"
                | "GmbH"
                | "PLC"
                | "plc"
                | "AG"
                | "BV"
                | "B.V"
                | "S.A"
                | "SARL"
                | "Corp"
                | "Limited"
                | "Pty"
                | "LLP"
        )
    });
    let web = line.contains("www.") || line.contains("http") || line.contains('@') && !line.starts_with('@');
    phone || company || web || line.contains(" | ")
}

fn set(draft: &mut Draft, start: usize, end: usize, mark: Mark) -> bool {
    for line in &mut draft.lines[start..=end] {
        line.mark = Some(mark);
    }
    true
}
