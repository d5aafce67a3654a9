//! What stands at which path.

use crate::{
    data::Data,
    head::{Method, Request},
    json, metrics, page,
    registry::Registry,
    response::{Body, Response, Status, front},
    snapshot::Outside,
};
use alloc::rc::Rc;
use core::{cell::RefCell, time::Duration};

/// How old a snapshot may be: however many clients ask, init and the stack are asked ten times a second at most.
const MAX_AGE: Duration = Duration::from_millis(100);

const NO_STORE: &str = "Cache-Control: no-store\r\n";
/// The page loads nothing from elsewhere and talks to nobody but this server.
const PAGE_FIELDS: &str = "Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; \
     style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

/// An answer to a request that can be served.
macro_rules! ok {
    ($content_type:literal, $fields:expr, $body:expr $(,)?) => {
        Response {
            status: Status::Ok,
            front: front!("200 OK", $content_type),
            fields: $fields,
            body: $body,
        }
    };
}

/// The site.
pub struct Site<O> {
    outside: O,
    registry: Rc<Registry>,
    rendered: RefCell<Option<Rendered>>,
}

/// What was made of the last snapshot.
#[derive(Clone)]
struct Rendered {
    at: u64,
    json: Rc<str>,
    metrics: Rc<str>,
}

impl<O: Outside> Site<O> {
    /// Makes the site.
    pub fn new(outside: O, registry: Rc<Registry>) -> Site<O> {
        Site {
            outside,
            registry,
            rendered: RefCell::default(),
        }
    }

    pub(crate) fn outside(&self) -> &O {
        &self.outside
    }

    /// The answer to a request.
    pub(crate) async fn respond(&self, request: &Request<'_>) -> Response {
        let response = match request.path {
            "/" | "/index.html" => ok!(
                "text/html; charset=utf-8",
                PAGE_FIELDS,
                Body::Static(page::PAGE),
            ),
            "/status.json" => {
                let json = self.render().await.json;
                ok!("application/json", NO_STORE, Body::Text(json),)
            }
            "/metrics" => {
                let metrics = self.render().await.metrics;
                ok!(
                    "text/plain; version=0.0.4; charset=utf-8",
                    NO_STORE,
                    Body::Text(metrics),
                )
            }
            "/1k" => ok!(
                "application/octet-stream",
                "",
                Body::Data(Data::new(1 << 10)),
            ),
            "/1m" => ok!(
                "application/octet-stream",
                "",
                Body::Data(Data::new(1 << 20)),
            ),
            "/favicon.ico" => ok!(
                "image/svg+xml",
                "Cache-Control: max-age=86400\r\n",
                Body::Static(page::ICON),
            ),
            "/robots.txt" => ok!(
                "text/plain; charset=utf-8",
                "",
                Body::Static("User-agent: *\nDisallow: /\n"),
            ),
            _ => Response::error(Status::NotFound),
        };
        if request.method == Method::Other && response.status == Status::Ok {
            return Response::error(Status::MethodNotAllowed);
        }
        response
    }

    /// What the status looks like now, or did a moment ago.
    async fn render(&self) -> Rendered {
        let now = self.outside.now();
        let fresh =
            |rendered: &Rendered| now.saturating_sub(rendered.at) <= MAX_AGE.as_nanos() as u64;
        if let Some(rendered) = self.rendered.borrow().clone().filter(fresh) {
            return rendered;
        }
        let mut snapshot = self.outside.snapshot().await;
        snapshot.http = self.registry.counters();
        let rendered = Rendered {
            at: self.outside.now(),
            json: json::render(&snapshot).into(),
            metrics: metrics::render(&snapshot).into(),
        };
        *self.rendered.borrow_mut() = Some(rendered.clone());
        rendered
    }
}
