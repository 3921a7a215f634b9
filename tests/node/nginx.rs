//! nginx in front of a provider, speaking HTTP/2: what real providers stand behind.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    /// HTTP/2 by prior knowledge.
    Plain,
    Tls,
}

pub struct Nginx {
    child: Child,
    port: u16,
    face: Face,
    folder: PathBuf,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("nginx")).find(|file| file.exists())
}

impl Nginx {
    /// A stranger's machine may lack it; CI must not.
    pub fn is_here() -> bool {
        let is_here = program().is_some();
        assert!(is_here || std::env::var("CI").as_deref() != Ok("true"), "nginx is missing");
        if !is_here {
            eprintln!("skipped: nginx is not here");
        }
        is_here
    }

    pub fn start(upstream: SocketAddr, face: Face) -> Nginx {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nginx-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        certificate(&folder);
        std::fs::write(folder.join("nginx.conf"), configuration(&folder, port, upstream, face)).expect("its configuration");
        let child = Command::new(program().expect("nginx"))
            .args(["-e", "stderr", "-p"])
            .arg(&folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx runs");
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Nginx { child, port, face, folder }
    }

    pub fn url(&self) -> String {
        match self.face {
            Face::Plain => format!("http://127.0.0.1:{}", self.port),
            Face::Tls => format!("https://localhost:{}", self.port),
        }
    }

    /// What a provider's configuration must add.
    pub fn trust(&self) -> String {
        match self.face {
            Face::Plain => String::new(),
            Face::Tls => format!(", ca_file: \"{}\"", self.folder.join("cert.pem").display()),
        }
    }

    /// Established connections to it, as the kernel counts them.
    pub fn connections(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
        let local = format!("0100007F:{:04X}", self.port);
        // A table that changes while it is read may show a line twice.
        let peers: HashSet<&str> = table
            .lines()
            .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
                [_, at, peer, "01", ..] if at == local => Some(peer),
                _ => None,
            })
            .collect();
        peers.len()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
}

/// One process, so that killing it ends its connections. It hands answers on as they come and retries nothing.
fn configuration(folder: &Path, port: u16, upstream: SocketAddr, face: Face) -> String {
    let folder = folder.display();
    let ssl = if face == Face::Tls { " ssl" } else { "" };
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port}{ssl} http2;
        ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
        client_max_body_size 16m; http2_max_concurrent_streams 256;
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_next_upstream off;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 60s;
        }}
    }}
}}
"
    )
}
