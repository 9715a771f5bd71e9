//! What an integrator or an operator finds when they look around: health, reflection, the model, the other listeners.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use bedside::server::proto::GetModelRequest;
use service::{Service, request, ticket, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_reflection::pb::v1alpha as alpha;

const SERVICES: [&str; 3] = ["", "bedside.v1.TriageService", "bedside.v1.ModelService"];

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_each_service_and_ends_with_the_shutdown() {
    let service = Service::start(&[]).await;
    let mut health = HealthClient::new(service.channel());
    for name in SERVICES {
        let request = HealthCheckRequest { service: name.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving, "{name}");
    }
    let unknown = health.check(HealthCheckRequest { service: "no.such.Service".to_owned() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);

    let watched = HealthCheckRequest { service: SERVICES[1].to_owned() };
    let mut watch = health.watch(watched).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopped = service.stop();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    drop((watch, health));
    stopped.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_unless_it_is_off() {
    let ask = || {
        let list = MessageRequest::ListServices(String::new());
        tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request: Some(list) }])
    };
    let service = Service::start(&[]).await;
    let mut client = ServerReflectionClient::new(service.channel());
    let answer = client.server_reflection_info(ask()).await.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "bedside.v1.ModelService",
        "bedside.v1.TriageService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    assert_eq!(names, expected);

    // What Python's reflection client asks for.
    let list = alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let ask_alpha = alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = alpha::server_reflection_client::ServerReflectionClient::new(service.channel());
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask_alpha])).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let alpha::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else { panic!() };
    assert!(list.service.iter().any(|service| service.name == "bedside.v1.TriageService"));

    let service = Service::start(&[("server.reflection", "false")]).await;
    let refused = ServerReflectionClient::new(service.channel()).server_reflection_info(ask()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_describes_itself() {
    let service = Service::start(&[]).await;
    let answer = service.model().get_model(GetModelRequest {}).await.unwrap().into_inner();
    let (model, limits) = (answer.model.unwrap(), answer.limits.unwrap());
    let groups: Vec<_> = model.label_groups.iter().map(|group| (group.name.as_str(), group.labels.len())).collect();
    assert_eq!(groups, [("emotion", 12), ("intensity", 4), ("urgency", 4), ("signal", 12), ("goemotions", 28)]);
    for group in &model.label_groups {
        assert!(group.temperature > 0.0);
        assert!(group.labels.iter().all(|label| label.threshold.is_none() == group.exclusive));
    }
    assert_eq!((model.engine.as_str(), model.precision.as_str()), ("onnx", "int8"));
    assert!(!model.engine_reason.is_empty());
    assert_eq!(model.digest.len(), 64);
    assert_eq!(model.languages, ["eng"]);
    assert!(limits.max_ticket_chars > 0 && limits.max_batch_items > 0 && limits.max_deadline.unwrap().seconds > 0);
}

/// One HTTP/1.1 request: the status and the whole answer.
async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_and_public_http_answer() {
    let service = Service::start(&[]).await;
    assert_eq!(get(service.ops, "/healthz").await.0, 200);
    until("readiness", || async { get(service.ops, "/readyz").await.0 == 200 }).await;
    service.triage().triage_ticket(request(ticket("Where is my parcel?"))).await.unwrap();
    let (status, metrics) = get(service.ops, "/metrics").await;
    assert_eq!(status, 200);
    for name in [
        r#"bedside_answers_total{rpc="TriageTicket",code="OK"} 1"#,
        r#"bedside_tickets_by_source_total{source="model"} 1"#,
        "bedside_answer_seconds_bucket",
        "bedside_cache_",
        "bedside_queue_tokens 0",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    let (status, about) = get(service.http, "/").await;
    assert_eq!(status, 200);
    assert!(about.contains("bedside-minilm@"));
    assert_eq!(get(service.http, "/metrics").await.0, 404, "operations are not public");
}
