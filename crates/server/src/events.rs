//! Streams of events (server-sent events) that end with the client, with the server, or by themselves.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::app::App;
use crate::problem::{Answer, Problem};

/// How often what is followed is read again.
const EVERY: Duration = Duration::from_millis(500);
/// Events that wait for a slow client.
const WAITING: usize = 64;

/// A stream of what `next` finds each half second; it ends when `next` says so.
pub(crate) fn follow(app: &App, mut next: impl FnMut() -> (Vec<String>, Next) + Send + 'static) -> Answer<Response> {
    let place = app.streams().clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::busy("as many streams are open as may be"))?;
    let (events, stream) = mpsc::channel::<Result<Event, Infallible>>(WAITING);
    let mut stop = app.stopped();
    tokio::spawn(async move {
        let _place = place;
        loop {
            let read = tokio::task::spawn_blocking(move || (next(), next));
            let Ok(((found, then), again)) = read.await else { return };
            next = again;
            for text in found {
                if events.send(Ok(Event::default().data(text))).await.is_err() {
                    return;
                }
            }
            if then == Next::End || events.is_closed() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    });
    Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response())
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Later,
    End,
}
