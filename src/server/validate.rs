//! From the wire to a [`Ticket`] that the rest of the service can trust, naming every field at fault.

use tonic::Status;
use tonic_types::FieldViolation;

use super::{
    error::{invalid, violation},
    proto,
};
use crate::{
    config::Limits,
    model::scheduler::Lane,
    ticket::{Author, Channel, Message, Ticket},
    triage::Options,
};

const MAX_ID_BYTES: usize = 128;
const MAX_LOCALE_BYTES: usize = 35;
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
const MAX_ATTRIBUTE_VALUE_BYTES: usize = 256;
const MAX_CUES: i32 = 3;

/// Checks one request.
///
/// # Errors
/// `INVALID_ARGUMENT` with all violations.
pub(super) fn request(
    request: proto::TriageTicketRequest,
    lane: Lane,
    limits: &Limits,
) -> Result<(Ticket, Options), Status> {
    let mut faults = Vec::new();
    let options = options(request.options.unwrap_or_default(), lane, &mut faults);
    let ticket = match request.ticket {
        Some(sent) => ticket(sent, limits, &mut faults),
        None => {
            faults.push(violation("ticket", "is required"));
            None
        }
    };
    match ticket {
        Some(ticket) if faults.is_empty() => Ok((ticket, options)),
        _ => Err(invalid(faults)),
    }
}

/// Checks how many requests a batch holds.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn batch(items: usize, limits: &Limits) -> Result<(), Status> {
    let most = limits.max_batch_items;
    match items {
        0 => Err(invalid(vec![violation("requests", "must hold at least one request")])),
        items if items > most => {
            Err(invalid(vec![violation("requests", format!("holds {items} requests, at most {most} are allowed"))]))
        }
        _ => Ok(()),
    }
}

fn options(sent: proto::TriageOptions, lane: Lane, faults: &mut Vec<FieldViolation>) -> Options {
    let max_cues = sent.max_cues.unwrap_or(MAX_CUES);
    if !(1..=MAX_CUES).contains(&max_cues) {
        faults.push(violation("options.max_cues", format!("must be 1 to {MAX_CUES}")));
    }
    let max_cues = usize::try_from(max_cues).unwrap_or(1);
    Options { explain: sent.explain, max_cues, bypass_cache: sent.bypass_cache, lane }
}

/// `None` when a part cannot even be represented; `faults` says why.
fn ticket(sent: proto::Ticket, limits: &Limits, faults: &mut Vec<FieldViolation>) -> Option<Ticket> {
    let mut at_most = |field: String, bytes: usize, most: usize| {
        if bytes > most {
            faults.push(violation(field, format!("is {bytes} bytes long, at most {most} are allowed")));
        }
    };
    at_most("ticket.id".to_owned(), sent.id.len(), MAX_ID_BYTES);
    at_most("ticket.locale".to_owned(), sent.locale.len(), MAX_LOCALE_BYTES);
    for (index, (name, value)) in sent.attributes.iter().enumerate() {
        // By position: the name itself may hold personal data, and be as long as the request.
        at_most(format!("ticket.attributes[{index}].name"), name.len(), MAX_ATTRIBUTE_NAME_BYTES);
        at_most(format!("ticket.attributes[{index}].value"), value.len(), MAX_ATTRIBUTE_VALUE_BYTES);
    }
    if sent.attributes.len() > MAX_ATTRIBUTES {
        let count = sent.attributes.len();
        faults.push(violation(
            "ticket.attributes",
            format!("holds {count} entries, at most {MAX_ATTRIBUTES} are allowed"),
        ));
    }
    if sent.messages.len() > limits.max_messages {
        let (count, most) = (sent.messages.len(), limits.max_messages);
        faults.push(violation("ticket.messages", format!("holds {count} messages, at most {most} are allowed")));
    }
    let chars =
        sent.subject.chars().count() + sent.messages.iter().map(|message| message.text.chars().count()).sum::<usize>();
    if chars > limits.max_ticket_chars {
        let most = limits.max_ticket_chars;
        faults.push(violation(
            "ticket",
            format!("subject and messages hold {chars} characters, at most {most} are allowed"),
        ));
    }
    let channel = channel(sent.channel, faults);
    let messages = messages(sent.messages, faults);
    Some(Ticket {
        id: sent.id,
        subject: sent.subject,
        messages: messages?,
        channel: channel?,
        locale: Some(sent.locale).filter(|locale| !locale.is_empty()),
        attributes: sent.attributes.into_iter().collect(),
    })
}

fn messages(sent: Vec<proto::Message>, faults: &mut Vec<FieldViolation>) -> Option<Vec<Message>> {
    if sent.is_empty() {
        faults.push(violation("ticket.messages", "must hold at least one message"));
        return None;
    }
    let mut messages = Vec::with_capacity(sent.len());
    let count = sent.len();
    for (index, message) in sent.into_iter().enumerate() {
        let field = |name: &str| format!("ticket.messages[{index}].{name}");
        let author = match proto::Author::try_from(message.author) {
            Ok(proto::Author::Customer) => Some(Author::Customer),
            Ok(proto::Author::Agent) => Some(Author::Agent),
            Ok(proto::Author::System) => Some(Author::System),
            Ok(proto::Author::Unspecified) => {
                faults.push(violation(field("author"), "is required"));
                None
            }
            Err(_) => {
                faults.push(violation(field("author"), format!("{} is not an author", message.author)));
                None
            }
        };
        if message.text.trim().is_empty() {
            faults.push(violation(field("text"), "must not be blank"));
        }
        messages.extend(author.map(|author| Message { author, text: message.text }));
    }
    if messages.len() == count && !messages.iter().any(|message| message.author == Author::Customer) {
        faults.push(violation("ticket.messages", "must hold at least one message by the customer"));
    }
    (messages.len() == count).then_some(messages)
}

/// The outer option is `None` for a value that is no channel.
fn channel(sent: i32, faults: &mut Vec<FieldViolation>) -> Option<Option<Channel>> {
    match proto::Channel::try_from(sent) {
        Ok(proto::Channel::Unspecified) => Some(None),
        Ok(proto::Channel::Email) => Some(Some(Channel::Email)),
        Ok(proto::Channel::Chat) => Some(Some(Channel::Chat)),
        Ok(proto::Channel::WebForm) => Some(Some(Channel::WebForm)),
        Ok(proto::Channel::Social) => Some(Some(Channel::Social)),
        Ok(proto::Channel::VoiceTranscript) => Some(Some(Channel::VoiceTranscript)),
        Err(_) => {
            faults.push(violation("ticket.channel", format!("{sent} is not a channel")));
            None
        }
    }
}
