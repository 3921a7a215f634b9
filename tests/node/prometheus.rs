//! Debian's Prometheus beside a node: promtool, and the server itself with a folder and a port of its own.

use crate::http::Client;
use serde_json::Value;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A stranger's machine may lack it; CI must not.
pub fn is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    let are_here = is_here("prometheus") && is_here("promtool");
    assert!(are_here || std::env::var("CI").as_deref() != Ok("true"), "prometheus is missing");
    if !are_here {
        eprintln!("skipped: prometheus is not here");
    }
    are_here
}

/// A file that we ship.
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deploy").join(name)
}

pub fn shipped_text(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).expect("a file of ours")
}

/// Fails with what promtool says, unless it is content. In the folder of the shipped rules, whose files name each other.
pub fn promtool(args: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(shipped("prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let said = child.wait_with_output().expect("it ends");
    let text = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(said.status.success(), "promtool {args:?}: {text}");
    text
}

pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    /// Scrapes the node and evaluates these rules, each once a second.
    pub fn start(node: SocketAddr, rules: &str) -> Prometheus {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("prometheus-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let configuration =
            shipped_text("prometheus/prometheus.yml").replace("15s", "1s").replace("127.0.0.1:4000", &node.to_string());
        assert!(configuration.contains(&node.to_string()) && configuration.contains("scrape_interval: 1s"));
        std::fs::write(folder.join("prometheus.yml"), configuration).expect("written");
        std::fs::write(folder.join("lasso.rules.yml"), rules).expect("written");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("prometheus runs");
        let prometheus = Prometheus { child, address, folder };
        let end = Instant::now() + Duration::from_secs(20);
        while !prometheus.is_ready() {
            assert!(Instant::now() < end, "prometheus is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    fn is_ready(&self) -> bool {
        std::net::TcpStream::connect(self.address).is_ok() && self.get("/-/ready").0 == 200
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut client = Client::new(self.address);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        let answer = client.answer().expect("an answer");
        (answer.status, answer.text())
    }

    /// The data of an answer of its API; what it says instead where it refuses.
    pub fn ask(&self, path: &str) -> Result<Value, String> {
        let (status, text) = self.get(&format!("/api/v1/{path}"));
        let value: Value = serde_json::from_str(&text).map_err(|fault| format!("{status} {fault}: {text}"))?;
        if value["status"] == "success" { Ok(value["data"].clone()) } else { Err(text) }
    }

    pub fn query(&self, expression: &str) -> Result<Value, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        let encode = |byte: u8| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") };
        self.ask(&format!("query?query={}", expression.bytes().map(encode).collect::<String>()))
    }

    /// What fires now.
    pub fn firing(&self) -> Vec<Value> {
        let data = self.ask("alerts").expect("alerts");
        let all = data["alerts"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|alert| alert["state"] == "firing").collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
