//! Bad input gets `INVALID_ARGUMENT` that lists every field at fault, and costs nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use bedside::server::proto::{self, Author, BatchTriageTicketsRequest, TriageOptions, TriageTicketRequest};
use prost::bytes::{BufMut, Bytes};
use service::{Service, message, request, ticket};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_types::StatusExt;

/// The fields that a status names, sorted.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad_request = status.get_details_bad_request().expect("BadRequest details");
    let mut fields: Vec<_> = bad_request.field_violations.into_iter().map(|violation| violation.field).collect();
    fields.sort();
    fields
}

async fn refused(service: &Service, request: TriageTicketRequest) -> Vec<String> {
    fields(&service.triage().triage_ticket(request).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_at_fault_is_named() {
    let limits = [("limits.max_ticket_chars", "100"), ("limits.max_messages", "3"), ("limits.max_batch_items", "2")];
    let service = Service::start(&limits).await;
    let with = |change: &dyn Fn(&mut proto::Ticket)| {
        let mut ticket = ticket("Where is my parcel?");
        change(&mut ticket);
        request(ticket)
    };
    let cases: Vec<(TriageTicketRequest, &[&str])> = vec![
        (TriageTicketRequest::default(), &["ticket"]),
        (with(&|ticket| ticket.messages.clear()), &["ticket.messages"]),
        (with(&|ticket| ticket.messages[0].text = " \n\t".to_owned()), &["ticket.messages[0].text"]),
        (with(&|ticket| ticket.messages[0].author = 0), &["ticket.messages[0].author"]),
        (with(&|ticket| ticket.messages[0].author = 99), &["ticket.messages[0].author"]),
        (with(&|ticket| ticket.messages[0].author = Author::Agent.into()), &["ticket.messages"]),
        (with(&|ticket| ticket.channel = -1), &["ticket.channel"]),
        (with(&|ticket| ticket.subject = "x".repeat(100)), &["ticket"]),
        (with(&|ticket| ticket.id = "x".repeat(129)), &["ticket.id"]),
        (with(&|ticket| ticket.locale = "x".repeat(36)), &["ticket.locale"]),
        (with(&|ticket| ticket.messages = vec![message(Author::Customer, "a"); 4]), &["ticket.messages"]),
        (
            with(&|ticket| drop(ticket.attributes.insert("tier".to_owned(), "x".repeat(257)))),
            &["ticket.attributes[0].value"],
        ),
        (
            with(&|ticket| drop(ticket.attributes.insert("n".repeat(65), "x".to_owned()))),
            &["ticket.attributes[0].name"],
        ),
        (
            with(&|ticket| {
                ticket.channel = 77;
                ticket.id = "x".repeat(200);
                ticket.messages[0].author = 42;
                ticket.messages.push(message(Author::Customer, ""));
            }),
            &["ticket.channel", "ticket.id", "ticket.messages[0].author", "ticket.messages[1].text"],
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(refused(&service, request).await, expected);
    }
    for max_cues in [0, 4, -1] {
        let options = TriageOptions { max_cues: Some(max_cues), ..Default::default() };
        let request = TriageTicketRequest { ticket: Some(ticket("Hello?")), options: Some(options) };
        assert_eq!(refused(&service, request).await, ["options.max_cues"]);
    }
    for items in [0, 3] {
        let batch = BatchTriageTicketsRequest { requests: vec![request(ticket("Hello?")); items] };
        let status = service.triage().batch_triage_tickets(batch).await.unwrap_err();
        assert_eq!(fields(&status), ["requests"]);
    }
    let attributes = with(&|ticket| ticket.attributes = (0..65).map(|n| (n.to_string(), String::new())).collect());
    assert_eq!(refused(&service, attributes).await, ["ticket.attributes"]);
    let good = service.triage().triage_ticket(request(ticket("Where is my parcel?"))).await;
    assert!(good.is_ok(), "a good request right after is served: {good:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_deadline_is_named() {
    let service = Service::start(&[]).await;
    for header in ["soon", "123456789S", "5", "S", "-1S", "5x", "1,5S"] {
        let mut request = Request::new(request(ticket("Hello?")));
        request.metadata_mut().insert("grpc-timeout", header.parse().unwrap());
        let status = service.triage().triage_ticket(request).await.unwrap_err();
        assert_eq!(fields(&status), ["grpc-timeout"], "{header}");
    }
}

/// Sends bytes as they are.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}

async fn send_raw(service: &Service, bytes: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(service.channel());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/bedside.v1.TriageService/TriageTicket");
    client.unary(Request::new(Bytes::from(bytes)), path, Raw).await.map(drop)
}

/// The README's table of what the transport refuses before a handler sees it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_transport_refuses_has_the_documented_code() {
    let service = Service::start(&[("limits.max_request_bytes", "4096")]).await;
    let invalid_utf8 = vec![0x0a, 0x04, 0x12, 0x02, 0xff, 0xfe]; // ticket { subject: "\xff\xfe" }
    assert_eq!(send_raw(&service, invalid_utf8).await.unwrap_err().code(), Code::Internal);
    let truncated = vec![0x0a, 0x7f, 0x01];
    assert_eq!(send_raw(&service, truncated).await.unwrap_err().code(), Code::Internal);
    let oversized = request(ticket(&"a ".repeat(4096)));
    let status = service.triage().triage_ticket(oversized).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let status = {
        let mut client = tonic::client::Grpc::new(service.channel());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/bedside.v1.TriageService/NoSuchMethod");
        client.unary(Request::new(Bytes::new()), path, Raw).await.map(drop).unwrap_err()
    };
    assert_eq!(status.code(), Code::Unimplemented);
    service.triage().triage_ticket(request(ticket("Where is my parcel?"))).await.unwrap();
}
