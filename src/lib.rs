//! bedside reads a support ticket and says how the customer feels, how soon someone must act, and what to do first and
//! in which tone.
//!
//! One way through, one room a step; [`triage`] is the spine that walks it:
//!
//! ```text
//! Ticket ──clean──▶ texts ──score──▶ logits ──interpret──▶ Assessment ──advise──▶ Routing + Cues
//! ticket           cache, model              assessment                advice
//! ```
//!
//! Only [`server`] knows gRPC and HTTP, only [`cache`] knows Redis, only `model` knows tensors.

pub mod advice;
pub mod assessment;
pub mod cache;
pub mod cli;
pub mod config;
pub mod evaluation;
pub mod model;
pub mod server;
pub mod startup;
pub mod telemetry;
pub mod ticket;
pub mod triage;
