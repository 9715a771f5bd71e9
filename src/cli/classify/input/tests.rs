#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn read(text: &[u8], format: Option<Format>) -> Vec<Entry> {
    entries(Cursor::new(text.to_vec()), format).unwrap().map(Result::unwrap).collect()
}

fn text(ticket: &proto::Ticket) -> &str {
    &ticket.messages[0].text
}

#[test]
fn plain_lines_go_by_their_numbers() {
    let entries = read(b"\xef\xbb\xbf\n  hello, you \r\n\nbye", None);
    let tickets: Vec<_> = entries.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        tickets.iter().map(|ticket| (ticket.id.as_str(), text(ticket))).collect::<Vec<_>>(),
        [("2", "  hello, you"), ("4", "bye")]
    );
}

#[test]
fn json_lines_are_recognised_and_other_keys_ignored() {
    let entries = read(br#"{"id": "a", "text": "x", "subject": null, "channel": "web_form", "urgency": "low"}"#, None);
    let ticket = entries[0].as_ref().unwrap();
    assert_eq!((ticket.id.as_str(), text(ticket), ticket.channel()), ("a", "x", proto::Channel::WebForm));
}

#[test]
fn a_bad_line_does_not_stop_the_next_ones() {
    let entries = read(
        b"{\"text\": \"secret\", \"id\": \"a\", \"channel\": \"pigeon\"}\n[1]\n{\"text\"\n{\"text\": \"x\"}",
        None,
    );
    let errors = entries[..3].iter().map(|entry| entry.as_ref().unwrap_err().to_string());
    assert_eq!(
        errors.collect::<Vec<_>>(),
        [
            "1: channel is none of email, chat, web_form, social, voice_transcript",
            "2: not a JSON object",
            "3: not valid JSON at column 7"
        ]
    );
    assert_eq!(entries[0].as_ref().unwrap_err().id, "a");
    assert_eq!(entries[3].as_ref().unwrap().id, "4");
}

#[test]
fn csv_is_recognised_by_its_header() {
    let csv = b"ID,Subject,Text,tier\n7,Hi,\"two\nlines, one cell\",gold\nshort\n,,third,\n";
    let entries = read(csv, None);
    let ticket = entries[0].as_ref().unwrap();
    assert_eq!((ticket.id.as_str(), ticket.subject.as_str(), text(ticket)), ("7", "Hi", "two\nlines, one cell"));
    assert_eq!(entries[1].as_ref().unwrap_err().to_string(), "4: does not have as many cells as the header");
    assert_eq!(entries[2].as_ref().unwrap().id, "5");
}

#[test]
fn csv_without_text_is_refused() {
    assert!(entries(Cursor::new(b"id,body\n1,x\n".to_vec()), Some(Format::Csv)).is_err());
}

#[test]
fn a_sentence_with_the_word_text_is_no_csv() {
    assert_eq!(Format::of_content(b"your reply, text, is unreadable for me\n"), Format::Lines);
    assert_eq!(Format::of_content(b"\n\"id\",\"text\"\r\n"), Format::Csv);
}

#[test]
fn bytes_that_are_no_text_are_one_bad_record() {
    let entries = read(b"good\n\xff\xfe\n", None);
    assert!(entries[0].is_ok());
    assert_eq!(entries[1].as_ref().unwrap_err().to_string(), "2: not UTF-8");
}

#[test]
fn records_stop_at_the_first_that_is_none() {
    assert_eq!(records("{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n").unwrap().len(), 2);
    assert_eq!(records("{\"text\": \"a\"}\n{\"text\": 5}\n").unwrap_err().to_string(), "2: text must be a string");
}
