//! What stands at which path.

use crate::{
    data::Data,
    head::Method,
    json, metrics, page,
    registry::Registry,
    response::{Body, Response, Status, head},
    snapshot::Outside,
};
use alloc::rc::Rc;
use core::{cell::RefCell, time::Duration};

/// How old a snapshot may be: however many clients ask, init and the stack are asked ten times a second at most.
const MAX_AGE: Duration = Duration::from_millis(100);

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Page {
    Index,
    Status,
    Metrics,
    /// A kilobyte of test data.
    Kilobyte,
    /// A megabyte of it.
    Megabyte,
    Icon,
    Robots,
}

impl Page {
    /// What stands at this path.
    pub(crate) fn at(path: &str) -> Option<Page> {
        Some(match path {
            "/" | "/index.html" => Page::Index,
            "/status.json" => Page::Status,
            "/metrics" => Page::Metrics,
            "/1k" => Page::Kilobyte,
            "/1m" => Page::Megabyte,
            "/favicon.ico" => Page::Icon,
            "/robots.txt" => Page::Robots,
            _ => return None,
        })
    }
}

/// An answer to a request that can be served; with the length of its body, if that is known here.
macro_rules! ok {
    ($content_type:literal, $fields:literal, $body:expr $(, $length:literal)? $(,)?) => {
        Response {
            head: head!(Status::Ok, "200 OK", $content_type, $fields $(, $length)?),
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
    pub(crate) async fn respond(&self, page: Option<Page>, method: Method) -> Response {
        match page {
            None => Response::error(Status::NotFound),
            Some(_) if method == Method::Other => Response::error(Status::MethodNotAllowed),
            // It loads nothing from elsewhere and talks to nobody but this server.
            Some(Page::Index) => ok!(
                "text/html; charset=utf-8",
                "Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; \
                 style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
                Body::Static(page::PAGE),
            ),
            Some(Page::Status) => ok!(
                "application/json",
                "Cache-Control: no-store\r\n",
                Body::Text(self.render().await.json),
            ),
            Some(Page::Metrics) => ok!(
                "text/plain; version=0.0.4; charset=utf-8",
                "Cache-Control: no-store\r\n",
                Body::Text(self.render().await.metrics),
            ),
            Some(Page::Kilobyte) => ok!(
                "application/octet-stream",
                "",
                Body::Data(Data::new(1024)),
                1024,
            ),
            Some(Page::Megabyte) => ok!(
                "application/octet-stream",
                "",
                Body::Data(Data::new(1_048_576)),
                1_048_576,
            ),
            Some(Page::Icon) => ok!(
                "image/svg+xml",
                "Cache-Control: max-age=86400\r\n",
                Body::Static(page::ICON),
            ),
            Some(Page::Robots) => ok!(
                "text/plain; charset=utf-8",
                "",
                Body::Static("User-agent: *\nDisallow: /\n"),
            ),
        }
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
