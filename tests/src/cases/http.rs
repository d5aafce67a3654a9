//! The web server, through QEMU's user network and with curl, as a user would.

use super::{Case, eventually, free_port, lab};
use std::{net::SocketAddr, process::Command, time::Duration};
use system_tests::{
    Failure, Outcome, ensure,
    http::Client,
    lab::GUEST,
    machine::{Boot, Machine},
};

pub(crate) const CASES: &[Case] = &[
    ("http::curl_through_user_network", curl_through_user_network),
    ("http::keep_alive_and_errors", keep_alive_and_errors),
    (
        "http::metrics_are_prometheus_text",
        metrics_are_prometheus_text,
    ),
    (
        "http::sixteen_clients_take_one_mib_each",
        sixteen_clients_take_one_mib_each,
    ),
];

fn curl(url: &str) -> Outcome<Vec<u8>> {
    let output = Command::new("curl")
        .args(["-sS", "--fail", "--max-time", "30", url])
        .output()?;
    ensure!(
        output.status.success(),
        "curl {url}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn forwarded() -> Outcome<(Machine, SocketAddr)> {
    let port = free_port()?;
    let mut machine = Boot::user(&[(port, 80)]).start()?;
    machine.ready()?;
    Ok((machine, SocketAddr::from(([127, 0, 0, 1], port))))
}

fn curl_through_user_network() -> Outcome {
    let (_machine, server) = forwarded()?;
    let page = eventually(Duration::from_secs(10), || {
        curl(&format!("http://{server}/"))
    })?;
    let page = String::from_utf8(page)?;
    ensure!(page.contains("<html"), "not a page: {page:.200}");
    let small = curl(&format!("http://{server}/1k"))?;
    ensure!(small.len() == 1024, "/1k has {} bytes", small.len());
    let large = curl(&format!("http://{server}/1m"))?;
    ensure!(large.len() == 1 << 20, "/1m has {} bytes", large.len());
    // Both are the same documented sequence.
    ensure!(large.starts_with(&small), "/1m does not begin like /1k");
    ensure!(
        large == curl(&format!("http://{server}/1m"))?,
        "/1m differs the second time"
    );
    Ok(())
}

fn keep_alive_and_errors() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let server = format!("{GUEST}:80")
            .parse()
            .map_err(|_| Failure("bad address".into()))?;
        let mut client = Client::connect(server)?;
        for _ in 0..50 {
            ensure!(client.get("/1k")?.len() == 1024, "/1k");
        }
        ensure!(client.request("GET", "/none")?.status == 404, "404");
        ensure!(client.request("HEAD", "/1k")?.status == 200, "HEAD");
        ensure!(client.request("DELETE", "/")?.status == 405, "405");
        ensure!(client.get("/1k")?.len() == 1024, "after the errors");
        Ok(())
    })
}

fn metrics_are_prometheus_text() -> Outcome {
    let (lab, _machine) = lab()?;
    let text = lab.output(
        "curl",
        &[
            "-sS",
            "--fail",
            "--max-time",
            "30",
            &format!("http://{GUEST}/metrics"),
        ],
    )?;
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            ensure!(
                line.starts_with("# HELP ") || line.starts_with("# TYPE "),
                "{line:?}"
            );
            continue;
        }
        let (name, value) = line
            .rsplit_once(' ')
            .ok_or_else(|| Failure(format!("no value in {line:?}")))?;
        ensure!(name.starts_with("causeway_"), "{line:?}");
        ensure!(value.parse::<f64>().is_ok(), "{line:?}");
        samples += 1;
    }
    ensure!(samples > 20, "only {samples} samples");
    Ok(())
}

fn sixteen_clients_take_one_mib_each() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let server: SocketAddr = format!("{GUEST}:80")
            .parse()
            .map_err(|_| Failure("bad address".into()))?;
        let first = Client::connect(server)?.get("/1m")?;
        let mut clients = (0..16)
            .map(|_| Client::connect(server))
            .collect::<Outcome<Vec<_>>>()?;
        std::thread::scope(|scope| {
            let workers: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(|| client.get("/1m")))
                .collect();
            for worker in workers {
                let body = worker
                    .join()
                    .unwrap_or_else(|_| Err(Failure("a client panicked".into())))?;
                ensure!(body == first, "another body");
            }
            Ok(())
        })
    })
}
