//! Earlier mails quoted in plain text: `>` lines, "On … wrote:", "-----Original Message-----", From/Sent/Subject blocks.
//!
//! The line that introduces a quote differs by client and language, and people write lines that look like one. So a line
//! counts as introduction only together with what follows it.

use super::draft::{Draft, Mark};

/// The longest introduction, in bytes and in lines it may be wrapped to.
const INTRODUCTION_BYTES: usize = 300;
const INTRODUCTION_LINES: usize = 3;

/// How "On Monday, Ann wrote:" starts, by language.
const OPENERS: [&str; 24] = [
    "on ",
    "am ",
    "le ",
    "el ",
    "il ",
    "em ",
    "no dia ",
    "op ",
    "w dniu ",
    "dnia ",
    "den ",
    "på ",
    "pe ",
    "dne ",
    "в ",
    "il giorno ",
    "il dì ",
    "tarihinde ",
    "a ",
    "mon, ",
    "tue, ",
    "wed, ",
    "thu, ",
    "fri, ",
];

/// The verb in it.
const VERBS: [&str; 25] = [
    "wrote",
    "writes",
    "schrieb",
    "geschrieben",
    "a écrit",
    "escribió",
    "ha scritto",
    "escreveu",
    "schreef",
    "geschreven",
    "napisał",
    "napisała",
    "pisze",
    "написал",
    "пишет",
    "пише",
    "skrev",
    "kirjoitti",
    "yazdı",
    "napsal",
    "a scris",
    "írta",
    "写道",
    "書きました",
    "작성",
];

/// Between dashes, or alone where it says "begin": what follows is another mail.
const FORWARD_MARKERS: [&str; 14] = [
    "forwarded message",
    "begin forwarded message",
    "forwarded by",
    "weitergeleitete nachricht",
    "anfang der weitergeleiteten nachricht",
    "message transféré",
    "début du message transféré",
    "mensaje reenviado",
    "messaggio inoltrato",
    "inizio messaggio inoltrato",
    "mensagem encaminhada",
    "doorgestuurd bericht",
    "begin doorgestuurd bericht",
    "пересылаемое сообщение",
];
const REPLY_MARKERS: [&str; 11] = [
    "original message",
    "original email",
    "reply message",
    "ursprüngliche nachricht",
    "originalnachricht",
    "message d'origine",
    "mensaje original",
    "messaggio originale",
    "mensagem original",
    "oorspronkelijk bericht",
    "исходное сообщение",
];

/// The names of mail header fields, by language.
const FROM: [&str; 12] = ["from", "von", "de", "da", "van", "od", "от", "från", "fra", "lähettäjä", "发件人", "差出人"];
const SUBJECT: [&str; 12] = [
    "subject",
    "betreff",
    "objet",
    "asunto",
    "oggetto",
    "assunto",
    "onderwerp",
    "temat",
    "тема",
    "ämne",
    "主题",
    "件名",
];
const OTHER_FIELDS: [&str; 31] = [
    "sent",
    "date",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "importance",
    "attachments",
    "gesendet",
    "datum",
    "an",
    "envoyé",
    "à",
    "enviado",
    "enviado el",
    "fecha",
    "para",
    "inviato",
    "data",
    "a",
    "enviada em",
    "verzonden",
    "aan",
    "wysłano",
    "do",
    "отправлено",
    "дата",
    "кому",
    "skickat",
    "till",
    "发送时间",
];

/// What kind of mail a marker line or header block starts.
#[derive(Clone, Copy)]
struct Header {
    /// How many lines it takes.
    lines: usize,
    mark: Mark,
}

/// Marks the lines that quote an earlier mail.
pub(super) fn mark(draft: &mut Draft) {
    mark_arrows(draft);
    let mut index = 0;
    while index < draft.lines.len() {
        let first_of_run = draft.lines[index].mark.is_none() || index == 0 || draft.lines[index - 1].mark.is_none();
        if first_of_run && let Some(header) = header(draft, index) {
            index = mark_mail(draft, index, header);
        } else {
            mark_introduction(draft, index);
            index += 1;
        }
    }
}

/// Marks blocks of lines that start with `>`.
fn mark_arrows(draft: &mut Draft) {
    let mut index = 0;
    while index < draft.lines.len() {
        if !is_arrow(draft.line(index)) {
            index += 1;
            continue;
        }
        let start = index;
        while index < draft.lines.len() && is_arrow(draft.line(index)) {
            index += 1;
        }
        if !is_transcript(draft, start, index) {
            set(draft, start, index, Mark::Quote);
        }
    }
}

fn is_arrow(line: &str) -> bool {
    line.strip_prefix('>').is_some_and(|rest| {
        let next = rest.trim_start_matches(['>', ' ']).chars().next();
        // ">:(", ">_<" and ">= 5" are no quotes.
        rest.is_empty() || rest.starts_with([' ', '>']) || next.is_some_and(|c| c.is_alphabetic() || c == '"')
    })
}

/// Terminal output has such lines too: `curl -v` (`> GET /` above `< HTTP/1.1`), Python's `>>>`; so has "> 5 items".
fn is_transcript(draft: &Draft, start: usize, end: usize) -> bool {
    let beside = |index: Option<usize>| {
        index.is_some_and(|i| draft.line(i).starts_with("< ") || draft.line(i).starts_with("* "))
    };
    let prompt = || (start..end).all(|i| draft.line(i).starts_with(">>> "));
    let comparison = || {
        end - start == 1 && draft.line(start).trim_start_matches(['>', ' ']).starts_with(|c: char| c.is_ascii_digit())
    };
    beside(start.checked_sub(1)) || beside(Some(end)) || prompt() || comparison()
}

/// Marks "On … wrote:" ending at this line, and without `>` below also the mail it introduces.
fn mark_introduction(draft: &mut Draft, index: usize) {
    if draft.lines[index].mark.is_some() || !draft.line(index).ends_with(':') {
        return;
    }
    let next = draft.lines.get(index + 1).and_then(|line| line.mark);
    let quoted = matches!(next, Some(Mark::Quote | Mark::Tail));
    let mut joined = String::new();
    let mut start = index;
    for lines in 1..=INTRODUCTION_LINES {
        let line = draft.line(start);
        if line.len() + joined.len() > INTRODUCTION_BYTES {
            return;
        }
        joined = format!("{} {joined}", line.to_lowercase());
        if let Some(certain) = introduces(joined.trim_end().trim_end_matches(':')) {
            if quoted {
                set(draft, start, index + 1, Mark::Quote);
            } else if certain {
                let end = draft.lines.len();
                set(draft, start, end, Mark::Tail);
            }
            return;
        }
        let wraps = lines < INTRODUCTION_LINES
            && start > 0
            && !draft.lines[start].after_blank
            && draft.lines[start - 1].mark.is_none();
        if !wraps {
            return;
        }
        start -= 1;
    }
}

/// Whether this names a time or writer of an earlier mail; true when it does so as only a mail client would.
fn introduces(line: &str) -> Option<bool> {
    let digits = line.contains(|c: char| c.is_ascii_digit());
    let opens = digits && line.starts_with(|c: char| c.is_ascii_digit()) || OPENERS.iter().any(|o| line.starts_with(o));
    let verb = VERBS.iter().any(|v| line.contains(v));
    let address = line.contains('@');
    // Some clients write only "2024-11-05 10:12 GMT+01:00 Ann <ann@example.com>:".
    (opens && (verb || digits && address)).then_some(digits && (address || has_time_and_year(line)))
}

fn has_time_and_year(line: &str) -> bool {
    let bytes = line.as_bytes();
    let time = bytes
        .windows(4)
        .any(|w| w[0].is_ascii_digit() && w[1] == b':' && w[2].is_ascii_digit() && w[3].is_ascii_digit());
    let year =
        line.split(|c: char| !c.is_ascii_digit()).any(|n| n.len() == 4 && (n.starts_with("20") || n.starts_with("19")));
    time && year
}

/// The marker line or header block of a mail that starts at this line.
fn header(draft: &Draft, index: usize) -> Option<Header> {
    if let Some(mark) = marker(draft.line(index)) {
        let fields = fields(draft, index + 1);
        return Some(Header { lines: 1 + fields.map_or(0, |(lines, _)| lines), mark });
    }
    let ruled = is_rule(draft.line(index));
    let (lines, complete) = fields(draft, index + usize::from(ruled))?;
    complete.then_some(Header { lines: lines + usize::from(ruled), mark: Mark::Tail })
}

fn marker(line: &str) -> Option<Mark> {
    if line.len() > 100 {
        return None;
    }
    let dashes = |c: char| matches!(c, '-' | '_' | '=' | '*' | '—' | '–' | ' ' | ':');
    let dashed = line.starts_with("--") || line.starts_with("__") || line.starts_with("==");
    let phrase = line.trim_matches(dashes).to_lowercase();
    let alone = ["begin", "anfang", "début", "inizio"].iter().any(|b| phrase.starts_with(b));
    if !dashed && !alone {
        return None;
    }
    if FORWARD_MARKERS.contains(&phrase.as_str()) || dashed && phrase.starts_with("forwarded by ") {
        Some(Mark::Forward)
    } else {
        REPLY_MARKERS.contains(&phrase.as_str()).then_some(Mark::Tail)
    }
}

/// A line drawn above a header block.
fn is_rule(line: &str) -> bool {
    line.len() >= 5 && line.bytes().all(|b| matches!(b, b'_' | b'-' | b'='))
}

/// The header fields that start at this line: how many lines, and whether they are those of a mail for certain.
///
/// "From: Leeds, To: York" is a customer's journey; only with a subject and a third field it is a mail's header.
fn fields(draft: &Draft, start: usize) -> Option<(usize, bool)> {
    let (mut from, mut subject, mut others, mut lines) = (false, false, 0, 0);
    // A long list of recipients may be wrapped to a few lines.
    for offset in 0..8 {
        let Some(field) = field(draft.line(start + offset)) else {
            if lines == 0 || offset > lines + 1 {
                break;
            }
            continue;
        };
        match field {
            Field::From => from = true,
            Field::Subject => subject = true,
            Field::Other => others += 1,
        }
        lines = offset + 1;
    }
    if lines == 0 {
        return None;
    }
    Some((lines, from && subject && others > 0))
}

enum Field {
    From,
    Subject,
    Other,
}

fn field(line: &str) -> Option<Field> {
    let (name, _) = line.split_once(':')?;
    if name.len() > 30 {
        return None;
    }
    let name = name.trim_matches(['*', ' ', '>']).to_lowercase();
    let name = name.as_str();
    if FROM.contains(&name) {
        Some(Field::From)
    } else if SUBJECT.contains(&name) {
        Some(Field::Subject)
    } else {
        OTHER_FIELDS.contains(&name).then_some(Field::Other)
    }
}

/// Marks a mail from its header to its end; returns where to go on.
fn mark_mail(draft: &mut Draft, start: usize, header: Header) -> usize {
    let body = (start + header.lines).min(draft.lines.len());
    // Where the earlier mail is quoted by `>` as well, what stands without is an answer.
    let arrows = draft.lines.get(body).is_some_and(|line| line.mark == Some(Mark::Quote));
    let (end, mark) = if arrows { (body, Mark::Quote) } else { (draft.lines.len(), header.mark) };
    set(draft, start, end, mark);
    end.max(start + 1)
}

fn set(draft: &mut Draft, start: usize, end: usize, mark: Mark) {
    for line in &mut draft.lines[start..end] {
        line.mark = Some(mark);
    }
}
