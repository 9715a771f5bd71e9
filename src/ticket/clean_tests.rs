use proptest::prelude::*;

use super::*;

/// What is left, and what was set aside with its words.
fn parts(text: &str) -> (String, Vec<(Reason, &str)>) {
    let cleaned = clean(text);
    let aside = cleaned.set_aside().iter().map(|a| (a.reason, &text[a.range.clone()])).collect();
    (cleaned.text().to_owned(), aside)
}

fn left(text: &str) -> String {
    clean(text).text().to_owned()
}

/// Asserts that nothing is set aside and the words stay as they are.
fn stays(text: &str) {
    let cleaned = clean(text);
    let words = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(cleaned.text()), words(text));
    assert!(cleaned.set_aside().is_empty());
}

#[test]
fn white_space_and_invisible_characters_go_and_offsets_hold() {
    let text = "\u{feff} Hello\u{a0} \tthere\r\n\r\n\r\nﬁne\u{200b}print ５ ";
    let cleaned = clean(text);
    assert_eq!(cleaned.text(), "Hello there\nfineprint 5");
    let source = |word: &str| {
        let at = cleaned.text().find(word).unwrap();
        &text[cleaned.source_range(at..at + word.len())]
    };
    assert_eq!(source("Hello there"), "Hello\u{a0} \tthere");
    assert_eq!(source("fine"), "ﬁne");
    assert_eq!(source("i"), "ﬁ");
    assert_eq!(source("fineprint"), "ﬁne\u{200b}print");
    assert_eq!(source("5"), "５");
    assert_eq!(&text[cleaned.source_range(0..999)], text[3..].trim());
}

#[test]
fn typographic_quotes_become_plain_and_accents_stay_whole() {
    assert_eq!(left("I don’t “get” it, can´t"), "I don't \"get\" it, can't");
    assert_eq!(left("cafe\u{301} ¨x"), "café ¨x");
}

#[test]
fn text_with_angle_brackets_is_not_html() {
    for text in [
        "a < b and c > d, thanks <3",
        "write to <bob@x.com> or see <https://x.com/a?b=1&amp;c=2>",
        "the log says <error><code>5</code><msg>no route</msg></error>",
        "<?xml version=\"1.0\"?><order><id>7</id><b>x</b><c>y</c></order>",
        "Someone put <script>alert(1)</script> in my profile",
        "I use List<String> and get <unknown> back, if x<y && y>z then it hangs",
        "fails with Vec<u8> at <main>",
        "it said AT&amp;T, is that right? & why",
        ">:( this is bad\n>_<\n>= 5 items vanish",
    ] {
        stays(text);
    }
}

#[test]
fn html_becomes_lines() {
    let text = "<!DOCTYPE html><html><head><title>x</title><style>p{color:red}</style></head><body>\
        <p>Hi,&nbsp;I paid &pound;20\nfor <b>two</b> &lt;items&gt;</p><ul><li>one</li><li>two</li></ul>\
        Mail me<br>at <bob@x.com><script>alert(1)</script><!-- no --></body></html>";
    let cleaned = clean(text);
    assert_eq!(cleaned.text(), "Hi, I paid £20 for two <items>\none\ntwo\nMail me\nat <bob@x.com>");
    let at = cleaned.text().find('£').unwrap();
    assert_eq!(&text[cleaned.source_range(at..at + 2)], "&pound;");
    let at = cleaned.text().find("two").unwrap();
    assert_eq!(&text[cleaned.source_range(at..at + 3)], "two");
}

#[test]
fn broken_html_loses_no_words() {
    assert_eq!(left("<p>one</p><style>two"), "one\ntwo");
    assert_eq!(left("<p>one</p><!-- two"), "one\n<!-- two");
    assert_eq!(left("<div>one</div><div class=\"x two"), "one\n<div class=\"x two");
}

#[test]
fn lines_of_plain_text_around_a_snippet_stay_lines() {
    assert_eq!(left("My page shows\n<div>oops</div>\nPlease fix\n\n> older words"), "My page shows\noops\nPlease fix");
}

#[test]
fn gmail_reply() {
    let text = "<div dir=\"ltr\">Still broken.</div><br><div class=\"gmail_quote gmail_quote_container\">\
        <div dir=\"ltr\" class=\"gmail_attr\">On Mon, Nov 4, 2024 at 10:00 AM Support &lt;<a href=\"mailto:s@x.com\">s@x.com</a>&gt; wrote:<br></div>\
        <blockquote class=\"gmail_quote\" style=\"margin:0 0 0 .8ex;border-left:1px solid\"><div>Have you tried again?</div></blockquote>\
        <div>Yes, twice.</div><blockquote class=\"gmail_quote\">And the cable?</blockquote></div>";
    let (own, aside) = parts(text);
    assert_eq!(own, "Still broken.\nYes, twice.");
    assert_eq!(aside.len(), 2);
    assert!(aside[0].1.contains("Have you tried again?"));
    assert_eq!(aside[1], (Reason::QuotedReply, "And the cable?"));
}

#[test]
fn gmail_indent_is_no_quote_and_signature_goes() {
    let text = "<div>See:</div><blockquote style=\"margin:0 0 0 40px;border:none;padding:0px\">my words</blockquote>\
        <div class=\"gmail_signature\">Ann<br>Acme</div>";
    let (own, aside) = parts(text);
    assert_eq!(own, "See:\nmy words");
    assert_eq!(aside[0].0, Reason::Signature);
}

#[test]
fn outlook_reply() {
    let text = "<html><body><div>No heating since Friday.</div><div id=\"Signature\">Ann</div><hr tabindex=\"-1\">\
        <div id=\"divRplyFwdMsg\" dir=\"ltr\"><b>From:</b> Support<br><b>Sent:</b> Monday<br><b>Subject:</b> Boiler</div>\
        <div>Dear Ann, we will see.</div></body></html>";
    let (own, aside) = parts(text);
    assert_eq!(own, "No heating since Friday.");
    assert_eq!(aside.len(), 2);
    assert!(aside[1].1.ends_with("we will see."));
}

#[test]
fn a_forward_without_own_words_keeps_the_forwarded_mail() {
    let html = "<div class=\"gmail_quote\"><div class=\"gmail_attr\">---------- Forwarded message ---------<br>From: Shop<br>Subject: Late</div>\
        Your parcel is late.</div>";
    assert!(left(html).contains("Your parcel is late."));
    let plain = "FYI\n\n---------- Forwarded message ---------\nFrom: Shop\nDate: Monday\nSubject: Late\n\nYour parcel is late.";
    assert!(left(plain).contains("Your parcel is late."));
    let own = "Can you tell me what this means?\n\nBegin forwarded message:\n\nFrom: Shop\nDate: Monday\nSubject: Late\n\nYour parcel is late.";
    assert_eq!(left(own), "Can you tell me what this means?");
}

#[test]
fn quoted_lines_and_their_introductions() {
    for introduction in [
        "On Mon, 4 Nov 2024 at 10:00, Support <s@x.com> wrote:",
        "On Mon, Nov 4, 2024 at 10:00 AM Support Team of the Shop <s@x.com>\nwrote:",
        "Am 04.11.2024 um 10:00 schrieb Support <s@x.com>:",
        "Le lun. 4 nov. 2024 à 10:00, Support <s@x.com> a écrit :",
        "El lun, 4 nov 2024 a las 10:00, Support (<s@x.com>) escribió:",
        "Op ma 4 nov 2024 om 10:00 schreef Support <s@x.com>:",
        "2024-11-04 10:00 GMT+01:00 Support <s@x.com>:",
        "-----Original Message-----\nFrom: Support\nSubject: Re: lamp",
    ] {
        let text = format!("Still broken.\n\n{introduction}\n> Try again\n> and again\n\nI did, see above.");
        let (own, aside) = parts(&text);
        assert_eq!(own, "Still broken.\nI did, see above.", "{introduction}");
        assert_eq!(aside.len(), 1);
        assert!(aside[0].1.starts_with(introduction));
    }
}

#[test]
fn an_earlier_mail_without_arrows() {
    for header in [
        "On Mon, 4 Nov 2024 at 10:00, Support <s@x.com> wrote:",
        "-----Original Message-----",
        "________________________________\nFrom: Support\nSent: Monday\nTo: Ann\nSubject: Lamp",
        "Von: Support\nGesendet: Montag\nAn: Ann\nBetreff: Lampe",
        "*From:* Support\n*Sent:* Monday\n*To:* Ann; Bob;\nCarol\n*Subject:* Lamp",
    ] {
        let text = format!("Still broken.\n\n{header}\n\nDear Ann, try again.\nSupport");
        let (own, aside) = parts(&text);
        assert_eq!(own, "Still broken.", "{header}");
        assert!(aside[0].1.starts_with(header));
    }
}

#[test]
fn only_quotes_leave_nothing() {
    let (own, aside) = parts("On Mon, Support wrote:\n> Try again\n>\n> Support");
    assert_eq!(own, "");
    assert_eq!(aside.len(), 1);
    assert_eq!(clean("").source_range(0..5), 0..0);
}

#[test]
fn words_that_look_like_quotes_stay() {
    for text in [
        "From: Leeds\nTo: York\nDate: 5 May\nI need to change this booking.",
        "To: Duty manager\nFrom: Ann, Acme\n\nThe line is down.",
        "On 3 May your agent wrote:\n\"we will call\"\nNobody called.",
        "The price went up -- again -- without notice.\nOn Monday I wrote: stop it.",
        "curl says\n> GET /a HTTP/1.1\n< HTTP/1.1 502\nsince noon",
        ">>> import bedside\n>>> bedside.run()\nTraceback, help",
        "We saw\n> 14 days\nof delay",
    ] {
        stays(text);
    }
}

#[test]
fn signatures() {
    for signature in [
        "-- \nAnn Smith\nAcme Ltd",
        "Sent from my iPhone",
        "Sent from Outlook for iOS",
        "Von meinem iPhone gesendet",
        "Kind regards,\nAnn Smith\nAcme Ltd\n+44 20 7946 0018",
        "Mit freundlichen Grüßen\nAnn Smith\nann@acme.example",
    ] {
        let text = format!("Where is my parcel?\n\n{signature}");
        let expected = vec![(Reason::Signature, signature)];
        assert_eq!(parts(&text), ("Where is my parcel?".to_owned(), expected));
    }
    assert_eq!(left("Where is it?\n\nThanks,\nAnn\nAcme Ltd\n+44 20 7946 0018"), "Where is it?\nThanks,");
}

#[test]
fn words_that_look_like_signatures_stay() {
    for text in [
        "It works again!\n\nThanks so much, you saved my day",
        "Where is it?\n\nRegards,\nAnn",
        "First problem: no light.\n--\nThe second problem is that the door does not close any more.",
        "Sent from my phone because the laptop you sold me is dead",
        "-- \nplease help me",
        "Sent from my iPhone",
        "It stopped.\n\nRegards,\nAnn\nAcme Ltd\n2024-11-19 14:52:11 ERROR code=57",
        "It stopped.\n\nCheers,\nAnn\nAcme Ltd\nCan you call before noon?",
    ] {
        stays(text);
    }
}

#[test]
fn legal_footers() {
    let footer = "This e-mail and any attachments are confidential and may be\nlegally privileged. If you are not the intended recipient,\nplease delete it.";
    let text =
        format!("Where is my parcel?\nAnn\n{footer}\n\nPlease consider the environment before printing this email.");
    let (own, aside) = parts(&text);
    assert_eq!(own, "Where is my parcel?\nAnn");
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].0, Reason::LegalFooter);
    stays("Cancel it.\nThis message is confidential, please do not tell my husband.");
    stays("This email is confidential. Somebody in your shop steals.");
}

#[test]
fn signature_and_footer_above_a_quote() {
    let text =
        "Nothing helped.\n\n-- \nAnn | Acme\n\nThis message may contain confidential information.\n\n> Try again";
    let (own, aside) = parts(text);
    assert_eq!(own, "Nothing helped.");
    assert_eq!(
        aside.iter().map(|a| a.0).collect::<Vec<_>>(),
        [Reason::Signature, Reason::LegalFooter, Reason::QuotedReply]
    );
}

/// Pieces that meet many of the rules, in any order.
fn mail() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "\n",
            "\n\n",
            "\r\n",
            "> ",
            ">",
            "-- ",
            "<div>",
            "</div>",
            "<p>",
            "<br>",
            "<blockquote>",
            "</blockquote>",
            "<html>",
            "<div class=gmail_quote>",
            "<div id=divRplyFwdMsg>",
            "<!--",
            "-->",
            "<style>",
            "</style>",
            "&amp;",
            "&#x301;",
            "&nbsp;",
            "&",
            "<",
            "On 4 Nov 2024 a@b wrote:",
            "From: a\nSent: b\nSubject: c\n",
            "-----Original Message-----",
            "Kind regards,\n",
            "+44 20 7946 0018\nAcme Ltd",
            "Sent from my iPhone",
            "This e-mail: intended recipient",
            "\u{301}",
            "\u{200b}",
            "\u{200d}",
            "é",
            "ﬁ",
            "👩\u{200d}👧",
            "\u{a0}",
            "words of mine",
            "<!DOCTYPE html>",
            "<pre>",
            "</pre>",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn offsets_are_sound(text in mail()) {
        let cleaned = clean(&text);
        let own = cleaned.text();
        prop_assert_eq!(own.trim(), own);
        let cuts: Vec<usize> = (0..=own.len() + 2).collect();
        let mut before = 0..0;
        for &cut in &cuts {
            let head = cleaned.source_range(0..cut);
            let one = cleaned.source_range(cut..cut + 1);
            for range in [&head, &one] {
                prop_assert!(text.get(range.clone()).is_some());
            }
            prop_assert!(one.start >= before.start && one.end >= before.end, "monotone");
            prop_assert!(head.end <= one.end);
            before = one;
        }
        let mut end = 0;
        for aside in cleaned.set_aside() {
            prop_assert!(aside.range.start >= end && aside.range.start < aside.range.end);
            prop_assert!(text.get(aside.range.clone()).is_some());
            end = aside.range.end;
        }
    }

    #[test]
    fn plain_ascii_maps_to_itself(text in "[a-zA-Z0-9 .,!?\n]{0,200}") {
        let cleaned = clean(&text);
        for (at, c) in cleaned.text().char_indices() {
            let source = &text[cleaned.source_range(at..at + 1)];
            let same = source == c.to_string() || c.is_whitespace() && source.trim().is_empty();
            prop_assert!(same);
        }
        let squeezed = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(squeezed(cleaned.text()), squeezed(&text));
    }

    #[test]
    fn cleaning_plain_words_twice_changes_nothing(text in "[a-zA-Z0-9éñüßﬁ½５’“…\u{a0} ]{0,60}") {
        let once = left(&text);
        prop_assert_eq!(left(&once), once);
    }
}
