//! What arrives: a ticket, and what of it is the customer's own words.

use std::collections::BTreeMap;

use strum::{Display, EnumString, IntoStaticStr};

pub mod clean;
mod draft;
mod html;
pub mod language;
mod quotes;
pub mod sentences;
mod signature;

/// A ticket that passed validation at the edge: at least one customer message is not blank, sizes are within the limits.
#[derive(Clone)]
pub struct Ticket {
    /// The caller's id, possibly empty.
    pub id: String,
    /// The subject line, possibly empty.
    pub subject: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// How the ticket came in, where known.
    pub channel: Option<Channel>,
    /// The BCP 47 tag the help desk believes the customer writes in.
    pub locale: Option<String>,
    /// Facts for rules and cues, such as `tier` or `product`.
    pub attributes: BTreeMap<String, String>,
}

/// One message of the conversation.
#[derive(Clone)]
pub struct Message {
    /// Who wrote it.
    pub author: Author,
    /// The text as received: plain or HTML.
    pub text: String,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The person who needs help; only their words are assessed.
    Customer,
    /// Somebody of the help desk.
    Agent,
    /// A machine.
    System,
}

/// How a ticket came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    /// E-mail.
    Email,
    /// Live chat or messaging.
    Chat,
    /// A form on a web page or in an app.
    WebForm,
    /// A social network, an app store or review site.
    Social,
    /// A transcript of speech.
    VoiceTranscript,
}
