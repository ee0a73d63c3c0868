//! What the API server counts.

use kube::Client;

use crate::Result;

/// The requests that patch the status of a Service, whatever they were answered, since the API server started.
pub(super) async fn status_writes(client: &Client) -> Result<u64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = client.request_text(request).await?;
    Ok(sum(
        &text,
        "apiserver_request_total",
        &["verb=\"PATCH\"", "resource=\"services\"", "subresource=\"status\""],
    ))
}

/// The sum over all lines of a counter that have these labels.
fn sum(metrics: &str, counter: &str, labels: &[&str]) -> u64 {
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix(counter)?.strip_prefix('{')?.split_once("} "));
    let fitting = lines.filter(|(has, _)| labels.iter().all(|label| has.split(',').any(|it| it == *label)));
    // From a million on it is written with an exponent.
    let whole = |value: &str| format!("{:.0}", value.trim().parse::<f64>().ok()?).parse::<u64>().ok();
    fitting.filter_map(|(_, value)| whole(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_the_labels_are_summed() {
        let text = "# TYPE apiserver_request_total counter
apiserver_request_total{code=\"200\",resource=\"services\",subresource=\"status\",verb=\"PATCH\"} 7
apiserver_request_total{code=\"409\",resource=\"services\",subresource=\"status\",verb=\"PATCH\"} 2e+06
apiserver_request_total{code=\"200\",resource=\"services\",subresource=\"\",verb=\"PATCH\"} 9
apiserver_request_total{code=\"200\",resource=\"nodes\",subresource=\"status\",verb=\"PATCH\"} 9
";
        let labels = ["verb=\"PATCH\"", "resource=\"services\"", "subresource=\"status\""];
        assert_eq!(sum(text, "apiserver_request_total", &labels), 2_000_007);
    }
}
