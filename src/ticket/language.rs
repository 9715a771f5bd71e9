//! Which language a message is in, with English in favour: short English wrongly called foreign costs a customer the answer.

use std::{collections::HashSet, sync::LazyLock};

use whatlang::{Detector, Lang};

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// ISO 639-3, such as `eng`; `und` when the text has no words or too few to tell.
    pub code: &'static str,
    /// Whether the model was trained for it; true for `und`, whose few words are more likely English than not.
    pub supported: bool,
}

const ENGLISH: Language = Language { code: "eng", supported: true };
const UNDETERMINED: Language = Language { code: "und", supported: true };

/// How many bytes are looked at; more does not make the answer surer.
const SAMPLE_BYTES: usize = 4_000;

/// With fewer words only known ones count.
const FEW_WORDS: usize = 3;

/// Common English words that are not words of another European language.
const ENGLISH_WORDS: &str = "the and you your yours my mine with this that these those have has had not but it its from \
    please would could should can't cannot can what when where why how which because thanks thank hello there they them \
    their it's i'm i've i'd i'll don't doesn't didn't isn't won't wasn't you're we're we've are were been be being does did \
    doing get got getting will just still again since after before about any anyone some someone nothing everything every \
    than then who only more most very much really want wanted need needed help issue order refund working work works sent \
    received never back now today yesterday tomorrow hi hey yeah yep oh right well year years month week weeks day days time first last two three one out \
    into up down off account password login card charged paid pay money phone delivered arrived wrong broken if our us he \
    she her his him let make made know see tried says said told good great new same yes ok way i to of is for";

/// Common words of other languages in Latin script that are not English words.
const FOREIGN_WORDS: &str = "ich nicht und der das den dem ein eine einen einem einer ist sind habe haben wir sie mein meine meinen meiner \
    mit auf für aber auch noch schon seit bitte danke keine kein wurde wird kann können funktioniert bei vom zum zur \
    nach wie wann warum ihr ihre ihnen mich mir hallo guten geld zurück immer bestellung rechnung konto je j'ai ne \
    les des une est sont et vous nous mon mes votre vos avec sur dans mais bonjour merci depuis toujours aucun cette \
    ce qui que c'est n'est n'ai suis avez avons peux pouvez commande compte facture los las una y es mi mis sus con \
    por para pero muy hola gracias porque desde cuando puedo pueden está están he hemos tengo tiene quiero pedido \
    cuenta factura dinero usted ustedes favor todavía esta este esto hace nada más il gli di che non è sono ho \
    abbiamo mio mia miei vostro vostra ciao grazie perché quando posso potete ordine conto soldi ancora questo \
    questa sul nel della del dello alla ogni mai buongiorno os uma não é são meu minha seu sua mas olá obrigado \
    obrigada eu você vocês já ainda meus conta dinheiro isso quero tenho foi estou ik niet en het een mijn jullie \
    wij voor maar ook nog al sinds graag dank bedankt geen werd wordt kan kunnen werkt bij naar hoe waarom zijn heb \
    heeft hebben bestelling rekening dit deze steeds wanneer ontvangen nie się jest są moje mój moja mam proszę \
    dziękuję dlaczego od kiedy czy ale już jeszcze nadal zamówienie że jag inte och är har mitt mina med för på tack \
    varför när det att som vi ni fortfarande fått jeg ikke og er til hvorfor når fået minä ei ole ja minun mutta \
    kiitos miksi kun voi että olen vielä tilaus bir ve bu için değil çok ama teşekkürler neden zaman hesabım sipariş \
    lütfen hâlâ nu și sunt mea cu pentru dar mulțumesc când mi-am comanda že není jsem mám prosím děkuji když můj \
    nefunguje nem és az egy nincs köszönöm miért mikor kérem rendelés fiók saya tidak dan yang ini itu dengan untuk \
    tapi sudah belum terima kasih kenapa bisa akun pesanan";

/// ISO 639-1 codes, as locales have them, and their ISO 639-3 codes.
const CODES: [(&str, Lang); 45] = [
    ("ar", Lang::Ara),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("es", Lang::Spa),
    ("et", Lang::Est),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hr", Lang::Hrv),
    ("hu", Lang::Hun),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ko", Lang::Kor),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("mr", Lang::Mar),
    ("nb", Lang::Nob),
    ("nl", Lang::Nld),
    ("no", Lang::Nob),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("sk", Lang::Slk),
    ("sl", Lang::Slv),
    ("sr", Lang::Srp),
    ("sv", Lang::Swe),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("th", Lang::Tha),
    ("tl", Lang::Tgl),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("vi", Lang::Vie),
    ("zh", Lang::Cmn),
    ("af", Lang::Afr),
];

static ENGLISH_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| ENGLISH_WORDS.split_ascii_whitespace().collect());
static FOREIGN_SET: LazyLock<HashSet<&str>> =
    LazyLock::new(|| FOREIGN_WORDS.split_ascii_whitespace().filter(|word| !ENGLISH_SET.contains(word)).collect());
static NOT_ENGLISH: LazyLock<Detector> = LazyLock::new(|| Detector::with_denylist(vec![Lang::Eng]));

/// Detects the language of a cleaned message.
///
/// `locale` is the BCP 47 tag the help desk believes the customer writes in; it decides only where the text does not.
#[must_use]
pub fn detect(text: &str, locale: Option<&str>) -> Language {
    let evidence = Evidence::of(text);
    let hint = locale.and_then(from_locale);
    if evidence.other_letters > evidence.latin_letters {
        return foreign(&evidence.other_text, hint);
    }
    let Evidence { count, english, foreign: strange, .. } = evidence;
    if count == 0 {
        return UNDETERMINED;
    }
    if count < FEW_WORDS {
        return match hint {
            _ if english > 0 => ENGLISH,
            Some(lang) => language(lang),
            None if strange == count => foreign(&evidence.latin_text, None),
            None => UNDETERMINED,
        };
    }
    let strong = strange > english && (strange >= 2 || strange * 3 >= count);
    let sure = english == 0
        && count >= 5
        && whatlang::detect(&evidence.latin_text).is_some_and(|info| info.is_reliable() && info.lang() != Lang::Eng);
    match hint {
        _ if strong || sure => foreign(&evidence.latin_text, hint),
        Some(lang) if english == 0 => language(lang),
        _ => ENGLISH,
    }
}

/// What the words of a text say about its language.
#[derive(Default)]
struct Evidence {
    /// The words in Latin script, without addresses, links and codes.
    latin_text: String,
    latin_letters: usize,
    /// The letters of all other scripts.
    other_text: String,
    other_letters: usize,
    /// How many words there are in Latin script, and how many of them are known.
    count: usize,
    english: usize,
    foreign: usize,
}

impl Evidence {
    fn of(text: &str) -> Self {
        let mut evidence = Self::default();
        let mut end = text.len().min(SAMPLE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        for token in text[..end].split_whitespace() {
            if !token.contains(['@', '_', '\\']) && !is_link(token) {
                token
                    .split(|c: char| !c.is_alphabetic() && c != '\'' && !is_mark(c))
                    .for_each(|word| evidence.add(word.trim_matches('\'')));
            }
        }
        evidence
    }

    fn add(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        if word.chars().any(|c| !is_latin(c) && c != '\'') {
            // A character of Chinese or Japanese says as much as a few letters.
            let weight = |c: char| if c >= '\u{2e80}' { 3 } else { 1 };
            let others = || word.chars().filter(|c| !is_latin(*c));
            self.other_letters += others().map(weight).sum::<usize>();
            self.latin_letters += word.chars().filter(|c| is_latin(*c)).count();
            self.other_text.extend(others());
            self.other_text.push(' ');
            return;
        }
        let lower = word.to_lowercase();
        self.count += 1;
        self.latin_letters += word.chars().count();
        if ENGLISH_SET.contains(lower.as_str()) {
            self.english += 1;
        } else if FOREIGN_SET.contains(lower.as_str()) || has_accent(word) {
            self.foreign += 1;
        }
        self.latin_text.push_str(&lower);
        self.latin_text.push(' ');
    }
}

/// `https://…`, `www.example.com/x`.
fn is_link(token: &str) -> bool {
    token.contains("://") || token.contains(".com") || token.starts_with("www.")
}

/// A vowel sign or other combining mark; in Indic scripts they are part of the word.
fn is_mark(c: char) -> bool {
    c > '\u{300}'
        && !c.is_alphanumeric()
        && !c.is_ascii_punctuation()
        && !('\u{2000}'..='\u{303f}').contains(&c)
        && c < '\u{f000}'
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || ('\u{aa}'..='\u{24f}').contains(&c) || ('\u{1e00}'..='\u{1eff}').contains(&c)
}

/// An accented letter in a word that is not a name.
fn has_accent(word: &str) -> bool {
    !word.is_ascii() && word.chars().all(|c| !c.is_uppercase())
}

/// The language of a text that is not English.
fn foreign(words: &str, hint: Option<Lang>) -> Language {
    match NOT_ENGLISH.detect(words) {
        Some(info) if info.is_reliable() || hint.is_none_or(|lang| lang == Lang::Eng) => language(info.lang()),
        _ => hint.filter(|lang| *lang != Lang::Eng).map_or(Language { code: "und", supported: false }, language),
    }
}

fn language(lang: Lang) -> Language {
    Language { code: lang.code(), supported: lang == Lang::Eng }
}

/// The language of a BCP 47 tag such as `de-AT`; `None` when it is not one we know.
fn from_locale(locale: &str) -> Option<Lang> {
    let code = locale.split(['-', '_']).next()?.to_ascii_lowercase();
    if code == "en" {
        return Some(Lang::Eng);
    }
    CODES.iter().find(|(short, _)| *short == code).map(|(_, lang)| *lang).or_else(|| Lang::from_code(code))
}

#[cfg(test)]
#[path = "language_tests.rs"]
mod tests;
