//! The words a condition may use, and a walk over its tree that finds words it may not.
//!
//! CEL itself takes `"lawyer" in signals` without complaint and finds it false for ever. A policy with such a slip looks
//! right and does nothing, so every literal that meets a label is checked against the labels.

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, LiteralValue, operators},
};
use strum::VariantArray;

use super::fault::Fault;
use crate::{
    assessment::{Emotion, Intensity, Signal, Urgency},
    ticket::Channel,
};

/// The map of the caller's own facts.
pub(super) const ATTRIBUTES: &str = "attributes";

/// The variables of a condition.
pub(super) const VARIABLES: [&str; 9] =
    ["emotions", "primary", "intensity", "urgency", "signals", "channel", "language", "language_supported", ATTRIBUTES];

/// A variable whose values are known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Domain {
    Emotions,
    Primary,
    Intensity,
    Urgency,
    Signals,
    Channel,
}

impl Domain {
    fn of(variable: &str) -> Option<Domain> {
        Some(match variable {
            "emotions" => Domain::Emotions,
            "primary" => Domain::Primary,
            "intensity" => Domain::Intensity,
            "urgency" => Domain::Urgency,
            "signals" => Domain::Signals,
            "channel" => Domain::Channel,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Domain::Emotions => "emotions",
            Domain::Primary => "primary",
            Domain::Intensity => "intensity",
            Domain::Urgency => "urgency",
            Domain::Signals => "signals",
            Domain::Channel => "channel",
        }
    }

    fn labels(self) -> Vec<&'static str> {
        fn names<L: VariantArray + Copy + Into<&'static str>>() -> Vec<&'static str> {
            L::VARIANTS.iter().map(|&label| label.into()).collect()
        }
        match self {
            Domain::Emotions | Domain::Primary => names::<Emotion>(),
            Domain::Urgency => names::<Urgency>(),
            Domain::Signals => names::<Signal>(),
            Domain::Channel => vec![
                "",
                Channel::Email.into(),
                Channel::Chat.into(),
                Channel::WebForm.into(),
                Channel::Social.into(),
                Channel::VoiceTranscript.into(),
            ],
            Domain::Intensity => Vec::new(),
        }
    }

    /// The fault of setting this variable beside `literal`, if it can never be that.
    fn refuses(self, literal: &LiteralValue) -> Option<Fault> {
        let (fits, value, known) = match (self, literal) {
            (Domain::Intensity, LiteralValue::Int(level)) => (
                Intensity::VARIANTS.iter().any(|known| i64::from(known.level()) == *level.inner()),
                level.inner().to_string(),
                "0, 1, 2 or 3".to_owned(),
            ),
            // A comparison of other types is for the trial tickets to find.
            (Domain::Intensity, _) => return None,
            (_, LiteralValue::String(text)) => {
                let labels = self.labels();
                let known = labels.iter().map(|label| format!("\"{label}\"")).collect::<Vec<_>>().join(", ");
                (labels.contains(&text.inner()), format!("\"{}\"", text.inner()), known)
            }
            _ => return None,
        };
        (!fits).then(|| Fault::UnknownLabel { variable: self.name(), value, known })
    }
}

/// What a walk over a condition's tree found.
#[derive(Default)]
pub(super) struct Findings {
    /// Words the condition may not use.
    pub(super) faults: Vec<Fault>,
    /// The attributes it reads.
    pub(super) attributes: Vec<String>,
}

/// Walks a condition's tree.
pub(super) fn inspect(root: &IdedExpr) -> Findings {
    let mut walk = Walk::default();
    walk.visit(&root.expr);
    walk.findings
}

#[derive(Default)]
struct Walk {
    findings: Findings,
    /// The variables of the macros around the current place, innermost last, and what they stand for.
    scope: Vec<(String, Option<Domain>)>,
}

impl Walk {
    fn visit(&mut self, expr: &Expr) {
        match expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.variable(name),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(&element.expr)),
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == ATTRIBUTES) {
                    self.findings.attributes.push(select.field.clone());
                }
                self.visit(&select.operand.expr);
            }
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(it) => it.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Call(call) => {
                let operands: Vec<&Expr> = call
                    .target
                    .iter()
                    .map(|target| &target.expr)
                    .chain(call.args.iter().map(|arg| &arg.expr))
                    .collect();
                if let [left, right] = operands[..] {
                    self.pair(&call.func_name, left, right);
                }
                operands.into_iter().for_each(|operand| self.visit(operand));
            }
            Expr::Comprehension(it) => {
                self.visit(&it.iter_range.expr);
                let element = self
                    .domain(&it.iter_range.expr)
                    .filter(|domain| matches!(domain, Domain::Emotions | Domain::Signals));
                let outer = self.scope.len();
                self.scope.push((it.iter_var.clone(), element));
                self.scope.extend(it.iter_var2.clone().map(|name| (name, None)));
                for inner in [&it.accu_init, &it.loop_cond, &it.loop_step, &it.result] {
                    self.visit(&inner.expr);
                }
                self.scope.truncate(outer);
            }
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value.expr),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key.expr);
                self.visit(&entry.value.expr);
            }
        }
    }

    fn variable(&mut self, name: &str) {
        // The parser's own accumulators start with `@`.
        if name.starts_with('@') || VARIABLES.contains(&name) || self.scope.iter().any(|(inner, _)| inner == name) {
            return;
        }
        self.findings.faults.push(Fault::UnknownVariable { name: name.to_owned(), known: VARIABLES.join(", ") });
    }

    /// Checks an operator or a function of two operands.
    fn pair(&mut self, function: &str, left: &Expr, right: &Expr) {
        match function {
            operators::INDEX => {
                if let (Expr::Ident(name), Expr::Literal(LiteralValue::String(key))) = (left, right)
                    && name == ATTRIBUTES
                {
                    self.findings.attributes.push(key.inner().to_owned());
                }
            }
            operators::EQUALS | operators::NOT_EQUALS | operators::IN | "contains" => {
                for (variable, other) in [(left, right), (right, left)] {
                    if let Some(domain) = self.domain(variable) {
                        self.literals(domain, other);
                    }
                }
            }
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
                for (variable, other) in [(left, right), (right, left)] {
                    match self.domain(variable) {
                        Some(Domain::Intensity) => self.literals(Domain::Intensity, other),
                        Some(domain) => self.findings.faults.push(Fault::OrderedLabels(domain.name())),
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Checks a literal, or every literal of a list, against what `domain` can be.
    fn literals(&mut self, domain: Domain, expr: &Expr) {
        match expr {
            Expr::Literal(literal) => self.findings.faults.extend(domain.refuses(literal)),
            Expr::List(list) => list.elements.iter().for_each(|element| self.literals(domain, &element.expr)),
            _ => {}
        }
    }

    /// What an expression stands for: a variable, an element of one, or a macro's variable that runs over one.
    fn domain(&self, expr: &Expr) -> Option<Domain> {
        match expr {
            Expr::Ident(name) => match self.scope.iter().rev().find(|(inner, _)| inner == name) {
                Some((_, domain)) => *domain,
                None => Domain::of(name),
            },
            Expr::Call(call) if call.func_name == operators::INDEX => {
                call.args.first().and_then(|list| self.domain(&list.expr))
            }
            _ => None,
        }
    }
}
