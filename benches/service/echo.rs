//! The least that a tonic server can do with a ticket: the yardstick for cached requests.

use bedside::server::proto::{
    self,
    triage_service_server::{TriageService, TriageServiceServer},
};
use tonic::{Request, Response, Status, transport::Server};

struct Echo;

#[tonic::async_trait]
impl TriageService for Echo {
    async fn triage_ticket(
        &self,
        request: Request<proto::TriageTicketRequest>,
    ) -> Result<Response<proto::TriageTicketResponse>, Status> {
        let ticket_id = request.into_inner().ticket.unwrap_or_default().id;
        let triage = proto::Triage { ticket_id, ..Default::default() };
        Ok(Response::new(proto::TriageTicketResponse { triage: Some(triage) }))
    }

    async fn batch_triage_tickets(
        &self,
        _: Request<proto::BatchTriageTicketsRequest>,
    ) -> Result<Response<proto::BatchTriageTicketsResponse>, Status> {
        Err(Status::unimplemented("only TriageTicket is echoed"))
    }
}

pub(crate) fn serve(port: u16) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::builder().add_service(TriageServiceServer::new(Echo));
    runtime.block_on(server.serve(([127, 0, 0, 1], port).into())).unwrap();
}
