//! [`Encoding`]: the lanes that texts, images and other work of the model pass through.

use std::sync::Arc;

use gxn::encoder::{Encoder, ImageInput};
use gxn_base::{Error, Result};
use gxn_data::ImageLimits;
use tokio::sync::oneshot;

use crate::lane::Lane;
use crate::options::Limits;
use crate::problem::{Answer, Problem};

/// Texts that are encoded together at most, and images.
const TOGETHER: [usize; 2] = [32, 8];

type Reply<T> = oneshot::Sender<Result<T>>;
type Work = Box<dyn FnOnce(&Encoder) + Send>;

/// The model's threads: one encodes texts, one encodes images, one does all else.
#[derive(Debug)]
pub(crate) struct Encoding {
    texts: Lane<TextJob>,
    images: Lane<ImageJob>,
    other: Lane<Work>,
}

struct TextJob {
    text: String,
    reply: Reply<Vec<f32>>,
}

struct ImageJob {
    bytes: Vec<u8>,
    reply: Reply<Encoded>,
}

/// An encoded image.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The CNN's feature, or a pretrained encoder's embedding, `[F]`.
    pub feature: Vec<f32>,
    /// `[h ; l]`.
    pub embedding: Vec<f32>,
}

impl Encoding {
    pub fn start(encoder: &Arc<Encoder>, limits: &Limits) -> Result<Self> {
        let image_limits = ImageLimits { max_pixels: limits.pixels, max_bytes: limits.body_bytes as u64 };
        let [for_texts, for_images, for_other] = [encoder.clone(), encoder.clone(), encoder.clone()];
        Ok(Self {
            texts: Lane::start("texts", limits.queue, TOGETHER[0], move |jobs| encode_texts(&for_texts, jobs))?,
            images: Lane::start("images", limits.queue, TOGETHER[1], move |jobs| {
                encode_images(&for_images, jobs, &image_limits);
            })?,
            other: Lane::start("generation", limits.queue, 1, move |jobs: Vec<Work>| {
                jobs.into_iter().for_each(|work| work(&for_other));
            })?,
        })
    }

    /// The embeddings of texts, in their order.
    pub async fn texts(&self, texts: Vec<String>) -> Answer<Vec<Vec<f32>>> {
        let submit = |text| {
            let (reply, answer) = oneshot::channel();
            self.texts.submit(TextJob { text, reply }).map(|()| answer)
        };
        in_batches(texts, self.texts.capacity().min(TOGETHER[0]), submit).await
    }

    /// The embeddings of images, given by the bytes of their files, in their order.
    pub async fn images(&self, images: Vec<Vec<u8>>) -> Answer<Vec<Encoded>> {
        let submit = |bytes| {
            let (reply, answer) = oneshot::channel();
            self.images.submit(ImageJob { bytes, reply }).map(|()| answer)
        };
        in_batches(images, self.images.capacity().min(TOGETHER[1]), submit).await
    }

    /// What `work` makes of the model, one piece of work after the other.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Encoder) -> Result<T> + Send + 'static) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.other.submit(Box::new(move |encoder| {
            // Nobody waits any more where a client has gone.
            if !reply.is_closed() {
                let _ = reply.send(work(encoder));
            }
        }))?;
        Ok(all(vec![answer]).await?.remove(0))
    }

    /// Jobs that wait, by lane.
    pub fn waiting(&self) -> [(&'static str, usize); 3] {
        [("texts", self.texts.waiting()), ("images", self.images.waiting()), ("generation", self.other.waiting())]
    }
}

/// The answers to items that are submitted `size` at a time, in their order: one request alone never fills a queue.
async fn in_batches<I, T>(
    items: Vec<I>,
    size: usize,
    submit: impl Fn(I) -> Answer<oneshot::Receiver<Result<T>>>,
) -> Answer<Vec<T>> {
    let mut found = Vec::with_capacity(items.len());
    let mut items = items.into_iter();
    while items.len() > 0 {
        let batch = items.by_ref().take(size).map(&submit).collect::<Answer<_>>()?;
        found.extend(all(batch).await?);
    }
    Ok(found)
}

async fn all<T>(answers: Vec<oneshot::Receiver<Result<T>>>) -> Answer<Vec<T>> {
    let mut found = Vec::with_capacity(answers.len());
    for answer in answers {
        let outcome = answer.await.map_err(|_| Problem::internal("the model's thread gave up"))?;
        found.push(outcome?);
    }
    Ok(found)
}

fn encode_texts(encoder: &Encoder, mut jobs: Vec<TextJob>) {
    jobs.retain(|job| !job.reply.is_closed());
    let texts: Vec<&str> = jobs.iter().map(|job| job.text.as_str()).collect();
    if texts.is_empty() {
        return;
    }
    match encoder.encode_texts(&texts) {
        Ok(rows) => {
            for (at, job) in jobs.into_iter().enumerate() {
                let _ = job.reply.send(Ok(rows.joined(at)));
            }
        }
        // Each has an error of its own.
        Err(_) => {
            for TextJob { text, reply } in jobs {
                let _ = reply.send(encoder.encode_text(&text).map(|rows| rows.joined(0)));
            }
        }
    }
}

fn encode_images(encoder: &Encoder, mut jobs: Vec<ImageJob>, limits: &ImageLimits) {
    jobs.retain(|job| !job.reply.is_closed());
    if jobs.is_empty() {
        return;
    }
    let (images, replies): (Vec<Vec<u8>>, Vec<Reply<Encoded>>) =
        jobs.into_iter().map(|job| (job.bytes, job.reply)).unzip();
    let inputs: Vec<ImageInput<'_>> = images.iter().map(|bytes| bytes.as_slice().into()).collect();
    match encoder.image_features(&inputs, limits) {
        Ok(found) => {
            for (found, reply) in found.into_iter().zip(replies) {
                let encoded = |feature: Vec<f32>| {
                    let embedding = encoder.encode_features(&feature).joined(0);
                    Encoded { feature, embedding }
                };
                let _ = reply.send(found.map(|found| encoded(found.feature)));
            }
        }
        Err(error) => {
            let (what, found) = (error.what().to_owned(), error.found().unwrap_or("a fault").to_owned());
            for reply in replies {
                let _ = reply.send(Err(Error::new(error.kind(), &what, &found, "a model that encodes images")));
            }
        }
    }
}
