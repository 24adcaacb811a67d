//! A Milvus server on loopback, for tests, started and killed by them. `GXN_MILVUS_LITE` names the executable `milvus-lite`;
//! `GXN_MILVUS_SERVER` the executable `milvus-server`, which has fixed ports, so that only one test may run at a time, and
//! `GXN_MILVUS_CERTIFICATES` a folder with `ca.pem`, `server.pem` and `server.key`. `milvus.sh` sets them.

use gxn_milvus::{MilvusPlace, MilvusStore};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The name and password of a new server.
#[allow(dead_code, reason = "of some tests")]
pub const LOGIN: &str = "root:Milvus";

/// A server.
pub struct Server {
    pub endpoint: String,
    program: PathBuf,
    arguments: Vec<String>,
    data: tempfile::TempDir,
    child: Child,
    token: Option<String>,
}

impl Server {
    /// `None` if none is named.
    pub fn start(test: &str) -> Option<Self> {
        let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let endpoint = format!("http://127.0.0.1:{port}");
        match (named("GXN_MILVUS_LITE"), named("GXN_MILVUS_SERVER")) {
            (Some(lite), _) => {
                let arguments = ["server", "--host", "127.0.0.1", "--port", &port, "--data-dir"];
                Some(Self::run(lite, &arguments, endpoint, None))
            }
            (_, Some(server)) => Some(Self::run(server, &["--proxy-port", &port, "--data"], endpoint, None)),
            _ => {
                println!("skipped {test}: GXN_MILVUS_LITE and GXN_MILVUS_SERVER name no server");
                None
            }
        }
    }

    /// One that speaks TLS and asks for a login, and the authority that signed its certificate. `None` if none is named.
    #[allow(dead_code, reason = "of some tests")]
    pub fn start_secured(test: &str) -> Option<(Self, PathBuf)> {
        let (Some(server), Some(folder)) =
            (std::env::var_os("GXN_MILVUS_SERVER"), std::env::var_os("GXN_MILVUS_CERTIFICATES"))
        else {
            println!("skipped {test}: GXN_MILVUS_SERVER names no server, or GXN_MILVUS_CERTIFICATES no certificates");
            return None;
        };
        let folder = Path::new(&folder);
        let file = |name: &str| folder.join(name).display().to_string();
        let (pem, key) = (file("server.pem"), file("server.key"));
        let secured = ["--authorization-enabled", "true", "--tls-mode", "1", "--server-pem-path", &pem];
        let arguments = [&secured[..], &["--server-key-path", &key, "--proxy-port", "19531", "--data"]].concat();
        let server = Self::run(server.into(), &arguments, "https://localhost:19531".into(), Some(LOGIN));
        Some((server, folder.join("ca.pem")))
    }

    fn run(program: PathBuf, arguments: &[&str], endpoint: String, token: Option<&str>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string()).collect();
        let child = spawn(&program, &arguments, data.path());
        let server = Self { endpoint, program, arguments, data, child, token: token.map(str::to_owned) };
        server.wait();
        server
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        // The full server is a child of its starter, and outlives it.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.child.wait();
    }

    /// Starts it on the same data.
    pub fn restart(&mut self) {
        let (data, inner) = (self.data.path(), self.data.path().join("bin/milvus"));
        self.child = if inner.exists() {
            // Its starter would take other ports where connections to the former ones have not expired.
            let mut command = Command::new(inner);
            command.args(["run", "standalone"]).current_dir(data).env("LD_LIBRARY_PATH", data.join("bin"));
            command
                .env("DEPLOY_MODE", "STANDALONE")
                .env("METRICS_PORT", "9092")
                .env("MILVUS_RUN_DIR", data.join("run"));
            in_background(command)
        } else {
            spawn(&self.program, &self.arguments, data)
        };
        self.wait();
    }

    fn wait(&self) {
        if self.token.is_some() {
            // Only programs with its certificate can talk to it.
            let address = self.endpoint.strip_prefix("https://").unwrap();
            let end = Instant::now() + Duration::from_secs(120);
            while std::net::TcpStream::connect(address).is_err() {
                assert!(Instant::now() < end, "no server");
                std::thread::sleep(Duration::from_millis(200));
            }
            return;
        }
        // After a crash the full server waits for a minute until what it knew of itself has expired.
        let end = Instant::now() + Duration::from_secs(180);
        while let Err(error) = MilvusStore::drop_index(&self.place("probe")) {
            assert!(Instant::now() < end, "no server: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn place(&self, name: &str) -> MilvusPlace {
        MilvusPlace::new(&self.endpoint, format!("gxn_test_{name}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, arguments: &[String], data: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).arg(data);
    in_background(command)
}

/// In a group of its own.
fn in_background(mut command: Command) -> Child {
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
