// Requests to this server: the key, problems as errors, images behind a key, events.
import { $ } from './dom.js';

const STORED = 'gxn-api-key';

/** An answer that is not a success: RFC 9457, with what to do. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.status = status;
    this.remedy = body.remedy;
  }
}

/** The JSON of an answer. */
export async function get(path, options = {}) {
  return (await request(path, options)).json();
}

export function post(path, body, options = {}) {
  const headers = { 'Content-Type': 'application/json' };
  return get(path, { method: 'POST', body: JSON.stringify(body), headers, ...options });
}

/** Where the parts of an item are; an id may hold any character. */
export const itemPath = (id, part = '') => `/v1/items/${encodeURIComponent(id)}${part}`;

async function request(path, options) {
  const response = await fetch(path, { ...options, headers: { ...options.headers, ...authorization() } }).catch((error) => {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, { detail: 'The server does not answer.', remedy: 'Is it still running?' });
  });
  if (response.status === 401) {
    await askKey();
    return request(path, options);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  options.signal?.throwIfAborted();
  throw new Problem(response.status, body);
}

function authorization() {
  const key = sessionStorage.getItem(STORED);
  // A header holds bytes: those of UTF-8, as other clients send them.
  return key ? { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}` } : {};
}

let asking = null;

/** Asks once, however many requests wait for the key. */
function askKey() {
  asking ??= new Promise((resolve) => {
    const dialog = $('key');
    const refused = sessionStorage.getItem(STORED) !== null;
    $('key-wrong').hidden = !refused;
    $('key-wrong').textContent = refused ? 'The server refused this key.' : '';
    dialog.addEventListener('cancel', (event) => event.preventDefault());
    dialog.addEventListener('close', () => {
      sessionStorage.setItem(STORED, $('key-value').value.trim());
      $('key-value').value = '';
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** Shows an image of this server in `img`. An `img` element sends no key, so behind a key the image is fetched here. */
export async function showImage(img, path) {
  img.addEventListener('error', () => img.classList.add('missing'), { once: true });
  if (!sessionStorage.getItem(STORED)) {
    img.src = path;
    return;
  }
  try {
    const address = URL.createObjectURL(await (await request(path, {})).blob());
    for (const end of ['load', 'error']) img.addEventListener(end, () => URL.revokeObjectURL(address), { once: true });
    // One that waits to be scrolled to would keep its copy for ever.
    img.loading = 'eager';
    img.src = address;
  } catch {
    img.classList.add('missing');
  }
}

/** Calls `each` with the data of every event until `signal` aborts. EventSource would send no key. */
export async function listen(path, signal, each) {
  const response = await request(path, { signal, headers: { Accept: 'text/event-stream' } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (pending + value.replaceAll('\r', '')).split('\n\n');
    pending = events.pop();
    for (const event of events) {
      const data = event.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart());
      if (data.length) each(data.join('\n'));
    }
  }
}
