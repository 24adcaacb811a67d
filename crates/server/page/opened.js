// A hit opened: the image large, its captions, how the query and the image meet.
import { $, button, element, nameOf, problem } from './dom.js';
import { get, itemPath, post, showImage } from './api.js';
import { go, params, without } from './address.js';
import { can, server } from './server.js';
import { sentenceOf } from './query.js';
import { explanation } from './explained.js';
import { addressOf, imageOf, relevance, shown } from './hits.js';
import { copyText } from './save.js';
import { addPart } from './search.js';

let openId = null;
/** Ends the requests for the hit that was open before: a browser has six connections to a server. */
let reading = new AbortController();

/** Opens or closes the dialog as the address says. */
export function openFrom(address, query) {
  const id = address.get('open');
  if (id === openId) return;
  openId = id;
  reading.abort();
  reading = new AbortController();
  if (id === null) {
    $('opened').close();
    return;
  }
  const hit = shown().find((hit) => hit.id === id) ?? { id, image_id: address.get('of') };
  fill(hit, query);
  if (!$('opened').open) $('opened').showModal();
}

/** The dialog closes by a step back, so that back and Esc mean the same; a page that began open has nothing behind it. */
function close() {
  if (history.state?.ours) history.back();
  else go(without('open', 'of'), true);
}

$('opened').addEventListener('cancel', (event) => { event.preventDefault(); close(); });
$('opened').addEventListener('click', (event) => { if (event.target === $('opened')) close(); });
$('opened').addEventListener('keydown', (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && !event.altKey && !event.ctrlKey && !event.metaKey && !event.target.closest('input')) move(step);
});

function move(step) {
  const hits = shown();
  const next = hits[hits.findIndex((hit) => hit.id === openId) + step];
  if (next) go(addressOf(next), true);
}

function fill(hit, query) {
  const id = imageOf(hit);
  const img = element('img', { alt: hit.caption ?? '', class: 'large' });
  const photo = element('div', { class: 'photo' }, img);
  img.addEventListener('load', () => photo.style.setProperty('--ratio', img.naturalWidth / img.naturalHeight));
  showImage(img, itemPath(id, '/original'));
  const facts = element('div', { class: 'facts' });
  const position = shown().indexOf(hit);
  const held = document.activeElement?.getAttribute('aria-label');
  $('opened').replaceChildren(
    element('div', { class: 'opened-bar' },
      element('h2', { id: 'opened-name' }, hit.path ? nameOf(hit.path) : hit.id),
      button('‹', () => move(-1), { 'aria-label': 'Previous hit', disabled: position < 1 }),
      button('›', () => move(1), { 'aria-label': 'Next hit', disabled: position < 0 || position + 1 >= shown().length }),
      button('×', close, { 'aria-label': 'Close', autofocus: true })),
    element('div', { class: 'opened-body' }, photo, facts));
  // Without a focus in it the dialog hears no key.
  const buttons = [...$('opened').querySelectorAll('.opened-bar button:not(:disabled)')];
  (buttons.find((one) => one.getAttribute('aria-label') === held) ?? buttons.at(-1)).focus();
  fillFacts(facts, photo, img, hit, query, reading.signal).catch((error) => {
    if (error.name !== 'AbortError') facts.append(problem(error));
  });
}

async function fillFacts(facts, photo, img, hit, query, signal) {
  const id = imageOf(hit);
  const [item, { model }] = await Promise.all([get(itemPath(id), { signal }), server()]);
  if (openId !== hit.id) return;
  $('opened-name').textContent = nameOf(item.path);
  if (!img.alt) img.alt = texts(item)[0] ?? nameOf(item.path);
  facts.append(
    ...(hit.score === undefined ? [] : [relevance(hit)]),
    element('div', { class: 'tools' },
      button('More like this', () => addPart('id', id, 0.5)), button('Less like this', () => addPart('id', id, -0.5)),
      button('Copy path', () => copyText(item.path))),
    element('p', { class: 'path' }, item.path),
    element('p', { class: 'muted small' }, `${item.width} × ${item.height} pixels`));
  if (texts(item).length) facts.append(element('h3', {}, 'Captions'), element('ul', {}, texts(item).map((text) => element('li', {}, text))));
  const waiting = [];
  if (can(model, 'caption')) waiting.push(generated(facts, id, signal));
  const sentence = sentenceOf(query);
  if (sentence) waiting.push(explanation(facts, photo, sentence, id, signal));
  await Promise.all(waiting);
  facts.append(fields(item));
}

/** Captions of an item, which come as objects or as plain text. */
const texts = (item) => item.captions.map((caption) => caption.text ?? caption);

async function generated(facts, id, signal) {
  const place = element('div', {}, element('h3', {}, 'Generated caption'), element('p', { class: 'muted' }, '…'));
  facts.append(place);
  try {
    const { captions, model } = await post('/v1/caption', { id, n: 1 }, { signal });
    place.lastChild.replaceWith(element('p', { class: 'generated' }, captions[0]?.text ?? 'none',
      element('span', { class: 'muted small' }, `generated by ${model}`)));
  } catch (error) {
    place.lastChild.replaceWith(problem(error));
  }
}

function fields(item) {
  const entries = Object.entries(item.fields ?? {});
  const rows = entries.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, typeof value === 'string' ? value : JSON.stringify(value))]);
  return entries.length ? element('details', {}, element('summary', {}, 'Fields'), element('dl', {}, rows)) : element('span');
}
