//! [`serve`]: from start to end.

use std::future::Future;
use std::io::IsTerminal;
use std::time::Duration;

use gxn_base::words::counted;
use gxn_base::{Error, Result};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::options::ServeOptions;

/// Time that requests have to end after the server is asked to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// Names the level of the log, as in `debug` or `gxn_server=debug`.
const LOG_VARIABLE: &str = "GXN_LOG";

/// Answers until Ctrl-C or SIGTERM; `ready` is called with a line for people when model and index are open.
///
/// # Errors
/// When the options are refused, the address is taken, or model or index cannot be opened.
pub fn serve(options: ServeOptions, ready: impl FnOnce(&str) + Send + 'static) -> Result<()> {
    start_log(options.json_log);
    let app = App::new(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start", "the threads of the server".as_ref(), error))?;
    let outcome = runtime.block_on(answer(app, ready));
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// The log on stderr; one that another caller has set up stays.
fn start_log(json: bool) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn,gxn_server=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = if json { log.json().try_init() } else { log.with_ansi(std::io::stderr().is_terminal()).try_init() };
}

async fn answer(app: App, ready: impl FnOnce(&str) + Send + 'static) -> Result<()> {
    let listen = app.options().listen;
    // First of all, so that an address that is taken is found before the model is read.
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let hint = format!("{error}: another program may listen there; name another address or port");
        Error::busy(format!("the address {listen}"), "one that cannot be used", "a free one").with_hint(hint)
    })?;
    let address = listener.local_addr().unwrap_or(listen);
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let served = tokio::spawn({
        let (router, app) = (app.router(), app.clone());
        let asked = async move {
            let _ = stopped.wait_for(|&stop| stop).await;
            app.stop();
        };
        async move { axum::serve(listener, router).with_graceful_shutdown(asked).await }
    });
    let warming = tokio::task::spawn_blocking({
        let app = app.clone();
        move || app.warm_up()
    });
    let mut signal = std::pin::pin!(asked_to_stop());
    let warmed = tokio::select! {
        warmed = warming => warmed,
        () = &mut signal => return Ok(()),
    };
    let images = warmed.map_err(|_| Error::busy("opening the index", "a panic", "an open index"))??;
    ready(&format!("serving {} at http://{address}", counted(images, "image")));
    signal.await;
    tracing::info!("stopping: requests have {} s to end", LAST_REQUESTS.as_secs());
    stop.send_replace(true);
    let _ = tokio::time::timeout(LAST_REQUESTS, served).await;
    Ok(())
}

/// Ends with the first Ctrl-C or SIGTERM; a second one ends the program.
fn asked_to_stop() -> impl Future<Output = ()> {
    /// Exit code of an interrupted command.
    const INTERRUPTED: i32 = 130;
    async {
        signal().await;
        tokio::spawn(async {
            signal().await;
            std::process::exit(INTERRUPTED);
        });
    }
}

async fn signal() {
    let interrupt = async {
        // Without signals the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupt.await;
}
