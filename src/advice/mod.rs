//! Where a ticket should go and what to tell the agent: a routing policy and a catalogue of cues, both data.
//!
//! Nothing here is generated. A rule or a cue is chosen by its condition, a [CEL](https://cel.dev) expression over the
//! facts of the ticket, and every answer names the rule that decided and the published source a cue rests on.
//! The files are checked when they are loaded, all faults at once, so that a slip in a policy is found by the person who
//! made it and not by a customer.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Deserialize;
use strum::{Display, EnumString, IntoStaticStr};

use crate::{
    assessment::{Emotion, Intensity, Signal, Urgency},
    ticket::Channel,
};

mod catalogue;
mod condition;
mod example;
mod fault;
mod file;
mod policy;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use fault::{AdviceError, Fault, Place};

use catalogue::Catalogue;
use condition::Scene;
use file::Text;
use policy::Policy;

const POLICY: &str = include_str!("../../deploy/advice/routing.yaml");
const CATALOGUE: &str = include_str!("../../deploy/advice/cues.yaml");

/// What is known about a ticket when advice is asked for.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Every emotion found.
    pub emotions: &'a [Emotion],
    /// The emotion that should shape the agent's first sentence.
    pub primary: Emotion,
    /// How strong the feeling is.
    pub intensity: Intensity,
    /// How soon someone must act.
    pub urgency: Urgency,
    /// Every signal found.
    pub signals: &'a [Signal],
    /// How the ticket came in, where known.
    pub channel: Option<Channel>,
    /// The language the customer writes in, as a BCP 47 tag; empty when unknown.
    pub language: &'a str,
    /// Whether the model was taught that language; if not, the emotions above are a guess.
    pub language_supported: bool,
    /// The caller's own facts, such as `tier` or `product`.
    pub attributes: &'a BTreeMap<String, String>,
}

/// Where the ticket should go and how to speak to the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Where the ticket should go, and why.
    pub routing: Routing,
    /// What to do first and in which tone; the fittest first.
    pub cues: Vec<Cue>,
}

/// Where the ticket should go, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// The queue's name.
    pub queue: String,
    /// How the ticket ranks within the queue.
    pub priority: Priority,
    /// The time within which a person should have answered.
    pub first_response: Duration,
    /// Whether somebody senior should look at once.
    pub escalate: bool,
    /// Tags to set on the ticket.
    pub tags: Vec<String>,
    /// The id of the rule that decided; [`DEFAULT_RULE`] when none matched.
    pub rule: String,
    /// That rule's reason in words.
    pub reason: String,
}

/// How a ticket ranks within its queue, ordered from least to most pressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    /// When there is time.
    Low,
    /// In turn.
    Normal,
    /// Before the normal ones.
    High,
    /// Now.
    Urgent,
}

/// One piece of advice on what to do or how to say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// The cue's id in the catalogue.
    pub id: String,
    /// The part of the reply it is for.
    pub stage: Stage,
    /// What to do.
    pub action: String,
    /// What to avoid.
    pub avoid: String,
    /// A line the agent may adapt. It may hold values of the ticket's attributes as plain text: escape it for the page
    /// it is shown on.
    pub example: String,
    /// The source the cue rests on: authors, year, title.
    pub source: String,
    /// Where the source can be found.
    pub source_url: String,
    /// How far the source carries.
    pub evidence: Evidence,
}

/// The part of a reply that a cue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// The first sentence.
    Open,
    /// Finding out what is needed.
    Explore,
    /// The solution and the next step.
    Resolve,
    /// The last sentence.
    Close,
}

/// How far a source carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Evidence {
    /// Seen in real dealings with customers.
    Field,
    /// Seen in experiments.
    Lab,
    /// What careful practitioners and public guidance say; not tested.
    Practice,
}

/// What [`Routing::rule`] says when no rule matched; no rule may bear it.
pub const DEFAULT_RULE: &str = "default";

/// A routing policy and a catalogue of cues, checked and compiled; share it behind an `Arc`.
pub struct Advisor {
    policy: Policy,
    catalogue: Catalogue,
}

impl Advisor {
    /// Loads a policy and a catalogue; `None` stands for the one compiled in from `deploy/advice`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with either file, each fault with its place and what to do about it.
    pub fn load(policy: Option<&Path>, catalogue: Option<&Path>) -> Result<Advisor, AdviceError> {
        let policy = Text::open(policy, "routing.yaml (built in)", POLICY).and_then(|text| Policy::parse(&text));
        let catalogue =
            Text::open(catalogue, "cues.yaml (built in)", CATALOGUE).and_then(|text| Catalogue::parse(&text));
        match (policy, catalogue) {
            (Ok(policy), Ok(catalogue)) => Ok(Advisor { policy, catalogue }),
            (Err(faults), Ok(_)) | (Ok(_), Err(faults)) => Err(AdviceError { faults }),
            (Err(mut faults), Err(more)) => {
                faults.extend(more);
                Err(AdviceError { faults })
            }
        }
    }

    /// Says where the ticket should go and gives at most `max_cues` cues. The same facts always get the same advice.
    pub fn advise(&self, facts: &Facts<'_>, max_cues: usize) -> Advice {
        let scene = Scene::new(facts);
        Advice { routing: self.policy.route(&scene), cues: self.catalogue.pick(&scene, facts.attributes, max_cues) }
    }

    /// The routing policy's version, as its file says.
    pub fn policy_version(&self) -> &str {
        &self.policy.version
    }

    /// The cue catalogue's version, as its file says.
    pub fn catalogue_version(&self) -> &str {
        &self.catalogue.version
    }
}
