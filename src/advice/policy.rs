//! The routing policy: ordered rules, of which the first that holds decides.

use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    DEFAULT_RULE, Priority, Routing,
    condition::{Condition, Scene},
    fault::{Fault, Place},
    file::{Faults, Text},
};

const MINUTE: u64 = 60;
const LONGEST: u64 = 30 * 24 * 60 * MINUTE;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    version: String,
    default: DefaultEntry,
    rules: Vec<RuleEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultEntry {
    reason: String,
    route: RouteEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    id: Spanned<String>,
    when: String,
    reason: String,
    route: RouteEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteEntry {
    queue: String,
    priority: Priority,
    first_response: Spanned<String>,
    #[serde(default)]
    escalate: bool,
    #[serde(default)]
    tags: Vec<String>,
}

/// A policy whose rules are checked and compiled.
pub(super) struct Policy {
    pub(super) version: String,
    rules: Vec<Rule>,
    default: Routing,
}

struct Rule {
    condition: Condition,
    routing: Routing,
}

impl Policy {
    pub(super) fn parse(text: &Text) -> Result<Policy, Vec<Place>> {
        let file: PolicyFile = text.parse()?;
        let mut faults = text.faults();
        if file.version.trim().is_empty() {
            faults.of_file(Fault::Blank("version"));
        }
        faults.of_ids("rule", file.rules.iter().map(|rule| &rule.id));
        let mut rules = Vec::with_capacity(file.rules.len());
        for rule in &file.rules {
            if rule.id.value == DEFAULT_RULE {
                faults.of("rule", &rule.id, Fault::ReservedId);
            }
            let routing = routing(&mut faults, "rule", &rule.id, &rule.reason, &rule.route);
            match Condition::compile(&rule.when) {
                Ok(condition) => rules.push(Rule { condition, routing }),
                Err(wrong) => wrong.into_iter().for_each(|fault| faults.of("rule", &rule.id, fault)),
            }
        }
        let id = Spanned {
            value: DEFAULT_RULE.to_owned(),
            referenced: file.default.route.first_response.referenced,
            defined: file.default.route.first_response.defined,
        };
        let default = routing(&mut faults, "route", &id, &file.default.reason, &file.default.route);
        faults.or(Policy { version: file.version, rules, default })
    }

    /// The route of the first rule that holds, or the default.
    pub(super) fn route(&self, scene: &Scene) -> Routing {
        let first = self.rules.iter().find(|rule| rule.condition.holds(scene, "rule", &rule.routing.rule));
        first.map_or(&self.default, |rule| &rule.routing).clone()
    }

    #[cfg(test)]
    pub(super) fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.routing.rule.as_str())
    }
}

fn routing(faults: &mut Faults<'_>, kind: &str, id: &Spanned<String>, reason: &str, route: &RouteEntry) -> Routing {
    faults.of_blanks(kind, id, &[("reason", reason), ("queue", &route.queue)]);
    for (index, tag) in route.tags.iter().enumerate() {
        faults.of_blanks(kind, id, &[("tags", tag)]);
        if route.tags[..index].contains(tag) {
            faults.of(kind, id, Fault::DuplicateTag(tag.clone()));
        }
    }
    let first_response = duration(&route.first_response.value).unwrap_or_else(|| {
        faults.of(kind, id, Fault::BadDuration(route.first_response.value.clone()));
        Duration::ZERO
    });
    Routing {
        queue: route.queue.clone(),
        priority: route.priority,
        first_response,
        escalate: route.escalate,
        tags: route.tags.clone(),
        rule: id.value.clone(),
        reason: reason.trim().to_owned(),
    }
}

/// Reads a time such as `15m`, `4h` or `2d`.
fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'm' => MINUTE,
        'h' => 60 * MINUTE,
        'd' => 24 * 60 * MINUTE,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    // `parse` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (MINUTE..=LONGEST).contains(&seconds).then(|| Duration::from_secs(seconds))
}
