//! `ModelService`: which model answers, within which limits.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Deps, proto, wire::duration};
use crate::model::{Group, Selection};

pub(super) struct ModelApi {
    deps: Arc<Deps>,
}

impl ModelApi {
    pub(super) fn new(deps: Arc<Deps>) -> Self {
        Self { deps }
    }
}

#[tonic::async_trait]
impl proto::model_service_server::ModelService for ModelApi {
    async fn get_model(
        &self,
        _request: Request<proto::GetModelRequest>,
    ) -> Result<Response<proto::GetModelResponse>, Status> {
        let Deps { triager, limits, server, .. } = &*self.deps;
        let Selection { engine, precision, reason } = &triager.selection;
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let bundle = &triager.bundle;
        Ok(Response::new(proto::GetModelResponse {
            model: Some(proto::Model {
                name: bundle.name.clone(),
                version: bundle.version.clone(),
                digest: bundle.digest.clone(),
                license: bundle.license.clone(),
                engine: engine.to_string(),
                precision: precision.to_string(),
                engine_reason: reason.clone(),
                label_groups: bundle.groups.iter().map(label_group).collect(),
                languages: bundle.languages.clone(),
                window_tokens: count(bundle.window_tokens),
            }),
            limits: Some(proto::Limits {
                max_ticket_chars: count(limits.max_ticket_chars),
                max_messages: count(limits.max_messages),
                max_batch_items: count(limits.max_batch_items),
                max_request_bytes: count(limits.max_request_bytes),
                max_deadline: Some(duration(server.max_deadline())),
            }),
        }))
    }
}

fn label_group(group: &Group) -> proto::LabelGroup {
    let labels = group
        .labels
        .iter()
        .enumerate()
        .map(|(index, name)| proto::Label { name: name.clone(), threshold: group.thresholds.get(index).copied() });
    proto::LabelGroup {
        name: group.name.clone(),
        temperature: group.temperature,
        exclusive: group.exclusive,
        labels: labels.collect(),
    }
}
