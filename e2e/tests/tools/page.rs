//! The status page in a browser: it is followed live, shows what others wrote as text, and fits a phone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::cluster::lbd;
use lblab::sandbox::Process;
use lblab::suite::Case;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::site::{Result, Site, Station, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("the_page_follows_what_happens", followed),
        Case::new("what_others_wrote_is_text_on_the_page", text_only),
        Case::new("the_page_fits_a_phone_with_a_thousand_services", on_a_phone),
    ]
}

const PAGE: &str = "http://127.0.0.1:7948/";
const DRIVER: &str = "127.0.0.1:9515";
const POOL: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: office, namespace: metallb-system}
spec: {addresses: [192.168.4.0/22]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all, namespace: metallb-system}
---
";

/// `lbd run` with these manifests, and a browser on the same host.
struct Browser {
    station: Station,
    session: String,
    folder: PathBuf,
    _site: Site,
    _processes: [Process; 2],
}

impl Browser {
    async fn open(name: &str, services: &str, window: (u32, u32)) -> Result<Self> {
        let site = Site::new().await?;
        let station = site.station("n1", 11).await?;
        let folder = std::env::temp_dir().join(format!("lbd-page-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        write(&folder, services)?;
        let mut run = Command::new(lbd()?);
        run.args(["run", "--node-name", "n1", "--http", "127.0.0.1:7948", "--manifests"]);
        run.arg(folder.join("all.yaml")).stdout(Stdio::null());
        let run = station.host.start("lbd run", run).await?;
        // The browser leaves its driver's process group: in a namespace of processes all of them end with the first.
        let mut driver = Command::new("unshare");
        driver.args(["--pid", "--fork", "--kill-child", "--mount-proc", "chromedriver", "--port=9515"]);
        driver.stdout(Stdio::null());
        let driver = station.host.start("chromedriver", driver).await;
        let driver =
            driver.map_err(|error| format!("{error}: install Debian's chromium and chromium-driver"))?;
        let mut browser =
            Self { station, session: String::new(), folder, _site: site, _processes: [run, driver] };
        let window = format!("--window-size={},{}", window.0, window.1);
        let profile = format!("--user-data-dir={}", browser.folder.join("profile").display());
        let arguments =
            ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", &window, &profile];
        let wish = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        // The driver takes a moment until it listens.
        let session = until("a browser", async || match browser.ask("/session", &wish).await {
            Ok(answer) if answer["sessionId"].is_string() => Ok(Some(answer["sessionId"].clone())),
            Ok(answer) => Err(answer.to_string().into()),
            Err(_) => Ok(None),
        });
        browser.session = format!("/session/{}", session.await?.as_str().unwrap_or_default());
        until("the page is served", async || {
            browser.ask(&format!("{}/url", browser.session), &json!({"url": PAGE})).await?;
            Ok((browser.says("document.title").await? == "lbd on n1").then_some(()))
        })
        .await?;
        Ok(browser)
    }

    /// What the driver answers (`WebDriver`, W3C): a JSON value.
    async fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {DRIVER}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let exchange = move || async move {
            let mut stream = BufReader::new(TcpStream::connect(DRIVER).await?);
            stream.write_all(request.as_bytes()).await?;
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                match line.trim().split_once(':') {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.trim().parse().map_err(std::io::Error::other)?;
                    }
                    None if line.trim().is_empty() => break,
                    _ => {}
                }
            }
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = self.station.host.run(exchange).await??;
        Ok(serde_json::from_slice::<Value>(&answer)?["value"].take())
    }

    /// What an expression is in the page.
    async fn says(&self, expression: &str) -> Result<Value> {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.ask(&format!("{}/execute/sync", self.session), &script).await
    }

    /// Waits until an expression is true in the page.
    async fn shows(&self, expression: &str) -> Result {
        until(expression, async || Ok((self.says(expression).await? == true).then_some(()))).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn write(folder: &Path, services: &str) -> Result {
    // At once, so that no half of it is read.
    fs::write(folder.join("new"), format!("{POOL}{services}"))?;
    Ok(fs::rename(folder.join("new"), folder.join("all.yaml"))?)
}

fn service(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: web, annotations: {{{annotations}}}}}\n\
         spec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n---\n"
    )
}

async fn followed() -> Result {
    let browser = Browser::open("followed", &service("first", ""), (1280, 900)).await?;
    browser.shows("document.getElementById('live').textContent.startsWith('Live')").await?;
    browser.shows("document.querySelector('[data-live=services]').textContent.includes('web/first')").await?;
    // The page itself stays: this would be gone with it.
    browser.says("window.kept = true").await?;
    write(&browser.folder, &(service("first", "") + &service("second", "")))?;
    for section in ["services", "addresses"] {
        let shown =
            format!("document.querySelector('[data-live={section}]').textContent.includes('web/second')");
        browser.shows(&shown).await?;
    }
    browser.shows("window.kept === true").await
}

async fn text_only() -> Result {
    let evil =
        "metallb.io/loadBalancerIPs: '<img src=x onerror=\"window.evil=1\"><script>window.evil=1</script>'";
    let browser = Browser::open("text", &service("evil", evil), (1280, 900)).await?;
    let problems = "document.querySelector('[data-live=problems]')";
    browser.shows(&format!("{problems}.textContent.includes('<script>window.evil=1</script>')")).await?;
    browser.shows("document.getElementById('live').textContent.startsWith('Live')").await?;
    let nothing =
        "document.querySelectorAll('main img, main script').length === 0 && window.evil === undefined";
    browser.shows(nothing).await?;
    // The browser itself keeps to that: no script but the page's own runs.
    browser
        .says("document.body.insertAdjacentHTML('beforeend', '<p onclick=\"window.evil=1\" id=knob>')")
        .await?;
    browser.says("document.getElementById('knob').click()").await?;
    browser.shows("window.evil === undefined").await
}

async fn on_a_phone() -> Result {
    let services: String = (0..1000).map(|number| service(&format!("s{number}"), "")).collect();
    let browser = Browser::open("phone", &services, (390, 844)).await?;
    browser.shows("document.querySelector('[data-live=services]').textContent.includes('800 more')").await?;
    browser.shows("document.querySelectorAll('[data-live=services] tbody tr').length === 200").await?;
    // Nothing has to be moved sideways, and nobody needs the headings above.
    browser.shows("document.documentElement.scrollWidth <= window.innerWidth").await?;
    browser.shows("getComputedStyle(document.querySelector('td'), '::before').content.length > 2").await?;
    let searched = json!({"url": format!("{PAGE}?q=web/s77")});
    browser.ask(&format!("{}/url", browser.session), &searched).await?;
    browser.shows("document.querySelectorAll('[data-live=services] tbody tr').length === 11").await
}
