// The hits: a grid that fills the window and can be walked with the arrow keys.
import { $, button, element, nameOf, percent } from './dom.js';
import { itemPath, showImage } from './api.js';
import { toAddress } from './query.js';
import { addPart } from './search.js';

/** Weight of an image in "more like this"; the words stay the larger part. */
const FEEDBACK = 0.5;
let hits = [];
let best = null;
/** The address of the search that found them. */
let asked = new URLSearchParams();

/** The hits on the page, in order. */
export const shown = () => hits;

/** The id of the image that a hit shows: its own, or that of its caption. */
export const imageOf = (hit) => hit.image_id ?? hit.id;

/** About as many hits as fill the window, and a row more. */
export function hitsPerScreen() {
  const side = innerWidth < 600 ? 160 : 232;
  const columns = Math.max(2, Math.floor(innerWidth / side));
  return Math.min(100, columns * Math.max(3, Math.ceil(innerHeight / (side + 50))));
}

export function showHits(found, query) {
  asked = toAddress(query);
  hits = [];
  best = found[0]?.score ?? null;
  $('hits').replaceChildren();
  appendHits(found);
}

export function appendHits(found) {
  const first = hits.length === 0;
  hits = hits.concat(found);
  $('hits').append(...found.map(tile));
  const links = openers();
  if (first && links.length) links[0].tabIndex = 0;
}

/** Moves the focus from the box to the first hit. */
export const focusFirst = () => openers()[0]?.focus();

const openers = () => [...$('hits').querySelectorAll('.open')];

/** The address of the search with the hit open; of a caption also says the image. */
export function addressOf(hit) {
  const next = new URLSearchParams(asked);
  next.set('open', hit.id);
  if (imageOf(hit) !== hit.id) next.set('of', imageOf(hit));
  return next;
}

function tile(hit) {
  const name = nameOf(hit.path);
  const img = element('img', { alt: name, loading: 'lazy', decoding: 'async' });
  showImage(img, itemPath(imageOf(hit), '/thumb?side=320'));
  const copies = hit.duplicates?.length ?? 0;
  const link = element('a', { class: 'open', href: `/?${addressOf(hit)}`, tabindex: '-1' }, img,
    copies ? element('span', { class: 'copies' }, copies === 1 ? '+1 copy' : `+${copies} copies`) : null);
  return element('li', { class: 'hit' }, link,
    hit.caption ? element('p', { class: 'caption' }, hit.caption) : null,
    relevance(hit),
    element('div', { class: 'tools' },
      button('More like', () => addPart('id', imageOf(hit), FEEDBACK), { title: 'More like this', 'aria-label': `More like ${name}` }),
      button('Less like', () => addPart('id', imageOf(hit), -FEEDBACK), { title: 'Less like this', 'aria-label': `Less like ${name}` }),
      details(hit)));
}

/** A word and a bar. Without calibration the bar compares with the best hit, and says so. */
export function relevance(hit) {
  if (hit.relevance === null || hit.relevance === undefined) {
    if (hit.score <= 0 || best <= 0) return element('p', { class: 'relevance' }, `${hit.rank}.`);
    const share = Math.min(1, hit.score / best);
    return bar('', share, hit.rank === 1 ? 'best' : `${percent(share)} of the best`);
  }
  return bar(hit.relevance_word ?? '', hit.relevance, percent(hit.relevance));
}

function bar(word, share, text) {
  return element('p', { class: `relevance ${word}` }, word ? element('b', {}, word) : null,
    element('span', { class: 'bar', 'aria-hidden': 'true' }, element('span', { '--share': share })), element('span', {}, text));
}

function details(hit) {
  const rows = [`Score ${hit.score.toFixed(3)}`];
  if (hit.parts) rows.push(`abstract ${hit.parts.abstract.toFixed(3)}`, `grounded ${hit.parts.grounded.toFixed(3)}`);
  const copies = (hit.duplicates ?? []).map((copy) => element('li', {}, copy.path));
  return element('details', {}, element('summary', {}, 'Why'), element('div', { class: 'why' },
    element('p', {}, rows.join(' · ')), element('p', { class: 'path' }, hit.path),
    copies.length ? element('p', {}, 'The same image:') : null, copies.length ? element('ul', {}, copies) : null));
}

$('hits').addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const links = openers();
  const at = links.indexOf(event.target);
  if (at < 0) return;
  const columns = links.filter((link) => link.parentElement.offsetTop === links[0].parentElement.offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: links.length - 1 - at }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  if (at + step < 0) $('words').focus();
  else links[Math.min(at + step, links.length - 1)].focus();
});

// One tab stop for the whole grid: the hit that had the focus last.
$('hits').addEventListener('focusin', (event) => {
  if (!event.target.classList.contains('open')) return;
  for (const link of openers()) link.tabIndex = link === event.target ? 0 : -1;
});
