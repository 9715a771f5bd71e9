//! What is sent: the corpus of authored tickets, whose mix of lengths is that of the product.

use std::fs;

use bedside::server::proto;

/// A fixed order, so that every run sends the same.
pub(crate) fn corpus() -> Vec<proto::Ticket> {
    let mut files: Vec<_> = fs::read_dir("models/data/tickets").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let lines = files.iter().flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let mut tickets: Vec<_> = lines.map(|line| ticket(&serde_json::from_str(&line).unwrap())).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut tickets);
    tickets
}

fn ticket(record: &serde_json::Value) -> proto::Ticket {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let message = proto::Message { author: proto::Author::Customer.into(), text: text("text"), sent_at: None };
    proto::Ticket { id: text("id"), subject: text("subject"), messages: vec![message], ..Default::default() }
}

/// The `number`th ticket sent; no two of different numbers are equal, however often the corpus is gone through.
pub(crate) fn distinct(corpus: &[proto::Ticket], number: usize) -> proto::Ticket {
    let mut ticket = corpus[number % corpus.len()].clone();
    ticket.messages[0].text.push_str(&format!(" ({number})"));
    ticket
}

/// What bedside shows its model: subject and text.
pub(crate) fn plain(ticket: &proto::Ticket) -> String {
    format!("{}\n{}", ticket.subject, ticket.messages[0].text)
}
