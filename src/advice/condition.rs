//! When a rule or a cue applies: a CEL expression over the facts of a ticket.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use cel::{
    Context, Env, ExecutionError, IdedExpr, Program, Value,
    common::ast::{Expr, LiteralValue, operators},
};
use strum::VariantArray;

use super::{
    Facts,
    fault::Fault,
    vocabulary::{self, VARIABLES},
};
use crate::{
    assessment::{Emotion, Intensity, Signal, Urgency},
    ticket::Channel,
};

/// Building the standard environment costs more than a whole ticket, so all conditions share one.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The facts of one ticket as conditions see them.
pub(super) struct Scene(Context<'static, 'static>);

impl Scene {
    pub(super) fn new(facts: &Facts<'_>) -> Scene {
        fn names<L: Copy + Into<&'static str>>(labels: &[L]) -> Value {
            Value::from(labels.iter().map(|&label| Value::from(label.into())).collect::<Vec<_>>())
        }
        let primary: &str = facts.primary.into();
        let urgency: &str = facts.urgency.into();
        let channel: &str = facts.channel.map_or("", Into::into);
        let attributes: HashMap<String, String> =
            facts.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let values = [
            names(facts.emotions),
            primary.into(),
            Value::Int(facts.intensity.level().into()),
            urgency.into(),
            names(facts.signals),
            channel.into(),
            facts.language.into(),
            Value::Bool(facts.language_supported),
            attributes.into(),
        ];
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (name, value) in VARIABLES.into_iter().zip(values) {
            context.add_variable_from_value(name, value);
        }
        Scene(context)
    }
}

/// A condition that parsed, speaks of known things only, and is a yes or no on trial tickets.
pub(super) struct Condition {
    program: Program,
    warned: AtomicBool,
}

impl Condition {
    /// Compiles a condition and tries it out.
    pub(super) fn compile(source: &str) -> Result<Condition, Vec<Fault>> {
        let program = ENV.compile(source).map_err(|errors| {
            let said = errors.errors.iter().map(|e| format!("line {}, column {}: {}", e.pos.0, e.pos.1, e.msg));
            vec![Fault::Syntax(said.collect::<Vec<_>>().join("; "))]
        })?;
        if let Expr::Literal(LiteralValue::Boolean(always)) = &program.expression().expr {
            return Err(vec![Fault::Constant(*always.inner())]);
        }
        let findings = vocabulary::inspect(program.expression());
        let mut faults = findings.faults;
        if faults.is_empty() {
            faults = unsound(program.expression(), findings.attributes);
        }
        if faults.is_empty() { Ok(Condition { program, warned: AtomicBool::new(false) }) } else { Err(faults) }
    }

    /// Whether the condition holds. One that fails, for want of an attribute for example, does not hold; the log says so
    /// once, with the name of what failed and nothing of the ticket.
    pub(super) fn holds(&self, scene: &Scene, kind: &'static str, id: &str) -> bool {
        let cause = match self.program.execute(&scene.0) {
            Ok(Value::Bool(holds)) => return holds,
            Ok(_) => "it is not true or false",
            // The text of these errors quotes values, which may be the customer's.
            Err(ExecutionError::NoSuchKey(_)) => "an attribute is missing; guard it with has(…)",
            Err(_) => "a value is not of the form it expects",
        };
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(kind, id, cause, "condition failed and counts as false; said once for this file");
        }
        false
    }
}

/// Tries every part of a condition that must be a yes or no. The parts are tried one by one, because `&&` and `||` hide a
/// part that fails behind one that has decided.
fn unsound(root: &IdedExpr, attributes: Vec<String>) -> Vec<Fault> {
    // "1" reads as a text and as a number, whichever the condition wants.
    let attributes: BTreeMap<String, String> = attributes.into_iter().map(|name| (name, "1".to_owned())).collect();
    let full = Scene::new(&Facts {
        emotions: Emotion::VARIANTS,
        primary: Emotion::Anger,
        intensity: Intensity::Extreme,
        urgency: Urgency::Critical,
        signals: Signal::VARIANTS,
        channel: Some(Channel::Email),
        language: "en",
        language_supported: true,
        attributes: &attributes,
    });
    let bare = Scene::new(&Facts {
        emotions: &[],
        primary: Emotion::Neutral,
        intensity: Intensity::None,
        urgency: Urgency::Low,
        signals: &[],
        channel: None,
        language: "",
        language_supported: false,
        attributes: &BTreeMap::new(),
    });
    let mut parts = Vec::new();
    split(root, &mut parts);
    let mut faults = Vec::new();
    for part in parts {
        for (ticket, scene) in [("with every label", &full), ("with no label and no attribute", &bare)] {
            let problem = match scene.0.resolve(part) {
                Ok(Value::Bool(_)) => continue,
                // Attributes are the caller's to send or leave out; the full ticket has those that are asked for.
                Err(ExecutionError::NoSuchKey(_)) if ticket.starts_with("with no") => continue,
                Ok(value) => format!("gives a {} ({value:?})", value.type_of()),
                Err(error) => format!("fails: {error}"),
            };
            faults.push(Fault::Unsound { ticket, problem });
            break;
        }
    }
    faults
}

/// Splits a condition at its logical operators.
fn split<'e>(expr: &'e IdedExpr, parts: &mut Vec<&'e IdedExpr>) {
    match &expr.expr {
        Expr::Call(call)
            if [operators::LOGICAL_AND, operators::LOGICAL_OR, operators::LOGICAL_NOT, operators::CONDITIONAL]
                .contains(&call.func_name.as_str()) =>
        {
            call.args.iter().for_each(|arg| split(arg, parts));
        }
        _ => parts.push(expr),
    }
}
